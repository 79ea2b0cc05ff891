"""Where results go: stdout, or a file that appears only when it is complete."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TextIO

from deepscan.errors import UsageError


def check_writable(path: Path) -> None:
    """Whether ``opened`` will do, before hours are spent on what shall be written. Raises UsageError."""
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise UsageError(f"{path}: this file cannot be written; choose another folder or name")


class _Output(io.TextIOWrapper):
    """A text stream to a file or device; raises UsageError, which names it, where it cannot be written."""

    def __init__(self, path: Path, binary: IO[bytes]) -> None:
        super().__init__(binary, encoding="utf-8", newline="\n")
        self._path = path
        self._failed = False

    def write(self, text: str, /) -> int:
        """As ``TextIO.write``."""
        with self._named():
            return len(text) if self._failed else super().write(text)

    def flush(self) -> None:
        """As ``TextIO.flush``."""
        with self._named():
            if not self._failed:
                super().flush()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._failed = True  # what waits in the buffer would fail once more, and hide this error
            raise UsageError(f"{self._path}: this file cannot be written ({error.strerror})") from error


@contextmanager
def opened(path: Path | None) -> Iterator[TextIO]:
    """A stream for the results.

    A file is written under a temporary name beside ``path`` and moved into place at the end; when the run
    fails, ``path`` is as it was before. A link is followed, and a device or pipe is written directly, because
    neither must be replaced by a file.

    Raises:
        UsageError: ``path`` cannot be written, or there is no standard output.
    """
    if path is None:
        if sys.stdout is None:
            raise UsageError("standard output is closed: nobody would see the report; name a file with -o")
        yield sys.stdout
        return
    try:
        special = path.exists() and not path.is_file()
        if path.is_dir():
            raise UsageError(f"{path}: the report cannot be written here, this is a directory")
        path = path if special else path.resolve()
        if special:
            name, binary = None, path.open("wb")
        else:
            handle, name = tempfile.mkstemp(prefix=f".{path.name[:64]}.", suffix=".part", dir=path.parent)
            binary = os.fdopen(handle, "wb")
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: the report cannot be written here ({reason})") from error
    try:
        stream = _Output(path, binary)
        yield stream
        stream.flush()
        stream.close()
        if name is not None:
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
    except BaseException:
        with suppress(OSError, ValueError):
            binary.close()
        if name is not None:
            with suppress(OSError):
                os.unlink(name)
        raise


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
