"""``deepscan train``: from labelled media to weights that a scan loads, at once or step by step.

::

    deepscan train run       real and fake media -> a weights folder, within a number of hours

    deepscan train prepare   media -> cached face tracks
    deepscan train generators  cached faces -> small generators that forge with (resumable)
    deepscan train preview   cached faces -> a contact sheet of forgeries
    deepscan train fit       cached faces -> trained detectors (resumable)
    deepscan train export    a trained detector -> ONNX in a weights folder
    deepscan train rehearse  validation videos -> forged copies to calibrate on
    deepscan train calibrate labelled files -> calibration and thresholds in the manifest
    deepscan train cards     manifest and evaluation -> model cards
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepscan.cli.evaluate import print_evaluation, write_evaluation
from deepscan.cli.output import opened
from deepscan.cli.training import Corpora, Kinds, counted, need_extra
from deepscan.errors import UsageError

if TYPE_CHECKING:
    from deepscan.faces import FaceEngine
    from deepscan.training.mesh import FaceMesh

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Train detectors on your own media (needs the `train` extra).

With 50 videos of each class and one evening: `deepscan train run real/ fake/ --out weights-mine --hours 4`,
then `deepscan evaluate` on videos that you kept back. It starts from the shipped checkpoints, keeps a quarter
of the people out of training to calibrate and measure on, and goes on where it was stopped.

The other commands are its steps, for corpora, other recipes and GPUs.
""",
)

Cache = Annotated[Path, typer.Option("--cache", help="Folder of prepared faces.")]
ValidateOn = Annotated[
    list[str] | None,
    typer.Option("--validate-on", metavar="PATTERN", help="Identities or sources kept out of training."),
]
WeightsFolder = Annotated[Path, typer.Option("--weights", help="Weights folder to write to.")]


@app.command("run")
def run_all(
    real: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of genuine media.")],
    fake: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of forged media.")],
    out: Annotated[Path, typer.Option("--out", help="Weights folder to make.")],
    hours: Annotated[float, typer.Option(min=0.01, help="How long it may take, roughly.")] = 4.0,
    detectors: Annotated[
        str, typer.Option(help="Which detectors to train, comma-separated, or all.")
    ] = "gml,sola,local_features",
    device: Annotated[str, typer.Option(help="Where to train: auto, cpu or cuda.")] = "auto",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of every detector, instead of what the hours allow.")
    ] = None,
) -> None:
    """Real and fake media in, a calibrated and measured weights folder out.

    Folders below REAL and FAKE are taken for people, and files of one name in both for one person. A quarter
    of the people is kept out of training. Run it again to go on where it was stopped.
    """
    need_extra("matplotlib")
    from deepscan.training.corpora.folder import read_class
    from deepscan.training.figures import by_detector
    from deepscan.training.pipeline import make_weights
    from deepscan.training.plots import write_plots
    from deepscan.weights import read_manifest

    names = _detectors([name.strip() for name in detectors.split(",")])
    rows = [*read_class(real, "real", real.name), *read_class(fake, "fake", fake.name)]
    engine, mesh = _face_models()
    done = make_weights(
        rows,
        out,
        detectors=names,
        hours=hours,
        device=device,
        engine=engine,
        mesh=mesh,
        say=lambda line: typer.echo(line, err=True),
        steps=steps,
    )
    trained = ",".join(read_manifest(out).detectors)
    if done is not None:
        evaluation, files, calibration = done
        print_evaluation(evaluation)
        with opened(out / "evaluation.json") as stream:
            write_evaluation(evaluation, stream)
        thresholds = calibration.threshold_fake, calibration.threshold_real
        write_plots(out / "plots", by_detector(files, calibration), thresholds)
    typer.echo(f"scan with them: deepscan FILE --weights {out} --detectors {trained}")


@app.command()
def prepare(
    corpora: Corpora,
    cache: Cache,
    validate_on: ValidateOn = None,
    validate_share: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the people, drawn by name, kept out of training.")
    ] = 0.0,
    kind: Kinds = None,
) -> None:
    """Find the faces of corpora and cache them with their meshes; goes on where it stopped.

    CORPUS is a CSV, a folder with real/ and fake/, or the folder of FaceForensics++ (with FaceShifter and
    DFD), Celeb-DF v2, DFDC or DeeperForensics. Official splits stand; nobody may stand on two sides.
    """
    need_extra()
    from deepscan.training.corpora import read_corpora
    from deepscan.training.prepare import Split, fill

    split = Split(tuple(validate_on or ()), validate_share)
    rows = read_corpora(corpora, kind or ())
    counts: dict[str, int] = {}
    with counted("finding faces", len(rows)) as progress:
        engine, mesh = _face_models()
        for row, outcome in fill(rows, cache, split, engine, mesh):
            progress.said(f"{row.file}: {outcome}")
            sort = _sort_of(outcome)
            counts[sort] = counts.get(sort, 0) + 1
    said = ", ".join(f"{count} {sort}" for sort, count in sorted(counts.items())) or "nothing was left to do"
    typer.echo(f"{cache}: {said}")


@app.command()
def generators(
    cache: Cache,
    trunk: Annotated[
        Path, typer.Option("--trunk", exists=True, dir_okay=False, help="ImageNet Xception, to compare by.")
    ],
    steps: Annotated[int, typer.Option(help="Optimizer steps per generator.")] = 400,
    seed: Annotated[int, typer.Option(help="Of crops and start weights.")] = 0,
) -> None:
    """Train the small generators whose traces `fit` forges with; goes on where it stopped."""
    need_extra()
    from deepscan.training.forge.generators import train_generators
    from deepscan.training.nets.gml import stem_features
    from deepscan.training.prepare import load_index

    samples = [sample for sample in load_index(cache) if sample.label == "real"]
    sides = {
        side: [cache / sample.folder / "frames.npy" for sample in samples if sample.split == side]
        for side in ("train", "val")
    }
    perceive = stem_features(trunk)
    for name, error in train_generators(
        sides["train"], sides["val"], cache, perceive, steps=steps, seed=seed
    ):
        typer.echo(f"{name}: mean error {error:.4f} of full scale", err=True)


@app.command()
def preview(
    cache: Cache,
    out: Annotated[Path, typer.Option("--out", "-o", dir_okay=False, help="PNG to write.")] = Path(
        "forgeries.png"
    ),
    family: Annotated[list[str] | None, typer.Option("--family", help="Only these families.")] = None,
    columns: Annotated[int, typer.Option(min=1, max=20, help="Forgeries per family.")] = 6,
    degraded: Annotated[bool, typer.Option(help="As the network sees them: compressed, blurred.")] = False,
    seed: Annotated[int, typer.Option(help="Of faces and forgeries.")] = 0,
) -> None:
    """Write a contact sheet of forgeries: real, forged and mask, a row per family."""
    need_extra()
    from deepscan.training.prepare import load_index
    from deepscan.training.preview import contact_sheet

    counts = contact_sheet(
        cache,
        load_index(cache),
        out,
        families=_known_families(family or []),
        columns=columns,
        degraded=degraded,
        seed=seed,
    )
    for name, count in counts.items():
        typer.echo(
            f"{name}: {count}" + ("" if count else " (needs more faces, or `train generators`)"), err=True
        )
    typer.echo(str(out))


@app.command()
def fit(
    detectors: Annotated[list[str], typer.Argument(metavar="DETECTOR...", help="Which, or all.")],
    cache: Cache,
    run: Annotated[
        Path,
        typer.Option("--run", help="Folder of this run; with several detectors, one folder each inside it."),
    ],
    recipe: Annotated[
        str, typer.Option(help="robust: made forgeries and the corpus' own; paper: each paper's recipe.")
    ] = "robust",
    steps: Annotated[int | None, typer.Option(min=1, help="Optimizer steps in all.")] = None,
    pairs: Annotated[int | None, typer.Option(min=1, help="Pairs of real and forged in a batch.")] = None,
    rate: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    warmup: Annotated[int | None, typer.Option(min=0, help="Steps over which the rate rises.")] = None,
    own_share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of batches with the corpus' own forgeries, if it has any."),
    ] = None,
    stills: Annotated[bool, typer.Option(help="Single frames for a clip detector.")] = False,
    clean: Annotated[
        bool, typer.Option(help="No degradation: a first stage for a network from nothing.")
    ] = False,
    family: Annotated[
        list[str] | None, typer.Option("--family", help="Kinds of forgery to train on; all by default.")
    ] = None,
    frozen: Annotated[
        list[str] | None, typer.Option(metavar="MODULE", help="Submodules that stay as they are.")
    ] = None,
    init: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Start weights: shipped, none, a run's checkpoint, safetensors, or a torchvision or "
            "3D-ResNet checkpoint.",
        ),
    ] = "none",
    teacher: Annotated[Path | None, typer.Option(help="Checkpoint of a trained gml to distil from.")] = None,
    seed: Annotated[int, typer.Option(help="Of pairs, forgeries and start weights.")] = 0,
    validate_every: Annotated[int, typer.Option(help="Steps between validations; 0: at the end.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that forge pairs.")] = 0,
    threads: Annotated[int, typer.Option(help="Threads of the network; 0: all cores.")] = 0,
    device: Annotated[str, typer.Option(help="auto (CUDA where it is there), cpu or cuda.")] = "auto",
) -> None:
    """Train detectors on prepared faces; goes on where it stopped.

    Under `torchrun` the processes share every batch: `torchrun --nproc-per-node 2 -m deepscan train fit ...`.
    """
    need_extra()
    names = _detectors(detectors)
    from deepscan.training.loop import TrainConfig, train
    from deepscan.training.prepare import load_index
    from deepscan.training.recipes import clips_seen, described, recipe_of
    from deepscan.training.start import find_start

    starts = {name: find_start(init, name) for name in names}
    samples = load_index(cache)
    for name in names:
        preset = recipe_of(recipe, name)
        typer.echo(described(recipe, name), err=True)
        config = TrainConfig(
            detector=name,
            steps=steps or preset.total_steps(clips_seen(samples, name, stills=stills)),
            pairs=pairs or preset.pairs,
            rate=preset.rate if rate is None else rate,
            warmup=preset.warmup if warmup is None else warmup,
            weight_decay=preset.weight_decay,
            optimizer=preset.optimizer,
            momentum=preset.momentum,
            schedule=preset.schedule,
            own_share=preset.own_share if own_share is None else own_share,
            stills=stills,
            clean=clean or preset.clean,
            families=_known_families(family or []),
            brightened=preset.brightened,
            jittered=preset.jittered,
            frozen=tuple(frozen or ()),
            seed=seed,
            validate_every=validate_every,
            workers=workers,
            threads=threads,
            device=device,
        )
        folder = run / name if len(names) > 1 else run
        checkpoint = train(config, cache, folder, init=starts[name], teacher=teacher, report=_say)
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
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Prepared faces whose validation generators re-synthesise.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the forgeries.")] = 0,
) -> None:
    """Write forged copies of the validation videos, to calibrate and evaluate on."""
    need_extra()
    from deepscan.training.forge.generators import load_generators
    from deepscan.training.prepare import Split
    from deepscan.training.rehearsal import rehearse

    engine, mesh = _face_models()
    split = Split(tuple(validate_on or ()))
    generators = load_generators(cache, "val") if cache else []
    for row, outcome in rehearse(corpora, out, split, engine, mesh, seed=seed, generators=generators):
        typer.echo(f"{row.file}: {outcome}", err=True)


@app.command()
def calibrate(
    weights: WeightsFolder,
    scores: Annotated[
        Path, typer.Option("--scores", help="Keeps the raw scores as they come; goes on from them.")
    ],
    corpora: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[CORPUS]...", exists=True, help="Labelled files; none: the kept scores alone."
        ),
    ] = None,
    kind: Kinds = None,
    false_positives: Annotated[
        float,
        typer.Option(
            "--false-positive-rate", min=0.0, max=0.5, help="Share of real files that may be flagged."
        ),
    ] = 0.03,
    plots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw the cross-validated ensemble as PNG.")
    ] = None,
) -> None:
    """Fit temperatures, fusion and thresholds on labelled files that training never saw.

    Figures of the ensemble are cross-validated: everyone is judged by constants fitted without them.
    """
    need_extra("matplotlib")
    from deepscan.config import ScanConfig
    from deepscan.scan import Scanner
    from deepscan.training.calibrate import fit
    from deepscan.training.corpora import read_corpora
    from deepscan.training.figures import cross_validated, detector_figures, fusion_figures
    from deepscan.training.plots import write_plots
    from deepscan.training.score import load_scores, resume_scores
    from deepscan.training.ship import enter_calibration
    from deepscan.weights import read_manifest

    if corpora:
        rows = read_corpora(corpora, kind or ())
        with counted("scoring", len(rows)) as progress:
            files = resume_scores(
                scores,
                rows,
                lambda: Scanner(ScanConfig(weights=weights, device="cpu")),
                read_manifest(weights),
                lambda file: progress.said(file.file),
            )
    elif scores.exists():
        files = load_scores(scores)
    else:
        raise UsageError(f"{scores} does not exist; name the labelled files to score.")
    fitted = fit(files, false_positives)
    metrics = detector_figures(fitted.files)
    metrics["fusion"] = fusion_figures(fitted)
    metrics["fusion"]["false_positive_rate_aimed_at"] = false_positives
    enter_calibration(weights, fitted.calibration, metrics)
    if plots is not None:
        final = fitted.calibration
        thresholds = final.threshold_fake, final.threshold_real
        for path in write_plots(plots, {"ensemble": cross_validated(fitted)}, thresholds):
            typer.echo(f"drawn: {path}", err=True)
    for name, figures in metrics.items():
        typer.echo(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in figures.items()))


def _known_families(names: list[str]) -> tuple[str, ...]:
    from deepscan.training.forge.families import FAMILIES

    for name in names:
        if name not in FAMILIES:
            raise UsageError(f"there is no family {name!r} of forgeries; choose from {', '.join(FAMILIES)}.")
    return tuple(names)


@app.command()
def cards(
    weights: WeightsFolder,
    evaluation: Annotated[
        Path,
        typer.Option(
            "--evaluation",
            exists=True,
            dir_okay=False,
            help="JSON of `deepscan evaluate` on genuine forgeries.",
        ),
    ],
    rehearsal: Annotated[
        Path | None,
        typer.Option(
            "--rehearsal", exists=True, dir_okay=False, help="The same on rehearsed files, for tables."
        ),
    ] = None,
) -> None:
    """Write a model card per detector from the manifest and an evaluation."""
    need_extra()
    from deepscan.training.cards import write_cards

    for path in write_cards(weights, evaluation, rehearsal):
        typer.echo(str(path))


def _check_name(detector: str) -> None:
    from deepscan.detectors import SPECS

    if detector not in SPECS:
        raise UsageError(f"there is no detector {detector!r}; choose from {', '.join(SPECS)}.")


def _detectors(said: list[str]) -> list[str]:
    """The detectors that were named, each once; ``all`` is all."""
    from deepscan.detectors import SPECS

    if said == ["all"]:
        return list(SPECS)
    for name in said:
        _check_name(name)
    return list(dict.fromkeys(said))


def _sort_of(outcome: str) -> str:
    """What a prepared file is counted as."""
    if outcome.endswith(" samples"):
        return "with faces"
    if outcome == "no face":
        return "without a face"
    return "left out" if outcome.startswith("left out") else "not readable"


def _say(line: dict[str, Any]) -> None:
    typer.echo("  ".join(f"{key} {value:.5g}" for key, value in line.items()), err=True)


def _face_models() -> tuple[FaceEngine, FaceMesh]:
    from deepscan.devices import CPU
    from deepscan.faces import FaceEngine
    from deepscan.runtime import thread_count
    from deepscan.training.mesh import FaceMesh
    from deepscan.weights import Weights

    weights = Weights()
    engine = FaceEngine(weights.face_path(), providers=[CPU], threads=thread_count())
    return engine, FaceMesh(weights.face_path("facemesh_468"), threads=thread_count())
