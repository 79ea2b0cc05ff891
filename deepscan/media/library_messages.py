"""What a library written in C prints on standard error, kept from the terminal."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterator

_STDERR = 2
_lock = threading.Lock()


@contextlib.contextmanager
def overheard(listen: bool = True) -> Iterator[list[str]]:
    """Collects the lines that arrive on standard error while the block runs; they are there when it ends.

    Nothing happens without ``listen``.

    libtiff has no other way to say that a strip is damaged which it then decodes as well as it can.
    """
    lines: list[str] = []
    if not listen:
        yield lines
        return
    with _lock, tempfile.TemporaryFile() as file:
        try:
            before = os.dup(_STDERR)
        except OSError:  # closed
            yield lines
            return
        os.dup2(file.fileno(), _STDERR)
        try:
            yield lines
        finally:
            os.dup2(before, _STDERR)
            os.close(before)
            file.seek(0)
            lines += [line for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
