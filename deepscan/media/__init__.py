"""Path -> probe, sampling plan, frames with timestamps, and how much of the file was really seen.

::

    medium = begin(path)                what the file is; raises UnreadableMedia / UnsupportedMedia
    wanted = plan(medium.info)          which moments to look at
    coverage = Coverage(medium.info.duration_s)
    for frame in medium.frames(wanted, coverage):
        ...                             upright RGB at source resolution, in order of time
    coverage.complete                   only now: was the whole file within reach?

Files are opened by content, never by name, with a list of allowed containers, the file protocol only
and a limit on pixels: a text file named ``.mp4`` cannot make FFmpeg open another file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from deepscan.media.ahead import ahead
from deepscan.media.container import is_media
from deepscan.media.info import EVEN_FRAMES, WINDOW_FRAMES, Coverage, Frame, MediaInfo, SamplingPlan, plan
from deepscan.media.photo import photo_frames, probe_photo, shows_through_pillow
from deepscan.media.stream import Head, begin_video
from deepscan.media.video import video_frames

__all__ = [
    "EVEN_FRAMES",
    "WINDOW_FRAMES",
    "Coverage",
    "Frame",
    "MediaInfo",
    "Medium",
    "SamplingPlan",
    "ahead",
    "begin",
    "frames",
    "is_media",
    "plan",
    "probe",
]


class Medium:
    """A file that was probed, and perhaps stands open where the probe stopped reading.

    Args:
        path: the file.
        info: what it is.
        head: what the probe has read of a video; without it the file is opened again.
    """

    def __init__(self, path: Path, info: MediaInfo, head: Head | None = None) -> None:
        self.info = info
        self._path = path
        self._head = head

    def frames(self, plan: SamplingPlan, coverage: Coverage, *, nvdec: bool = False) -> Iterator[Frame]:
        """The frames that ``plan`` asks for, in order of time; fills ``coverage`` on the way.

        A file that breaks off, has damaged frames or spends the coverage's pixel budget yields what can be
        had, and ``coverage`` tells the rest. With ``nvdec`` an NVIDIA GPU decodes what it can; ``coverage``
        then warns that damage may go unnoticed, or says that the CPU had to do it.

        Raises:
            UnreadableMedia: not a single frame could be decoded, or the file went away since the probe.
        """
        if shows_through_pillow(self.info):
            self.close()
            return photo_frames(self._path, self.info, plan, coverage)
        if nvdec:
            self.close()
        head, self._head = self._head, None
        return video_frames(self._path, self.info, plan, coverage, head=head, nvdec=nvdec)

    def close(self) -> None:
        """For a file of which no more is wanted; frames can still be asked for."""
        if self._head is not None:
            self._head.container.close()
            self._head = None


def begin(path: Path, pixel_budget: int = 0) -> Medium:
    """Open a file and find out what it is, from its content; decodes its first frame.

    Only an animation has to be decoded to know its length: ``pixel_budget`` limits that; 0: no limit.

    Raises:
        UnreadableMedia: the file cannot be opened, or nothing in it can be decoded.
        UnsupportedMedia: the file opens but holds no picture: sound only, or only cover art.
    """
    photo = probe_photo(path, pixel_budget)
    info, head = begin_video(path) if photo is None else (photo, None)
    pixels = info.width * info.height * (info.frames_expected or 0)
    bits = 8 * path.stat().st_size
    return Medium(path, replace(info, bits_per_pixel=bits / pixels if bits and pixels else None), head)


def probe(path: Path, pixel_budget: int = 0) -> MediaInfo:
    """What the file is; see ``begin``."""
    medium = begin(path, pixel_budget)
    medium.close()
    return medium.info


def frames(
    path: Path, info: MediaInfo, plan: SamplingPlan, coverage: Coverage, *, nvdec: bool = False
) -> Iterator[Frame]:
    """The frames of a file that was probed before; see ``Medium.frames``."""
    return Medium(path, info).frames(plan, coverage, nvdec=nvdec)
