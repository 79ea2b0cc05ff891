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


class ScanProgress:
    """Counts finished files; shows nothing when stderr is no terminal or nobody wants it."""

    def __init__(self, total: int, *, wanted: bool) -> None:
        console = Console(file=sys.stderr)
        self._bar: Progress | None = None
        if wanted and console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("scanning"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
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
