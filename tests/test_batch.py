"""Which files a run takes, in which order they come back, and what happens when a worker dies."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from deepscan import batch
from deepscan.config import ScanConfig
from deepscan.errors import ScoreError, UsageError
from deepscan.scan import FileReport
from tests.doubles import write_weights
from tests.report.sample import failed, real


@pytest.fixture
def tree(tmp_path: Path, portrait_photo: Path) -> Path:
    """Media and other files, hidden ones, one without an ending, and a link back to the top."""
    root = tmp_path / "tree"
    for name in ("b.jpg", "a/z.jpg", "a/no_ending", ".hidden/c.jpg", "a/.dot.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(portrait_photo, root / name)
    (root / "notes.txt").write_text("no media")
    (root / "a/code.py").write_text("print()")
    (root / "a/loop").symlink_to(root, target_is_directory=True)
    (root / "dangling").symlink_to(root / "nowhere")
    return root


def test_a_directory_is_walked_by_content_each_file_once(tree: Path) -> None:
    found = batch.survey([tree])
    names = [file.relative_to(tree).as_posix() for file in found.files]
    assert names == [".hidden/c.jpg", "a/.dot.jpg", "a/no_ending", "a/z.jpg", "b.jpg"]
    assert found.left_out == 3


def test_paths_come_sorted_and_once_however_often_they_are_named(tree: Path) -> None:
    files = batch.collect([tree / "b.jpg", tree, tree / "a", tree / "a/../b.jpg"])
    assert [str(file) for file in files] == sorted({str(file) for file in files})
    assert len({os.path.realpath(file) for file in files}) == len(files) == 5


def test_a_named_file_is_taken_whatever_it_is(tree: Path) -> None:
    assert batch.collect([tree / "notes.txt"]) == [tree / "notes.txt"]


def test_a_missing_path_is_said_before_anything_runs(tree: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.mp4: no such file or directory"):
        batch.survey([tree, tree / "gone.mp4"])


def test_a_directory_that_cannot_be_listed_is_reported(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = tree / "a"
    listing = Path.iterdir

    def iterdir(path: Path) -> object:
        if path == locked:
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    monkeypatch.setattr(batch, "Scanner", Everything)
    files = batch.collect([tree])
    assert locked in files
    reports = {report.path: report for report in batch.scan_files(files, ScanConfig())}
    assert reports[str(locked)].status == "unreadable"
    assert "this directory cannot be listed" in str(reports[str(locked)].error)
    assert reports[str(tree / "b.jpg")].status == "scanned"


class Everything:
    """A scanner that finds nothing wrong."""

    def __init__(self, config: ScanConfig) -> None:
        self.config = config

    def scan(self, path: Path) -> FileReport:
        return real(str(path))


class Failing(Everything):
    """A scanner with a bug and a network that returns NaN."""

    def scan(self, path: Path) -> FileReport:
        if path.name == "bug.mp4":
            raise ZeroDivisionError("division by zero")
        if path.name == "nan.mp4":
            raise ScoreError("nan.mp4: gml returned NaN")
        return real(str(path))


def test_a_bug_costs_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "Scanner", Failing)
    paths = [Path("a.mp4"), Path("bug.mp4"), Path("c.mp4")]
    reports = list(batch.scan_files(paths, ScanConfig()))
    assert [report.status for report in reports] == ["scanned", "crashed", "scanned"]
    assert "ZeroDivisionError: division by zero" in str(reports[1].error)


def test_a_score_that_makes_no_sense_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "Scanner", Failing)
    with pytest.raises(ScoreError, match="gml returned NaN"):
        list(batch.scan_files([Path("nan.mp4")], ScanConfig()))


def worker(path: Path, config: ScanConfig) -> FileReport:
    """Stands in for a scan in a worker process; some files kill it."""
    if path.name.startswith("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    return failed(str(path), "no_face", f"{config.threads} threads")


def test_a_worker_that_dies_costs_its_own_file_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_scan_in_worker", worker)
    names = ["a.mp4", "kill.mp4", "c.mp4", "d.mp4"]
    reports = list(batch.scan_files([Path(name) for name in names], ScanConfig(jobs=2, threads=3)))
    assert [report.path for report in reports] == names
    assert [report.status for report in reports] == ["no_face", "crashed", "no_face", "no_face"]
    assert reports[1].error == "kill.mp4: the worker process died while scanning this file"
    assert reports[3].error == "3 threads"


def test_the_number_of_workers_changes_no_report(tmp_path: Path, clip: Path, faceless: Path) -> None:
    weights = write_weights(tmp_path / "weights")
    (tmp_path / "text.mp4").write_text("no video")
    paths = [clip, faceless, tmp_path / "text.mp4"]
    config = ScanConfig(weights=weights, threads=1)
    alone = list(batch.scan_files(paths, config))
    together = list(batch.scan_files(paths, replace(config, jobs=2)))
    assert [report.status for report in alone] == ["scanned", "no_face", "unreadable"]
    assert [report.path for report in together] == [str(path) for path in paths]
    for one, other in zip(alone, together, strict=True):
        assert (one.status, one.probability, one.error) == (other.status, other.probability, other.error)
        assert one.tracks == other.tracks
