"""What a file is, told from its first bytes; its name only where its content says nothing."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from deepscan.errors import UnreadableMedia
from deepscan.media.unsupported import SUFFIXES as UNSUPPORTED_SUFFIXES
from deepscan.media.unsupported import unread_kind

_PHOTO_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)
_BITMAP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_PORTABLE_MAP = re.compile(rb"P[1-6]\s+(?:#[^\n]*\n\s*)*\d+\s|Pf\s+\d+\s+\d+\s+-?[\d.]+\s")
_TARGA_SUFFIXES = frozenset({".tga", ".vda", ".icb", ".vst"})  # a format without first bytes of its own
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
    b"\x1f\x07\x00",  # dv
    b".RMF",
    b"YUV4MPEG2 ",
)
_MOV_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_RAW_STARTS = (b"\x00\x00\x00\x01", b"\x00\x00\x01")
_RAW_NAL = {0x67, 0x27, 0x47, 0x09, 0x40, 0x42, 0x46}  # h264 and hevc: parameter sets, delimiters
_TS_FORMS = ((0, 188), (4, 192))
_PROBED_BYTES = {".ts": 1 << 16, ".svg": 16 << 20}
# fmt: off
_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".vob", ".m2ts", ".mts",
    ".flv", ".wmv", ".asf", ".ogv", ".3gp", ".3g2", ".mxf", ".ivf", ".mj2", ".mjpeg", ".h264", ".264",
    ".h265", ".265", ".hevc", ".gif", ".webp", ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".dv",
    ".dif", ".mjpg", ".m1v", ".m2v", ".mpv", ".m2t", ".tod", ".f4v", ".divx", ".rm", ".rmvb", ".ogm",
    ".nut", ".av1", ".obu", ".y4m", ".mk3d", ".heic", ".heif", ".hif", ".heics", ".heifs", ".avif",
    ".avifs", ".bmp", ".dib", ".tif", ".tiff", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".ppm",
    ".pgm", ".pbm", ".pnm", ".pfm", *_TARGA_SUFFIXES, *UNSUPPORTED_SUFFIXES,
})
# fmt: on


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


def is_media(path: Path) -> bool:
    """Does this look like a video or photo? By content, from its first bytes; cheap.

    A file whose content says nothing still counts when its name claims to be media (a truncated or
    overwritten ``.mp4`` must show up in the report, not vanish). ``.ts`` is left to content, since
    most files of that name are source code, but then more of it is looked at. Never raises.
    """
    suffix = path.suffix.lower()
    try:
        head = read_head(path, _PROBED_BYTES.get(suffix, 1024))
    except UnreadableMedia:
        head = b""
        if not path.is_file():
            return False
    if suffix == ".ts" and _sync_share(head) > 0.5:
        return True
    return looks_like_media(head) or suffix in _SUFFIXES or unread_kind(head, suffix) is not None


def _sync_share(head: bytes) -> float:
    """Of the places where a transport stream has its sync byte, how many do."""
    return max(
        head[offset::step].count(b"\x47") / len(head[offset::step] or b" ") for offset, step in _TS_FORMS
    )


def photo_format(head: bytes, suffix: str = "") -> str | None:
    """Pillow's name of a photo's format, by its first bytes, or by ``suffix`` where those do not tell.

    HEIC and AVIF are told apart from videos by ``heif.stills``.
    """
    for magic, name in _PHOTO_MAGIC:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return "BMP"
    if _PORTABLE_MAP.match(head):
        return "PPM"
    return "TGA" if suffix.lower() in _TARGA_SUFFIXES and not _is_video(head) else None


def looks_like_media(head: bytes) -> bool:
    """A container or photo that deepscan reads, by its first bytes (380 or more)."""
    return bool(photo_format(head) or unread_kind(head)) or _is_video(head)


def _is_video(head: bytes) -> bool:
    if head.startswith(_VIDEO_MAGIC) or head[4:8] in _MOV_BOXES:
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
