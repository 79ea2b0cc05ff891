"""Face track -> the clip tensor that each detector's spec describes.

Which frames form a clip:

- CONSECUTIVE and EVERY_SECOND: one clip per window of the sampling plan in which the face is there on
  every frame that the clip needs, counted from the window's first frame. A network that takes clips of any
  length gets the longest shorter one of a face that has none in any window: a photo, a few frames.
- EVEN: one clip per track, its frames spread evenly over the time the face is there.
- SINGLE: up to ``SINGLE_FRAMES`` clips of one frame, spread alike.

EVEN and SINGLE use the plan's even frames where the track has enough of them; a face that is there for
only part of the file is filled up with frames of the windows. Every ``BLOCK_WINDOWS`` windows, which is
more than a sampled file has, they start afresh: a thorough scan of a long file gets such clips for each
segment of it, and memory stays bounded. Crops are kept, frames never are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deepscan.detectors.spec import DetectorSpec, Sampling
from deepscan.faces.crops import Affine, cut_square, face_affine

if TYPE_CHECKING:
    from deepscan.faces.tracker import TrackedFace
    from deepscan.media import Frame

SINGLE_FRAMES = 12
BLOCK_WINDOWS = 12
# Candidates kept per track for EVEN and SINGLE: twice what is chosen, so that the choice can be even.
CANDIDATES = 24


@dataclass(frozen=True)
class Clip:
    """The input of one run of a detector.

    Attributes:
        track_id: whose face.
        pixels: ``(T, S, S, 3)`` uint8 RGB; T is the detector's ``frames``, or less where its network takes
            any length, and S its ``size_px``.
        times_s: ``(T,)`` time of each frame, seconds.
    """

    track_id: int
    pixels: NDArray[np.uint8]
    times_s: tuple[float, ...]


class ClipCutter:
    """Cuts every detector's clips while the frames go by.

    ``take`` hands over the clips that are complete and forgets them, so that they can be scored early;
    with ``last=True`` it also completes those that had to wait for the end of the file.

    Args:
        specs: of the detectors.
        any_length: names of those whose networks take clips of fewer frames, too.
    """

    def __init__(self, specs: Sequence[DetectorSpec], any_length: Collection[str] = ()) -> None:
        self._any_length = any_length
        self._specs = {spec.name: spec for spec in specs}
        self._in_window = [spec for spec in specs if spec.sampling in _STEP]
        self._spread = [spec for spec in specs if spec.sampling not in _STEP]
        self._window = -1
        self._position = -1  # of the current frame in its window
        self._open: dict[tuple[str, int], _OpenClip] = {}
        self._short: dict[tuple[str, int], _OpenClip] = {}  # the longest that lacks frames, in this block
        self._whole: set[tuple[str, int]] = set()  # who had a clip that does not
        self._candidates: dict[int, _Candidates] = {}
        self._done: list[tuple[str, Clip]] = []
        self._seen: Counter[tuple[str, int]] = Counter()  # frames with the face, in this window or block
        self._most: Counter[tuple[str, int]] = Counter()  # the most of them in any

    def add(self, frame: Frame, faces: Sequence[TrackedFace]) -> None:
        """Cut what the detectors need from one frame; frames come in order of time."""
        if frame.window is not None:
            self._enter(frame.window)
        for tracked in faces:
            if frame.window is not None:
                for spec in self._in_window:
                    self._extend(spec, frame, tracked)
            if self._spread:
                self._offer(frame, tracked)

    def take(self, *, last: bool = False) -> list[tuple[str, Clip]]:
        """The clips completed since the last call, each with its detector's name.

        Args:
            last: the file has ended; a clip that still lacks frames will never have them.
        """
        if last:
            self._end_block()
        done, self._done = self._done, []
        return done

    def clips(self, name: str, track_id: int) -> list[Clip]:
        """One detector's clips of one track, in order of time, except those already taken."""
        waiting = self._candidates.get(track_id)
        spread = [] if waiting is None else waiting.clips(self._specs[name], track_id)
        done = [clip for key, clip in self._done if key == name and clip.track_id == track_id]
        return done + spread

    def shortfall(self, name: str, track_id: int) -> str:
        """Why a detector has no clip of a track, in words that follow on from the detector's name."""
        spec = self._specs[name]
        has = self._most[name, track_id]
        if name in self._any_length:
            return "needs a frame with this face where a window begins; there is none"
        if spec.sampling is Sampling.CONSECUTIVE:
            return f"needs {spec.frames} consecutive frames with this face; it has {has}"
        if spec.sampling is Sampling.EVERY_SECOND:
            span = 2 * spec.frames - 1
            return f"needs {spec.frames} frames, every second of {span}, with this face; it has {has}"
        if spec.sampling is Sampling.EVEN:
            return f"needs {spec.frames} different frames with this face; it has {has}"
        return "needs a frame with this face; there is none"

    def _enter(self, window: int) -> None:
        if window == self._window:
            self._position += 1
            return
        self._close_window()
        if self._window >= 0 and window // BLOCK_WINDOWS != self._window // BLOCK_WINDOWS:
            self._end_block()
        self._window, self._position = window, 0
        for spec in self._in_window:
            for key in [key for key in self._seen if key[0] == spec.name]:
                del self._seen[key]

    def _extend(self, spec: DetectorSpec, frame: Frame, tracked: TrackedFace) -> None:
        place, rest = divmod(self._position, _STEP[spec.sampling])
        if rest or place >= spec.frames:
            return
        key = (spec.name, tracked.track_id)
        self._count(key)
        if place == 0:
            self._open[key] = _OpenClip(face_affine(spec, tracked.face), [], [])
        clip = self._open.get(key)
        if clip is None or len(clip.crops) != place:  # the face was not there on an earlier frame
            return
        affine = clip.affine if spec.hold_first else face_affine(spec, tracked.face)
        clip.crops.append(cut_square(frame.rgb, affine, spec.size_px))
        clip.times_s.append(frame.pts_s)
        if len(clip.crops) == spec.frames:
            del self._open[key]
            self._whole.add(key)
            self._done.append((spec.name, clip.made(tracked.track_id)))

    def _offer(self, frame: Frame, tracked: TrackedFace) -> None:
        for spec in self._spread:
            self._count((spec.name, tracked.track_id))
        candidates = self._candidates.setdefault(tracked.track_id, _Candidates())
        if candidates.wants(frame.pts_s, frame.even):
            crops = {
                spec.name: cut_square(frame.rgb, face_affine(spec, tracked.face), spec.size_px)
                for spec in self._spread
            }
            candidates.add(_Candidate(frame.pts_s, frame.even, crops))

    def _count(self, key: tuple[str, int]) -> None:
        self._seen[key] += 1
        self._most[key] = max(self._most[key], self._seen[key])

    def _close_window(self) -> None:
        """Clips that lack frames will not get them any more."""
        for key, clip in self._open.items():
            kept = self._short.get(key)
            if key[0] in self._any_length and (kept is None or len(clip.crops) > len(kept.crops)):
                self._short[key] = clip
        self._open.clear()

    def _end_block(self) -> None:
        self._close_window()
        for name, track_id in sorted(self._short.keys() - self._whole):
            self._done.append((name, self._short[name, track_id].made(track_id)))
        self._short.clear()
        self._whole.clear()
        for track_id, candidates in sorted(self._candidates.items()):
            for spec in self._spread:
                self._done.extend((spec.name, clip) for clip in candidates.clips(spec, track_id))
        self._candidates.clear()
        self._seen.clear()


def evenly(times_s: Sequence[float], count: int) -> list[int]:
    """Indices of ``count`` different times, as evenly spread from the first to the last as they allow.

    Args:
        times_s: ascending, at least ``count`` of them.
        count: how many to choose.

    Returns:
        Ascending indices.
    """
    chosen: list[int] = []
    for place, target in enumerate(np.linspace(times_s[0], times_s[-1], count)):
        first = chosen[-1] + 1 if chosen else 0
        last = len(times_s) - (count - place)  # leaves one for each place still to fill
        chosen.append(min(range(first, last + 1), key=lambda i: abs(times_s[i] - target)))
    return chosen


# Sampling within a window -> distance of a clip's frames, in frames.
_STEP = {Sampling.CONSECUTIVE: 1, Sampling.EVERY_SECOND: 2}


@dataclass
class _OpenClip:
    """A clip whose window is still going by."""

    affine: Affine
    crops: list[NDArray[np.uint8]]
    times_s: list[float]

    def made(self, track_id: int) -> Clip:
        return Clip(track_id, np.stack(self.crops), tuple(self.times_s))


@dataclass(frozen=True)
class _Candidate:
    """One frame's crops, by detector."""

    time_s: float
    even: bool
    crops: dict[str, NDArray[np.uint8]]


class _Candidates:
    """A track's frames for EVEN and SINGLE detectors, thinned out as more come in."""

    def __init__(self) -> None:
        self._kept: list[_Candidate] = []

    def wants(self, time_s: float, even: bool) -> bool:
        """Whether a frame at this time could be chosen; checked first because cutting costs time."""
        if even or len(self._kept) < CANDIDATES:
            return True
        if sum(kept.even for kept in self._kept) >= SINGLE_FRAMES:
            return False
        gap, _ = self._narrowest()
        return time_s - self._kept[-1].time_s >= gap / 2

    def add(self, candidate: _Candidate) -> None:
        """Keep a frame, and drop the one that leaves the smallest hole when there are too many."""
        self._kept.append(candidate)
        if len(self._kept) > CANDIDATES:
            _, place = self._narrowest()
            del self._kept[place]

    def clips(self, spec: DetectorSpec, track_id: int) -> list[Clip]:
        """The clips that ``spec`` gets from these frames; none when EVEN has too few."""
        if spec.sampling is Sampling.SINGLE:
            chosen = self._choose(SINGLE_FRAMES)
            return [Clip(track_id, kept.crops[spec.name][None], (kept.time_s,)) for kept in chosen]
        if spec.sampling is not Sampling.EVEN or len(self._kept) < spec.frames:
            return []
        chosen = self._choose(spec.frames)
        pixels = np.stack([kept.crops[spec.name] for kept in chosen])
        return [Clip(track_id, pixels, tuple(kept.time_s for kept in chosen))]

    def _choose(self, count: int) -> list[_Candidate]:
        even = [kept for kept in self._kept if kept.even]
        pool = even if len(even) >= count else self._kept
        if len(pool) <= count:
            return pool
        return [pool[i] for i in evenly([kept.time_s for kept in pool], count)]

    def _narrowest(self) -> tuple[float, int]:
        """The hole (seconds) that dropping one frame would leave, where it is smallest, and that frame.

        The first, the last and the plan's even frames stay, unless there is nothing else to drop.
        """
        times = [kept.time_s for kept in self._kept]
        inner = range(1, len(times) - 1)
        free = [i for i in inner if not self._kept[i].even] or list(inner)
        return min((times[i + 1] - times[i - 1], i) for i in free)
