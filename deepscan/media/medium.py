"""A file that was probed: its frames, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from deepscan.errors import MediaError
from deepscan.media.info import Coverage, Frame, MediaInfo, SamplingPlan, plan
from deepscan.media.photo import photo_frames, probe_photo, shows_through_pillow
from deepscan.media.stream import EmptyTrack, Head, begin_video
from deepscan.media.video import video_frames


class Medium:
    """A file that was probed, and perhaps stands open where the probe stopped reading.

    Args:
        path: the file.
        info: what it is.
        head: what the probe has read of a video; without it the file is opened again.
        number: which of its parts this is.
    """

    def __init__(self, path: Path, info: MediaInfo, head: Head | None = None, number: int = 0) -> None:
        self.info = info
        self._path = path
        self._head = head
        self._number = number

    def parts(
        self, coverage: Coverage, *, thorough: bool = False, nvdec: bool = False
    ) -> Iterator[tuple[str, Iterator[Frame]]]:
        """Every video track, page or picture of the file: its name and its frames.

        The name is empty where there is only one. Each part's frames must be taken before the next part is
        asked for. ``coverage`` tells in the end of all parts together; one that cannot be looked at, although
        others can, leaves it incomplete.

        Raises:
            UnreadableMedia: the first part holds no frame that can be decoded.
        """
        if not self.info.parts:
            yield "", self.frames(plan(self.info, thorough=thorough), coverage, nvdec=nvdec)
            return
        coverage.duration_s = None
        for number, name in enumerate(self.info.parts):
            if coverage.spent:
                coverage.stop()
                return
            yield name, self._of_part(number, coverage, thorough, nvdec)
        coverage.finished = True

    def _of_part(self, number: int, whole: Coverage, thorough: bool, nvdec: bool) -> Iterator[Frame]:
        name, seen = self.info.parts[number], whole.of_part()
        try:
            medium = self if number == 0 else self._begin(number)
            seen.duration_s = medium.info.duration_s
            yield from medium.frames(plan(medium.info, thorough=thorough), seen, nvdec=nvdec)
        except EmptyTrack:
            whole.warnings.append(f"{name} is empty: there is nothing in it to look at")
            return
        except MediaError as error:
            if number == 0:
                raise
            whole.errors_reported += 1
            whole.warnings.append(f"{name} was not looked at: {error}")
            return
        whole.add(seen, name)

    def _begin(self, number: int) -> Medium:
        if shows_through_pillow(self.info):
            return Medium(self._path, self.info, None, number)
        info, head = begin_video(self._path, number)
        return Medium(self._path, info, head, number)

    def frames(self, plan: SamplingPlan, coverage: Coverage, *, nvdec: bool = False) -> Iterator[Frame]:
        """The frames of this part that ``plan`` names, in order of time; fills ``coverage`` on the way.

        A file that breaks off, has damaged frames or spends the coverage's pixel budget yields what can be
        had, and ``coverage`` tells the rest. With ``nvdec`` an NVIDIA GPU decodes what it can; ``coverage``
        then warns that damage may go unnoticed, or that the CPU decoded it.

        Raises:
            UnreadableMedia: not a single frame could be decoded, or the file went away since the probe.
        """
        if shows_through_pillow(self.info):
            self.close()
            return photo_frames(self._path, self.info, plan, coverage, self._number)
        if nvdec:
            self.close()
        head, self._head = self._head, None
        return video_frames(
            self._path, self.info, plan, coverage, head=head, number=self._number, nvdec=nvdec
        )

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
        UnsupportedMedia: the file opens but holds no picture, or none that deepscan can look at.
    """
    photo = probe_photo(path, pixel_budget)
    info, head = begin_video(path) if photo is None else (photo, None)
    pixels = info.width * info.height * (info.frames_expected or 0) * max(1, len(info.parts))
    bits = 8 * path.stat().st_size
    return Medium(path, replace(info, bits_per_pixel=bits / pixels if bits and pixels else None), head)
