"""Which frames become which clip, and how the square lies around the face."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from deepscan.detectors import SPECS
from deepscan.detectors.spec import CropRule, DetectorSpec
from deepscan.faces.clips import BLOCK_WINDOWS, CANDIDATES, ClipCutter, evenly
from deepscan.faces.crops import Thumbnails, crop_affine, cut_square
from deepscan.faces.tracker import Face, TrackedFace
from deepscan.media import Frame

BOX = np.array([100, 60, 140, 120], np.float32)  # 40 wide, 60 high, centre (120, 90)
POINTS = np.array([[110, 80], [130, 80], [120, 92], [112, 106], [128, 106]], np.float32)
FPS = 25.0


def face(dx: float = 0.0) -> Face:
    shift = np.array([dx, 0], np.float32)
    return Face(BOX + np.tile(shift, 2), POINTS + shift, 0.9)


def frame(index: int, window: int | None = None, even: bool = False, pts_s: float | None = None) -> Frame:
    rgb = np.full((180, 240, 3), index % 256, np.uint8)
    return Frame(index, index / FPS if pts_s is None else pts_s, rgb, window, even)


def feed(
    cutter: ClipCutter, frames: Iterable[Frame], *, without: Iterable[int] = (), dx: float = 0.0
) -> None:
    skip = set(without)
    for f in frames:
        cutter.add(f, [] if f.index in skip else [TrackedFace(1, face(dx * f.index))])


def window(count: int = 16, number: int = 0, start: int = 0) -> list[Frame]:
    return [frame(start + i, window=number) for i in range(count)]


def mapped(spec: DetectorSpec, point: tuple[float, float], points: np.ndarray = POINTS) -> np.ndarray:
    return crop_affine(spec, BOX, points) @ np.array([*point, 1.0])


@pytest.mark.parametrize("name", SPECS)
def test_the_face_centre_lands_in_the_middle_of_the_square(name: str) -> None:
    spec = SPECS[name]
    middle = (spec.size_px - 1) / 2
    np.testing.assert_allclose(mapped(spec, (120, 90)), [middle, middle], atol=1e-9)


@pytest.mark.parametrize("name", SPECS)
def test_the_square_is_as_large_as_the_rule_says(name: str) -> None:
    spec = SPECS[name]
    side = spec.scale * (np.sqrt(40 * 60) if spec.crop is CropRule.SQRT_AREA else 60)
    across = np.linalg.norm(mapped(spec, (120 + side, 90)) - mapped(spec, (120, 90)))
    assert across == pytest.approx(spec.size_px)


def test_an_aligned_square_levels_the_eyes_and_does_not_stretch() -> None:
    tilted = POINTS.copy()
    tilted[0], tilted[1] = (111, 75), (129, 87)
    spec = SPECS["global_local"]
    left, right = (mapped(spec, tuple(tilted[i]), tilted) for i in (0, 1))
    assert left[1] == pytest.approx(right[1])
    assert right[0] > left[0]
    turn = crop_affine(spec, BOX, tilted)[:, :2]
    np.testing.assert_allclose(turn @ turn.T, np.eye(2) * (turn[0] @ turn[0]), atol=1e-9)


def test_an_upright_square_ignores_tilted_eyes() -> None:
    tilted = POINTS.copy()
    tilted[1, 1] += 12
    np.testing.assert_array_equal(
        crop_affine(SPECS["sola"], BOX, tilted), crop_affine(SPECS["sola"], BOX, POINTS)
    )


@pytest.mark.parametrize("zoom", [2.0, 1.0, 0.4, 0.1])
def test_cutting_keeps_content_in_place_at_any_zoom(zoom: float) -> None:
    ramp = np.tile(np.linspace(0, 255, 400, dtype=np.float32), (400, 1)).round().astype(np.uint8)
    rgb = np.repeat(ramp[..., None], 3, axis=-1)
    size = 32
    affine = np.array([[zoom, 0, (size - 1) / 2 - 200 * zoom], [0, zoom, (size - 1) / 2 - 200 * zoom]])
    square = cut_square(rgb, affine, size)
    source = 200 + (np.arange(size) - (size - 1) / 2) / zoom
    np.testing.assert_allclose(square[size // 2, :, 0], np.clip(source * 255 / 399, 0, 255), atol=2.0)


def test_outside_the_frame_is_black() -> None:
    square = cut_square(np.full((50, 50, 3), 200, np.uint8), np.array([[1.0, 0, 20], [0, 1.0, 20]]), 40)
    assert square[:18].max() == 0
    assert square[22:, 22:].min() == 200


def test_a_window_gives_one_clip_of_16_frames_and_one_of_every_second() -> None:
    cutter = ClipCutter([SPECS["gml"], SPECS["resnet3d"]])
    feed(cutter, window())
    (gml,), (resnet3d,) = cutter.clips("gml", 1), cutter.clips("resnet3d", 1)
    assert gml.times_s == tuple(i / FPS for i in range(0, 16, 2))
    assert resnet3d.times_s == tuple(i / FPS for i in range(16))
    assert gml.pixels.shape == (8, 224, 224, 3)
    assert resnet3d.pixels.shape == (16, 112, 112, 3)
    assert gml.pixels.dtype == np.uint8
    assert [int(p[112, 112, 0]) for p in gml.pixels] == list(range(0, 16, 2))


def test_every_window_gives_its_own_clip() -> None:
    cutter = ClipCutter([SPECS["gml"]])
    feed(cutter, [*window(), frame(16, even=True), *window(16, 1, 40)])
    assert [clip.times_s[0] for clip in cutter.clips("gml", 1)] == [0.0, 40 / FPS]


def test_the_first_square_is_held_for_the_whole_clip() -> None:
    """A face that moves through a picture that does not: the held square shows no motion."""
    picture = np.random.default_rng(0).integers(0, 256, (180, 240, 3)).astype(np.uint8)
    frames = [Frame(i, i / FPS, picture, 0, False) for i in range(16)]
    held, following = ClipCutter([SPECS["gml"]]), ClipCutter([SPECS["global_local"]])
    for cutter in (held, following):
        feed(cutter, frames, dx=2.0)
    (clip,) = held.clips("gml", 1)
    assert all(np.array_equal(clip.pixels[0], pixels) for pixels in clip.pixels)
    (clip,) = following.clips("global_local", 1)
    assert not np.array_equal(clip.pixels[0], clip.pixels[-1])


def test_a_face_missing_on_one_frame_of_the_window_gives_no_consecutive_clip() -> None:
    cutter = ClipCutter([SPECS["gml"], SPECS["resnet3d"]])
    feed(cutter, window(), without=[5])
    assert cutter.clips("resnet3d", 1) == []
    assert cutter.shortfall("resnet3d", 1) == "needs 16 consecutive frames with this face; it has 15"
    assert len(cutter.clips("gml", 1)) == 1  # frame 5 is none of its own


def test_shortfalls_of_a_photo() -> None:
    cutter = ClipCutter(list(SPECS.values()))
    feed(cutter, [frame(0, window=0, even=True)])
    assert cutter.shortfall("gml", 1) == "needs 8 frames, every second of 15, with this face; it has 1"
    assert cutter.shortfall("resnet3d", 1) == "needs 16 consecutive frames with this face; it has 1"
    assert cutter.shortfall("global_local", 1) == "needs 12 different frames with this face; it has 1"
    assert {name for name in SPECS if cutter.clips(name, 1)} == {"gend", "sola", "local_features"}
    (single,) = cutter.clips("sola", 1)
    assert single.pixels.shape == (1, 256, 256, 3)


def test_a_network_of_any_length_gets_the_frames_there_are() -> None:
    cutter = ClipCutter([SPECS["gml"], SPECS["resnet3d"]], {"gml"})
    feed(cutter, [*window(3), *window(16, 1, 100), *window(4, 2, 200)], without=range(109, 116))
    assert cutter.take() == [], "a whole clip may still come"
    ((name, clip),) = cutter.take(last=True)
    assert (name, clip.track_id) == ("gml", 1)
    assert clip.times_s == tuple(i / FPS for i in range(100, 109, 2)), "the longest of the three"
    assert clip.pixels.shape == (5, 224, 224, 3)


def test_whoever_has_a_whole_clip_gets_no_shorter_one() -> None:
    cutter = ClipCutter([SPECS["gml"]], {"gml"})
    feed(cutter, [*window(7), *window(16, 1, 100), *window(9, 2, 200)])
    assert [len(clip.times_s) for _, clip in cutter.take(last=True)] == [8]


def test_a_photo_is_a_clip_of_one_frame_for_a_network_of_any_length() -> None:
    cutter = ClipCutter([SPECS["gml"]], {"gml"})
    feed(cutter, [frame(0, window=0, even=True)])
    ((_, clip),) = cutter.take(last=True)
    assert clip.pixels.shape == (1, 224, 224, 3)
    late = ClipCutter([SPECS["gml"]], {"gml"})
    feed(late, window(), without=[0])
    assert late.take(last=True) == []
    assert late.shortfall("gml", 1) == "needs a frame with this face where a window begins; there is none"


def test_even_frames_are_used_alone_where_there_are_enough() -> None:
    frames = sorted(
        [*window(16, 0, 0), *window(16, 1, 200), *(frame(i, even=True) for i in range(30, 150, 10))],
        key=lambda f: f.pts_s,
    )
    cutter = ClipCutter([SPECS["global_local"], SPECS["sola"]])
    feed(cutter, frames)
    (clip,) = cutter.clips("global_local", 1)
    assert clip.times_s == tuple(i / FPS for i in range(30, 150, 10))
    assert [single.times_s for single in cutter.clips("sola", 1)] == [(t,) for t in clip.times_s]


def test_a_short_track_is_filled_up_from_the_windows() -> None:
    cutter = ClipCutter([SPECS["global_local"], SPECS["local_features"]])
    feed(cutter, [*window(16, 0, 0), frame(40, even=True), frame(60, even=True), *window(16, 1, 80)])
    (clip,) = cutter.clips("global_local", 1)
    assert len(set(clip.times_s)) == 12
    assert clip.times_s == tuple(sorted(clip.times_s))
    assert clip.times_s[0] == 0.0 and clip.times_s[-1] == 95 / FPS
    assert {40 / FPS, 60 / FPS} <= set(clip.times_s)
    assert len(cutter.clips("local_features", 1)) == 12


def test_eleven_frames_are_too_few_for_global_local_and_enough_for_single_frames() -> None:
    cutter = ClipCutter([SPECS["global_local"], SPECS["sola"]])
    feed(cutter, window(11))
    assert cutter.clips("global_local", 1) == []
    assert cutter.shortfall("global_local", 1) == "needs 12 different frames with this face; it has 11"
    assert len(cutter.clips("sola", 1)) == 11


def test_tracks_do_not_mix() -> None:
    cutter = ClipCutter(list(SPECS.values()))
    for f in window():
        cutter.add(f, [TrackedFace(1, face()), TrackedFace(2, face(40.0))])
    for name in SPECS:
        assert {clip.track_id for clip in cutter.clips(name, 2)} == {2}


def test_take_hands_each_clip_over_once_and_last_completes_the_rest() -> None:
    cutter = ClipCutter(list(SPECS.values()))
    feed(cutter, window())
    assert sorted(name for name, _ in cutter.take()) == ["gml", "resnet3d"]
    assert cutter.take() == []
    names = [name for name, _ in cutter.take(last=True)]
    assert names.count("global_local") == 1
    assert names.count("sola") == names.count("local_features") == 12
    assert cutter.take(last=True) == []


def test_memory_stays_bounded_over_a_long_file() -> None:
    cutter = ClipCutter([SPECS["local_features"], SPECS["global_local"]])
    taken = []
    for number in range(2 * BLOCK_WINDOWS + 1):
        feed(cutter, window(16, number, 16 * number))
        taken += cutter.take()
        held = cutter._candidates[1]._kept
        assert len(held) <= CANDIDATES
    taken += cutter.take(last=True)
    clips = [clip for name, clip in taken if name == "global_local"]
    assert len(clips) == 3
    assert clips[0].times_s[-1] < clips[1].times_s[0] < clips[2].times_s[0]


def test_evenly_chooses_different_frames_from_first_to_last() -> None:
    assert evenly([0, 1, 2, 3, 4, 5, 6], 3) == [0, 3, 6]
    assert evenly([0, 1, 2], 3) == [0, 1, 2]
    assert evenly([0, 0.1, 0.2, 0.3, 10], 4) == [0, 2, 3, 4]


def test_the_thumbnail_is_from_the_largest_and_surest_face() -> None:
    thumbnails = Thumbnails()
    small = Face(BOX / 2, POINTS / 2, 0.9)
    for f, seen in ((frame(10), small), (frame(200), face()), (frame(30), small)):
        thumbnails.add(f, [TrackedFace(3, seen)])
    picture = thumbnails.get(3)
    assert picture is not None and picture.shape == (48, 48, 3)
    assert int(picture[24, 24, 0]) == 200
    assert thumbnails.get(4) is None
