"""What the media stage hands on: file facts, sampling plan, frames, coverage."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

WINDOW_FRAMES = 16
EVEN_FRAMES = 12
MAX_WINDOWS = 12
MIN_WINDOWS = 3

# A file may end this much before its declared duration and still count as seen whole: containers
# round, and the sound often outlasts the picture by a few frames.
END_TOLERANCE_S = 0.5
END_TOLERANCE = 0.02


@dataclass(frozen=True)
class MediaInfo:
    """What a file is.

    Attributes:
        kind: ``video``, ``animation`` (gif, animated webp or png) or ``image`` (one frame).
        container: short name of the container, such as ``mp4``, ``matroska``, ``jpeg``.
        codec: FFmpeg's name of the codec; for photos the same as the container.
        width: pixels, of the upright picture.
        height: pixels, of the upright picture.
        rotation_deg: clockwise turn that the file asks for; frames come with it applied.
        duration_s: declared, or counted where nothing is declared; None for photos.
        frame_rate: average, frames a second; None for photos.
        frames_expected: declared, counted, or duration times rate.
        bits_per_pixel: the file's size over the pixels of all its frames; sound and metadata count in.
        length_declared: the file itself says how long it is; else ``duration_s`` is what was found in it.
        parts: names of the video tracks, pages or pictures of a file that has several, in the order in which
            they are looked at; the other attributes tell of the first. Empty where there is one.
    """

    kind: Literal["video", "animation", "image"]
    container: str
    codec: str
    width: int
    height: int
    rotation_deg: int
    duration_s: float | None
    frame_rate: float | None
    frames_expected: int | None
    bits_per_pixel: float | None = None
    length_declared: bool = True
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class SamplingPlan:
    """Which moments of a file all detectors together look at.

    Attributes:
        window_starts_s: each asks for ``WINDOW_FRAMES`` consecutive frames, from the first frame at
            or after this time.
        even_s: each asks for one frame, the first at or after this time.
        everything: windows back to back over the whole file, whatever ``window_starts_s`` says.
    """

    window_starts_s: tuple[float, ...]
    even_s: tuple[float, ...]
    everything: bool = False


@dataclass(frozen=True)
class Frame:
    """One decoded picture.

    Attributes:
        index: position among the frames handed on, from 0.
        pts_s: presentation time, seconds from the start of the video stream.
        picture: ``rgb``, or what makes it.
        window: index of the window it belongs to (windows never overlap), or None.
        even: it answers to one of the plan's even moments.
    """

    index: int
    pts_s: float
    picture: NDArray[np.uint8] | Callable[[], NDArray[np.uint8]]
    window: int | None
    even: bool

    @cached_property
    def rgb(self) -> NDArray[np.uint8]:
        """``(H, W, 3)`` uint8, upright, source resolution. Sizes may differ between frames.

        Made where it is first looked at, so that whoever decodes goes on meanwhile.
        """
        rgb = self.picture() if callable(self.picture) else self.picture
        object.__setattr__(self, "picture", rgb)  # the decoder's picture may go
        return rgb


@dataclass
class Coverage:
    """How much of a file was really seen; filled while ``frames`` runs.

    Attributes:
        duration_s: declared duration, or the real end where the file goes on past it.
        seconds_covered: end of the last frame decoded, seconds from the start of the stream.
        frames_decoded: frames that came out of the decoder, whether or not handed on.
        frames_failed: frames that the decoder refused or marked as corrupt.
        warnings: plain sentences.
        errors_reported: error lines of the demuxer and the decoder: damage that they covered up.
        finished: the reader came to the end of the file.
        pixels_decoded: pixels of a frame times frames that were given to the decoder.
        pixel_budget: the reader stops here, since a few kilobytes can hold hours of a large empty picture;
            0: no limit.
    """

    duration_s: float | None = None
    seconds_covered: float = 0.0
    frames_decoded: int = 0
    frames_failed: int = 0
    warnings: list[str] = field(default_factory=list)
    errors_reported: int = 0
    finished: bool = False
    pixels_decoded: int = 0
    pixel_budget: int = 0

    @property
    def spent(self) -> bool:
        """The pixel budget is used up."""
        return 0 < self.pixel_budget <= self.pixels_decoded

    def stop(self) -> None:
        """Say that the reader stopped because the budget is spent."""
        self.warnings.append(
            f"not read to the end: stopped after {self.pixels_decoded / 1e9:.3g} gigapixels, "
            f"at {self.seconds_covered:.1f} s; --pixel-budget allows more"
        )

    def of_part(self) -> Coverage:
        """For one of several parts: what is left of the budget, and nothing seen yet."""
        left = max(1, self.pixel_budget - self.pixels_decoded) if self.pixel_budget else 0
        return Coverage(pixel_budget=left)

    def add(self, part: Coverage, name: str) -> None:
        """Count in what was seen of a part; a part that is not complete leaves the whole incomplete."""
        if part.duration_s is not None:
            self.duration_s = (self.duration_s or 0.0) + part.duration_s
        self.seconds_covered = round(self.seconds_covered + part.seconds_covered, 6)
        self.frames_decoded += part.frames_decoded
        self.frames_failed += part.frames_failed
        self.pixels_decoded += part.pixels_decoded
        self.errors_reported += part.errors_reported or not part.complete
        self.warnings += [f"{name}: {warning}" for warning in part.warnings]

    @property
    def complete(self) -> bool:
        """Nothing is damaged, and the file reaches its declared end.

        The end may be short by 0.5 s or 2 % of the duration, whichever is more, but never by more
        than half: a one-second file cut in two is not complete.
        """
        if not self.finished or not self.frames_decoded or self.frames_failed or self.errors_reported:
            return False
        if self.duration_s is None:
            return True
        return self.duration_s - self.seconds_covered <= tolerance_s(self.duration_s)


def tolerance_s(duration_s: float) -> float:
    """How much may be missing at an end of a file of this length that still counts as seen whole."""
    return min(max(END_TOLERANCE_S, END_TOLERANCE * duration_s), 0.5 * duration_s)


def plan(info: MediaInfo, *, thorough: bool = False) -> SamplingPlan:
    """Which moments to look at.

    Windows: the square root of the duration in seconds, rounded, at least 3 and at most 12 (10 s: 3,
    60 s: 8), and never more than fit into the file back to back; so they tile a short file and
    are spread over a long one, the first at its start, the last at its end, those between where an even
    frame is looked at anyway. Even frames: 12 from the first frame to the last.

    Args:
        info: of the probe.
        thorough: windows back to back over the whole file.
    """
    if info.kind == "image" or not info.duration_s or not info.frame_rate:
        return SamplingPlan((0.0,), (0.0,), everything=thorough and info.kind != "image")
    # Half a frame early: a moment that rounding put just behind a frame must not cost that frame.
    last_frame_s = max(0.0, info.duration_s - 1.5 / info.frame_rate)
    even = tuple(float(t) for t in np.linspace(0.0, last_frame_s, EVEN_FRAMES))
    fit = round(info.duration_s * info.frame_rate) // WINDOW_FRAMES
    wanted = min(MAX_WINDOWS, max(MIN_WINDOWS, round(math.sqrt(info.duration_s))))
    count = max(1, fit if thorough else min(fit, wanted))
    # Where there is room, two frames more: at an uneven frame rate the last window would come short.
    spare = 0.5 if count == fit else 2.5
    last_window_s = max(0.0, info.duration_s - (WINDOW_FRAMES + spare) / info.frame_rate)
    starts = np.linspace(0.0, last_window_s, count) if count > 1 else np.zeros(1)
    starts = _moved_to(even, starts, WINDOW_FRAMES / info.frame_rate)
    return SamplingPlan(tuple(float(t) for t in starts), even, everything=thorough)


def _moved_to(
    even_s: tuple[float, ...], starts_s: NDArray[np.float64], window_s: float
) -> NDArray[np.float64]:
    """The inner windows at the even moments nearest to them, unless two of them would then meet."""
    moved = starts_s.copy()
    inner = starts_s[1:-1]
    moved[1:-1] = np.asarray(even_s)[np.abs(inner[:, None] - np.asarray(even_s)).argmin(1)]
    return moved if (np.diff(moved) > window_s).all() else starts_s
