"""``deepscan train``: from labelled media to weights that a scan loads, step by step.

::

    deepscan train prepare   media -> cached face tracks
    deepscan train fit       cached faces -> a trained detector (resumable)
    deepscan train export    a trained detector -> ONNX in a weights folder
    deepscan train rehearse  validation videos -> forged copies to calibrate on
    deepscan train calibrate labelled files -> calibration and thresholds in the manifest
    deepscan train cards     manifest and evaluation -> model cards
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepscan.errors import UsageError

if TYPE_CHECKING:
    from deepscan.faces import FaceEngine
    from deepscan.training.mesh import FaceMesh

app = typer.Typer(no_args_is_help=True, help="Train detectors on your own media (needs the `train` extra).")

Corpora = Annotated[
    list[Path],
    typer.Argument(
        metavar="CSV...", exists=True, dir_okay=False, help="Columns file,label,identity,source,licence,kind."
    ),
]
Cache = Annotated[Path, typer.Option("--cache", help="Folder of prepared faces.")]
ValidateOn = Annotated[
    list[str] | None,
    typer.Option("--validate-on", metavar="PATTERN", help="Identities or sources kept out of training."),
]
WeightsFolder = Annotated[Path, typer.Option("--weights", help="Weights folder to write to.")]


@app.command()
def prepare(corpora: Corpora, cache: Cache, validate_on: ValidateOn = None) -> None:
    """Find the faces of a corpus and cache them with their meshes; goes on where it stopped."""
    need_extra()
    from deepscan.training.prepare import Split, prepare

    split = Split(tuple(validate_on or ()))
    engine, mesh = _face_models()
    for row, outcome in prepare(corpora, cache, split, engine, mesh):
        typer.echo(f"{row.file}: {outcome}", err=True)


@app.command()
def fit(
    detector: Annotated[str, typer.Argument(help="Which detector.")],
    cache: Cache,
    run: Annotated[Path, typer.Option("--run", help="Folder of this run: checkpoint and log.")],
    steps: Annotated[int, typer.Option(help="Optimizer steps in all.")] = 1000,
    pairs: Annotated[int, typer.Option(help="Pairs of real and forged in a batch.")] = 8,
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 2e-4,
    warmup: Annotated[int, typer.Option(help="Steps over which the rate rises.")] = 100,
    stills: Annotated[bool, typer.Option(help="Single frames for a clip detector.")] = False,
    clean: Annotated[
        bool, typer.Option(help="No degradation: a first stage for a network from nothing.")
    ] = False,
    frozen: Annotated[
        list[str] | None, typer.Option(metavar="MODULE", help="Submodules that stay as they are.")
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Start weights: a run's checkpoint or safetensors."),
    ] = None,
    teacher: Annotated[Path | None, typer.Option(help="Checkpoint of a trained gml to distil from.")] = None,
    seed: Annotated[int, typer.Option(help="Of pairs, forgeries and start weights.")] = 0,
    validate_every: Annotated[int, typer.Option(help="Steps between validations; 0: at the end.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that forge pairs.")] = 0,
    threads: Annotated[int, typer.Option(help="Threads of the network; 0: all cores.")] = 0,
) -> None:
    """Train one detector on self-blends of prepared faces; goes on where it stopped."""
    need_extra()
    _check_name(detector)
    from deepscan.training.loop import TrainConfig, train

    config = TrainConfig(
        detector=detector,
        steps=steps,
        pairs=pairs,
        rate=rate,
        warmup=warmup,
        stills=stills,
        clean=clean,
        frozen=tuple(frozen or ()),
        seed=seed,
        validate_every=validate_every,
        workers=workers,
        threads=threads,
    )
    checkpoint = train(config, cache, run, init=init, teacher=teacher, report=_say)
    typer.echo(str(checkpoint))


@app.command()
def export(
    detector: Annotated[str, typer.Argument(help="Which detector.")],
    checkpoint: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Of `deepscan train fit`.")],
    cache: Cache,
    weights: WeightsFolder,
    data: Annotated[str, typer.Option(help="Training data, for the manifest.")],
    recipe: Annotated[str, typer.Option(help="How it was trained, for the manifest.")],
) -> None:
    """Export a trained detector into a weights folder and enter it in the manifest, uncalibrated."""
    need_extra()
    _check_name(detector)
    from deepscan.training.ship import enter_detector, ship

    weights.mkdir(parents=True, exist_ok=True)
    shipped = ship(detector, checkpoint, cache, weights)
    enter_detector(weights, shipped, detector, {"training_data": data, "recipe": recipe})
    typer.echo(
        f"{shipped.path}: {shipped.precision}, scores within {shipped.gap.largest:.4f} of float "
        f"(mean {shipped.gap.mean:.4f}, {shipped.gap.count} clips)"
    )


@app.command()
def rehearse(
    corpora: Corpora,
    out: Annotated[Path, typer.Option("--out", help="Folder for the clips and their corpus.csv.")],
    validate_on: ValidateOn = None,
    seed: Annotated[int, typer.Option(help="Of the forgeries.")] = 0,
) -> None:
    """Write forged copies of the validation videos, to calibrate and evaluate on."""
    need_extra()
    from deepscan.training.prepare import Split
    from deepscan.training.rehearsal import rehearse

    engine, mesh = _face_models()
    for row, outcome in rehearse(corpora, out, Split(tuple(validate_on or ())), engine, mesh, seed=seed):
        typer.echo(f"{row.file}: {outcome}", err=True)


@app.command()
def calibrate(
    corpora: Corpora,
    weights: WeightsFolder,
    scores: Annotated[Path, typer.Option("--scores", help="Keeps the raw scores; read again if it exists.")],
) -> None:
    """Fit temperatures, fusion and thresholds on labelled files that training never saw."""
    need_extra()
    from deepscan.config import ScanConfig
    from deepscan.scan import Scanner
    from deepscan.training.calibrate import fit
    from deepscan.training.figures import detector_figures, fusion_figures
    from deepscan.training.prepare import read_corpus
    from deepscan.training.score import load_scores, save_scores, score_files
    from deepscan.training.ship import enter_calibration

    if not scores.exists():
        rows = [row for corpus in corpora for row in read_corpus(corpus)]
        save_scores(scores, score_files(rows, Scanner(ScanConfig(weights=weights, device="cpu"))))
    fitted = fit(load_scores(scores))
    metrics = detector_figures(fitted.files)
    metrics["fusion"] = fusion_figures(fitted)
    enter_calibration(weights, fitted.calibration, metrics)
    for name, figures in metrics.items():
        typer.echo(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in figures.items()))


def _check_name(detector: str) -> None:
    from deepscan.detectors import SPECS

    if detector not in SPECS:
        raise UsageError(f"there is no detector {detector!r}; choose from {', '.join(SPECS)}.")


@app.command()
def cards(
    weights: WeightsFolder,
    evaluation: Annotated[
        Path, typer.Option("--evaluation", exists=True, dir_okay=False, help="JSON of `deepscan evaluate`.")
    ],
) -> None:
    """Write a model card per detector from the manifest and an evaluation."""
    need_extra()
    from deepscan.training.cards import write_cards

    for path in write_cards(weights, evaluation):
        typer.echo(str(path))


def _say(line: dict[str, Any]) -> None:
    typer.echo("  ".join(f"{key} {value:.5g}" for key, value in line.items()), err=True)


def _face_models() -> tuple[FaceEngine, FaceMesh]:
    from deepscan.faces import FaceEngine
    from deepscan.runtime import CPU, thread_count
    from deepscan.training.mesh import FaceMesh
    from deepscan.weights import Weights

    weights = Weights()
    engine = FaceEngine(weights.face_path(), providers=[CPU], threads=thread_count())
    return engine, FaceMesh(weights.face_path("facemesh_468"), threads=thread_count())


def need_extra() -> None:
    """Raises UsageError where the ``train`` extra is not installed."""
    from importlib.util import find_spec

    missing = [
        name for name in ("torch", "onnx", "safetensors", "scipy", "tomli_w") if find_spec(name) is None
    ]
    if missing:
        raise UsageError(
            f"training needs {', '.join(missing)}; install it with `pip install 'deepscan[train]'`."
        )
