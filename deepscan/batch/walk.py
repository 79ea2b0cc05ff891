"""Paths, lists of names and globs -> the files to scan.

- Directories are walked in full. Hidden files count like any other, because a leading dot must not get a
  file past a gate, and links to directories are followed, each directory once.
- In a directory only media files are taken, told by their content. A file that cannot be read is taken too,
  and so is a directory that cannot be listed: both come back as ``unreadable`` instead of being passed over.
- A path that is named, on the command line or in a list, is always taken; globs exclude only what is found in
  directories. A path on the command line that does not exist is a mistake of the caller's; one in a list,
  which may have been made a while ago, is reported as ``unreadable``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from deepscan.errors import UsageError
from deepscan.media import is_media

STDIN = Path("-")


@dataclass(frozen=True)
class Survey:
    """What the given paths hold.

    Attributes:
        files: to scan, sorted, each once; a directory that cannot be listed stands for itself.
        left_out: files in walked directories that are no media.
        excluded: files and directories that a glob kept out; what such a directory holds is not counted.
    """

    files: tuple[Path, ...]
    left_out: int
    excluded: int = 0


def survey(paths: Sequence[Path], *, listed: Sequence[Path] = (), exclude: Sequence[str] = ()) -> Survey:
    """Walk the given paths.

    Args:
        paths: from the command line.
        listed: from a list of names; these need not exist.
        exclude: globs for what is found in directories. One without ``/`` is compared with the name of every
            file and directory, one with ``/`` with the path below the given directory; ``*`` matches ``/``.

    Raises:
        UsageError: one of ``paths`` does not exist.
    """
    for path in paths:
        if not os.path.lexists(path):
            raise UsageError(f"{path}: no such file or directory")
    found: dict[str, Path] = {}
    walk = _Walk(exclude)
    for path in (*paths, *listed):
        for file in walk.files(path) if path.is_dir() else (path,):
            found.setdefault(os.path.abspath(file), file)
    return Survey(tuple(sorted(found.values(), key=str)), walk.left_out, walk.excluded)


def read_names(source: Path) -> list[Path]:
    """The paths that a list names, one a line, or separated by NUL when there is a NUL in it.

    Names are bytes, as ``find`` writes them: they need not be UTF-8. ``-`` reads standard input.

    Raises:
        UsageError: the list cannot be read.
    """
    try:
        data = sys.stdin.buffer.read() if source == STDIN else source.read_bytes()
    except OSError as error:
        raise UsageError(f"{source}: this list of files cannot be read ({error.strerror})") from error
    if b"\0" in data:
        names = data.split(b"\0")
    else:
        names = data.split(b"\n")
        if all(name.endswith(b"\r") for name in names if name):  # written on Windows
            names = [name.removesuffix(b"\r") for name in names]
    return [Path(os.fsdecode(name)) for name in names if name]


class _Walk:
    """Depth-first walk that enters each directory once, whatever links lead to it."""

    def __init__(self, exclude: Sequence[str]) -> None:
        self.left_out = 0
        self.excluded = 0
        self._exclude = [pattern.rstrip("/") for pattern in exclude]
        self._entered: set[tuple[int, int]] = set()

    def files(self, top: Path) -> Iterator[Path]:
        pending = [top]
        while pending:
            directory = pending.pop()
            try:
                status = directory.stat()
                if (status.st_dev, status.st_ino) in self._entered:
                    continue
                self._entered.add((status.st_dev, status.st_ino))
                entries = sorted(directory.iterdir())
            except OSError:
                yield directory
                continue
            for entry in entries:
                if self._is_excluded(entry, top):
                    self.excluded += 1
                elif entry.is_dir():
                    pending.append(entry)
                elif entry.is_file() and (not os.access(entry, os.R_OK) or is_media(entry)):
                    yield entry
                else:
                    self.left_out += 1

    def _is_excluded(self, entry: Path, top: Path) -> bool:
        below = entry.relative_to(top).as_posix()
        return any(
            fnmatchcase(below if "/" in pattern else entry.name, pattern.removeprefix("/"))
            for pattern in self._exclude
        )
