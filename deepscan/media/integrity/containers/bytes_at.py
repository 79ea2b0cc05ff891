"""Reading a file at places, without holding it in memory."""

from __future__ import annotations

import os
import zlib
from typing import BinaryIO

FEW_BYTES = 64
"""What transfers and editors leave behind a file, line ends or padding; no picture of a face is as small."""
_BLOCK = 1 << 20


class Note(str):
    """A sentence on something odd that is no damage."""

    __slots__ = ()


class Bytes:
    """A file as a sequence of bytes; ``size`` is its length."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def at(self, place: int, count: int) -> bytes:
        """Up to ``count`` bytes from ``place``; fewer at the end of the file, none outside of it."""
        if not 0 <= place < self.size or count <= 0:
            return b""
        self._file.seek(place)
        return self._file.read(count)

    def crc32(self, start: int, end: int) -> int:
        """CRC-32 of the bytes from ``start`` up to ``end``."""
        value = 0
        while start < end and (block := self.at(start, min(_BLOCK, end - start))):
            value = zlib.crc32(block, value)
            start += len(block)
        return value

    def remainder(self, start: int, what: str, end: int | None = None) -> str | None:
        """A sentence on the bytes from ``start`` to ``end``, or to the end of the file.

        None if there are none, or padding of zeros; a ``Note`` if they are too few to hold a picture.
        """
        end = self.size if end is None else end
        left = end - start
        place = start
        while place < end and (block := self.at(place, min(_BLOCK, end - place))):
            if block.count(0) != len(block):
                if left <= FEW_BYTES:
                    return Note(f"{left} byte(s) follow after the end of {what}: too few to hold a picture")
                return f"{left} bytes follow after the end of {what} and were not looked at"
            place += len(block)
        return None
