"""AVI and WebP: chunks of a type and a length, in lists (RIFF)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deepscan.media.integrity.containers.bytes_at import Bytes

_INDEX_ENTRY_BYTES = 16
_CHUNK = re.compile(rb"[A-Za-z0-9_ ]{4}")
_WEBP_CHUNKS = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP "}
"""Decoders pass over other chunks: a frame whose name is damaged would be gone without a word."""


def walk_riff(data: Bytes) -> Iterator[str]:
    """One file form and its continuations (OpenDML), every chunk within its list."""
    place = 0
    while place < data.size:
        head = data.at(place, 12)
        follows = head[:4] == b"RIFF" and (place == 0 or head[8:12] == b"AVIX")
        if not follows and head[:4] not in (b"JUNK", b"idx1"):
            if sentence := data.remainder(place, "the file form"):
                yield sentence
            return
        end = place + 8 + int.from_bytes(head[4:8], "little")
        if end > data.size:
            yield f"the file ends {end - data.size} bytes before its declared end: cut off"
            return
        if follows and (sentence := _chunks(data, place + 12, end)):
            yield sentence
        if head[8:12] == b"WEBP":
            yield from _unknown_webp_chunks(data, place + 12, end)
        place = end + end % 2


def _unknown_webp_chunks(data: Bytes, place: int, end: int) -> Iterator[str]:
    while place < end - 8:
        head = data.at(place, 8)
        if head[:4] not in _WEBP_CHUNKS and _CHUNK.fullmatch(head[:4]):
            yield f"the part {head[:4].decode('ascii')!r} at byte {place} is not known and was not looked at"
        length = int.from_bytes(head[4:8], "little")
        place += 8 + length + length % 2


def _chunks(data: Bytes, place: int, end: int) -> str | None:
    """What is wrong with the chunks of a form, those in its lists included."""
    ends = [end]
    movie = 0
    while ends:
        if place >= ends[-1] - 1:  # the last chunk may lack its padding
            place = max(place, ends.pop())
            continue
        head = data.at(place, 8)
        length = int.from_bytes(head[4:8], "little")
        past = place + 8 + length
        if not _CHUNK.fullmatch(head[:4]) or past > ends[-1]:
            return f"damaged at byte {place}: no chunk begins there"
        if head[:4] == b"LIST":
            movie = movie or (place + 8 if data.at(place + 8, 4) == b"movi" else 0)
            ends.append(past + length % 2)
            place += 12
        else:
            if head[:4] == b"idx1" and not _index_fits(data, place + 8, past, movie):
                return "the index does not fit the frames: some would be passed over"
            place = past + length % 2
    return None


def _index_fits(data: Bytes, place: int, end: int, movie: int) -> bool:
    """Does every entry of an AVI index name a chunk that is there? Places count from ``movie`` or from 0."""
    entries = [data.at(entry, 12) for entry in range(place, end - 15, _INDEX_ENTRY_BYTES)]
    places = [(entry[:4], int.from_bytes(entry[8:12], "little")) for entry in entries]
    return any(all(data.at(base + at, 4) == kind for kind, at in places) for base in (movie, 0))
