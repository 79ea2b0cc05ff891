"""What calibration and evaluation share: score labelled files, then fit the ensemble on the scores."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from deepscan.config import ScanConfig
from deepscan.errors import UsageError
from deepscan.training.data.corpora import Source
from deepscan.training.evaluation.calibration import FALSE_POSITIVE_RATE, Fit, fit
from deepscan.training.evaluation.folds import score_by_folds
from deepscan.training.evaluation.scoring import (
    RegionScanner,
    ScoredFile,
    ShufflingScanner,
    resume_scores,
    score_files,
)
from deepscan.training.evaluation.summary import Figures, detector_figures, fusion_figures
from deepscan.training.export.weights_folder import enter_calibration
from deepscan.weights import find_root, read_manifest


def score(
    rows: Sequence[Source],
    config: ScanConfig,
    report: Callable[[ScoredFile], None],
    *,
    kept: Path | None,
    folds: Path | None = None,
    shuffled: bool = False,
) -> list[ScoredFile]:
    """Scan labelled files; returns their scores in the order of ``rows``.

    Args:
        rows: labelled files; with ``folds`` those without a fold are left out.
        config: weights, device and detectors of the scan, see ``scoring.scan_config``.
        report: called with every file that was scanned.
        kept: JSON Lines file of scores: what it holds is not scanned again, new scores are appended. None
            keeps nothing. Required with ``folds``.
        folds: folder with a weights folder for each fold, see ``folds.score_by_folds``.
        shuffled: score every clip with its frames in random order, too.

    Raises:
        UsageError: the kept scores are of other files or weights, or a fold has no weights folder.
    """
    if folds is not None:
        assert kept is not None
        return score_by_folds(rows, folds, kept, report, weights=config.weights, device=config.device)
    scanner = ShufflingScanner if shuffled else RegionScanner
    if kept is not None:
        manifest = read_manifest(find_root(config.weights))
        return resume_scores(kept, rows, lambda: scanner(config), manifest, report, shuffled=shuffled)
    files = []
    for file in score_files(rows, scanner(config)):
        report(file)
        files.append(file)
    return files


def calibrate(
    files: Sequence[ScoredFile],
    weights: Path,
    *,
    false_positives: float = FALSE_POSITIVE_RATE,
    seen: Collection[str] = (),
) -> tuple[Fit, dict[str, Figures]]:
    """Fit the ensemble on scored files and enter constants, thresholds and figures into the manifest.

    Args:
        files: what ``score`` returned.
        weights: the folder whose manifest is written.
        false_positives: share of real files that may be flagged, in [0, 1).
        seen: detectors that were trained on these files; the manifest says so.

    Returns:
        The fit, and the figures of every detector and of ``fusion``, by name.

    Raises:
        UsageError: the files are too few to fit on, or a detector of ``seen`` scored none of them.
    """
    fitted = fit(files, false_positives)
    figures = detector_figures(fitted.files)
    figures["fusion"] = {**fusion_figures(fitted), "false_positive_rate_aimed_at": false_positives}
    for name in seen:
        if name not in figures:
            raise UsageError(
                f"{name} scored none of these files, so it cannot be marked as having seen them."
            )
        figures[name]["seen_in_training"] = 1
    enter_calibration(weights, fitted.calibration, figures)
    return fitted, figures
