"""Figures of a validation run, by detector and by kind of forgery, with intervals over identities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepscan.ensemble import verdict
from deepscan.training.calibrate import Fit
from deepscan.training.evaluate import (
    auc,
    bootstrap_interval,
    expected_calibration_error,
    false_positive_rate,
    true_positive_rate,
)
from deepscan.training.score import ScoredFile


def auc_with_interval(files: Sequence[ScoredFile], scores: NDArray[np.float64]) -> dict[str, float]:
    """``auc``, ``auc_low``, ``auc_high`` (95 %, bootstrap over identities), and both classes' counts."""
    labels = np.array([file.label for file in files])
    groups = np.array([file.identity for file in files])
    low, high = bootstrap_interval(labels, scores, groups)
    return {
        "auc": round(auc(labels, scores), 4),
        "auc_low": round(low, 4),
        "auc_high": round(high, 4),
        "real": int((labels == 0).sum()),
        "fake": int((labels == 1).sum()),
    }


def detector_figures(files: Sequence[ScoredFile]) -> dict[str, dict[str, float]]:
    """Per detector, on the files it scored."""
    names = sorted({name for file in files for name in file.logits})
    found = {}
    for name in names:
        seen = [file for file in files if name in file.logits]
        found[name] = auc_with_interval(seen, np.array([file.logits[name] for file in seen]))
    return found


def fusion_figures(fitted: Fit) -> dict[str, float]:
    """Of the ensemble, cross-validated over identities, at the shipped thresholds."""
    labels = np.array([file.label for file in fitted.files])
    p = fitted.probabilities
    calibration = fitted.calibration
    return {
        **auc_with_interval(fitted.files, p),
        "ece": round(expected_calibration_error(labels, p), 4),
        "false_positive_rate": round(false_positive_rate(labels, p, calibration.threshold_fake), 4),
        "true_positive_rate": round(true_positive_rate(labels, p, calibration.threshold_fake), 4),
        "fake_below_real_threshold": round(1 - true_positive_rate(labels, p, calibration.threshold_real), 4),
    }


def by_kind(files: Sequence[ScoredFile], scores: NDArray[np.float64]) -> dict[str, dict[str, float]]:
    """Each kind of forgery against all real files; only kinds with forged files are listed."""
    real = [i for i, file in enumerate(files) if file.label == 0]
    found = {}
    for kind in sorted({file.kind for file in files if file.label == 1}):
        chosen = real + [i for i, file in enumerate(files) if file.label == 1 and file.kind == kind]
        found[kind] = auc_with_interval([files[i] for i in chosen], scores[chosen])
    return found


@dataclass(frozen=True)
class Evaluation:
    """What ``deepscan evaluate`` reports.

    Attributes:
        groups: AUC per detector, of the ensemble, and of the ensemble per kind of forgery.
        verdicts: how many real and forged files were called what.
    """

    groups: dict[str, dict[str, float]]
    verdicts: dict[str, int]


def evaluation(files: Sequence[ScoredFile], thresholds: tuple[float, float]) -> Evaluation:
    """Everything that ``deepscan evaluate`` reports.

    Args:
        files: scanned, labelled files.
        thresholds: fake and real, of the scan.
    """
    groups = detector_figures(files)
    judged = [file for file in files if file.probability is not None]
    p = np.array([file.probability for file in judged], np.float64)
    groups["ensemble"] = auc_with_interval(judged, p)
    groups |= {f"ensemble, {kind}": figures for kind, figures in by_kind(judged, p).items()}
    verdicts: dict[str, int] = {}
    for file in files:
        if file.probability is None:
            said = f"without a score ({file.status})"
        else:
            said = f"called {verdict(file.probability, *thresholds)}"
        key = f"{'fake' if file.label else 'real'} files {said}"
        verdicts[key] = verdicts.get(key, 0) + 1
    return Evaluation(groups, verdicts)
