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
    detector: Annotated[str, typer.Argument(help="Which detector.")],
    checkpoints: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE[=SHARE]...",
            help="Of one lineage: a run's checkpoint, safetensors or shipped; without shares, all alike.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Safetensors file to write.")],
) -> None:
    """Average checkpoints weight by weight.

    Of copies along a run (`train fit --keep-every`) the mean is less noisy than any; of a start and what was
    trained from it, it keeps more of what the start could do.
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
    detector: Annotated[str, typer.Argument(help="Which detector.")],
    checkpoint: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="Of `train fit` or `train average`.")
    ],
    cache: Cache,
    weights: WeightsFolder,
    licence: Licence = UNKNOWN,
    data: Annotated[
        str | None, typer.Option(help="What it learnt from; if not given, what the cache's index says.")
    ] = None,
    data_licences: Annotated[
        str | None,
        typer.Option(help="Licences of that; if not given, those of the corpus table's column licence."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="The configuration file or command that made it; if not given, what the checkpoint says."
        ),
    ] = None,
    int8: Annotated[
        bool, typer.Option(help="Ship int8 where its scores stay near enough; else float16 weights at once.")
    ] = True,
) -> None:
    """Export a trained detector into a weights folder and enter it in the manifest, uncalibrated.

    The manifest and the model card state licence, data and recipe in at most 300 characters each. Where
    neither an option nor the corpus table says them, they say `unknown`.
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
    folds: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="As for `deepscan evaluate`: fit on their scores.",
        ),
    ] = None,
    seen: Annotated[
        str, typer.Option(metavar="NAMES", help="Detectors that learnt from these files: the cards say so.")
    ] = "",
) -> None:
    """Fit temperatures, fusion and thresholds on labelled files, of which training should have seen none.

    Figures of the ensemble are cross-validated: everyone is judged by constants fitted without them.
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
            help="JSON of `deepscan evaluate` on genuine forgeries.",
        ),
    ],
    synthetic: Annotated[
        Path | None,
        typer.Option(
            "--synthetic", exists=True, dir_okay=False, help="The same on a synthetic test set, for tables."
        ),
    ] = None,
) -> None:
    """Write a model card per detector from the manifest and an evaluation."""
    need_extra()
    from deepscan.training.export.model_cards import write_cards

    for path in write_cards(weights, evaluation, synthetic):
        typer.echo(str(path))
