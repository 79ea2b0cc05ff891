"""Each file in a worker process: what a crash, a hang or a memory bomb costs, and the order of reports."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from deepscan import batch
from deepscan.batch import pool
from deepscan.batch.worker import Setup
from deepscan.config import ScanConfig
from deepscan.errors import ScoreError, WeightsError, WorkerError
from deepscan.scanner import FileReport
from tests.fixtures.doubles import write_weights
from tests.fixtures.scanners import DiesLoading, Everything, NamesItsProcess, NoWeights, Trouble

pytestmark = pytest.mark.slow

LIMITED = ScanConfig(threads=1, timeout=4)


def files(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).write_text("content")
    return [folder / name for name in names]


@pytest.mark.parametrize("jobs", [1, 2])
def test_trouble_costs_exactly_the_file_that_makes_it(tmp_path: Path, jobs: int) -> None:
    paths = files(tmp_path, "a.mp4", "bug.mp4", "crash.mp4", "hang.mp4", "kill.mp4", "z.mp4")
    reports = list(batch.scan_files(paths, replace(LIMITED, jobs=jobs), make_scanner=Trouble))
    assert [report.path for report in reports] == [str(path) for path in paths]
    said = {Path(report.path).stem: (report.status, report.error) for report in reports}
    assert said["a"] == said["z"] == ("scanned", None)
    begin = f"{tmp_path}/"
    died = "the worker process died while scanning this file"
    assert said["crash"] == ("crashed", f"{begin}crash.mp4: {died} (SIGSEGV)")
    assert said["kill"] == ("crashed", f"{begin}kill.mp4: {died} (SIGKILL)")
    assert said["hang"] == ("timeout", f"{begin}hang.mp4: not finished after 4 s; --timeout allows more")
    assert said["bug"][0] == "crashed"
    traces = {Path(report.path).stem: report.trace for report in reports if report.trace}
    assert set(traces) >= {"bug", "crash"}
    assert "ZeroDivisionError" in traces["bug"]
    assert "Segmentation fault" in traces["crash"]
    assert "scanners.py" in traces["crash"]
    assert len({report.sha256 for report in reports}) == 1  # each has the hash of its content, the failed too


def test_a_memory_bomb_costs_itself_only(tmp_path: Path) -> None:
    paths = files(tmp_path, "a.mp4", "bomb.mp4", "z.mp4")
    config = replace(LIMITED, timeout=60, max_memory="250M")
    reports = list(batch.scan_files(paths, config, make_scanner=Trouble))
    assert [report.status for report in reports] == ["scanned", "crashed", "scanned"]
    sentence = "scanning it takes more than 0.244 GiB of memory; --max-memory allows more"
    assert reports[1].error == f"{paths[1]}: {sentence}"


def test_the_hash_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"abc")
    (report,) = batch.scan_files([tmp_path / "a.mp4"], LIMITED, make_scanner=Everything)
    assert report.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_file_that_is_larger_than_allowed_is_not_opened(tmp_path: Path) -> None:
    paths = files(tmp_path, "crash.mp4", "b.mp4")
    paths[0].write_bytes(bytes(2000))
    config = replace(LIMITED, max_size="1K")
    large, small = batch.scan_files(paths, config, make_scanner=Trouble)
    assert large.status == "unreadable"
    assert large.error == f"{paths[0]} has 2000 bytes, more than --max-size allows (1024)."
    assert small.status == "scanned"


def test_what_is_no_file_blocks_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    paths = [tmp_path / "pipe.mp4", tmp_path / "loop.mp4", tmp_path / "gone.mp4"]
    reports = list(batch.scan_files(paths, LIMITED, make_scanner=Everything))
    assert [(report.status, report.sha256) for report in reports] == [("unreadable", None)] * 3


def test_one_process_serves_many_files_and_is_replaced_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "FILES_PER_PROCESS", 3)
    paths = files(tmp_path, *(f"{number}.mp4" for number in range(7)))
    reports = list(batch.scan_files(paths, LIMITED, make_scanner=NamesItsProcess))
    assert [report.path for report in reports] == [str(path) for path in paths]
    processes = [report.error for report in reports]
    assert processes[0] == processes[2] != processes[3] == processes[5] != processes[6]
    assert str(os.getpid()) not in processes


def test_what_is_wrong_with_all_files_ends_the_run(tmp_path: Path) -> None:
    paths = files(tmp_path, "a.mp4", "nan.mp4", "z.mp4")
    seen: list[FileReport] = []
    with pytest.raises(ScoreError, match="gml returned NaN"):
        seen.extend(batch.scan_files(paths, LIMITED, make_scanner=Trouble))
    with pytest.raises(WeightsError, match="gml is missing"):
        list(batch.scan_files(paths, LIMITED, make_scanner=NoWeights))
    with pytest.raises(WorkerError, match=r"died while it loaded the networks \(SIGSEGV\)"):
        list(batch.scan_files(paths, LIMITED, make_scanner=DiesLoading))


def test_workers_that_cannot_start_end_the_run(tmp_path: Path) -> None:
    worker = pool.Worker(Setup(LIMITED, Everything, None, log=tmp_path / "nowhere" / "log"))
    try:
        with pytest.raises(WorkerError, match="no worker process can be started"):
            worker.scan(tmp_path)
    finally:
        worker.stop()


def test_a_process_that_dies_between_two_files_is_replaced(tmp_path: Path) -> None:
    paths = files(tmp_path, "a.mp4", "b.mp4")
    worker = pool.Worker(Setup(LIMITED, NamesItsProcess, None, log=tmp_path / "log"))
    try:
        first = worker.scan(paths[0]).error
        os.kill(int(str(first)), signal.SIGKILL)
        second = worker.scan(paths[1]).error
    finally:
        worker.stop()
    assert str(second).isdigit()
    assert first != second


def test_a_run_that_is_given_up_leaves_no_process_behind(tmp_path: Path) -> None:
    paths = files(tmp_path, "a.mp4", "hang.mp4", "hang2.mp4")
    config = replace(LIMITED, jobs=2, timeout=0)
    reports = batch.scan_files(paths, config, make_scanner=Trouble)
    assert next(reports).status == "scanned"
    started = time.monotonic()
    reports.close()
    assert time.monotonic() - started < 30  # the hang would take minutes
    assert not [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


def test_the_number_of_workers_changes_no_report(tmp_path: Path, clip: Path, faceless: Path) -> None:
    weights = write_weights(tmp_path / "weights")
    (tmp_path / "text.mp4").write_text("no video")
    paths = [clip, faceless, tmp_path / "text.mp4"]
    config = ScanConfig(weights=weights, threads=1)
    alone = list(batch.scan_files(paths, config))
    together = list(batch.scan_files(paths, replace(config, jobs=2)))
    assert [report.status for report in alone] == ["scanned", "no_face", "unreadable"]
    assert alone == together
