"""Figures of merit of scores against labels, with bootstrap intervals.

Labels are 1 for forged, 0 for real; scores are probabilities that the face is forged.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Scores = NDArray[np.float64]


def auc(labels: NDArray[np.generic], scores: NDArray[np.generic]) -> float:
    """Area under the ROC curve: the share of (forged, real) pairs in the right order, ties half.

    NaN where one class is absent.
    """
    is_forged = np.asarray(labels).astype(np.bool_)
    scores = np.asarray(scores, np.float64)
    forged, real = scores[is_forged], np.sort(scores[~is_forged])
    if not len(forged) or not len(real):
        return float("nan")
    below = np.searchsorted(real, forged, side="left")
    not_above = np.searchsorted(real, forged, side="right")
    return float((below + not_above).sum() / (2 * len(forged) * len(real)))


def accuracy(labels: Labels, scores: Scores, threshold: float = 0.5) -> float:
    """Share of samples on the right side of ``threshold``."""
    return float(((scores >= threshold) == labels.astype(bool)).mean())


def false_positive_rate(labels: Labels, scores: Scores, threshold: float) -> float:
    """Share of real samples at or above ``threshold``."""
    return float((scores[labels == 0] >= threshold).mean())


def true_positive_rate(labels: Labels, scores: Scores, threshold: float) -> float:
    """Share of forged samples at or above ``threshold``."""
    return float((scores[labels == 1] >= threshold).mean())


def expected_calibration_error(labels: Labels, scores: Scores, bins: int = 10) -> float:
    """Mean distance between probability and observed share of forged, over equal-width bins."""
    which = np.minimum((scores * bins).astype(int), bins - 1)
    error = 0.0
    for b in range(bins):
        inside = which == b
        if inside.any():
            error += float(inside.mean()) * abs(float(scores[inside].mean()) - float(labels[inside].mean()))
    return error


def bootstrap_interval(
    labels: Labels,
    scores: Scores,
    groups: NDArray[np.generic],
    figure: Callable[[Labels, Scores], float] = auc,
    *,
    rounds: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % interval of ``figure``; whole groups (identities) are drawn, not single samples.

    NaN where ``figure`` is NaN in every draw, or nothing can be drawn.
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    if not members:
        return (float("nan"), float("nan"))
    found = []
    for _ in range(rounds):
        drawn = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        value = figure(labels[drawn], scores[drawn])
        if not np.isnan(value):
            found.append(value)
    if not found:
        return (float("nan"), float("nan"))
    low, high = np.percentile(found, [2.5, 97.5])
    return (float(low), float(high))
