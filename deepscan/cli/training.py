"""What the commands around training share: their arguments, a counted progress bar, the extra's check."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from deepscan.errors import UsageError

Corpora = Annotated[
    list[Path],
    typer.Argument(
        metavar="CORPUS...",
        exists=True,
        help="CSV (file,label,identity,source,licence,kind), folder with real/ and fake/, or a known corpus.",
    ),
]
Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", metavar="PATTERN", help="Only files of these kinds, such as '*c23'."),
]
EXTRA = ("torch", "onnx", "safetensors", "scipy", "tomli_w")


class Counted:
    """Lines on stderr, under them a bar where somebody is watching; ``said`` counts one item."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar

    def said(self, line: str) -> None:
        """Print one item's line and count it."""
        if self._bar is None:
            typer.echo(line, err=True)
            return
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._bar.advance(self._bar.task_ids[0])


@contextmanager
def counted(what: str, total: int) -> Iterator[Counted]:
    """A bar over ``total`` items; without a terminal its lines alone."""
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield Counted(None)
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bar:
        bar.add_task(what, total=total)
        yield Counted(bar)


def need_extra(*more: str) -> None:
    """Raises UsageError where the ``train`` extra is not installed."""
    missing = [name for name in (*EXTRA, *more) if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"training needs {', '.join(missing)}; install it with `pip install 'deepscan[train]'`."
        )
