"""A file that would decode for ever is looked at as far as the budget goes, and never called whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deepscan.media import Coverage, Frame, frames, plan, probe
from tests.fixtures import make

PIXELS = 128 * 128
COUNT = 25
MAKERS: dict[str, Callable[[Path], Path]] = {
    "a.mp4": lambda path: make.portrait_clip(path, COUNT / 25, size=128),
    "a.mkv": lambda path: make.portrait_clip(path, COUNT / 25, size=128),
    "a.gif": lambda path: make.animated_gif(path, COUNT, 128, 40),
    "a.webp": lambda path: make.animated_webp(path, COUNT, 128, 40),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("budget")
    for name, maker in MAKERS.items():
        maker(folder / name)
    return folder


def read(path: Path, budget: int) -> tuple[list[Frame], Coverage]:
    info = probe(path, budget)
    coverage = Coverage(info.duration_s, pixel_budget=budget)
    return list(frames(path, info, plan(info, thorough=True), coverage)), coverage


@pytest.mark.parametrize("name", MAKERS)
def test_reading_stops_where_the_budget_ends(folder: Path, name: str) -> None:
    found, coverage = read(folder / name, 10 * PIXELS)
    assert 7 <= coverage.frames_decoded <= 12  # a decoder takes and hands over several frames at a time
    assert 6 <= len(found) <= coverage.frames_decoded
    assert not coverage.complete
    assert coverage.seconds_covered == pytest.approx(coverage.frames_decoded / 25, abs=0.05)
    assert "--pixel-budget allows more" in coverage.warnings[-1]


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("budget", [0, COUNT * PIXELS * 10])
def test_a_file_within_the_budget_is_read_whole(folder: Path, name: str, budget: int) -> None:
    _, coverage = read(folder / name, budget)
    assert coverage.complete
    assert coverage.pixels_decoded == COUNT * PIXELS
    assert coverage.warnings == []
