"""Opening files safely: by content, one file only, within a pixel budget."""

from __future__ import annotations

import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import av
import av.logging
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from deepscan.errors import UnreadableMedia

# 8192 x 8192: above every camera sensor that is common, below what would exhaust memory.
MAX_PIXELS = 1 << 26

# Containers that keep their data in one file. Left out on purpose: everything that refers to other
# files or addresses (concat, hls, dash, image2, sdp, ...). Sound formats are here so that a sound
# file can be told from a broken one.
DEMUXERS = (
    "mov,matroska,avi,mpeg,mpegts,mpegvideo,gif,flv,asf,ogg,h264,hevc,m4v,mjpeg,mjpeg_2000,ivf,obu,av1,"
    "mxf,nut,rm,vc1,dv,mp3,wav,flac,aac,ac3,eac3,amr,aiff,w64,caf"
)

_PHOTO_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
_VIDEO_MAGIC = (
    b"\x1a\x45\xdf\xa3",  # matroska, webm
    b"GIF87a",
    b"GIF89a",
    b"FLV\x01",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # asf, wmv
    b"\x00\x00\x01\xba",  # mpeg programme stream
    b"\x00\x00\x01\xb3",  # mpeg video
    b"DKIF",  # ivf
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01",  # mxf
)
_MOV_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_RAW_STARTS = (b"\x00\x00\x00\x01", b"\x00\x00\x01")
_RAW_NAL = {0x67, 0x27, 0x47, 0x09, 0x40, 0x42, 0x46}  # h264 and hevc: parameter sets, delimiters
_TS_FORMS = ((0, 188), (4, 192))
_TS_PROBED_BYTES = 1 << 16
# fmt: off
_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".vob", ".m2ts", ".mts", ".flv",
    ".wmv", ".asf", ".ogv", ".3gp", ".3g2", ".mxf", ".ivf", ".mj2", ".mjpeg", ".h264", ".264", ".h265",
    ".265", ".hevc", ".gif", ".webp", ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif",
})
# fmt: on


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


def read_head(path: Path, size: int = 1024) -> bytes:
    """The first bytes of a file.

    Raises:
        UnreadableMedia: not there, not a file, empty, or not permitted.
    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise UnreadableMedia(f"{path} is a folder; scan the folder itself to read what is in it.")
        if not stat.S_ISREG(mode):
            raise UnreadableMedia(f"{path} is not a regular file; save the media to disk and scan that.")
        with open(path, "rb") as file:
            head = file.read(size)
    except FileNotFoundError as error:
        raise UnreadableMedia(f"{path} does not exist; check the path.") from error
    except PermissionError as error:
        raise UnreadableMedia(f"{path} may not be read by this user; grant read permission.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnreadableMedia(f"{path} cannot be read ({reason}); check the disk.") from error
    if not head:
        raise UnreadableMedia(f"{path} is empty (zero bytes); fetch the file again.")
    return head


def open_container(
    path: Path, hwaccel: HWAccel | None = None, *, hidden: bool = False
) -> InputContainer:
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


def is_media(path: Path) -> bool:
    """Does this look like a video or photo? By content, from its first bytes; cheap.

    A file whose content says nothing still counts when its name claims to be media (a truncated or
    overwritten ``.mp4`` must show up in the report, not vanish). ``.ts`` is left to content, since
    most files of that name are source code, but then more of it is looked at. Never raises.
    """
    transport_stream = path.suffix.lower() == ".ts"
    try:
        head = read_head(path, _TS_PROBED_BYTES if transport_stream else 1024)
    except UnreadableMedia:
        head = b""
        if not path.is_file():
            return False
    if transport_stream and _sync_share(head) > 0.5:
        return True
    return looks_like_media(head) or path.suffix.lower() in _SUFFIXES


def _sync_share(head: bytes) -> float:
    """Of the places where a transport stream has its sync byte, how many do."""
    return max(
        head[offset::step].count(b"\x47") / len(head[offset::step] or b" ") for offset, step in _TS_FORMS
    )


def is_photo(head: bytes) -> bool:
    """JPEG, PNG or WebP, by its first bytes."""
    return head.startswith(_PHOTO_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def looks_like_media(head: bytes) -> bool:
    """A container or photo that deepscan reads, by its first bytes (380 or more)."""
    if is_photo(head) or head.startswith(_VIDEO_MAGIC) or head[4:8] in _MOV_BOXES:
        return True
    if head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"AVIX"):
        return True
    if head[:4] == b"OggS":
        return b"theora" in head or b"OVP80" in head or b"Skeleton" in head or b"fishead" in head
    for start in _RAW_STARTS:
        if head.startswith(start) and head[len(start) : len(start) + 1] and head[len(start)] in _RAW_NAL:
            return True
    return any(
        head[offset : offset + 1] == head[offset + step : offset + step + 1] == b"\x47"
        and head[offset + 2 * step : offset + 2 * step + 1] in (b"\x47", b"")
        for offset, step in _TS_FORMS
    )
