"""MPEG transport streams: packets of one size, each with a sync byte. They state no length."""

from __future__ import annotations

from collections.abc import Iterator

from deepscan.media.integrity.containers.bytes_at import Bytes

_SYNC = 0x47
_FORMS = ((188, 0), (192, 4), (204, 0))  # packet size and where in it the sync byte stands
_PROBED = 5


def walk_transport_stream(data: Bytes) -> Iterator[str]:
    """Whole packets up to the end."""
    for size, offset in _FORMS:
        places = [offset + n * size for n in range(_PROBED)]
        if all(data.at(place, 1) == bytes([_SYNC]) for place in places if place < data.size):
            if left := data.size % size:
                yield f"the last packet ends after {left} of {size} bytes: cut off"
            return
