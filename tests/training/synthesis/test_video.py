"""Whole videos: read with their mesh, forged, written twice alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deepscan import media
from deepscan.errors import UnreadableMedia, UnsupportedMedia
from deepscan.faces.mesh import FaceMesh
from deepscan.faces.tracker import FaceEngine
from deepscan.training.data.synthetic_test_set import SEAMS
from deepscan.training.synthesis.generators import GENERATORS, Generator
from deepscan.training.synthesis.manipulations import FaceClip
from deepscan.training.synthesis.self_blend import SelfBlend
from deepscan.training.synthesis.video import (
    WHOLE,
    FaceVideo,
    portrait,
    possible,
    read_face_video,
    segments,
    synthesize_video,
    write_video,
)

pytestmark = pytest.mark.slow

INFO = media.MediaInfo("video", "mp4", "h264", 64, 64, 0, 10.0, 25.0, 250)


@pytest.fixture(scope="module")
def video(clip: Path, engine: FaceEngine, mesh: FaceMesh) -> FaceVideo:
    return read_face_video(clip, engine, mesh, seconds=0.35, long_side_px=200)


def test_the_start_of_a_video_is_read_small_with_its_mesh(video: FaceVideo) -> None:
    assert video.frames.shape == (9, 200, 200, 3)
    assert video.frames.dtype == np.uint8
    assert video.mesh.shape == (9, 468, 2)
    assert video.rate == 25


def test_a_later_stretch_is_read_from_where_it_begins(
    clip: Path, video: FaceVideo, engine: FaceEngine, mesh: FaceMesh
) -> None:
    later = read_face_video(clip, engine, mesh, seconds=0.2, long_side_px=200, start_s=0.16)
    np.testing.assert_array_equal(later.frames[:5], video.frames[4:9])


def test_stretches_are_spread_and_never_overlap() -> None:
    def of(duration_s: float | None, count: int) -> list[float]:
        return segments(replace(INFO, duration_s=duration_s), 3.0, count)

    assert of(10.0, 1) == of(5.9, 3) == of(None, 3) == [0.0]
    assert of(6.0, 3) == [0.0, 3.0]
    assert of(10.0, 3) == [0.0, 3.5, 7.0]


def test_the_mesh_lies_on_the_face_of_the_shrunk_frames(video: FaceVideo, engine: FaceEngine) -> None:
    for frame, mesh in zip(video.frames[::4], video.mesh[::4], strict=True):
        face = engine.detect(frame)[0]
        width = face.box[2] - face.box[0]
        eyes = np.stack([mesh[[33, 133]].mean(0), mesh[[263, 362]].mean(0)])
        assert np.linalg.norm(eyes - face.points[:2], axis=1).max() < 0.1 * width


def test_a_forged_video_is_seeded_and_written_like_its_original(video: FaceVideo, tmp_path: Path) -> None:
    pair = synthesize_video(video, "self-blend", seed=4)
    np.testing.assert_array_equal(pair.fake, synthesize_video(video, "self-blend", seed=4).fake)
    assert not np.array_equal(pair.fake, synthesize_video(video, "self-blend", seed=5).fake)
    assert pair.fake.shape == video.frames.shape
    assert (pair.fake != pair.real).any(axis=(1, 2, 3)).all(), "every frame is forged"
    infos = []
    for name, frames in (("real", video.frames), ("fake", pair.fake)):
        write_video(tmp_path / f"{name}.mp4", frames, video.rate, crf=23)
        infos.append(replace(media.probe(tmp_path / f"{name}.mp4"), bits_per_pixel=None))
    assert infos[0] == infos[1]
    assert (infos[0].width, infos[0].height, infos[0].frames_expected) == (200, 200, 9)


def test_a_forged_video_can_be_seen(video: FaceVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, ratios = SelfBlend.draw, iter([0.0, 1.0])

    def faint_at_first(rng: np.random.Generator) -> SelfBlend:
        return replace(draw(rng), region="face", ratio=next(ratios), jitter=0.0, shift=(0.03, 0.015))

    monkeypatch.setattr(SelfBlend, "draw", staticmethod(faint_at_first))
    assert synthesize_video(video, "self-blend", seed=4).mask.max() > 0.9, "the second draw"


def test_a_portrait_holds_the_face_and_its_mesh(video: FaceVideo, engine: FaceEngine) -> None:
    small = portrait(video)
    assert small.frames.shape[0] == 9 and small.frames.shape[1] < 200
    face = engine.detect(small.frames[0])[0]
    eyes = np.stack([small.mesh[0, [33, 133]].mean(0), small.mesh[0, [263, 362]].mean(0)])
    assert np.linalg.norm(eyes - face.points[:2], axis=1).max() < 0.1 * (face.box[2] - face.box[0])


def test_whole_families_leave_no_seam_and_the_others_one(video: FaceVideo) -> None:
    generators = [Generator(GENERATORS[0]).eval()]
    other = FaceClip(video.frames[:, :, ::-1] // 2, video.mesh)
    for manipulation in (*SEAMS, *WHOLE):
        mask = synthesize_video(video, manipulation, 1, [other], generators).mask
        assert bool((mask == 1).all()) == (manipulation in WHOLE), manipulation


def test_what_a_family_needs_is_known() -> None:
    face = FaceClip(np.zeros((1, 4, 4, 3), np.uint8), np.zeros((1, 468, 2), np.float32))
    generator = Generator(GENERATORS[0])
    alone = {manipulation for manipulation in (*SEAMS, *WHOLE) if possible(manipulation, [], [])}
    assert alone == {"self-blend", "reenactment"}
    assert {manipulation for manipulation in (*SEAMS, *WHOLE) if possible(manipulation, [face], [])} == {
        *alone,
        "swap",
        "animation",
    }
    assert all(possible(manipulation, [face], [generator]) for manipulation in (*SEAMS, *WHOLE))


def test_a_video_without_a_face_or_without_pictures_is_refused(
    faceless: Path, tmp_path: Path, engine: FaceEngine, mesh: FaceMesh
) -> None:
    with pytest.raises(UnsupportedMedia, match=r"no face was found in 0\.2 seconds from 0 s on"):
        read_face_video(faceless, engine, mesh, seconds=0.2, long_side_px=200)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"nothing")
    with pytest.raises((UnreadableMedia, UnsupportedMedia)):
        read_face_video(broken, engine, mesh, seconds=1, long_side_px=200)
