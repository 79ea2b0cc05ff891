"""Rows of pixels behind a header: BMP, the portable maps (PBM, PGM, PPM, PFM), Targa."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deepscan.media.integrity.containers.bytes_at import Bytes

_CUT_OFF = "the file ends before the end of the picture: cut off"
_HEADER_BYTES = 4096
_TEXT_BYTES = 256 << 20


def _ends_at(data: Bytes, end: int) -> Iterator[str]:
    if end > data.size:
        yield _CUT_OFF
    elif sentence := data.remainder(end, "the picture"):
        yield sentence


def walk_bitmap(data: Bytes) -> Iterator[str]:
    """BMP: as many bytes as the header's size of the picture takes."""
    head = data.at(0, 138)
    number = [int.from_bytes(head[place : place + 4], "little", signed=True) for place in range(len(head))]
    if len(number) < 54:
        yield _CUT_OFF
        return
    first, header = number[10], number[14]
    if header == 12:
        width, height, bits = number[18] & 0xFFFF, number[20] & 0xFFFF, number[24] & 0xFFFF
        packed, stated = 0, 0
    else:
        width, height, bits = number[18], abs(number[22]), number[28] & 0xFFFF
        packed, stated = number[30], number[34]
    rows = (width * bits + 31) // 32 * 4 * height
    end = first + (stated if packed in (1, 2, 4, 5) else rows)
    if header >= 124 and len(number) >= 132:  # a colour profile, counted from the header's own place
        end = max(end, 14 + number[126] + number[130]) if number[130] else end
    yield from _ends_at(data, end)


def walk_portable_map(data: Bytes) -> Iterator[str]:
    """One picture, with all its rows."""
    head = data.at(0, _HEADER_BYTES)
    kind = head[:2]
    count = 2 if kind in (b"P1", b"P4") else 3
    space = rb"(?:\s|#[^\n]*\n)"
    found = re.match(rb"P[1-6f]" + (space + rb"+([-\d.]+)") * count + rb"\s", head)
    if found is None:
        yield "the header is damaged"
        return
    width, height = int(float(found.group(1))), int(float(found.group(2)))
    most = 1.0 if count == 2 else float(found.group(3))
    if kind in (b"P1", b"P2", b"P3"):
        yield from _plain(data, found.end(), kind, width * height)
        return
    row = {b"P4": (width + 7) // 8, b"P5": width, b"P6": 3 * width, b"Pf": 4 * width}[kind]
    deep = 2 if kind != b"Pf" and most > 255 else 1
    yield from _ends_at(data, found.end() + row * height * deep)


def _plain(data: Bytes, start: int, kind: bytes, pixels: int) -> Iterator[str]:
    """Numbers written out as text."""
    text = re.sub(rb"#[^\n]*", b"", data.at(start, _TEXT_BYTES))
    values = len(re.sub(rb"\s", b"", text)) if kind == b"P1" else len(text.split())
    wanted = pixels * (3 if kind == b"P3" else 1)
    if values < wanted:
        yield _CUT_OFF
    elif values > wanted or data.size - start > _TEXT_BYTES:
        yield "more follows after the end of the picture and was not looked at"


def walk_targa(data: Bytes) -> Iterator[str]:
    """All pixels, packed or not; what the footer speaks of may follow."""
    head = data.at(0, 18)
    if len(head) < 18:
        yield _CUT_OFF
        return
    place = 18 + head[0]
    if head[1]:
        place += int.from_bytes(head[5:7], "little") * ((head[7] + 7) // 8)
    size = (head[16] + 7) // 8
    pixels = int.from_bytes(head[12:14], "little") * int.from_bytes(head[14:16], "little")
    end = _packed_end(data, place, pixels, size) if head[2] & 8 else place + pixels * size
    footer = data.at(data.size - 26, 26)
    if end > data.size or footer[8:] != b"TRUEVISION-XFILE.\0":
        yield from _ends_at(data, end)
        return
    more = [int.from_bytes(footer[at : at + 4], "little") for at in (0, 4)]
    listed = min((place for place in more if place), default=data.size - 26)
    if sentence := data.remainder(end, "the picture", listed):
        yield sentence


def _packed_end(data: Bytes, place: int, pixels: int, size: int) -> int:
    content, at = data.at(place, data.size), 0
    while pixels > 0 and at < len(content):
        run = (content[at] & 127) + 1
        at += 1 + size * (1 if content[at] & 128 else run)
        pixels -= run
    return place + at if pixels <= 0 else data.size + 1
