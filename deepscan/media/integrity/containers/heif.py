"""HEIF, and so HEIC and AVIF: a list of items, each a picture or a part of one (ISO/IEC 23008-12)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from deepscan.media.integrity.containers.bytes_at import Bytes
from deepscan.media.integrity.containers.isobmff import boxes, walk_boxes

_CODED = frozenset({b"hvc1", b"av01", b"avc1", b"jpeg", b"j2k1", b"vvc1", b"unci", b"hev1", b"lhv1", b"evc1"})
_DERIVED = frozenset({b"grid", b"iovl", b"iden", b"tili"})
_BELONGS = frozenset({b"thmb", b"auxl", b"cdsc", b"base", b"prem"})
"""References from an item that is no picture of its own: a thumbnail, depth or alpha, a description."""
_MOST_ITEMS = 20_000


@dataclass
class Item:
    """``kind`` is that of its coding or derivation; ``extents``: where its content begins and ends."""

    kind: bytes
    hidden: bool = False
    extents: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Items:
    """What the ``meta`` box lists; ``references``: kind, from which item, to which."""

    primary: int = 0
    items: dict[int, Item] = field(default_factory=dict)
    references: list[tuple[bytes, int, int]] = field(default_factory=list)

    @property
    def pictures(self) -> list[int]:
        """Items that a viewer may show: neither hidden nor a part, a thumbnail or an auxiliary of another."""
        own = _CODED | _DERIVED
        parts = {to for kind, _, to in self.references if kind == b"dimg"}
        belongs = {by for kind, by, _ in self.references if kind in _BELONGS}
        return [
            number
            for number, item in self.items.items()
            if item.kind in own and not item.hidden and number not in parts | belongs
        ]

    def coding(self, number: int) -> set[bytes]:
        """How the picture, or what it is put together from, is coded."""
        seen, waiting, found = set[int](), [number], set[bytes]()
        while waiting:
            at = waiting.pop()
            if at in seen or at not in self.items:
                continue
            seen.add(at)
            found |= {self.items[at].kind} & _CODED
            waiting += [to for kind, by, to in self.references if kind == b"dimg" and by == at]
        return found


def read_items(data: Bytes) -> Items | None:
    """The items of a file; None where it is no still picture: no list, or a movie beside it."""
    top = {kind: (start, end) for kind, start, end in boxes(data, 0, data.size)}
    if b"meta" not in top or b"moov" in top:
        return None
    start, end = top[b"meta"]
    inside = {kind: data.at(at, to - at) for kind, at, to in boxes(data, start + 4, end)}
    if inside.get(b"hdlr", b"")[8:12] != b"pict":
        return None
    found = Items()
    primary = inside.get(b"pitm", b"")
    found.primary = int.from_bytes(primary[4:8] if primary[:1] == b"\1" else primary[4:6], "big")
    _read_info(found, inside.get(b"iinf", b""))
    _read_references(found, inside.get(b"iref", b""))
    _read_places(found, inside.get(b"iloc", b""))
    return found


def walk_heif(data: Bytes) -> Iterator[str]:
    """Boxes to the last byte, and every item's content within the file."""
    yield from walk_boxes(data)
    found = read_items(data)
    if found is None:
        yield "the list of pictures is damaged"
        return
    for number, item in found.items.items():
        if any(end > data.size for _, end in item.extents):
            yield f"the file ends before the end of its item {number}: cut off"
            return
    known = set(found.items)
    if missing := [to for kind, _, to in found.references if kind == b"dimg" and to not in known]:
        yield f"{len(missing)} parts of the picture are not in the file"


def _inside(content: bytes, place: int) -> Iterator[tuple[bytes, bytes]]:
    while place + 8 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        if length < 8:
            return
        yield content[place + 4 : place + 8], content[place + 8 : place + length]
        place += length


def _read_info(found: Items, content: bytes) -> None:
    first = 6 if content[:1] == b"\0" else 8
    for kind, entry in _inside(content, first):
        if kind != b"infe" or entry[:1] not in (b"\2", b"\3") or len(found.items) > _MOST_ITEMS:
            continue
        wide = 2 if entry[0] == 2 else 4
        if len(entry) < 10 + wide:  # cut short by damage: an item that nobody can read
            continue
        number = int.from_bytes(entry[4 : 4 + wide], "big")
        found.items[number] = Item(entry[6 + wide : 10 + wide], bool(entry[3] & 1))


def _read_references(found: Items, content: bytes) -> None:
    wide = 4 if content[:1] == b"\1" else 2
    for kind, entry in _inside(content, 4):
        numbers = [int.from_bytes(entry[at : at + wide], "big") for at in range(wide + 2, len(entry), wide)]
        by = int.from_bytes(entry[:wide], "big")
        found.references += [(kind, by, to) for to in numbers]


def _read_places(found: Items, content: bytes) -> None:
    version = content[0] if content else 9
    if version > 2 or len(content) < 8:
        return
    sizes = content[4] >> 4, content[4] & 15, content[5] >> 4, content[5] & 15 if version else 0
    wide = 4 if version == 2 else 2
    place = 6

    def take(size: int) -> int:
        nonlocal place
        place += size
        return int.from_bytes(content[place - size : place], "big")

    for _ in range(min(take(wide), _MOST_ITEMS)):
        item = found.items.get(take(wide))
        method = take(2) & 15 if version else 0
        take(2)
        base = take(sizes[2])
        for _ in range(min(take(2), _MOST_ITEMS)):
            take(sizes[3])
            start, length = take(sizes[0]) + base, take(sizes[1])
            if place > len(content):
                return
            if item is not None and method == 0:
                item.extents.append((start, start + length))
