"""Faces are found, followed, told apart and counted; what is left out is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import cv2
import insightface
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from skimage.data import astronaut

from deepscan.errors import FaceModelError
from deepscan.faces.shot_cuts import ShotCuts
from deepscan.faces.tracker import Face, FaceEngine, FaceTrack, FaceTracker, TrackedFace
from deepscan.media import Frame

WEIGHTS = Path(__file__).parents[2] / "weights" / "faces"
CPU = ["CPUExecutionProvider"]
RATE = 25.0
Position = Callable[[int], tuple[float, float] | None]


@cache
def engine() -> FaceEngine:
    return FaceEngine(WEIGHTS / "retinaface_mnet025.onnx", providers=CPU, threads=1)


@cache
def portrait(height: int, mirrored: bool = False) -> NDArray[np.uint8]:
    """The astronaut's head: about 0.63 of it is the face."""
    head = astronaut()[25:215, 150:300]
    if mirrored:
        head = head[:, ::-1]
    return np.ascontiguousarray(cv2.resize(head, (height * 150 // 190, height), interpolation=cv2.INTER_AREA))


@cache
def background(seed: int = 0, size: tuple[int, int] = (240, 320)) -> NDArray[np.uint8]:
    """A smooth coloured texture."""
    coarse = np.random.default_rng(seed).integers(30, 220, (6, 8, 3), np.uint8)
    return np.ascontiguousarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC))


def picture(
    heads: Sequence[tuple[NDArray[np.uint8], tuple[float, float] | None]], seed: int = 0
) -> NDArray[np.uint8]:
    """Heads with their top left corner at (x, y), the first one in front."""
    canvas = np.pad(background(seed), ((200, 200), (200, 200), (0, 0)))
    for head, place in reversed(heads):
        if place is not None:
            x, y = (round(v) + 200 for v in place)
            canvas[y : y + head.shape[0], x : x + head.shape[1]] = head
    return np.ascontiguousarray(canvas[200:-200, 200:-200])


def film(
    *heads: tuple[NDArray[np.uint8], Position],
    frames: int = 16,
    window: int | None = 0,
    first: int = 0,
    seed: int = 0,
) -> Iterator[Frame]:
    for i in range(first, first + frames):
        rgb = picture([(head, position(i)) for head, position in heads], seed)
        yield Frame(index=i, pts_s=i / RATE, picture=rgb, window=window, even=window is None)


def track(
    *parts: Iterator[Frame], min_face_px: int = 30, max_faces: int = 8
) -> tuple[FaceTracker, list[list[TrackedFace]]]:
    """Follow, checking that every frame comes back once, in order."""
    tracker = FaceTracker(engine(), min_face_px=min_face_px, max_faces=max_faces)
    frames = [frame for part in parts for frame in part]
    followed = list(tracker.follow(iter(frames)))
    assert [frame.index for frame, _ in followed] == [frame.index for frame in frames]
    return tracker, [faces for _, faces in followed]


def centres_x(face_track: FaceTrack) -> NDArray[np.float32]:
    return face_track.boxes[:, [0, 2]].mean(1)


def still(x: float, y: float) -> Position:
    return lambda _: (x, y)


def test_group_photo_has_six_faces() -> None:
    path = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"
    rgb = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    faces = engine().detect(rgb)
    assert len(faces) == 6
    for face in faces:
        x0, y0, x1, y1 = face.box
        assert 80 < face.size_px < 130
        assert ((face.points > (x0, y0)) & (face.points < (x1, y1))).all()
        assert face.points[0, 0] < face.points[1, 0]


@pytest.mark.parametrize("height", [60, 300, 900])
def test_face_that_fills_the_frame_is_found(height: int) -> None:
    rgb = portrait(height)[height // 6 : -height // 8]
    faces = engine().detect(rgb)
    assert len(faces) == 1
    assert faces[0].box[3] - faces[0].box[1] > 0.6 * rgb.shape[0]


def test_small_face_in_a_very_large_photo_is_found() -> None:
    rgb = np.ascontiguousarray(cv2.resize(background(), (3600, 2400)))
    rgb[1200:1360, 2000:2126] = portrait(160)
    faces = engine().detect(rgb)
    assert len(faces) == 1
    assert abs(faces[0].box[[0, 2]].mean() - 2063) < 12


def test_no_face_in_textures() -> None:
    assert engine().detect(background()) == []


def test_doubtful_face_must_be_found_at_half_the_scale_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = background(size=(480, 640))
    box = np.array([100, 100, 180, 200], np.float32)
    looks = {640: 0.95, 320: 0.3}

    def look(_: NDArray[np.uint8], long_side_px: int, confidence: float) -> list[Face]:
        found = looks[long_side_px]
        return [Face(box, np.zeros((5, 2), np.float32), found)] if found >= confidence else []

    monkeypatch.setattr(engine(), "_look", look)
    assert engine().detect(rgb) == []
    looks[320] = 0.9
    assert [face.confidence for face in engine().detect(rgb)] == [0.9]


def test_still_photo_is_one_track() -> None:
    photo = Frame(index=0, pts_s=0.0, picture=picture([(portrait(110), (100, 60))]), window=0, even=True)
    tracker, faces = track(iter([photo]))
    assert [len(f) for f in faces] == [1]
    assert [t.id for t in tracker.tracks] == [1]
    assert tracker.tracks[0].points.shape == (1, 5, 2)
    assert tracker.skipped == []


def test_moving_face_is_one_track_with_a_box_in_every_frame() -> None:
    tracker, faces = track(film((portrait(100), lambda i: (10 + 9 * i, 60 + 2 * i))))
    assert [len(f) for f in faces] == [1] * 16
    (only,) = tracker.tracks
    expected = 10 + 9 * np.arange(16) + portrait(100).shape[1] / 2
    # interpolated boxes move with the face: no offset grows between key frames
    assert np.ptp(centres_x(only) - expected) < 8
    assert (only.start_s, only.end_s) == (0.0, 15 / RATE)


def test_crossing_faces_keep_their_ids() -> None:
    one, other = portrait(100), portrait(90, mirrored=True)
    tracker, _ = track(
        *(
            film(
                (one, lambda i: (8 + 4.2 * i, 40)),
                (other, lambda i: (230 - 4.2 * i, 60)),
                frames=16,
                first=16 * w,
                window=w,
            )
            for w in range(3)
        )
    )
    assert len(tracker.tracks) == 2
    right, left = sorted(tracker.tracks, key=lambda t: centres_x(t)[0])
    assert centres_x(right)[-1] - centres_x(right)[0] > 150
    assert centres_x(left)[-1] - centres_x(left)[0] < -150


def test_face_that_leaves_and_comes_back_is_a_new_track() -> None:
    def position(i: int) -> tuple[float, float] | None:
        return None if 32 <= i < 64 else (100.0, 60.0)

    stays = (portrait(80, mirrored=True), still(220, 20))
    tracker, _ = track(*(film((portrait(100), position), stays, first=16 * w, window=w) for w in range(6)))
    spans = sorted((t.start_s, t.end_s) for t in tracker.tracks)
    assert spans == [(0.0, 31 / RATE), (0.0, 95 / RATE), (64 / RATE, 95 / RATE)]


def test_face_missed_for_a_moment_is_still_one_track_in_every_frame() -> None:
    blank = {5}
    tracker, faces = track(film((portrait(100), lambda i: None if i in blank else (100.0 + i, 60.0))))
    assert len(tracker.tracks) == 1
    assert all(len(f) == 1 for f in faces)


def test_shot_cut_ends_every_track() -> None:
    head = portrait(100)
    tracker, faces = track(
        frame
        for part in (
            film((head, still(100, 60)), frames=9, window=0),
            film((portrait(100, mirrored=True), still(100, 60)), frames=7, window=0, first=9, seed=1),
        )
        for frame in part
    )
    assert [len(t.times_s) for t in tracker.tracks] == [9, 7]
    assert [f[0].track_id for f in faces] == [1] * 9 + [2] * 7


def test_a_cut_in_one_half_ends_the_tracks_of_that_half() -> None:
    """A split screen: the left speaker stays, the right picture is another one from frame 9 on."""
    head = portrait(100)
    frames = []
    for before in film((head, still(30, 60)), (head, still(210, 60))):
        rgb = before.rgb
        if before.index >= 9:
            after = 255 - picture([], seed=1)
            after[60:160, 180:258] = portrait(100, mirrored=True)
            rgb = np.concatenate([rgb[:, :150], after[:, 150:]], axis=1)
        frames.append(Frame(before.index, before.pts_s, rgb, before.window, before.even))
    cuts = ShotCuts()
    assert [n for n, frame in enumerate(frames) if cuts.is_cut(frame.rgb, frame.pts_s)] == [9]
    tracker, _ = track(iter(frames))
    left = [t for t in tracker.tracks if centres_x(t)[0] < 150]
    right = [t for t in tracker.tracks if centres_x(t)[0] > 150]
    assert [len(t.times_s) for t in left] == [16]
    assert [len(t.times_s) for t in right] == [9, 7]


@pytest.mark.parametrize("brightness", ["fade", "flash"])
def test_fade_flash_and_motion_are_not_cuts(brightness: str) -> None:
    def light(i: int) -> float:
        return 1 - i / 20 if brightness == "fade" else 1 + 0.6 * (i == 7)

    frames = [
        Frame(f.index, f.pts_s, (f.rgb * light(f.index)).clip(0, 255).astype(np.uint8), f.window, f.even)
        for f in film((portrait(150), lambda i: (10 + 5 * i, 40)))
    ]
    tracker, faces = track(iter(frames))
    assert len(tracker.tracks) == 1
    assert all(len(f) == 1 for f in faces)


def test_windows_seconds_apart_are_one_track_unless_the_shot_or_the_place_changed() -> None:
    head = portrait(100)
    same = track(film((head, still(100, 60)), window=0), film((head, still(112, 66)), window=1, first=150))[0]
    assert len(same.tracks) == 1
    moved = track(film((head, still(20, 60)), window=0), film((head, still(200, 66)), window=1, first=150))[0]
    assert len(moved.tracks) == 2
    cut = track(
        film((head, still(100, 60)), window=0), film((head, still(112, 66)), window=1, first=150, seed=1)
    )[0]
    assert len(cut.tracks) == 2


def test_single_frames_between_windows_are_looked_at() -> None:
    head = portrait(100)
    lonely = film((head, still(100, 60)), frames=1, window=None, first=60)
    tracker, faces = track(
        film((head, still(100, 60)), window=0), lonely, film((head, lambda _: None), first=90)
    )
    assert [len(f) for f in faces] == [1] * 17 + [0] * 16
    assert len(tracker.tracks) == 1


def test_small_faces_are_skipped_and_said_so() -> None:
    tracker, faces = track(
        film((portrait(120), still(20, 60)), (portrait(65), still(200, 80)), (portrait(65), still(262, 80))),
        min_face_px=48,
    )
    assert [len(f) for f in faces] == [1] * 16
    (skipped,) = tracker.skipped
    assert (skipped.reason, skipped.count) == ("smaller than 48 px", 2)
    assert (skipped.start_s, skipped.end_s) == (0.0, 15 / RATE)


def test_more_faces_than_asked_for_keeps_the_largest() -> None:
    tracker, faces = track(
        film((portrait(80), still(5, 60)), (portrait(120), still(85, 60)), (portrait(100), still(220, 60))),
        max_faces=2,
    )
    assert [len(f) for f in faces] == [2] * 16
    assert min(centres_x(t)[0] for t in tracker.tracks) > 80
    (skipped,) = tracker.skipped
    assert skipped.count == 1
    assert "--max-faces" in skipped.reason


def looked_at(monkeypatch: pytest.MonkeyPatch, frames: Iterator[Frame]) -> list[int]:
    """Frames in which faces were looked for, as they stand."""
    seen: list[int] = []
    passing = list(frames)
    whose = {id(frame.rgb): frame.index for frame in passing}
    detect = engine().detect

    def count(rgb: NDArray[np.uint8], *, confidence: float | None = None) -> list[Face]:
        if id(rgb) in whose:
            seen.append(whose[id(rgb)])
        return detect(rgb, confidence=confidence)

    monkeypatch.setattr(engine(), "detect", count)
    track(iter(passing))
    return seen


def test_faces_that_move_as_foreseen_are_looked_at_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looked_at(monkeypatch, film((portrait(100), lambda i: (20 + 4 * i, 60)))) == [0, 5, 15]


def test_an_empty_window_is_looked_at_often_enough_to_see_who_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looked_at(monkeypatch, film((portrait(100), lambda _: None))) == [0, 5, 10, 15]


def test_a_window_is_handed_on_with_its_own_last_frame() -> None:
    """Its clips are scored while the next frames are still decoded."""
    taken = 0

    def counted() -> Iterator[Frame]:
        nonlocal taken
        for w in range(2):
            for frame in film((portrait(100), still(100, 60)), window=w, first=16 * w):
                taken += 1
                yield frame

    tracker = FaceTracker(engine(), min_face_px=30, max_faces=8)
    at = {frame.index: taken for frame, _ in tracker.follow(counted())}
    assert at[15] == 16


def test_few_frames_are_held_back() -> None:
    """Memory does not grow with the length of the file."""
    waiting = most = 0

    def counted() -> Iterator[Frame]:
        nonlocal waiting, most
        for w in range(2):
            for frame in film((portrait(100), still(100, 60)), window=w, first=16 * w):
                waiting += 1
                most = max(most, waiting)
                yield frame

    tracker = FaceTracker(engine(), min_face_px=30, max_faces=8)
    for _ in tracker.follow(counted()):
        waiting -= 1
    assert waiting == 0
    assert most <= 12


def test_pack_directory_gives_its_detection_model(tmp_path: Path) -> None:
    (tmp_path / "det_10g.onnx").write_bytes((WEIGHTS / "retinaface_mnet025.onnx").read_bytes())
    (tmp_path / "w600k_r50.onnx").write_bytes(b"not looked at")
    pack = FaceEngine(tmp_path, providers=CPU, threads=1)
    assert pack.model.name == "det_10g.onnx"
    assert len(pack.detect(astronaut())) == 1


def test_wrong_face_models_are_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_download(*_: object, **__: object) -> None:
        raise AssertionError("a scan never downloads")

    monkeypatch.setattr("insightface.model_zoo.model_zoo.download_onnx", no_download)
    text = tmp_path / "text.onnx"
    text.write_text("hello")
    other = tmp_path / "notes.txt"
    other.write_text("hello")
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 112, 112]) for n in "ab"]
    graph = helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "g", value[:1], value[1:])
    embedder = tmp_path / "arcface.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), embedder)
    (tmp_path / "empty").mkdir()
    for path, complaint in (
        (tmp_path / "missing.onnx", "no such file"),
        (Path("buffalo_l"), "no such file"),
        (tmp_path / "empty", "no detection model"),
        (other, "not an .onnx file"),
        (text, "cannot be loaded"),
        (embedder, "not a face detector"),
    ):
        with pytest.raises(FaceModelError, match=complaint) as caught:
            FaceEngine(path, providers=CPU, threads=1)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""
