"""JPEG photos without an end marker: is every pixel there all the same?

A decoder that runs out of data makes up the rest. So the picture is decoded three times: ended where the
data ends, and with two kinds of made-up data in between. If the data was complete, nothing of what was made
up is asked for and all three are the same; if a single bit is missing, they differ.
"""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

from PIL import Image

from deepscan.media.integrity.containers import Bytes
from deepscan.media.integrity.containers.bytes_at import FEW_BYTES, Note
from deepscan.media.integrity.containers.jpeg import has_end, trailer_start

ALL_THERE = Note("the end marker is missing; all pixels are there")
_END = b"\xff\xd9"
_START_OF_SCAN = 0xDA
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def mended(path: Path) -> io.BytesIO | None:
    """The photo with an end marker, if that is all it lacks; else None.

    Raises:
        OSError: the file cannot be read any more.
    """
    status = path.stat()
    content = _mended(path, status.st_ino, status.st_size, status.st_mtime_ns)
    return io.BytesIO(content) if content else None


@lru_cache(maxsize=1)  # asked for by the probe, the reader and the check of one file
def _mended(path: Path, *_version: int) -> bytes | None:
    with path.open("rb") as file:
        data = Bytes(file)
        if has_end(data):
            return None
        body = data.at(0, trailer_start(data)).removesuffix(b"\xff")
    return body + _END if _complete(body) else None


def _complete(body: bytes) -> bool:
    if not _every_scan(body):
        return False
    ended = _decoded(body + _END)
    made_up = (_decoded(body + _filler(value) + _END) for value in (0x55, 0xAA))
    if ended is None or any(other != ended for other in made_up):
        return False
    # If more than a few bytes make no difference, something else lies there.
    return _decoded(body[:-FEW_BYTES].removesuffix(b"\xff") + _END) != ended


def _filler(value: int) -> bytes:
    """Coded data that stands for something; with restart markers, for pictures that have those."""
    return b"".join(bytes([value] * 128 + [0xFF, 0xD0 + n % 8]) for n in range(64))


def _decoded(content: bytes) -> bytes | None:
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
            return hashlib.blake2b(image.tobytes()).digest()
    except (OSError, ValueError, SyntaxError):
        return None


def _every_scan(body: bytes) -> bool:
    """Do the scans bring every coefficient of every component in full?"""
    place, components, progressive = 2, set[int](), False
    missing: dict[int, list[int]] = defaultdict(lambda: [99] * 64)
    while 0 <= (place := body.find(b"\xff", place)) < len(body) - 4:
        kind = body[place + 1]
        if kind in (0x00, 0x01, 0xFF) or 0xD0 <= kind <= 0xD7:
            place += 1 if kind == 0xFF else 2
            continue
        segment = body[place + 4 : place + 2 + int.from_bytes(body[place + 2 : place + 4], "big")]
        if kind in _FRAMES and len(segment) > 5:
            components, progressive = set(segment[6 : 6 + 3 * segment[5] : 3]), kind in _PROGRESSIVE
        elif kind == _START_OF_SCAN and segment and len(segment) >= 4 + 2 * segment[0]:
            first, last, bits = segment[1 + 2 * segment[0] : 4 + 2 * segment[0]]
            for component in segment[1 : 1 + 2 * segment[0] : 2]:
                for number in range(first, min(last, 63) + 1) if progressive else range(64):
                    missing[component][number] = bits & 15 if progressive else 0
        place += 2 + max(2, len(segment) + 2)
    return bool(components) and all(not any(missing[component]) for component in components)
