"""JPEG: marker segments, then scans of coded pictures, then the end marker (ITU-T T.81, annex B).

Phones put more behind the end on purpose and say so in the header: further pictures (Multi-Picture Format,
gain maps of HDR photos), a short film (motion photos). Those are left alone; what else follows is
left over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from deepscan.media.structure.bytes_at import Bytes

_APP1, _APP2, _END = 0xE1, 0xE2, 0xD9
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")  # not a stuffed zero, a restart marker or a fill byte
_ANNOUNCED = re.compile(rb"MotionPhoto|MicroVideo|Container:Directory|GainMap|hdrgm")
_BLOCK = 1 << 20


def walk_jpeg(data: Bytes) -> Iterator[str]:
    """Segments and scans up to the end marker, nothing unannounced behind it."""
    place, announced = 2, False
    while True:
        found = _next_marker(data, place)
        if found is None:
            yield "the file ends before the end of the picture: cut off"
            return
        kind, place = found
        if kind == _END:
            break
        length = int.from_bytes(data.at(place, 2), "big")
        if kind in (_APP1, _APP2):
            content = data.at(place + 2, length)
            announced |= content.startswith(b"MPF\0") or bool(_ANNOUNCED.search(content))
        place += length
    announced |= data.at(data.size - 4, 4) == b"SEFT"  # Samsung's trailer
    if not announced and (sentence := data.remainder(place, "the picture")):
        yield sentence


def _next_marker(data: Bytes, place: int) -> tuple[int, int] | None:
    """The first marker from ``place`` and where it ends; coded data before it is passed over."""
    while block := data.at(place, _BLOCK):
        if found := _MARKER.search(block):
            return found.group(1)[0], place + found.end()
        if len(block) < _BLOCK:
            return None
        place += len(block) - 1  # the marker may lie across the edge
    return None
