"""JPEG: marker segments, then scans of coded pictures, then the end marker (ITU-T T.81, annex B).

Phones put more behind the end on purpose and say so in the header: further pictures (Multi-Picture Format,
gain maps of HDR photos), a short film (motion photos). Those are left alone; what else follows is left
over. Some put a trailer of their own in place of the end marker; whether all pixels are there then is for a
decoder to say (``deepscan.media.integrity.jpeg_end``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from deepscan.media.integrity.containers.bytes_at import Bytes

_APP1, _APP2, _START, _END = 0xE1, 0xE2, 0xD8, 0xD9
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")  # not a stuffed zero, a restart marker or a fill byte
_ANNOUNCED = re.compile(rb"MotionPhoto|MicroVideo|Container:Directory|GainMap|hdrgm")
_BLOCK = 1 << 20
NO_END = "the end marker is missing: the picture is cut off, or something else lies in its place"


def walk_jpeg(data: Bytes) -> Iterator[str]:
    """Segments and scans up to the end marker, nothing unannounced behind it."""
    place, announced = 2, False
    limit = trailer_start(data)
    while True:
        found = _next_marker(data, place)
        if found is None or found[1] > limit:
            yield NO_END
            return
        kind, place = found
        if kind == _END:
            break
        if kind == _START:
            yield f"another picture begins after {place - 2} bytes and was not looked at"
            return
        if kind in _BARE:
            continue
        length = int.from_bytes(data.at(place, 2), "big")
        if kind in (_APP1, _APP2):
            content = data.at(place + 2, length)
            announced |= content.startswith(b"MPF\0") or bool(_ANNOUNCED.search(content))
        place += length
    if not announced and (sentence := data.remainder(place, "the picture", limit)):
        yield sentence


def has_end(data: Bytes) -> bool:
    """Is there an end marker?"""
    return not any(sentence is NO_END for sentence in walk_jpeg(data))


def trailer_start(data: Bytes) -> int:
    """Where Samsung's trailer begins, which lists what lies in it; the file's end where there is none."""
    tail = data.at(data.size - 8, 8) if data.size > 8 else b""
    listed = data.size - 8 - int.from_bytes(tail[:4], "little")
    if tail[4:] != b"SEFT" or listed < 0 or data.at(listed, 4) != b"SEFH":
        return data.size
    count = int.from_bytes(data.at(listed + 8, 4), "little")
    entries = data.at(listed + 12, min(12 * count, data.size))
    back = [int.from_bytes(entries[at + 4 : at + 8], "little") for at in range(0, len(entries) - 11, 12)]
    start = listed - max(back, default=0)
    return start if start >= 0 else data.size


def _next_marker(data: Bytes, place: int) -> tuple[int, int] | None:
    """The first marker from ``place`` and where it ends; coded data before it is passed over."""
    while block := data.at(place, _BLOCK):
        if found := _MARKER.search(block):
            return found.group(1)[0], place + found.end()
        if len(block) < _BLOCK:
            return None
        place += len(block) - 1  # the marker may lie across the edge
    return None
