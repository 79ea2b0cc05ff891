"""Path -> probe, sampling plan, frames with timestamps, and how much of the file was really seen.

::

    medium = begin(path)                what the file is; raises UnreadableMedia / UnsupportedMedia
    coverage = Coverage(medium.info.duration_s)
    for name, frames in medium.parts(coverage):    video tracks, pages; most files have one
        for frame in frames:            those that ``plan`` asks for, in order of time
            ...                         upright RGB at source resolution
    coverage.complete                   only now: was the whole file within reach?

Files are opened by content, never by name, with a list of allowed containers, the file protocol only
and a limit on pixels: a text file named ``.mp4`` cannot make FFmpeg open another file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deepscan.media.info import EVEN_FRAMES, WINDOW_FRAMES, Coverage, Frame, MediaInfo, SamplingPlan, plan
from deepscan.media.medium import Medium, begin
from deepscan.media.prefetch import prefetch
from deepscan.media.sniff import is_media

__all__ = [
    "EVEN_FRAMES",
    "WINDOW_FRAMES",
    "Coverage",
    "Frame",
    "MediaInfo",
    "Medium",
    "SamplingPlan",
    "begin",
    "frames",
    "is_media",
    "plan",
    "prefetch",
    "probe",
]


def probe(path: Path, pixel_budget: int = 0) -> MediaInfo:
    """What the file is; see ``begin``."""
    medium = begin(path, pixel_budget)
    medium.close()
    return medium.info


def frames(
    path: Path, info: MediaInfo, plan: SamplingPlan, coverage: Coverage, *, nvdec: bool = False
) -> Iterator[Frame]:
    """The frames of the first part of a file that was probed before; see ``Medium.frames``."""
    return Medium(path, info).frames(plan, coverage, nvdec=nvdec)
