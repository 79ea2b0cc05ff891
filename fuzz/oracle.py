"""What may be said of a mutant, judged by another reader than deepscan's own.

A clean answer is a status of ``scanned`` with its verdict: exit code 0. It is a violation when

- the report's own coverage is not complete;
- a frame of the source is gone: fewer frames were decoded than the undamaged source has (twice as many where
  the damage is another copy at the end);
- fewer frames were decoded than a plain reader gets out of the mutant, which decodes packet after packet;
- the plain reader meets an error, a frame marked as corrupt or an FFmpeg error line.

What no reader can tell is allowed: bytes that stand for pixels carry no checksum in most formats, and a
changed byte that still decodes to a picture, with all frames there and no error, is another video, wholly
seen. An MPEG stream states no length and can be cut anywhere: frames may be gone from its ends, where no
clock shows a gap, if the report says so, and what FFmpeg says of the pictures before the first whole one does
not count. Nor does damage to the sound.

A sampling plan may leave out a frame of the last few, when damaged times made them others. Where frames are
missing, a thorough scan of the same mutant, which leaves out nothing, must be clean too and is judged.

Anything but a clean answer is fine as long as it is an answer: ``worker.py`` asserts that much.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import pillow_heif
from PIL import Image

from deepscan.cli.exit_codes import CLEAN, exit_code
from deepscan.media.container import FFMPEG_LOG, open_container
from deepscan.media.photo import probe_photo
from deepscan.media.stream import picture_stream
from deepscan.scanner import FileReport
from fuzz.sources import RATE

SOUND = ("aac", "mp2", "mp3")


@dataclass(frozen=True)
class Reading:
    """What a plain reader found: frames, and the first thing that went wrong."""

    frames: int
    damage: str | None
    steady: bool = False  # no gap between the times of its frames


def read_plainly(path: Path) -> Reading:
    """Decode everything from front to back."""
    photo = probe_photo(path)
    return _read_video(path) if photo is None else _read_photo(path, heic=photo.container == "heif")


def _read_photo(path: Path, *, heic: bool) -> Reading:
    count = 0
    content = path.read_bytes()
    if content.startswith(b"\xff\xd8") and b"\xff\xd9" not in content:
        # More coded data may change nothing in a JPEG that lacks its end marker and nothing else.
        ended, longer = (_pixels(content + more + b"\xff\xd9") for more in (b"", b"\x33" * 999))
        return Reading(1, None if ended == longer else "the picture is cut off")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pillow_heif.HeifImageFile(path) if heic else Image.open(path) as image:
                for number in range(getattr(image, "n_frames", 1)):
                    image.seek(number)
                    image.load()
                    count += 1
    except Exception as error:  # Pillow raises whatever its parsers meet
        return Reading(count, str(error) or type(error).__name__)
    return Reading(count, None)


def _pixels(jpeg: bytes) -> bytes:
    with Image.open(io.BytesIO(jpeg)) as image:
        return image.tobytes()


def _read_video(path: Path) -> Reading:
    count, damage, times = 0, [], []
    FFMPEG_LOG.take()
    try:
        with open_container(path) as container:
            stream = picture_stream(container, path)
            stream.codec_context.thread_type = "NONE"
            for packet in container.demux(stream):
                damage += ["corrupt packet"] if packet.is_corrupt and packet.size else []
                if not count and "mpeg" in container.format.name:
                    FFMPEG_LOG.take()  # a stream may begin with what refers to pictures before it
                for frame in stream.codec_context.decode(packet):
                    count += 1
                    times.append(frame.time)
                    damage += ["corrupt frame"] if frame.is_corrupt else []
    except (av.FFmpegError, ValueError, UnicodeError) as error:
        damage.append(str(error))
    damage += [line.text for line in FFMPEG_LOG.take() if line.source not in SOUND]
    steps = [after - before for before, after in pairwise(times) if before is not None and after is not None]
    steady = len(steps) == count - 1 and all(abs(step - 1 / RATE) < 0.002 for step in steps)
    return Reading(count, damage[0].strip() if damage else None, steady)


def violation(path: Path, report: FileReport, source_frames: int) -> str | None:
    """What is wrong with a report's answer, in one sentence; None when nothing is."""
    if exit_code([report], "fake") != CLEAN:
        return None
    coverage = report.coverage
    if coverage is None or not coverage.complete:
        return f"{report.status} with incomplete coverage: {coverage}"
    decoded = coverage.frames_decoded
    plain = read_plainly(path)
    if decoded < plain.frames:
        return f"{decoded} frames decoded where a plain reader gets {plain.frames}"
    if plain.damage is not None:
        return f"damage not noticed: {plain.damage}"
    if decoded < source_frames and not (plain.steady and _says_that_ends_are_open(report)):
        return f"{source_frames - decoded} of {source_frames} frames are gone, unnoticed"
    return None


def _says_that_ends_are_open(report: FileReport) -> bool:
    return report.coverage is not None and any(
        "states no length" in line for line in report.coverage.warnings
    )
