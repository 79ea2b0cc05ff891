"""Figures of merit against slow, plain counting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from deepscan.training.evaluation.metrics import (
    accuracy,
    auc,
    bootstrap_interval,
    calibration_error_at_even_odds,
    calibration_error_by_chance,
    equal_error_rate,
    expected_calibration_error,
    false_positive_rate,
    reliability,
    roc_curve,
    true_positive_rate,
    true_positive_rate_at,
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


@pytest.mark.parametrize("seed", range(3))
def test_the_roc_curve_goes_through_every_threshold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, scores = rng.integers(0, 2, 60), rng.integers(0, 8, 60) / 8
    false, true = roc_curve(labels, scores)
    expected = {
        (false_positive_rate(labels, scores, t), true_positive_rate(labels, scores, t))
        for t in [*np.unique(scores), 2.0]
    }
    assert set(zip(false.tolist(), true.tolist(), strict=True)) == expected
    assert float(((true[1:] + true[:-1]) / 2 * np.diff(false)).sum()) == pytest.approx(auc(labels, scores))


def test_equal_error_rate_of_known_scores() -> None:
    labels = np.array([0] * 4 + [1] * 4)
    assert equal_error_rate(labels, np.array([0.1, 0.2, 0.3, 0.8, 0.7, 0.85, 0.9, 0.95])) == pytest.approx(
        0.25
    )
    assert equal_error_rate(labels, np.array([0.1, 0.2, 0.3, 0.4, 0.7, 0.8, 0.9, 0.95])) == 0
    assert equal_error_rate(labels, np.full(8, 0.5)) == pytest.approx(0.5), "all alike: half of each"
    assert equal_error_rate(labels, -labels.astype(float)) == 1
    assert math.isnan(equal_error_rate(np.ones(3, int), np.arange(3.0)))


def test_equal_error_rate_of_two_normal_classes() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20000)
    found = equal_error_rate(labels, rng.normal(labels * 2.0, 1.0))
    assert found == pytest.approx(0.1587, abs=0.01), "the share beyond one standard deviation"


def test_true_positives_at_a_rate_of_false_ones() -> None:
    labels = np.array([0] * 200 + [1] * 4)
    scores = np.append(np.linspace(0, 0.5, 200), [0.497, 0.4985, 0.6, 0.1])
    assert true_positive_rate_at(labels, scores, 0.01) == 0.75, "two of 200 reals may be flagged"
    assert true_positive_rate_at(labels, scores, 0.0) == 0.25
    assert math.isnan(true_positive_rate_at(np.zeros(3, int), np.arange(3.0)))


def test_reliability_bins_hold_every_sample_once() -> None:
    labels, scores = np.array([0, 1, 1, 0, 1]), np.array([0.0, 0.04, 0.31, 0.39, 1.0])
    bins = reliability(labels, scores)
    assert [(one.count, one.forged) for one in bins] == [(2, 0.5), (2, 0.5), (1, 1.0)]
    assert [one.probability for one in bins] == pytest.approx([0.02, 0.35, 1.0])
    assert math.isnan(expected_calibration_error(np.array([], int), np.array([])))


def test_calibration_error_at_even_odds_repeats_the_rarer_class() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(400) < 0.2).astype(int)
    scores = np.clip(rng.normal(0.3 + 0.4 * labels, 0.2), 0, 1)
    rare, common = scores[labels == 1], scores[labels == 0]
    repeated = np.concatenate([np.repeat(rare, len(common)), np.repeat(common, len(rare))])
    evened = np.concatenate([np.ones(len(rare) * len(common), int), np.zeros(len(rare) * len(common), int)])
    expected = expected_calibration_error(evened, repeated)
    assert calibration_error_at_even_odds(labels, scores) == pytest.approx(expected)
    assert math.isnan(calibration_error_at_even_odds(np.ones(3, int), np.arange(3) / 3))


def calibrated(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of which a fifth are forged, and probabilities that are right at even odds."""
    rng = np.random.default_rng(seed)
    scores = rng.random(20 * count)
    labels = (rng.random(20 * count) < scores).astype(int)
    keep = np.concatenate(
        [np.flatnonzero(labels == 0)[: 4 * count // 5], np.flatnonzero(labels)[: count // 5]]
    )
    return labels[keep], scores[keep]


def test_chance_alone_explains_the_error_of_calibrated_scores_and_shrinks_with_more_files() -> None:
    few = [calibrated(100, seed) for seed in range(20)]
    found = np.mean([calibration_error_at_even_odds(*one) for one in few])
    mean, high = calibration_error_by_chance(*few[0])
    assert mean == pytest.approx(found, rel=0.15) and mean < high
    many = calibrated(10_000, 0)
    assert calibration_error_at_even_odds(*many) < calibration_error_by_chance(*many, draws=50)[1] < mean / 4


def test_chance_does_not_explain_the_error_of_overconfident_scores() -> None:
    labels, scores = calibrated(300, 1)
    odds = (scores / (1 - scores)) ** 3
    overconfident = odds / (1 + odds)
    _, high = calibration_error_by_chance(labels, overconfident)
    assert calibration_error_at_even_odds(labels, overconfident) > 1.5 * high
    assert math.isnan(calibration_error_by_chance(np.ones(3, int), np.arange(3) / 3)[0])
