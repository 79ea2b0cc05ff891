"""Networks in a process of their own, on the CPU: scores, crashes on either side, and the end of a run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from deepscan import batch
from deepscan.batch.batcher import Batcher
from deepscan.batch.inference_client import Address, answer_all, connect
from deepscan.config import ScanConfig
from deepscan.detectors import SPECS
from deepscan.errors import ScoreError, WeightsError, WorkerError
from deepscan.inference.session import Session
from deepscan.results import FileReport
from deepscan.scanner import Scanner
from deepscan.weights import Weights
from tests.fixtures.doubles import write_weights
from tests.fixtures.sample import real

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ScanConfig:
    root = write_weights(tmp_path_factory.mktemp("weights"), middle=0.45)
    return ScanConfig(weights=root, device="cpu", threads=1, timeout=120)


def scores(report: FileReport) -> list[tuple[int, str, float, float]]:
    """Track, detector, time and score of every clip."""
    return [
        (track.id, detector.name, score.start_s, score.probability)
        for track in report.tracks
        for detector in track.detectors
        for score in detector.scores
    ]


def test_several_workers_get_the_scores_that_one_alone_gets(
    config: ScanConfig, clip: Path, two_faces: Path, faceless: Path
) -> None:
    paths = [clip, faceless, two_faces]
    alone = list(batch.scan_files(paths, config))
    served = list(batch.scan_files(paths, replace(config, jobs=2), batch=4))
    assert [(r.path, r.status, r.verdict) for r in served] == [(r.path, r.status, r.verdict) for r in alone]
    for one, other in zip(served, alone, strict=True):
        assert [score[:3] for score in scores(one)] == [score[:3] for score in scores(other)]
        np.testing.assert_allclose(
            [score[3] for score in scores(one)], [score[3] for score in scores(other)], atol=1e-3
        )
    assert len(scores(served[2])) > 20


class Recorded:
    """A network that remembers the sizes of its batches, and takes its time."""

    def __init__(self, session: Session) -> None:
        self.outputs, self.batch, self.any_length = session.outputs, session.batch, session.any_length
        self.sizes: list[int] = []
        self._session = session

    def run(self, pixels: NDArray[np.uint8], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        self.sizes.append(len(pixels))
        time.sleep(0.05)
        return self._session.run(pixels, outputs)


def test_clips_of_different_files_share_batches(config: ScanConfig, clip: Path, two_faces: Path) -> None:
    weights = Weights(config.weights)
    networks = {name: Recorded(Session(weights.path(name), batch=8)) for name in SPECS}
    key = b"key"
    with Listener(authkey=key) as listener:
        threading.Thread(
            target=answer_all, args=(listener, Batcher(networks, wait_s=0.3)), daemon=True
        ).start()
        load = partial(connect, Address(str(listener.address), key))
        scanners = [Scanner(config, load) for _ in range(3)]
        found: dict[int, FileReport] = {}
        threads = [
            threading.Thread(target=lambda n=n, s=s: found.update({n: s.scan(clip)}))
            for n, s in enumerate(scanners)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    expected = Scanner(config).scan(clip)
    clips = sum(name == "global_local" for _, name, _, _ in scores(expected))
    assert clips == 1, "a file has one such clip, so that larger batches are of several files"
    assert max(networks["global_local"].sizes) > 1
    assert max(networks["sola"].sizes) == 8
    for report in found.values():
        np.testing.assert_allclose(
            [score[3] for score in scores(report)], [score[3] for score in scores(expected)], atol=1e-3
        )


class DiesAsking:
    """Asks for a score; files named ``kill`` end their process while the question is under way."""

    def __init__(self, config: ScanConfig, load: Any) -> None:
        self._networks = load(config, Weights(config.weights))

    def scan(self, path: Path) -> FileReport:
        spec = SPECS["gml"]
        if path.name.startswith("kill"):
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()
        while True:
            self._networks["gml"].run(np.zeros((2, *spec.clip_shape), np.uint8), ["probability"])
            if not path.name.startswith("kill"):
                return real(str(path))


def test_a_worker_that_dies_asking_costs_its_file_and_nothing_else(
    config: ScanConfig, tmp_path: Path
) -> None:
    paths = [tmp_path / name for name in ("a.mp4", "kill1.mp4", "kill2.mp4", "z.mp4")]
    for path in paths:
        path.write_bytes(b"x")
    reports = list(batch.scan_files(paths, replace(config, jobs=2), batch=4, make_scanner=DiesAsking))
    assert [report.status for report in reports] == ["scanned", "crashed", "crashed", "scanned"]


def the_server() -> psutil.Process:
    (child,) = [c for c in multiprocessing.active_children() if c.name == "deepscan-networks"]
    return psutil.Process(child.pid)


def test_a_server_that_dies_ends_the_run_with_its_cause(config: ScanConfig, clip: Path) -> None:
    reports = batch.scan_files([clip] * 3, config, batch=4)
    assert next(reports).status == "scanned"
    the_server().kill()
    with pytest.raises(WorkerError, match=r"the process that runs the networks died \(SIGKILL\); check"):
        list(reports)


def test_what_is_wrong_with_the_networks_is_said_as_ever(
    config: ScanConfig, tmp_path: Path, clip: Path
) -> None:
    broken = write_weights(tmp_path / "broken", gains={"sola": float("nan")})
    with pytest.raises(ScoreError, match=r"portrait\.mp4: sola: returned nan for the face of track 1"):
        list(batch.scan_files([clip], replace(config, weights=broken), batch=4))
    (broken / "gml.onnx").unlink()
    with pytest.raises(WeightsError, match="the model file of gml is missing"):
        list(batch.scan_files([clip], replace(config, weights=broken), batch=4))


def test_a_run_that_is_given_up_leaves_no_process_behind(config: ScanConfig, clip: Path) -> None:
    reports = batch.scan_files([clip] * 4, replace(config, jobs=2), batch=4)
    next(reports)
    processes = [c for c in psutil.Process().children() if "spawn_main" in " ".join(c.cmdline())]
    assert the_server() in processes and len(processes) >= 2
    reports.close()
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert not alive


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is another thing there")
def test_ctrl_c_ends_all_processes_without_a_word(config: ScanConfig, clip: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from deepscan import batch
from deepscan.cli.interrupt import Interrupt
from deepscan.config import ScanConfig
if __name__ == "__main__":
    config = ScanConfig(weights={str(config.weights)!r}, device="cpu", threads=1, jobs=2)
    interrupt = Interrupt()
    reports = batch.scan_files([Path({str(clip)!r})] * 500, config, batch=4)
    with interrupt.caught():
        for report in interrupt.until_interrupted(reports):
            print(report.status, flush=True)
    reports.close()
    print("interrupted" if interrupt.asked else "finished", flush=True)
"""
    script = Path(clip.parent, "run_until_ctrl_c.py")
    script.write_text(code, encoding="utf-8")
    running = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "scanned\n"
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0
    assert out.endswith("interrupted\n")
    assert err == ""
    _, alive = psutil.wait_procs(of_group(running.pid), timeout=10)
    assert not alive


def of_group(number: int) -> list[psutil.Process]:
    """The living processes of a group."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == number and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
