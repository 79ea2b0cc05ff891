"""GIF: a header, then blocks, each a chain of sub-blocks, then a trailer."""

from __future__ import annotations

from collections.abc import Iterator

from deepscan.media.integrity.containers.bytes_at import Bytes

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B


def walk_gif(data: Bytes) -> Iterator[str]:
    """Blocks up to the trailer, nothing behind it."""
    place = 13 + _colours(data.at(10, 1))
    while first := data.at(place, 1):
        if first[0] == _TRAILER:
            if sentence := data.remainder(place + 1, "the animation"):
                yield sentence
            return
        if first[0] == _EXTENSION:
            place += 2
        elif first[0] == _IMAGE:
            place += 11 + _colours(data.at(place + 9, 1))
        else:
            yield f"damaged at byte {place}: no GIF block begins there"
            return
        while length := data.at(place, 1):
            place += 1 + length[0]
            if not length[0]:
                break
    yield "the file ends before the end of the animation: cut off"


def _colours(flags: bytes) -> int:
    """Bytes of the colour table that the flags announce."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0
