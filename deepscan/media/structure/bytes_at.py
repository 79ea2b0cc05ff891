"""Reading a file at places, without holding it in memory."""

from __future__ import annotations

import os
import zlib
from typing import BinaryIO

_BLOCK = 1 << 20


class Bytes:
    """A file as a sequence of bytes; ``size`` is its length."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def at(self, place: int, count: int) -> bytes:
        """Up to ``count`` bytes from ``place``; fewer at the end of the file."""
        self._file.seek(place)
        return self._file.read(count)

    def crc32(self, start: int, end: int) -> int:
        """CRC-32 of the bytes from ``start`` up to ``end``."""
        value = 0
        while start < end and (block := self.at(start, min(_BLOCK, end - start))):
            value = zlib.crc32(block, value)
            start += len(block)
        return value

    def remainder(self, start: int, what: str) -> str | None:
        """A sentence on the bytes from ``start`` to the end; None if there are none, or padding of zeros."""
        left = self.size - start
        place = start
        while place < self.size and (block := self.at(place, _BLOCK)):
            if block.count(0) != len(block):
                return f"{left} bytes follow after the end of {what} and were not looked at"
            place += len(block)
        return None
