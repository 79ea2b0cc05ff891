"""PNG: chunks with check sums, from IHDR to IEND."""

from __future__ import annotations

from collections.abc import Iterator

from deepscan.media.integrity.containers.bytes_at import Bytes


def walk_png(data: Bytes) -> Iterator[str]:
    """Every chunk with the right check sum, nothing after the last."""
    place = 8
    while place < data.size:
        head = data.at(place, 8)
        end = place + 8 + int.from_bytes(head[:4], "big")
        stored = data.at(end, 4)
        if len(stored) < 4:
            break
        if data.crc32(place + 4, end) != int.from_bytes(stored, "big"):
            yield f"damaged between bytes {place} and {end + 4}: the check sum does not match"
            return
        place = end + 4
        if head[4:8] == b"IEND":
            if sentence := data.remainder(place, "the picture"):
                yield sentence
            return
    yield "the file ends before the end of the picture: cut off"
