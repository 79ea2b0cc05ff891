"""The fuzz run itself: the same mutants every time, an oracle that can say no, nothing lost on the way."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from deepscan.config import ScanConfig
from deepscan.scanner import FileReport, Scanner
from fuzz.__main__ import State, Worker
from fuzz.mutate import mutant
from fuzz.oracle import violation
from fuzz.sources import FRAMES, SOURCES
from fuzz.worker import Bench, Task
from tests.fixtures import make, spoil
from tests.fixtures.doubles import write_weights

pytestmark = pytest.mark.slow

SOME = ("h264.mp4", "h264.ts", "h264.mkv", "animated.gif", "still.png", "still.jpg")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("sources")
    return {name: SOURCES[name](folder / name).read_bytes() for name in SOME}


def test_a_seed_and_a_number_make_the_same_mutant(sources: dict[str, bytes]) -> None:
    mutants = [mutant(1, index, sources) for index in range(60)]
    assert mutants == [mutant(1, index, sources) for index in range(60)]
    assert mutants != [mutant(2, index, sources) for index in range(60)]
    assert {source for source, _, _ in mutants} == set(SOME)
    assert all(content != sources[source] for source, damage, content in mutants if damage == "4 bytes")


def test_a_few_mutants(sources: dict[str, bytes], tmp_path: Path) -> None:
    bench = Bench(Task(7, sources, tmp_path))
    outcomes = [bench.run(index) for index in range(60)]
    assert [outcome.violation for outcome in outcomes] == [None] * 60
    assert {outcome.status for outcome in outcomes} >= {"scanned", "partial", "unreadable"}
    assert not list(tmp_path.glob("mutant-*"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FileReport]:
    """A whole clip and its report, which has nothing to complain of."""
    folder = tmp_path_factory.mktemp("whole")
    scanner = Scanner(ScanConfig(weights=write_weights(folder / "weights", middle=2.0), device="cpu"))
    path = make.faststart(folder / "whole.mp4", FRAMES / 25)
    return path, scanner.scan(path)


def test_the_oracle_accepts_what_is_right(whole: tuple[Path, FileReport]) -> None:
    path, report = whole
    assert report.verdict == "real"
    assert violation(path, report, FRAMES) is None


def test_the_oracle_sees_what_a_clean_report_hides(whole: tuple[Path, FileReport], tmp_path: Path) -> None:
    path, report = whole
    assert report.coverage is not None
    damaged = spoil.hole(path, tmp_path / "hole.mp4")
    assert "damage not noticed" in str(violation(damaged, report, FRAMES))
    fewer = replace(report, coverage=replace(report.coverage, frames_decoded=12))
    assert "a plain reader gets 20" in str(violation(path, fewer, FRAMES))
    assert "5 of 25 frames are gone" in str(violation(path, report, FRAMES + 5))
    failed = replace(report, coverage=replace(report.coverage, frames_failed=1))
    assert "incomplete coverage" in str(violation(path, failed, FRAMES))
    honest = replace(failed, status="partial", verdict="uncertain")
    assert violation(path, honest, FRAMES) is None


def test_what_was_done_is_known_after_an_interruption(tmp_path: Path) -> None:
    state = State(tmp_path / "outcomes.jsonl", seed=1)
    state.add({"index": 3, "violation": None})
    assert State(tmp_path / "outcomes.jsonl", seed=1).done == {3: {"index": 3, "violation": None}}
    with pytest.raises(SystemExit, match="another seed"):
        State(tmp_path / "outcomes.jsonl", seed=2)


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_worker_that_dies_costs_its_own_mutant(sources: dict[str, bytes], tmp_path: Path) -> None:
    worker = Worker(Task(1, {"still.png": sources["still.png"]}, tmp_path))
    try:
        assert worker.run(0)["violation"] is None
        assert worker.process is not None and worker.process.pid is not None
        os.kill(worker.process.pid, signal.SIGKILL)
        assert worker.run(1)["status"] == "crashed"
        assert worker.run(2)["status"] != "crashed"
    finally:
        worker.stop()
