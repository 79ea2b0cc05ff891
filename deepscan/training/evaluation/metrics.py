"""Figures of merit of scores against labels, with bootstrap intervals.

Labels are 1 for forged, 0 for real; scores are probabilities that the face is forged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import sklearn.metrics
from numpy.typing import NDArray
from scipy.stats import rankdata

Labels = NDArray[np.int64]
Scores = NDArray[np.float64]


def auc(labels: NDArray[np.generic], scores: NDArray[np.generic]) -> float:
    """Area under the ROC curve: the share of (forged, real) pairs in the right order, ties half.

    By ranks (Mann and Whitney), because a bootstrap asks a thousand times and scikit-learn's takes 2 ms.
    NaN where one class is absent.
    """
    is_forged = np.asarray(labels).astype(np.bool_)
    forged = int(is_forged.sum())
    real = len(is_forged) - forged
    if not forged or not real:
        return float("nan")
    ranks = rankdata(np.asarray(scores, np.float64))[is_forged].sum()
    return float((ranks - forged * (forged + 1) / 2) / (forged * real))


def accuracy(labels: Labels, scores: Scores, threshold: float = 0.5) -> float:
    """Share of samples on the right side of ``threshold``; NaN without samples."""
    if not len(labels):
        return float("nan")
    return float(((scores >= threshold) == labels.astype(bool)).mean())


def false_positive_rate(labels: Labels, scores: Scores, threshold: float) -> float:
    """Share of real samples at or above ``threshold``."""
    return float((scores[labels == 0] >= threshold).mean())


def true_positive_rate(labels: Labels, scores: Scores, threshold: float) -> float:
    """Share of forged samples at or above ``threshold``."""
    return float((scores[labels == 1] >= threshold).mean())


def expected_calibration_error(labels: Labels, scores: Scores, bins: int = 10) -> float:
    """Mean distance between probability and observed share of forged, over equal-width bins."""
    if not len(scores):
        return float("nan")
    return sum(
        one.count / len(scores) * abs(one.probability - one.forged)
        for one in reliability(labels, scores, bins)
    )


def roc_curve(labels: Labels, scores: Scores) -> tuple[Scores, Scores]:
    """``(false positive rates, true positive rates)``, ascending, from (0, 0) to (1, 1); one point per score.

    Both classes must be there.
    """
    false, true, _ = sklearn.metrics.roc_curve(labels, scores, drop_intermediate=False)
    return false, true


def equal_error_rate(labels: Labels, scores: Scores) -> float:
    """Where as many real samples are flagged as forged ones are missed, between two thresholds on the line.

    NaN where one class is absent.
    """
    if len(set(labels.tolist())) < 2:
        return float("nan")
    false, true = roc_curve(labels, scores)
    gap = false - (1 - true)
    after = int(np.argmax(gap >= 0))
    step = gap[after] - gap[after - 1]
    share = 0.0 if step == 0 else -gap[after - 1] / step
    return float(false[after - 1] + share * (false[after] - false[after - 1]))


def true_positive_rate_at(labels: Labels, scores: Scores, false_positives: float = 0.01) -> float:
    """Largest share of forged samples found by a threshold that flags at most this share of real ones.

    NaN where one class is absent.
    """
    if len(set(labels.tolist())) < 2:
        return float("nan")
    false, true = roc_curve(labels, scores)
    return float(true[false <= false_positives].max())


def calibration_error_at_even_odds(labels: Labels, scores: Scores, bins: int = 10) -> float:
    """``expected_calibration_error`` as if half of the files were forged; NaN where one class is absent.

    That is what calibration fits: how many of somebody's files are forged nobody knows beforehand.
    """
    share = float(labels.mean()) if len(labels) else 0.0
    if not 0 < share < 1:
        return float("nan")
    weights = np.where(labels == 1, 0.5 / share, 0.5 / (1 - share)) / len(labels)
    which = np.minimum((scores * bins).astype(int), bins - 1)
    return sum(abs(float((weights * (scores - labels))[which == b].sum())) for b in range(bins))


def calibration_error_by_chance(
    labels: Labels, scores: Scores, bins: int = 10, *, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """What ``calibration_error_at_even_odds`` would show if the scores were calibrated perfectly.

    The error is a mean of distances, so that on few files chance alone keeps it above zero. Labels are drawn
    from the scores, at the labels' share of forged, as if files were independent: those of one person are
    not, and chance may do more than this.

    Returns:
        Mean and 95th percentile over the draws; NaN where one class is absent.
    """
    share = float(labels.mean()) if len(labels) else 0.0
    if not 0 < share < 1:
        return float("nan"), float("nan")
    forged = scores * share / (scores * share + (1 - scores) * (1 - share))
    rng = np.random.default_rng(seed)
    errors = [
        calibration_error_at_even_odds((rng.random(len(scores)) < forged).astype(np.int64), scores, bins)
        for _ in range(draws)
    ]
    return float(np.nanmean(errors)), float(np.nanquantile(errors, 0.95))


@dataclass(frozen=True)
class ReliabilityBin:
    """Samples of alike probability: how many, what was said on average, and what share was forged."""

    count: int
    probability: float
    forged: float


def reliability(labels: Labels, scores: Scores, bins: int = 10) -> list[ReliabilityBin]:
    """Equal-width bins of probability that hold samples, in ascending order."""
    which = np.minimum((scores * bins).astype(int), bins - 1)
    return [
        ReliabilityBin(int(inside.sum()), float(scores[inside].mean()), float(labels[inside].mean()))
        for inside in (which == b for b in range(bins))
        if inside.any()
    ]


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
