"""Opening files safely: by content, one file only, within a pixel budget."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import av
import av.logging
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from deepscan.errors import UnreadableMedia
from deepscan.media.sniff import looks_like_media, read_head

# 8192 x 8192: above every camera sensor that is common, below what would exhaust memory.
MAX_PIXELS = 1 << 26

# Containers that keep their data in one file. Left out on purpose: everything that refers to other
# files or addresses (concat, hls, dash, image2, sdp, ...). Sound formats are here so that a sound
# file can be told from a broken one.
DEMUXERS = (
    "mov,matroska,avi,mpeg,mpegts,mpegvideo,gif,flv,asf,ogg,h264,hevc,m4v,mjpeg,mjpeg_2000,ivf,obu,av1,"
    "mxf,nut,rm,vc1,dv,yuv4mpegpipe,mp3,wav,flac,aac,ac3,eac3,amr,aiff,w64,caf"
)


@dataclass(frozen=True)
class LogLine:
    """An error line of FFmpeg; ``source`` is the name of the container format or the codec."""

    source: str
    text: str


class FfmpegLog(logging.Handler):
    """Collects FFmpeg's error lines, which would otherwise be lost or end up on stderr.

    One for the process: a worker reads one file at a time, so what arrives belongs to that file.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._lines: list[LogLine] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(LogLine(record.name.removeprefix("libav."), record.getMessage().strip()))

    def take(self) -> list[LogLine]:
        """The lines since the last call."""
        lines, self._lines = self._lines, []
        return lines


def _collect_log() -> FfmpegLog:
    handler = FfmpegLog()
    logger = logging.getLogger("libav")
    logger.addHandler(handler)
    logger.propagate = False
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    return handler


FFMPEG_LOG = _collect_log()


def open_container(path: Path, hwaccel: HWAccel | None = None, *, hidden: bool = False) -> InputContainer:
    """Open a file with FFmpeg; nothing but this one file can be read through it.

    What FFmpeg reports while it opens the file is left in ``FFMPEG_LOG``.

    Args:
        path: the file.
        hwaccel: what is to decode it, where not the CPU.
        hidden: frames that an edit list hides from players come as well (mp4 and mov).

    Raises:
        UnreadableMedia: no allowed container is recognised, or it is broken.
    """
    read_head(path)
    options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
    if hidden:
        options["ignore_editlist"] = "1"
    FFMPEG_LOG.take()
    try:
        # "file:" keeps a name such as "concat:a|b" or "http://x" a name.
        return av.open(
            f"file:{os.path.abspath(path)}", "r", options=options, metadata_errors="replace", hwaccel=hwaccel
        )
    except (av.FFmpegError, ValueError, UnicodeError) as error:
        detail = _reason(read_head(path), FFMPEG_LOG.take())
        raise UnreadableMedia(
            f"{path} is not a video or photo that can be opened{detail}; check that the copy is whole and the"
            " format is one that deepscan reads."
        ) from error


def _reason(head: bytes, lines: list[LogLine]) -> str:
    if all(byte >= 0x20 or byte in b"\t\n\r\f" for byte in head) and not looks_like_media(head):
        return " (it holds text)"
    for line in lines:
        if "moov atom not found" in line.text:
            return " (its index, the moov box, is missing: the recording or the copy was cut off)"
        if "not on whitelist" in line.text.lower():
            return " (the content is of another kind than media)"
    return ""
