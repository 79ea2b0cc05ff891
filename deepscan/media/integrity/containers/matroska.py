"""Matroska and WebM: elements of an ID, a length and a content, nested (RFC 8794, RFC 9559)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from deepscan.media.integrity.containers.bytes_at import Bytes

_EBML, _SEGMENT, _CLUSTER, _TRACKS = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0x1654AE6B
_CRC, _VOID, _BLOCK_GROUP, _BLOCK, _SIMPLE_BLOCK = 0xBF, 0xEC, 0xA0, 0xA1, 0xA3
_ANYWHERE = {_CRC, _VOID}
_TOP = {0x114D9B74, 0x1549A966, _TRACKS, _CLUSTER, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367, *_ANYWHERE}
# Timestamp, SilentTracks, Position, PrevSize, SimpleBlock, BlockGroup, EncryptedBlock
_IN_CLUSTER = {0xE7, 0x5854, 0xA7, 0xAB, _SIMPLE_BLOCK, _BLOCK_GROUP, 0xAF, *_ANYWHERE}
_CHECKED_BYTES = 64 << 20


@dataclass(frozen=True)
class _Element:
    """``end`` is None where the length is left open (live recordings)."""

    kind: int
    start: int
    content: int
    end: int | None


def walk_matroska(data: Bytes) -> Iterator[str]:
    """One EBML header, one segment, in it only what belongs there, check sums where there are any."""
    header = _element(data, 0)
    segment = _element(data, header.end or data.size) if header else None
    if header is None or header.kind != _EBML or segment is None or segment.kind != _SEGMENT:
        yield "the Matroska header is damaged"
        return
    end = data.size if segment.end is None else segment.end
    if end > data.size:
        yield f"the file ends {end - data.size} bytes before its declared end: cut off"
        return
    yield from _segment(data, segment.content, end)
    if sentence := data.remainder(end, "the movie"):
        yield sentence


def _segment(data: Bytes, place: int, end: int) -> Iterator[str]:
    while place < end:
        element = _element(data, place)
        if element is None or element.kind not in _TOP:
            yield f"damaged at byte {place}: no Matroska element begins there"
            return
        if element.end is not None and element.end > end:
            yield f"damaged at byte {place}: an element reaches past the end of the movie"
            return
        if element.kind != _CLUSTER:
            yield from _checksum(data, element)
            place = end if element.end is None else element.end
            continue
        yield from _checksum(data, element)
        inside = _cluster(data, element, end)
        if isinstance(inside, str):
            yield inside
            return
        place = inside


def _cluster(data: Bytes, cluster: _Element, segment_end: int) -> int | str:
    """Where the cluster ends, or what is wrong with it."""
    place, end = cluster.content, segment_end if cluster.end is None else cluster.end
    while place < end:
        element = _element(data, place)
        if element is not None and cluster.end is None and element.kind in _TOP - _ANYWHERE:
            return place
        if element is None or element.kind not in _IN_CLUSTER or element.end is None or element.end > end:
            return f"damaged at byte {place}: no Matroska block begins there"
        place = element.end
    return place


def _checksum(data: Bytes, element: _Element) -> Iterator[str]:
    if element.end is None or element.end - element.content > _CHECKED_BYTES:
        return
    head = data.at(element.content, 6)
    if head[:2] != b"\xbf\x84" or element.kind in _ANYWHERE:
        return
    if data.crc32(element.content + 6, element.end) != int.from_bytes(head[2:6], "little"):
        yield f"damaged between bytes {element.start} and {element.end}: the check sum does not match"


def _element(data: Bytes, place: int) -> _Element | None:
    """The element that begins at ``place``; None if none can."""
    head = data.at(place, 12)
    id_bytes = _coded_length(head[:1])
    if not 1 <= id_bytes <= 4 or len(head) <= id_bytes:
        return None
    size_bytes = _coded_length(head[id_bytes : id_bytes + 1])
    if not 1 <= size_bytes <= 8 or len(head) < id_bytes + size_bytes:
        return None
    size = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big") & (1 << 7 * size_bytes) - 1
    content = place + id_bytes + size_bytes
    open_end = size == (1 << 7 * size_bytes) - 1
    return _Element(
        int.from_bytes(head[:id_bytes], "big"), place, content, None if open_end else content + size
    )


def _coded_length(first: bytes) -> int:
    """Bytes of a number, from the leading zeros of its first byte; 9 where there are too many."""
    return 9 - first[0].bit_length() if first else 9
