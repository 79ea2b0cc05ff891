"""MP4 and QuickTime: boxes of a length and a type, side by side (ISO/IEC 14496-12, 4.2)."""

from __future__ import annotations

from collections.abc import Iterator

from deepscan.media.integrity.containers.bytes_at import Bytes

_NAME = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_\xa9")


def boxes(data: Bytes, place: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Boxes side by side: kind, where the content begins and ends; until one does not fit."""
    while place + 8 <= end:
        head = data.at(place, 16)
        length, kind, content = int.from_bytes(head[:4], "big"), head[4:8], place + 8
        if length == 1:
            length, content = int.from_bytes(head[8:16], "big"), place + 16
        elif length == 0:
            length = end - place
        if place + length > end or place + length < content:
            return
        yield kind, content, place + length
        place += length


def walk_boxes(data: Bytes) -> Iterator[str]:
    """Boxes from the first to the last byte, with one index and one beginning."""
    place, index_seen, movie_seen, pictures_seen = 0, False, False, False
    while place < data.size:
        head = data.at(place, 16)
        length, kind = int.from_bytes(head[:4], "big"), head[4:8]
        shortest = 8
        if length == 1:
            length, shortest = int.from_bytes(head[8:16], "big"), 16
        elif length == 0:
            length = data.size - place  # the last box may leave its length open
        if length < shortest or len(kind) < 4 or not _NAME.issuperset(kind):
            if sentence := data.remainder(place, "the movie"):
                yield sentence
            return
        name = kind.decode("latin-1").strip()
        if place + length > data.size:
            missing = place + length - data.size
            yield f"the file ends {missing} bytes before the end of its box '{name}': cut off"
            return
        if (kind == b"moov" and movie_seen) or (kind == b"ftyp" and pictures_seen and index_seen):
            yield f"another movie begins after {place} bytes and was not looked at"
            return
        index_seen |= kind in (b"moov", b"meta")
        movie_seen |= kind == b"moov"
        pictures_seen |= kind in (b"mdat", b"moof")
        place += length
