"""What the commands around training share: arguments and their checks, a counted progress bar."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepscan.errors import UsageError

if TYPE_CHECKING:
    from rich.progress import Progress

    from deepscan.faces.mesh import FaceMesh
    from deepscan.faces.tracker import FaceEngine

Corpora = Annotated[
    list[Path],
    typer.Argument(
        metavar="CORPUS",
        exists=True,
        help="A CSV table with the columns file and label (real or fake) at least; a folder with real/ and "
        "fake/ in it; or the folder of a known corpus.",
    ),
]
Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        metavar="PATTERN",
        help="Only files whose kind (forger and compression, by table or corpus) matches, such as `*c23`; "
        "may be repeated.",
    ),
]
Cache = Annotated[
    Path,
    typer.Option("--cache", metavar="DIR", help="Folder of prepared faces, which `train prepare` fills."),
]
ValidateOn = Annotated[
    list[str] | None,
    typer.Option(
        "--validate-on",
        metavar="PATTERN",
        help="Keep people or sources with matching names out of training, to validate on; may be repeated.",
    ),
]
ValidateShare = Annotated[
    float,
    typer.Option(
        min=0,
        max=0.9,
        help="Keep this share of the people out of training, to validate on; the choice depends on their "
        "names alone.",
    ),
]
WeightsFolder = Annotated[Path, typer.Option("--weights", metavar="DIR", help="Weights folder to write to.")]
Licence = Annotated[
    str, typer.Option("--licence", help="Licence of the new model, for the manifest and its model card.")
]
TUNED = "gend"
EXTRA = ("torch", "onnx", "safetensors", "scipy", "sklearn", "tomli_w")


class Counted:
    """Lines on stderr, under them a bar where somebody is watching; ``advance`` counts one item."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar

    def advance(self, line: str) -> None:
        """Print one item's line and count it."""
        if self._bar is None:
            typer.echo(line, err=True)
            return
        self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._bar.advance(self._bar.task_ids[0])


@contextmanager
def counted(what: str, total: int) -> Iterator[Counted]:
    """A bar over ``total`` items; without a terminal its lines alone."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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


def check_detector(detector: str) -> None:
    """Raises UsageError where there is no such detector."""
    from deepscan.detectors import SPECS

    if detector not in SPECS:
        raise UsageError(f"there is no detector {detector!r}; choose from {', '.join(SPECS)}.")


def named_detectors(names: list[str], *, tuned: bool = False) -> list[str]:
    """The detectors that were named, each once; ``all`` is all.

    Args:
        names: of detectors, or ``all``.
        tuned: whether that may be one which is tuned and not fitted.

    Raises:
        UsageError: one is none, or is tuned and not fitted.
    """
    from deepscan.detectors import SPECS

    if names == ["all"]:
        return [name for name in SPECS if tuned or name != TUNED]
    for name in names:
        check_detector(name)
        if name == TUNED and not tuned:
            raise UsageError(f"{TUNED} is tuned, not fitted: `deepscan train tune --cache CACHE --out FILE`.")
    return list(dict.fromkeys(names))


def known_manipulations(names: list[str]) -> tuple[str, ...]:
    """The manipulation types that were named. Raises UsageError where one does not exist."""
    from deepscan.training.synthesis.manipulations import MANIPULATIONS

    for name in names:
        if name not in MANIPULATIONS:
            known = ", ".join(MANIPULATIONS)
            raise UsageError(f"there is no manipulation type {name!r}; choose from {known}.")
    return tuple(names)


def face_models() -> tuple[FaceEngine, FaceMesh]:
    """What finds faces and their meshes: the shipped models, on the CPU."""
    from deepscan.faces.mesh import FaceMesh
    from deepscan.faces.tracker import FaceEngine
    from deepscan.inference.devices import CPU
    from deepscan.limits import thread_count
    from deepscan.weights import Weights

    weights = Weights()
    engine = FaceEngine(weights.face_path(), providers=[CPU], threads=thread_count())
    return engine, FaceMesh(weights.face_path("facemesh_468"), threads=thread_count())
