"""JPEG 2000: a codestream of tiles, alone or in boxes (ISO/IEC 15444-1, annexes A and I)."""

from __future__ import annotations

from collections.abc import Iterator

from deepscan.media.integrity.containers.bytes_at import Bytes
from deepscan.media.integrity.containers.isobmff import boxes, walk_boxes

_START, _TILE, _END = b"\xff\x4f", b"\xff\x90", b"\xff\xd9"
_CUT_OFF = "the file ends before the end of the picture: cut off"


def walk_jpeg2000(data: Bytes) -> Iterator[str]:
    """One codestream, with every tile and its end marker."""
    if data.at(0, 2) == _START:
        yield from _codestream(data, 0, data.size)
        return
    wrong = list(walk_boxes(data))
    yield from wrong
    streams = [(start, end) for kind, start, end in boxes(data, 0, data.size) if kind == b"jp2c"]
    if len(streams) > 1:
        yield "another picture follows in this file and was not looked at"
    if not streams:
        yield "the file holds no picture"
    elif not wrong:
        yield from _codestream(data, *streams[0])


def _codestream(data: Bytes, start: int, end: int) -> Iterator[str]:
    place = start + 2
    while (marker := data.at(place, 2)) != _END:
        if len(marker) < 2 or marker[0] != 0xFF or place >= end:
            yield _CUT_OFF if place >= end - 1 else f"damaged at byte {place}: no JPEG 2000 marker is there"
            return
        if marker == _TILE:
            length = int.from_bytes(data.at(place + 6, 4), "big")
            if length == 0:  # the last tile may leave its length open
                place = end - 2
                continue
            place += length
        else:
            place += 2 + int.from_bytes(data.at(place + 2, 2), "big")
    if sentence := data.remainder(place + 2, "the picture", end):
        yield sentence
