"""A file that is read on from where the probe stopped gives what a file that is opened again gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deepscan import media
from deepscan.media import Coverage, Frame, SamplingPlan, edit_lists
from tests.fixtures import make, spoil
from tests.media.test_video import CONTAINERS

LATER = SamplingPlan((1.5,), (1.5, 2.2))


def begun(path: Path, plan: SamplingPlan | None = None) -> tuple[list[Frame], Coverage]:
    medium = media.begin(path)
    coverage = Coverage(medium.info.duration_s)
    return list(medium.frames(plan or media.plan(medium.info), coverage)), coverage


def afresh(path: Path, plan: SamplingPlan | None = None) -> tuple[list[Frame], Coverage]:
    info = media.probe(path)
    coverage = Coverage(info.duration_s)
    return list(media.frames(path, info, plan or media.plan(info), coverage)), coverage


def assert_alike(path: Path, plan: SamplingPlan | None = None) -> None:
    (ours, seen), (theirs, expected) = begun(path, plan), afresh(path, plan)
    assert [(f.pts_s, f.window, f.even) for f in ours] == [(f.pts_s, f.window, f.even) for f in theirs]
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(ours, theirs, strict=True))
    assert seen == expected


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container(name: str, tmp_path: Path) -> None:
    assert_alike(CONTAINERS[name](tmp_path / name))


@pytest.mark.parametrize("keyframe_every", [10, 1000])
def test_a_plan_that_begins_later(keyframe_every: int, tmp_path: Path) -> None:
    path = make.portrait_clip(tmp_path / "a.mp4", 3.0, options={"preset": "medium", "g": str(keyframe_every)})
    assert_alike(path, LATER)


@pytest.mark.parametrize("start", [0.02, 0.3])
@pytest.mark.parametrize("ending", ["mkv", "ts", "mpg", "avi", "mp4"])
def test_damage(start: float, ending: str, tmp_path: Path) -> None:
    codec = "mpeg2video" if ending == "mpg" else "libx264"
    whole = make.portrait_clip(tmp_path / f"whole.{ending}", 2.0, codec=codec)
    assert_alike(make.flipped(whole, tmp_path / f"flipped.{ending}", 40, start=start))
    assert_alike(spoil.hole(whole, tmp_path / f"hole.{ending}", start, start + 0.05))


def test_damage_of_the_first_picture_is_reported_where_pictures_are_counted_first(tmp_path: Path) -> None:
    whole = make.portrait_clip(tmp_path / "whole.ts", 1.0)
    data = bytearray(whole.read_bytes())
    damaged = tmp_path / "damaged.ts"
    for place in range(1200, 4000, 190):  # inside the first packets' payloads
        data[place] ^= 0xFF
    damaged.write_bytes(data)
    frames, coverage = begun(damaged)
    assert frames and coverage.errors_reported
    assert_alike(damaged)


def test_the_file_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make.portrait_clip(tmp_path / "a.mp4", 1.0)
    opened = edit_lists.open_container
    count: list[Path] = []
    monkeypatch.setattr(edit_lists, "open_container", lambda p: (count.append(p), opened(p))[1])
    frames, coverage = begun(path)
    assert frames and coverage.complete and count == [path]


def test_frames_can_be_asked_for_after_closing_and_twice(tmp_path: Path) -> None:
    medium = media.begin(make.portrait_clip(tmp_path / "a.mp4", 1.0))
    medium.close()
    reads = [list(medium.frames(media.plan(medium.info), Coverage(medium.info.duration_s))) for _ in range(2)]
    assert len(reads[0]) == len(reads[1]) > 16
