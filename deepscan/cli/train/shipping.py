"""From a trained detector to a weights folder: ``train average``, ``export``, ``calibrate`` and ``cards``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepscan.cli.training_options import (
    Cache,
    Kinds,
    Licence,
    WeightsFolder,
    check_detector,
    counted,
    need_extra,
)
from deepscan.errors import UsageError
from deepscan.text import UNKNOWN


def average(
    detector: Annotated[str, typer.Argument(metavar="DETECTOR", help="Name of the detector.")],
    checkpoints: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE[=SHARE]",
            help="Checkpoints of one lineage: a run's checkpoint, safetensors, or `shipped`. Without shares "
            "all count alike.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Safetensors file to write.")],
) -> None:
    """Average the weights of several checkpoints of one detector.

    The mean of copies along a run (`train fit --keep-every`) is less noisy than any of them; the mean of a
    start and of what was trained from it keeps more of what the start could do.
    """
    need_extra()
    check_detector(detector)
    from deepscan.training.fit.initial_weights import find_start
    from deepscan.training.fit.weight_averaging import average as write_mean

    split = [_share_of(text) for text in checkpoints]
    if len({share is None for _, share in split}) > 1:
        raise UsageError("give every checkpoint a share, or none.")
    parts = []
    for name, share in split:
        path = find_start(name, detector)
        if path is None:
            raise UsageError("`none` is no checkpoint; name a file, or `shipped`.")
        parts.append((path, 1 / len(split) if share is None else share))
    write_mean(detector, parts, output)
    typer.echo(str(output))


def _share_of(text: str) -> tuple[str, float | None]:
    """``FILE=0.3`` as ("FILE", 0.3); a name without a number behind its last ``=`` is a file's alone."""
    name, _, share = text.rpartition("=")
    try:
        return (name, float(share)) if name else (text, None)
    except ValueError:
        return text, None


def export(
    detector: Annotated[str, typer.Argument(metavar="DETECTOR", help="Name of the detector.")],
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            exists=True,
            dir_okay=False,
            help="File that `train fit`, `train tune` or `train average` wrote.",
        ),
    ],
    cache: Cache,
    weights: WeightsFolder,
    licence: Licence = UNKNOWN,
    data: Annotated[
        str | None,
        typer.Option(help="What it was trained on, for the model card. Default: counted from the cache."),
    ] = None,
    data_licences: Annotated[
        str | None,
        typer.Option(help="Licences of that data. Default: the column licence of the corpus tables."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Configuration file or command that made it. Default: what the checkpoint says."),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option(
            help="Write int8 if its scores stay within 0.02 of the float network's; otherwise float16."
        ),
    ] = True,
) -> None:
    """Export a trained detector to ONNX and enter it, uncalibrated, in a weights folder's manifest.

    The manifest and the model card state licence, data and recipe in at most 300 characters each, or
    `unknown` where neither an option nor the corpus table says them.
    """
    need_extra()
    check_detector(detector)
    from dataclasses import replace

    from deepscan.training import provenance
    from deepscan.training.data.prepare import load_index
    from deepscan.training.export.weights_folder import bring_face_models, enter_detector, ship
    from deepscan.weights import Weights

    samples = load_index(cache)
    made_of = provenance.Provenance(
        licence,
        data if data is not None else provenance.training_data(samples),
        data_licences if data_licences is not None else provenance.data_licences(samples),
        recipe or UNKNOWN,
    )
    weights.mkdir(parents=True, exist_ok=True)
    if detector == "gend":
        from deepscan.training.tuning.shipping import ship_tuning
        from deepscan.training.tuning.start import ENCODER, start

        shipped = ship_tuning(start(str(checkpoint)), Weights().encoder_path(ENCODER), cache, weights)
    else:
        shipped = ship(detector, checkpoint, cache, weights, try_int8=int8)
    if recipe is None and detector != "gend":
        made_of = replace(made_of, recipe=provenance.recipe(checkpoint))
    enter_detector(weights, shipped, detector, made_of)
    bring_face_models(weights)
    for gap in shipped.refused:
        typer.echo(f"int8 refused: scores strayed by up to {gap.largest:.4f} (mean {gap.mean:.4f})")
    typer.echo(
        f"{shipped.path}: {shipped.precision}, scores within {shipped.gap.largest:.4f} of float "
        f"(mean {shipped.gap.mean:.4f}, {shipped.gap.count} clips)"
    )


def calibrate(
    weights: WeightsFolder,
    scores: Annotated[
        Path,
        typer.Option(
            "--scores",
            metavar="FILE",
            help="Keep every file's scores here (JSON Lines); files that it holds already are not scanned.",
        ),
    ],
    corpora: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="CORPUS", exists=True, help="Labelled media. None: only the scores in `--scores`."
        ),
    ] = None,
    kind: Kinds = None,
    false_positives: Annotated[
        float,
        typer.Option(
            "--false-positive-rate", min=0.0, max=0.5, help="Share of genuine files that may be called fake."
        ),
    ] = 0.03,
    plots: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Draw ROC, reliability and scores of the ensemble, cross-validated, as PNG."
        ),
    ] = None,
    folds: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Score every file by the weights folder of its fold, as `deepscan evaluate --folds` does.",
        ),
    ] = None,
    seen: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Detectors, separated by commas, that were trained on these files; their cards say so.",
        ),
    ] = "",
) -> None:
    """Fit the ensemble (temperatures, weights, thresholds) on labelled files that training has not seen.

    Writes the constants and figures into the weights folder's manifest. Figures of the ensemble are
    cross-validated over people.
    """
    need_extra("matplotlib")
    from deepscan.training.data.corpora import read_corpora
    from deepscan.training.evaluation import score_and_calibrate
    from deepscan.training.evaluation.plots import write_plots
    from deepscan.training.evaluation.scoring import load_scores, scan_config
    from deepscan.training.evaluation.summary import cross_validated

    names = [name for name in seen.split(",") if name]
    for name in names:
        check_detector(name)
    if corpora:
        rows = read_corpora(corpora, kind or ())
        with counted("scoring", len(rows)) as progress:
            files = score_and_calibrate.score(
                rows,
                scan_config(weights, "cpu"),
                lambda file: progress.advance(file.file),
                kept=scores,
                folds=folds,
            )
    elif scores.exists():
        files = load_scores(scores)
    else:
        raise UsageError(f"{scores} does not exist; name the labelled files to score.")
    fitted, metrics = score_and_calibrate.calibrate(
        files, weights, false_positives=false_positives, seen=names
    )
    if plots is not None:
        final = fitted.calibration
        thresholds = final.threshold_fake, final.threshold_real
        for path in write_plots(plots, {"ensemble": cross_validated(fitted)}, thresholds):
            typer.echo(f"drawn: {path}", err=True)
    for name, figures in metrics.items():
        typer.echo(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in figures.items()))


def cards(
    weights: WeightsFolder,
    evaluation: Annotated[
        Path,
        typer.Option(
            "--evaluation",
            exists=True,
            dir_okay=False,
            metavar="FILE",
            help="JSON that `deepscan evaluate -o` wrote, on forgeries by published generators.",
        ),
    ],
    synthetic: Annotated[
        Path | None,
        typer.Option(
            "--synthetic",
            exists=True,
            dir_okay=False,
            metavar="FILE",
            help="The same on a synthetic test set, for the tables.",
        ),
    ] = None,
) -> None:
    """Write one model card per detector, from the manifest and an evaluation."""
    need_extra()
    from deepscan.training.export.model_cards import write_cards

    for path in write_cards(weights, evaluation, synthetic):
        typer.echo(str(path))
