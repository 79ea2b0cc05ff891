"""Frames -> face tracks: several faces at once, each followed until it leaves or the shot ends.

Faces are looked for on the key frames of a window and on every frame outside of one; in between, boxes and
points are interpolated linearly. Key frames are a window's first and last frame, and those five frames
after the key before (none further apart than 0.2 s where frames are closer than that); ten frames after it
(0.4 s) where two looks in a row have shown how every face there moves. ``FaceTracker.follow`` therefore lags
by one key, by up to three while a face that was just lost may still come back, and never past the end of a
window.

Linking uses no appearance; which tracks show one person is decided later, see ``people``:

- up to 0.5 s after a face was seen, by overlap with the place to which constant velocity takes it;
- across longer gaps (between windows, where frames jump by seconds) only if no shot cut lies between and
  the boxes overlap by an IoU of 0.3 (0.1 if it is the only face before and after). That is conservative on
  purpose: a face split into two tracks is still scored twice, two people merged into one track would
  hide a forgery behind a real face.

A track starts at the engine's confidence and goes on down to half of that, survives two missed looks
inside 0.5 s, and ends at a shot cut, unless the picture around the face stays the same. Whoever comes back
later is a new track.

Faces whose box is narrower (short side) than ``min_face_px`` are not handed on; once handed on, a face
stays until it falls below 0.8 of that. At most ``max_faces`` are handed on at a time: those already
followed first, then the largest. Both kinds of left-out faces are counted, see ``left_out``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from deepscan.faces.detector import Face, FaceEngine, iou
from deepscan.faces.orientation import Looks
from deepscan.faces.shot_cuts import ShotCuts
from deepscan.faces.unjudged import LeftOut, Sighting
from deepscan.media import WINDOW_FRAMES, Frame
from deepscan.results import SkippedFaces

__all__ = ["Face", "FaceEngine", "FaceTrack", "FaceTracker", "TrackedFace"]

KEY_FRAMES = 5
KEY_S = 0.21
STEADY = 2
"""How many times as far apart keys are while every face moves as foreseen."""
CONFIDENCE_TO_STAY = 0.5
MAX_MISSES = 2
MOTION_S = 0.5
IOU_MOVING = 0.15
IOU_ACROSS_GAP = 0.3
IOU_ACROSS_GAP_ALONE = 0.1
REACH = 1.2
SIZE_RATIO = 2.0
SIZE_RATIO_APART = 1.4
SHRINK = 0.8


@dataclass(frozen=True, eq=False)
class TrackedFace:
    """A face and the track it belongs to (1-based id)."""

    track_id: int
    face: Face


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """One face over time, at the frames in which it was handed on.

    Attributes:
        times_s: ``(T,)`` float64, seconds.
        boxes: ``(T, 4)`` float32, frame pixels, xyxy.
        points: ``(T, 5, 2)`` float32, frame pixels.
        confidences: ``(T,)`` float32, in [0, 1]; interpolated like the boxes.
        widths_px: ``(T,)`` float32, of the upright face.
    """

    id: int
    times_s: NDArray[np.float64]
    boxes: NDArray[np.float32]
    points: NDArray[np.float32]
    confidences: NDArray[np.float32]
    widths_px: NDArray[np.float32]

    @property
    def start_s(self) -> float:
        return float(self.times_s[0])

    @property
    def end_s(self) -> float:
        return float(self.times_s[-1])

    @property
    def width_px(self) -> int:
        """Median width of the face, as it is when upright."""
        return round(float(np.median(self.widths_px)))


@dataclass(eq=False)
class _Live:
    """A track that may still go on."""

    face: Face
    seen_s: float
    seen_at: int  # Frame.index of the last look that found it
    velocity: NDArray[np.float32] = field(default_factory=lambda: np.zeros(2, np.float32))  # centre, px/s
    id: int | None = None  # given when it is first handed on
    misses: int = 0
    looks: list[tuple[float, Face]] = field(default_factory=list)  # time and face, this segment only
    left_out: Sighting = field(default_factory=Sighting)

    def expected(self, time_s: float) -> NDArray[np.float32]:
        """Where constant velocity takes the box."""
        shift = self.velocity * np.float32(time_s - self.seen_s)
        moved: NDArray[np.float32] = self.face.box + np.tile(shift, 2)
        return moved

    def at(self, time_s: float) -> Face | None:
        """The face as found at this time, or interpolated between two looks of this segment."""
        for (before_s, before), (after_s, after) in pairwise([*self.looks, *self.looks[-1:]]):
            if time_s == before_s:
                return before
            if before_s < time_s < after_s:
                return _between(before, after, (time_s - before_s) / (after_s - before_s))
        return None


class FaceTracker:
    """Follows every face through the frames of one file, or of one part of it.

    Args:
        engine: finds the faces of one frame.
        min_face_px: smaller faces (short side of the box, source pixels) are skipped.
        max_faces: faces followed at a time.
        first_id: of the first track; those of another part of the same file come before.
    """

    def __init__(self, engine: FaceEngine, *, min_face_px: int, max_faces: int, first_id: int = 1) -> None:
        self._engine = engine
        self._min_face_px = min_face_px
        self._max_faces = max_faces
        least = CONFIDENCE_TO_STAY * engine.confidence
        self._looks = Looks(engine, min_face_px=SHRINK * min_face_px, confidence=least)
        self._first_id = first_id
        self._cuts = ShotCuts()
        self._live: list[_Live] = []
        self._pending: list[Frame] = []
        self._window_seen = 0
        self._key: Frame | None = None
        self._in_segment: list[_Live] = []
        self._handed_on: dict[int, list[tuple[float, Face]]] = {}
        self._left_out = LeftOut(min_face_px, max_faces)

    @property
    def tracks(self) -> list[FaceTrack]:
        """Every track that was handed on, by id; complete once ``follow`` is exhausted."""
        return [
            FaceTrack(
                id=number,
                times_s=np.array([time for time, _ in seen], np.float64),
                boxes=np.stack([face.box for _, face in seen]),
                points=np.stack([face.points for _, face in seen]),
                confidences=np.array([face.confidence for _, face in seen], np.float32),
                widths_px=np.array([face.width_px for _, face in seen], np.float32),
            )
            for number, seen in sorted(self._handed_on.items())
            if seen
        ]

    @property
    def skipped(self) -> list[SkippedFaces]:
        """Faces that were seen but not handed on; complete once ``follow`` is exhausted."""
        return self._left_out.skipped()

    def follow(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, list[TrackedFace]]]:
        """Hand every frame on, in order, with the faces in it.

        Args:
            frames: in order of time.
        """
        for frame in frames:
            cut = self._cuts.is_cut(frame.rgb, frame.pts_s)
            if self._pending and (cut or not self._same_window(frame)):
                yield from self._close_segment()
            if cut:
                self._looks.cut()
                for track in [t for t in self._live if not self._cuts.stands(t.face.box)]:
                    self._end(track)
            self._pending.append(frame)
            self._window_seen = 0 if frame.window is None else self._window_seen + 1
            if self._window_seen == WINDOW_FRAMES:
                yield from self._close_segment()
            elif self._is_key(frame):
                self._look(frame)
                if not any(track.misses and track.looks for track in self._live):
                    yield from self._hand_on()
        if self._pending:
            yield from self._close_segment()
        for track in list(self._live):
            self._end(track)

    def _end(self, track: _Live) -> None:
        """Nobody goes on with this track."""
        self._live.remove(track)
        if track.id is None:
            self._left_out.end(track.left_out)

    def _same_window(self, frame: Frame) -> bool:
        return frame.window is not None and frame.window == self._pending[-1].window

    def _is_key(self, frame: Frame) -> bool:
        """The first of its segment, outside of windows, or far enough from the last key.

        ``frame`` is the last one pending. The last frame of a segment is not known as such before the
        segment is closed.
        """
        if self._key is None or frame.window is None:
            return True
        frames_since = len(self._pending) - 1 - self._key_position()
        spacing_s = frame.pts_s - self._pending[-2].pts_s
        steady = self._live and all(len(track.looks) > 1 and not track.misses for track in self._live)
        far = STEADY if steady else 1
        return frames_since >= far * KEY_FRAMES or frame.pts_s + spacing_s - self._key.pts_s > far * KEY_S

    def _key_position(self) -> int:
        return next(i for i, frame in enumerate(self._pending) if frame is self._key)

    def _close_segment(self) -> Iterator[tuple[Frame, list[TrackedFace]]]:
        """Look at the last frame and hand on all that wait: no interpolation crosses this point."""
        self._window_seen = 0
        if self._key is not self._pending[-1]:
            self._look(self._pending[-1])
        yield from self._hand_on(everything=True)
        self._key = None
        for track in self._in_segment:
            track.looks.clear()
        self._in_segment.clear()

    def _look(self, frame: Frame) -> None:
        """Find the faces of a key frame and give each to its track, or a new one."""
        self._key = frame
        found = self._looks.detect(frame.rgb)
        matches = self._match(found, frame.pts_s)
        for number, track in enumerate(list(self._live)):
            if number in matches:
                self._continue(track, found[matches[number]], frame)
            else:
                track.misses += 1
                if track.misses > MAX_MISSES or frame.pts_s - track.seen_s > MOTION_S:
                    self._end(track)
        taken = set(matches.values())
        for number, face in enumerate(found):
            if number not in taken and face.confidence >= self._engine.confidence:
                track = _Live(face, frame.pts_s, frame.index)
                self._live.append(track)
                self._note(track)
        self._admit(frame)

    def _match(self, found: Sequence[Face], time_s: float) -> dict[int, int]:
        """Pair live tracks and found faces, best pair first: track number -> face number."""
        confident = sum(face.confidence >= self._engine.confidence for face in found)
        alone = len(self._live) == 1 and confident == 1
        least_iou = IOU_ACROSS_GAP_ALONE if alone else IOU_ACROSS_GAP
        pairs = sorted(
            (
                (_affinity(track, face, time_s, least_iou), -i, -j)
                for i, track in enumerate(self._live)
                for j, face in enumerate(found)
            ),
            reverse=True,
        )
        matches: dict[int, int] = {}
        for affinity, i, j in pairs:
            if affinity > 0 and -i not in matches and -j not in matches.values():
                matches[-i] = -j
        return matches

    def _continue(self, track: _Live, face: Face, frame: Frame) -> None:
        elapsed = frame.pts_s - track.seen_s
        if 0 < elapsed <= MOTION_S:
            velocity = ((_centre(face.box) - _centre(track.face.box)) / elapsed).astype(np.float32)
            track.velocity = (
                np.float32(0.5) * (track.velocity + velocity) if track.velocity.any() else velocity
            )
        else:
            track.velocity = np.zeros(2, np.float32)
        track.face, track.seen_s, track.seen_at, track.misses = face, frame.pts_s, frame.index, 0
        self._note(track)

    def _note(self, track: _Live) -> None:
        """Keep the look for interpolation, also if the track ends before the segment does."""
        if not track.looks:
            self._in_segment.append(track)
        track.looks.append((track.seen_s, track.face))

    def _admit(self, frame: Frame) -> None:
        """Give ids to the faces that are large enough, as far as ``max_faces`` goes; count the others."""
        seen = [t for t in self._live if t.seen_at == frame.index and t.id is None]
        small = [t for t in seen if t.face.size_px < self._min_face_px]
        large = sorted((t for t in seen if t not in small), key=lambda t: -t.face.size_px)
        room = max(0, self._max_faces - sum(t.id is not None for t in self._live))
        for track in large[:room]:
            track.id = self._first_id + len(self._handed_on)
            self._handed_on[track.id] = []
        for left, crowded in ((small, False), (large[room:], True)):
            seen_now = [(track.left_out, track.face) for track in left]
            self._left_out.look(seen_now, frame.rgb.shape, frame.pts_s, crowded=crowded)

    def _hand_on(self, *, everything: bool = False) -> Iterator[tuple[Frame, list[TrackedFace]]]:
        """Frames whose faces are settled: all before the last key; all of them when the segment ends.

        The last key itself stays, to be one end of the next interpolation.
        """
        settled = len(self._pending) if everything else self._key_position()
        ready, self._pending = self._pending[:settled], self._pending[settled:]
        for frame in ready:
            yield frame, self._faces_at(frame.pts_s)

    def _faces_at(self, time_s: float) -> list[TrackedFace]:
        """The faces that are handed on with a frame of this segment."""
        faces: list[TrackedFace] = []
        for track in self._in_segment:
            face = None if track.id is None else track.at(time_s)
            if track.id is None or face is None or face.size_px < SHRINK * self._min_face_px:
                continue
            faces.append(TrackedFace(track.id, face))
            self._handed_on[track.id].append((time_s, face))
        return sorted(faces, key=lambda tracked: tracked.track_id)


def _centre(box: NDArray[np.float32]) -> NDArray[np.float32]:
    return ((box[:2] + box[2:]) / 2).astype(np.float32)


def _between(before: Face, after: Face, share: float) -> Face:
    """Linear interpolation, ``share`` of the way from one face to the other.

    Between two that were found in different turns, the nearer one.
    """
    if before.turn_deg != after.turn_deg:
        return before if share < 0.5 else after
    s = np.float32(share)
    return Face(
        box=before.box + s * (after.box - before.box),
        points=before.points + s * (after.points - before.points),
        confidence=before.confidence + share * (after.confidence - before.confidence),
        turn_deg=before.turn_deg,
    )


def _affinity(track: _Live, face: Face, time_s: float, least_iou: float) -> float:
    """How well a found face continues a track; 0: not at all. ``least_iou`` counts across gaps."""
    sizes = track.face.size_px, face.size_px
    if max(sizes) > SIZE_RATIO * min(sizes):
        return 0.0
    if time_s - track.seen_s > MOTION_S:
        overlap = float(iou(track.face.box[None], face.box[None])[0, 0])
        return overlap if overlap >= least_iou else 0.0
    expected = track.expected(time_s)
    overlap = float(iou(expected[None], face.box[None])[0, 0])
    if overlap >= IOU_MOVING:
        return overlap
    if max(sizes) > SIZE_RATIO_APART * min(sizes):
        return 0.0
    # Too fast to overlap: a new track has no velocity yet, so let it reach as far as its neighbour.
    distance = float(np.hypot(*(_centre(face.box) - _centre(expected)))) / max(sizes)
    return max(0.0, IOU_MOVING * (1 - distance / REACH))
