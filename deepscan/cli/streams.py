"""The three standard streams and the width of the terminal, made fit for use."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from contextlib import suppress

NARROWEST = 20
"""Columns that text is laid out for at least; a narrower terminal wraps it by itself."""


def prepare() -> None:
    """See to it that a closed stream, or a character that its encoding lacks, ends no run."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # Else a file that is opened later, here or in a worker, would be taken for the stream.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def fit_columns(environment: MutableMapping[str, str]) -> None:
    """Rich and Typer lay out for ``COLUMNS`` whatever it says, nothing at all for 0."""
    columns = environment.get("COLUMNS", "").strip()
    if not columns:
        return
    if not columns.isdigit() or int(columns) == 0:
        del environment["COLUMNS"]
    elif int(columns) < NARROWEST:
        environment["COLUMNS"] = str(NARROWEST)


def flushed() -> OSError | None:
    """Write out what waits for stdout; the error where that fails, after which nothing waits any more."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        with suppress(OSError, ValueError):  # Python tries again at its end, and complains
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        return error
    return None
