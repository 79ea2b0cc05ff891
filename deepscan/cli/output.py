"""Where results go: stdout, or a file that appears only when it is complete."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from deepscan.errors import UsageError


def check_writable(path: Path) -> None:
    """Whether ``opened`` will do, before hours are spent on what shall be written. Raises UsageError."""
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise UsageError(f"{path}: this file cannot be written; choose another folder or name")


@contextmanager
def opened(path: Path | None) -> Iterator[TextIO]:
    """A stream for the results.

    A file is written under a temporary name beside ``path`` and moved into place at the end; when the run
    fails, ``path`` is as it was before. A link is followed, and a device or pipe is written directly, because
    neither must be replaced by a file.

    Raises:
        UsageError: ``path`` cannot be written.
    """
    if path is None:
        yield sys.stdout
        return
    if path.is_dir():
        raise UsageError(f"{path}: the report cannot be written here, this is a directory")
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", newline="\n") as stream:
            yield stream
        return
    path = path.resolve()
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:64]}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise UsageError(f"{path}: the report cannot be written here ({error.strerror})") from error
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as stream:
            yield stream
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
