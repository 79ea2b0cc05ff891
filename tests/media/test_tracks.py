"""Videos that hold more than players show, or store it in unusual ways: all of it is looked at."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from deepscan.config import ScanConfig
from deepscan.media import Coverage, begin, is_media
from deepscan.scanner import Scanner
from tests.fixtures import make, odd
from tests.fixtures.doubles import write_weights
from tests.media.test_photo import away, read


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
def test_every_video_track_is_looked_at(suffix: str, tmp_path: Path) -> None:
    first = list(make.moving_portrait(25, 128))
    second = [255 - frame for frame in first]
    path = odd.several_tracks(tmp_path / f"two{suffix}", [first, second])
    info, found, coverage = read(path)
    assert info.parts == ("video track 1", "video track 2")
    pictures = {name: frame.rgb for name, frame in found}
    assert away(pictures["video track 1"], first[-1]) < 8
    assert away(pictures["video track 2"], second[-1]) < 8
    assert coverage.complete, coverage
    assert (coverage.frames_decoded, coverage.duration_s) == (50, pytest.approx(2.0, abs=0.1))


def test_a_shorter_second_track_that_is_damaged_leaves_the_file_incomplete(tmp_path: Path) -> None:
    frames = list(make.moving_portrait(25, 128))
    path = odd.several_tracks(tmp_path / "two.mkv", [frames, frames])
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 2, len(data) - 2000, 97):
        data[place] ^= 0xFF
    path.write_bytes(data)
    assert not read(path)[2].complete


def test_faces_of_all_tracks_are_judged_and_named(tmp_path: Path) -> None:
    frames = list(make.moving_portrait(25, 256))
    path = odd.several_tracks(tmp_path / "two.mp4", [frames, frames])
    weights = write_weights(tmp_path / "weights", middle=2.0)
    report = Scanner(ScanConfig(weights=weights, device="cpu")).scan(path)
    assert report.status == "scanned"
    assert [(track.id, track.part) for track in report.tracks] == [(1, "video track 1"), (2, "video track 2")]
    assert all(track.probability is not None for track in report.tracks)


def test_the_pixel_budget_is_that_of_the_whole_file(tmp_path: Path) -> None:
    frames = list(make.moving_portrait(25, 128))
    path = odd.several_tracks(tmp_path / "two.mp4", [frames, frames])
    medium = begin(path)
    coverage = Coverage(medium.info.duration_s, pixel_budget=25 * 128 * 128)
    for _, found in medium.parts(coverage):
        list(found)
    assert not coverage.complete
    assert any("not read to the end" in line for line in coverage.warnings)


def test_a_track_that_begins_later_is_not_passed_over(tmp_path: Path) -> None:
    _, _, coverage = read(odd.late_track(tmp_path / "late.ts"))
    assert not coverage.complete


def test_packed_b_frames_are_seen_one_by_one(tmp_path: Path) -> None:
    path = odd.packed_clip(tmp_path / "packed.avi")
    medium = begin(path)
    coverage = Coverage(medium.info.duration_s)
    ((_, frames),) = medium.parts(coverage, thorough=True)
    numbers = [make.frame_number(frame.rgb) for frame in frames]
    assert numbers == list(range(25))
    assert (coverage.complete, coverage.frames_decoded) == (True, 25)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_pictures_that_lead_up_to_a_clean_cut_are_named_and_no_damage(suffix: str, tmp_path: Path) -> None:
    _, found, coverage = read(odd.open_gop_cut(tmp_path / f"cut{suffix}"))
    assert coverage.complete, coverage
    assert make.frame_number(found[0][1].rgb) == 12
    assert any("the first 0.08 s cannot be decoded" in line for line in coverage.warnings)


def test_a_film_of_open_groups_is_whole(tmp_path: Path) -> None:
    """Looking at moments of it only skips references, which is no damage."""
    _, _, coverage = read(odd.open_gop_cut(tmp_path / "whole.mp4", count=400, after=0))
    assert coverage.complete, coverage
    assert coverage.warnings == []


def test_what_an_edit_list_hides_before_the_start_is_looked_at_and_named(tmp_path: Path) -> None:
    _, found, coverage = read(odd.trimmed_clip(tmp_path / "trimmed.mp4"))
    assert coverage.complete, coverage
    assert make.frame_number(found[0][1].rgb) == 0
    assert any("1.6 s before the start are hidden from players" in line for line in coverage.warnings)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("aspect", [Fraction(2), Fraction(1, 2), Fraction(4, 3)])
def test_oblong_pixels_come_square(aspect: Fraction, suffix: str, tmp_path: Path) -> None:
    info, found, coverage = read(odd.oblong_clip(tmp_path / f"oblong{suffix}", aspect))
    assert (info.width, info.height) == (256, 256)
    for _, frame in found[:3]:
        assert frame.rgb.shape == (256, 256, 3)
    assert away(found[0][1].rgb[32:], next(make.moving_portrait(1))[32:]) < 12
    assert coverage.complete


def test_a_tape_of_a_camcorder_is_read(tmp_path: Path) -> None:
    path = odd.tape_clip(tmp_path / "tape.dv")
    info, found, coverage = read(path)
    assert is_media(path)
    assert (info.container, info.width, info.height) == ("dv", 768, 576)
    assert away(found[0][1].rgb[40:, 96:672], next(make.moving_portrait(1, 576))[40:]) < 8
    assert coverage.complete, coverage


def test_mxf_is_media(tmp_path: Path) -> None:
    frames = make.moving_portrait(25, 128)
    path = make.write_clip(tmp_path / "broadcast.mxf", frames, codec="mpeg2video")
    unnamed = path.rename(tmp_path / "broadcast")
    assert is_media(unnamed)
    assert read(unnamed)[2].complete


def test_text_behind_a_film_is_a_note_if_it_is_short(tmp_path: Path) -> None:
    path = make.portrait_clip(tmp_path / "film.mp4", 1.0)
    path.write_bytes(path.read_bytes() + b"\r\n")
    coverage = read(path)[2]
    assert coverage.complete
    assert np.any(["2 byte(s) follow" in line for line in coverage.warnings])
