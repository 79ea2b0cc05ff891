"""``deepscan weights``: which model files there are, and whether they are intact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deepscan.cli.exit_codes import ERROR
from deepscan.cli.group import MARKUP

if TYPE_CHECKING:
    from deepscan.weights import DetectorEntry, ModelFile, Weights

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=MARKUP,
    help="List or verify the model files.",
)

Folder = Annotated[
    Path | None, typer.Option("--weights", metavar="DIR", help="Weights folder instead of the shipped one.")
]


@app.command("list")
def list_weights(folder: Folder = None) -> None:
    """List the model files: size, licence, what they were trained on, what was measured."""
    weights = _open(folder)
    typer.echo(f"{weights.root}")
    for entry in weights.manifest.detectors.values():
        typer.echo(_summary(entry))
    for model in (*weights.manifest.encoders.values(), *weights.manifest.faces.values()):
        typer.echo(_rows(model.name, {"file": _file(model), "licence": model.licence}))


@app.command("verify")
def verify(folder: Folder = None) -> None:
    """Check every model file against its hash; exit code 2 when one is missing or altered."""
    weights = _open(folder)
    problems = 0
    for model in weights.files():
        problem = weights.problem(model)
        if problem is None:
            typer.echo(f"ok    {model.name}  {model.sha256}")
        else:
            problems += 1
            typer.echo(f"FAIL  {problem}")
    if problems:
        raise typer.Exit(ERROR)


def _open(folder: Path | None) -> Weights:
    from deepscan.config import load
    from deepscan.weights import Weights

    return Weights(load({"weights": folder}).weights)


def _file(model: ModelFile) -> str:
    return f"{model.file}, {model.bytes / 1e6:.1f} MB"


def _rows(name: str, rows: dict[str, str]) -> str:
    return "\n".join([name, *(f"  {label:<13} {text}" for label, text in rows.items())])


def _summary(entry: DetectorEntry) -> str:
    weight = entry.calibration.weight
    say = f"{weight:.3g}" if weight else "0: reported, not counted (adds nothing to the others on validation)"
    rows = {
        "file": _file(entry.model) + (f", tunes {entry.encoder.name}" if entry.encoder else ""),
        "licence": entry.model.licence,
        "trained on": entry.training_data,
        "data licence": entry.data_licences,
        "recipe": entry.recipe,
        "weight": say,
        **{name: str(value) for name, value in entry.metrics.items()},
    }
    return _rows(entry.model.name, rows)
