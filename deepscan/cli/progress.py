"""A progress bar on stderr, where somebody is watching."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

ROOMY_COLUMNS = 72
"""Columns from which a bar fits on one line; where there are fewer, the count stands alone."""


class ScanProgress:
    """Counts finished files; shows nothing when stderr is no terminal or nobody wants it."""

    def __init__(self, total: int, *, wanted: bool) -> None:
        self._bar: Progress | None = None
        if not wanted or sys.stderr is None:
            return
        console = Console(file=sys.stderr)
        if console.is_terminal:
            roomy = console.width >= ROOMY_COLUMNS
            self._bar = Progress(
                *([SpinnerColumn(), TextColumn("scanning"), BarColumn()] if roomy else []),
                MofNCompleteColumn(),
                *([TimeRemainingColumn()] if roomy else []),
                console=console,
                transient=True,
                # Results are printed to stdout, which need not be the terminal that shows the bar.
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._bar.add_task("scanning", total=total)

    def __enter__(self) -> ScanProgress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    @contextmanager
    def file_done(self) -> Iterator[None]:
        """Take the bar away while a result is printed; both may share one terminal."""
        if not self._bar:
            yield
            return
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.advance(self._task)
            self._bar.start()
