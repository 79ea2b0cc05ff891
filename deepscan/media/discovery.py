"""Paths and globs -> the files to scan; see ``batch.name_lists`` for lists of names.

- Directories are walked in full. Hidden files count like any other, because a leading dot must not get a
  file past a gate, and links to directories are followed, each directory once.
- In a directory only media files are taken, told by their content. What cannot be looked at is taken, too: a
  file that may not be read, a link that leads nowhere or where nobody may look, a directory that cannot be
  listed, an entry that vanishes in between. All come back as ``unreadable`` and end nothing.
- A path that is named, on the command line or in a list, is always taken; globs exclude only what is found in
  directories. A path on the command line that does not exist is a mistake of the caller's; one in a list,
  which may have been made a while ago, is reported as ``unreadable``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from deepscan.errors import UsageError
from deepscan.media.sniff import is_media


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
        if _is_missing(path):
            raise UsageError(f"{path}: no such file or directory")
    found: dict[str, Path] = {}
    walk = _Walk(exclude)
    for path in (*paths, *listed):
        for file in walk.files(path) if _is_directory(path) else (path,):
            found.setdefault(os.path.abspath(file), file)
    return Survey(tuple(sorted(found.values(), key=str)), walk.left_out, walk.excluded)


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
            except OSError:
                yield directory
                continue
            entries, whole = _listed(directory)
            if not whole:
                yield directory
            for entry in entries:
                if self._is_excluded(entry, top):
                    self.excluded += 1
                elif _is_directory(entry):
                    pending.append(entry)
                elif _is_wanted(entry):
                    yield entry
                else:
                    self.left_out += 1

    def _is_excluded(self, entry: Path, top: Path) -> bool:
        below = entry.relative_to(top).as_posix()
        return any(
            fnmatchcase(below if "/" in pattern else entry.name, pattern.removeprefix("/"))
            for pattern in self._exclude
        )


def _listed(directory: Path) -> tuple[list[Path], bool]:
    """What a directory holds, sorted, and whether that is all of it."""
    names: list[str] = []
    try:
        with os.scandir(directory) as entries:
            names.extend(entry.name for entry in entries)
    except OSError:
        return [directory / name for name in sorted(names)], False
    return [directory / name for name in sorted(names)], True


def _is_missing(path: Path) -> bool:
    """There is certainly nothing of this name; where nobody may look, there may be something."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError:
        return False


def _is_wanted(entry: Path) -> bool:
    """Media, or a file of which nobody can tell; pipes, sockets and devices are none."""
    try:
        if not stat.S_ISREG(os.stat(entry).st_mode):
            return False
        if is_media(entry):
            return True
        with open(entry, "rb") as file:
            file.read(1)
    except OSError:
        return True
    return False
