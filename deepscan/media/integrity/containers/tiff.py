"""TIFF: directories of tags, each of one page, in a chain (TIFF 6.0; BigTIFF)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deepscan.media.integrity.containers.bytes_at import Bytes

_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}
_KIND, _PHOTOMETRIC, _STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES = 254, 262, 273, 279, 324, 325
_SUB_PAGES, _DNG_VERSION = 330, 50706
_COMPRESSION, _DEFLATE, _BLOCK = 259, {8, 32946}, 1 << 20
_METADATA = (34665, 34853, 40965)  # directories of EXIF, GPS and interoperability
_SENSOR = (32803, 34892)  # colour filter array, linear raw
_MOST_PAGES, _MOST_VALUES = 10_000, 1 << 20


@dataclass(frozen=True)
class Page:
    """Tags of one directory: their numbers; long ones that are not numbers are empty."""

    tags: dict[int, Sequence[int]]

    @property
    def reduced(self) -> bool:
        """A smaller copy of another page."""
        return bool(next(iter(self.tags.get(_KIND, (0,))), 0) & 1)


class _Reader:
    def __init__(self, data: Bytes) -> None:
        self._data = data
        head = data.at(0, 16)
        self._order: str = "little" if head[:2] == b"II" else "big"
        self._big = self.number(head[2:4]) == 43
        self._width = 8 if self._big else 4
        self.end = 8
        self.first = self.number(head[8:16] if self._big else head[4:8])

    def number(self, content: bytes) -> int:
        return int.from_bytes(content, "little" if self._order == "little" else "big")

    def page(self, place: int) -> tuple[Page, int] | None:
        """The directory at ``place`` and where the next one is (0: none); None if none can be there."""
        wide = 8 if self._big else 2
        count = self.number(self._data.at(place, wide))
        entry, step = place + wide, 20 if self._big else 12
        after = self._data.at(entry + count * step, self._width)
        if not 0 < count < 5000 or len(after) < self._width:
            return None
        self.end = max(self.end, entry + count * step + self._width)
        tags = {}
        for at in range(entry, entry + count * step, step):
            raw = self._data.at(at, step)
            tags[self.number(raw[:2])] = self._values(raw)
        return Page(tags), self.number(after)

    def _values(self, raw: bytes) -> Sequence[int]:
        size = _SIZES.get(self.number(raw[2:4]), 0)
        count = self.number(raw[4 : 4 + self._width])
        value = raw[4 + self._width :]
        if size * count > self._width:
            self.end = max(self.end, self.number(value) + size * count)
        if size not in (1, 2, 4, 8) or count > _MOST_VALUES:
            return ()
        if size * count > self._width:
            value = self._data.at(self.number(value), size * count)
        return [self.number(value[n * size : (n + 1) * size]) for n in range(count)]


def pages(data: Bytes, reader: _Reader | None = None) -> Iterator[Page | None]:
    """Every page in the chain; None in the end where the chain is broken."""
    reader, seen = reader or _Reader(data), set[int]()
    place = reader.first
    while place and len(seen) < _MOST_PAGES:
        found = None if place in seen else reader.page(place)
        if found is None:
            yield None
            return
        seen.add(place)
        page, place = found
        yield page


def is_camera_raw(data: Bytes) -> bool:
    """What a camera's sensor saw, with small previews in front: no picture yet."""
    page = next(pages(data), None)
    if page is None:
        return False
    raw = page.tags.get(_PHOTOMETRIC, [0])[:1] in ([_SENSOR[0]], [_SENSOR[1]])
    return raw or _DNG_VERSION in page.tags or (page.reduced and _SUB_PAGES in page.tags)


def _coded(page: Page) -> list[tuple[int, int]]:
    """Where each strip or tile begins and ends."""
    return [
        (start, start + length)
        for places, sizes in ((_STRIPS, _STRIP_BYTES), (_TILES, _TILE_BYTES))
        for start, length in zip(page.tags.get(places, ()), page.tags.get(sizes, ()), strict=False)
    ]


def _checksums(data: Bytes, page: Page) -> str | None:
    """Deflated strips carry a check sum, which libtiff does not look at."""
    for start, end in _coded(page):
        inflate = zlib.decompressobj()
        try:
            for place in range(start, end, _BLOCK):
                content = data.at(place, min(_BLOCK, end - place))
                while content and not inflate.eof:
                    inflate.decompress(content, _BLOCK)
                    content = inflate.unconsumed_tail
        except zlib.error:
            return f"damaged between bytes {start} and {end}: the check sum does not match"
        if not inflate.eof:
            return f"damaged between bytes {start} and {end}: the end is missing"
    return None


def walk_tiff(data: Bytes) -> Iterator[str]:
    """Every page of the chain with all its strips or tiles, no picture below a page, none behind the last."""
    reader, end = _Reader(data), 0
    for number, page in enumerate(pages(data, reader), start=1):
        if page is None:
            yield f"the list of pages is damaged after {number - 1}: others may follow"
            return
        end = max([end, *(part_end for _, part_end in _coded(page))])
        if end > data.size:
            yield f"the file ends before the end of page {number}: cut off"
            return
        if set(page.tags.get(_COMPRESSION, ())) & _DEFLATE and (sentence := _checksums(data, page)):
            yield sentence
        for place in page.tags.get(_SUB_PAGES, ()):
            below = reader.page(place)
            if below is None or not below[0].reduced:
                yield f"page {number} holds a further picture, which was not looked at"
            else:
                end = max([end, *(part_end for _, part_end in _coded(below[0]))])
        for kind in _METADATA:
            for place in page.tags.get(kind, ()):
                reader.page(place)
    if sentence := data.remainder(max(end, reader.end), "the last page"):
        yield sentence
