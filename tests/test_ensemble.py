"""Fusion against arithmetic written out by hand, and the verdicts that follow."""

from __future__ import annotations

import math

import pytest

from deepscan.detectors.base import Score
from deepscan.ensemble import (
    CLIP_LOGIT_LIMIT,
    Calibration,
    DetectorCalibration,
    aggregate,
    file_verdict,
    fuse,
    sigmoid,
    verdict,
)

CALIBRATION = Calibration(
    detectors={
        "gml": DetectorCalibration(temperature=2.0, bias=0.5, weight=0.6),
        "sola": DetectorCalibration(temperature=0.5, bias=-0.1, weight=0.3),
        "resnet3d": DetectorCalibration(temperature=1.0, bias=0.0, weight=0.0),
    },
    bias=-0.2,
    threshold_fake=0.8,
    threshold_real=0.3,
)


def scores(*probabilities: float) -> list[Score]:
    return [Score(1, float(i), i + 0.5, p) for i, p in enumerate(probabilities)]


def log_odds(p: float) -> float:
    return math.log(p / (1 - p))


def test_fusion_is_the_weighted_sum_of_calibrated_mean_logits() -> None:
    track = fuse(1, {"gml": scores(0.9, 0.6), "sola": scores(0.2), "resnet3d": scores(0.7)}, {}, CALIBRATION)
    gml = (log_odds(0.9) + log_odds(0.6)) / 2 / 2.0 + 0.5
    sola = log_odds(0.2) / 0.5 - 0.1
    z = -0.2 + 0.6 * gml + 0.3 * sola
    assert track.probability == pytest.approx(1 / (1 + math.exp(-z)))
    assert [d.name for d in track.detectors] == ["gml", "sola", "resnet3d"]
    assert track.detectors[0].probability == pytest.approx(1 / (1 + math.exp(-gml)))
    assert track.detectors[1].probability == pytest.approx(1 / (1 + math.exp(-sola)))


def test_a_detector_without_a_score_gives_its_weight_to_the_others_and_keeps_its_reason() -> None:
    reason = "needs 8 frames, every second of 15, with this face; it has 1"
    track = fuse(1, {"sola": scores(0.9), "gml": []}, {"gml": reason}, CALIBRATION)
    sola = log_odds(0.9) / 0.5 - 0.1
    assert track.probability == pytest.approx(sigmoid(-0.2 + 0.9 * sola))
    gml, own = track.detectors
    assert (gml.probability, gml.scores, gml.peak, gml.reason) == (None, (), None, reason)
    assert own.reason is None


def test_a_detector_that_was_not_asked_for_is_not_listed() -> None:
    track = fuse(1, {"sola": scores(0.9)}, {}, CALIBRATION)
    assert [d.name for d in track.detectors] == ["sola"]


def test_weight_zero_is_reported_and_has_no_say() -> None:
    without = fuse(1, {"gml": scores(0.9)}, {}, CALIBRATION)
    with_it = fuse(1, {"gml": scores(0.9), "resnet3d": scores(0.01)}, {}, CALIBRATION)
    assert with_it.probability == without.probability
    assert with_it.detectors[-1].probability == pytest.approx(0.01)


def test_only_weightless_scores_give_no_probability() -> None:
    track = fuse(1, {"resnet3d": scores(0.99)}, {"gml": "…", "sola": "…"}, CALIBRATION)
    assert track.probability is None
    assert track.detectors[-1].probability == pytest.approx(0.99)


def test_scores_are_in_order_of_time_and_the_peak_is_the_most_suspicious() -> None:
    own = scores(0.2, 0.8, 0.4)
    (gml,) = fuse(1, {"gml": own[::-1]}, {}, CALIBRATION).detectors
    assert gml.scores == tuple(own)
    assert gml.peak == own[1]


def test_a_saturated_clip_counts_for_a_limited_logit() -> None:
    assert aggregate([1.0]) == CLIP_LOGIT_LIMIT
    assert aggregate([0.0]) == -CLIP_LOGIT_LIMIT
    assert aggregate([1.0, 0.5]) == CLIP_LOGIT_LIMIT / 2
    assert aggregate([0.3, 0.7]) == pytest.approx(0.0)


def test_the_order_of_clips_does_not_matter() -> None:
    probabilities = [0.1, 0.7, 0.33, 0.999, 0.0001]
    assert aggregate(probabilities) == aggregate(probabilities[::-1])


@pytest.mark.parametrize(
    ("probability", "expected"),
    [
        (0.0, "real"),
        (0.2999, "real"),
        (0.3, "uncertain"),
        (0.7999, "uncertain"),
        (0.8, "fake"),
        (1.0, "fake"),
    ],
)
def test_verdict(probability: float, expected: str) -> None:
    assert verdict(probability, 0.8, 0.3) == expected


def test_a_users_threshold_moves_both_limits_only_when_it_must() -> None:
    assert CALIBRATION.thresholds() == (0.8, 0.3)
    assert CALIBRATION.thresholds(0.5) == (0.5, 0.3)
    assert CALIBRATION.thresholds(0.1) == (0.1, 0.1)


def test_a_file_is_as_fake_as_its_most_suspicious_track() -> None:
    assert file_verdict([0.1, 0.9, 0.2], (0.8, 0.3), whole=True) == ("fake", 0.9)
    assert file_verdict([0.1, 0.2], (0.8, 0.3), whole=True) == ("real", 0.2)


def test_nothing_unread_is_called_clean() -> None:
    assert file_verdict([0.1], (0.8, 0.3), whole=False) == ("uncertain", 0.1)
    assert file_verdict([0.1, None], (0.8, 0.3), whole=True) == ("uncertain", 0.1)
    assert file_verdict([None], (0.8, 0.3), whole=True) == ("uncertain", None)
    assert file_verdict([], (0.8, 0.3), whole=False) == ("uncertain", None)
    assert file_verdict([0.9, None], (0.8, 0.3), whole=False) == ("fake", 0.9)


def test_extreme_logits_do_not_overflow() -> None:
    assert sigmoid(-1000.0) == 0.0
    assert sigmoid(1000.0) == 1.0
