"""Figures of merit against slow, plain counting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from deepscan.training.evaluate import (
    accuracy,
    auc,
    bootstrap_interval,
    expected_calibration_error,
    false_positive_rate,
    true_positive_rate,
)

LABELS = np.array([0, 0, 0, 1, 1])
SCORES = np.array([0.1, 0.6, 0.3, 0.6, 0.9])


@pytest.mark.parametrize("seed", range(5))
def test_auc_counts_pairs_and_ties_half(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, scores = rng.integers(0, 2, 60), rng.integers(0, 8, 60) / 8
    won = [1.0 if f > r else 0.5 if f == r else 0.0 for f in scores[labels == 1] for r in scores[labels == 0]]
    assert auc(labels, scores) == pytest.approx(np.mean(won))
    assert auc(labels, -scores) == pytest.approx(1 - np.mean(won))


def test_auc_of_one_class_is_nan() -> None:
    assert math.isnan(auc(np.ones(3, int), np.arange(3.0)))
    assert math.isnan(auc(np.zeros(3, int), np.arange(3.0)))


def test_rates_count_scores_at_or_above_the_threshold() -> None:
    assert accuracy(LABELS, SCORES) == pytest.approx(4 / 5)
    assert false_positive_rate(LABELS, SCORES, 0.6) == pytest.approx(1 / 3)
    assert true_positive_rate(LABELS, SCORES, 0.6) == 1
    assert true_positive_rate(LABELS, SCORES, 0.61) == 0.5


@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_against_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.append(rng.random(200), [0.0, 1.0])
    labels = (rng.random(202) < scores**2).astype(int)
    error = 0.0
    for b in range(10):
        members = [
            (p, y)
            for p, y in zip(scores, labels, strict=True)
            if b / 10 <= p < (b + 1) / 10 or (b == 9 and p == 1)
        ]
        if members:
            gap = abs(sum(p for p, _ in members) - sum(y for _, y in members)) / len(members)
            error += gap * len(members) / len(scores)
    assert expected_calibration_error(labels, scores) == pytest.approx(error)


def drawn(seed: int, groups: int, size: int) -> tuple[NDArray[np.int64], ...]:
    rng = np.random.default_rng(seed)
    names = np.repeat(np.arange(groups), size)
    labels = np.tile(np.arange(size) % 2, groups)
    return labels, labels + rng.normal(0, 1, groups * size), names


def test_the_interval_holds_the_figure_and_narrows_with_more_groups() -> None:
    widths = {6: 0.0, 60: 0.0}
    for groups in widths:
        for seed in range(4):
            labels, scores, names = drawn(seed, groups, 4)
            low, high = bootstrap_interval(labels, scores, names, rounds=300)
            assert low < auc(labels, scores) < high
            widths[groups] += high - low
    assert widths[60] < widths[6] / 2
    assert bootstrap_interval(labels, scores, names, rounds=300) == (low, high)


def test_whole_groups_are_drawn() -> None:
    """Repeating every sample within its group tells nothing new, so the interval stays as wide."""
    labels, scores, names = drawn(1, 8, 4)
    once = bootstrap_interval(labels, scores, names, rounds=400)
    often = bootstrap_interval(*(np.repeat(a, 20) for a in (labels, scores, names)), rounds=400)
    assert often == pytest.approx(once, abs=0.02)
    seen: set[tuple[int, ...]] = set()

    def sizes(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
        seen.add(tuple(np.unique(scores, return_counts=True)[1] % 3))
        return 0.0

    bootstrap_interval(np.zeros(9, int), np.repeat([1.0, 2.0, 3.0], 3), np.repeat([0, 1, 2], 3), sizes)
    assert all(not any(rest) for rest in seen)


def test_an_interval_of_nothing_is_nan() -> None:
    assert all(map(math.isnan, bootstrap_interval(np.ones(4, int), np.arange(4.0), np.arange(4))))
    empty = np.empty(0)
    assert all(map(math.isnan, bootstrap_interval(empty.astype(int), empty, empty)))
