"""``deepscan evaluate``: figures of a weights folder on labelled files."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from deepscan.cli.output import opened
from deepscan.cli.training_options import Corpora, Kinds, counted, need_extra
from deepscan.errors import UsageError

if TYPE_CHECKING:
    from deepscan.ensemble import Calibration
    from deepscan.training.evaluation.scoring import ScoredFile
    from deepscan.training.evaluation.summary import Evaluation

WORST = 10
SIDES = ("auto", "all", "train", "val", "test")


def evaluate(
    corpora: Corpora,
    out: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write all figures as JSON.")
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Draw ROC, reliability and score histograms as PNG into this folder."
        ),
    ] = None,
    worst_files: Annotated[
        Path | None,
        typer.Option(
            "--worst",
            metavar="FILE",
            help=f"List the {WORST} genuine files with the highest scores and the {WORST} forged ones with "
            "the lowest. To look at them: `deepscan --file-list FILE --html worst.html`.",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="DIR", help="Weights folder to measure. Default: as for a scan."),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep every file's scores here (JSON Lines); files that it holds already are not scanned.",
        ),
    ] = None,
    shuffle_frames: Annotated[
        bool,
        typer.Option(
            "--shuffle-frames",
            help="Score every clip a second time with its frames in random order: a detector that uses time "
            "gets worse.",
        ),
    ] = False,
    side: Annotated[
        str,
        typer.Option(
            help=f"Part of the official split to measure on: {', '.join(SIDES)}. auto: test if there is one, "
            "else all."
        ),
    ] = "auto",
    kind: Kinds = None,
    folds: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            file_okay=False,
            exists=True,
            help="Score every file by weights that were trained without its fold (column fold of the table): "
            "`DIR/0`, `DIR/1` and so on. Needs `--scores`.",
        ),
    ] = None,
) -> None:
    """Scan labelled files and measure each detector and the ensemble against the labels.

    Known corpora are FaceForensics++ (with FaceShifter and DFD), Celeb-DF v2, DFDC and DeeperForensics. Where
    a detector's paper reports on the same corpus, its figure stands beside the measured one.

    Prints AUC, accuracy, equal error rate, true positive rate at 1 % false positives and calibration error
    by file and by frame, with 95 % intervals over people; and AUC by source, by forger, by manipulation type
    and by width of the face.
    """
    need_extra("matplotlib")
    if side not in SIDES:
        raise UsageError(f"there is no side {side!r}; choose from {', '.join(SIDES)}.")
    from deepscan.training.data.corpora import choose_side, need_classes, read_corpora
    from deepscan.training.evaluation.calibration import fit, judged_anew, out_of_fold
    from deepscan.training.evaluation.score_and_calibrate import score
    from deepscan.training.evaluation.scoring import scan_config
    from deepscan.weights import find_root, read_manifest

    rows = choose_side(read_corpora(corpora, kind or ()), side)
    need_classes(rows, ("real", "fake"), "evaluation")
    if folds is not None and scores is None:
        raise UsageError("--folds keeps the scores of every fold; name a file with --scores.")
    config = scan_config(weights)
    with counted("scoring", len(rows) if folds is None else 2 * len(rows)) as progress:
        files = score(
            rows,
            config,
            lambda file: progress.advance(_line(file)),
            kept=scores,
            folds=folds,
            shuffled=shuffle_frames,
        )
    if folds is not None:
        fitted = fit(files)
        report(list(out_of_fold(fitted)), fitted.calibration, plots, worst_files, out)
        return
    calibration = read_manifest(find_root(weights)).calibration
    if scores is not None:
        # Scores outlive a calibration.
        files = [judged_anew(file, calibration) for file in files]
    report(files, calibration, plots, worst_files, out)


def report(
    files: list[ScoredFile],
    calibration: Calibration,
    plots: Path | None,
    worst_files: Path | None,
    out: Path | None,
) -> None:
    """Print, draw and write all figures of scored files."""
    from deepscan.training.evaluation.plots import write_plots
    from deepscan.training.evaluation.summary import by_detector, evaluation, worst

    thresholds = calibration.thresholds()
    result = evaluation(files, calibration, thresholds)
    print_evaluation(result)
    if plots is not None:
        for path in write_plots(plots, by_detector(files, calibration), thresholds):
            typer.echo(f"drawn: {path}", err=True)
    if worst_files is not None:
        with opened(worst_files) as stream:
            stream.writelines(f"{file.file}\n" for file in worst(files, WORST))
    if out is not None:
        with opened(out) as stream:
            write_evaluation(result, stream)


def _line(file: ScoredFile) -> str:
    verdict = "no score" if file.probability is None else f"{file.probability:.3f}"
    return f"{'fake' if file.label else 'real'}  {verdict:>8}  {file.status:<10} {file.file}"


def write_evaluation(result: Evaluation, stream: TextIO) -> None:
    """All figures as JSON; null for those that could not be measured."""
    import json

    json.dump(_without_nan(asdict(result)), stream, indent=1)
    stream.write("\n")


def print_evaluation(result: Evaluation) -> None:
    """All figures on stdout."""
    typer.echo("by file, [95 % interval over identities]")
    for name, figures in result.groups.items():
        typer.echo(_row(name, figures))
    typer.echo("by frame or clip")
    for name, figures in result.frames.items():
        typer.echo(_row(name, figures))
    for heading, groups in (
        ("source", result.sources),
        ("forger, against all real files", result.forgers),
        ("type of manipulation, against the genuine files of its medium", result.manipulations),
        ("width of the face", result.widths),
    ):
        typer.echo(f"AUC by {heading}")
        for group, by_detector in groups.items():
            values = "  ".join(f"{name} {figures['auc']:.3f}" for name, figures in by_detector.items())
            typer.echo(f"  {group or '(not stated)'}: {values}")
    if result.shuffled:
        typer.echo("AUC with frames in order, in random order; a detector that uses time loses by it")
    for name, figures in result.shuffled.items():
        interval = f"[{figures['difference_low']:+.3f}, {figures['difference_high']:+.3f}]"
        typer.echo(
            f"  {name:<16} {figures['auc']:.3f}  {figures['auc_shuffled']:.3f}  "
            f"difference {figures['difference']:+.3f} {interval}  "
            f"a score moves by {figures['score_change']:.3f}"
        )
    if result.published:
        typer.echo("beside the papers (published, measured, difference)")
    for one in result.published:
        paper = one.published
        typer.echo(
            f"  {one.detector:<16} {paper.corpus} {paper.forgeries}, {paper.metric} by {paper.level}: "
            f"{paper.value:.3f}  {one.measured:.3f}  {one.difference:+.3f}  "
            f"(paper: {paper.place}, trained on {paper.trained_on})"
        )
    for name, count in result.verdicts.items():
        typer.echo(f"{name:<34} {count}")


def _without_nan(value: Any) -> Any:
    """The same tree with null for figures that could not be measured: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _row(name: str, figures: dict[str, float]) -> str:
    interval = f"[{figures['auc_low']:.3f}, {figures['auc_high']:.3f}]"
    return (
        f"  {name:<16} AUC {figures['auc']:.3f} {interval}  accuracy {figures['accuracy']:.3f}  "
        f"EER {figures['eer']:.3f}  TPR@1%FPR {figures['tpr_at_1_fpr']:.3f}  ECE {figures['ece']:.3f}  "
        f"real {figures['real']}  fake {figures['fake']}"
    )
