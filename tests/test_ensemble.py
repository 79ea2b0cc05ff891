"""Fusion against arithmetic written out by hand, and the verdicts that follow."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from deepscan.detectors.spec import Score
from deepscan.ensemble import (
    CLIP_LOGIT_LIMIT,
    Calibration,
    DetectorCalibration,
    TrackVerdict,
    aggregate,
    file_verdict,
    fuse,
    over_time,
    sigmoid,
    verdict,
    weigh_tracks,
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


PICKY = replace(CALIBRATION, full_width_px=100.0)


def test_what_is_said_of_a_small_face_counts_by_its_share_of_the_full_width() -> None:
    track = fuse(1, {"gml": scores(0.9), "sola": scores(0.2)}, {}, PICKY.at(25, still=False))
    gml, sola = log_odds(0.9) / 4 / 2.0 + 0.5, log_odds(0.2) / 4 / 0.5 - 0.1
    assert [d.probability for d in track.detectors] == [pytest.approx(sigmoid(z)) for z in (gml, sola)]
    assert track.probability == pytest.approx(sigmoid(-0.2 + 0.6 * gml + 0.3 * sola))


def test_what_is_said_of_a_single_frame_counts_by_its_share() -> None:
    own = {"sola": scores(0.2)}
    shy = replace(PICKY, still_share=0.5)
    assert fuse(1, own, {}, shy.at(240, still=True)) == fuse(1, own, {}, PICKY.at(50, still=False))
    assert fuse(1, own, {}, shy.at(240, still=False)) == fuse(1, own, {}, CALIBRATION)


@pytest.mark.parametrize("width_px", [0, 100, 240])
def test_a_face_wide_enough_or_of_unknown_width_counts_in_full(width_px: int) -> None:
    own = {"gml": scores(0.9), "sola": scores(0.2)}
    assert fuse(1, own, {}, PICKY.at(width_px, still=False)) == fuse(1, own, {}, CALIBRATION)


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


def weighed(*probabilities: float | None) -> list[float | None]:
    return [
        one.probability for one in weigh_tracks([TrackVerdict(n, p, ()) for n, p in enumerate(probabilities)])
    ]


def test_one_face_and_faces_all_alike_are_judged_as_they_are() -> None:
    for p in (0.0, 0.01, 0.5, 0.97, 0.9999999, 1.0):
        assert weighed(p) == [p]
        assert weighed(p, p, p) == pytest.approx([p] * 3)
    assert weighed(None, 0.97) == [None, 0.97]
    assert weighed() == []


def test_one_suspicious_face_in_a_crowd_needs_its_odds_times_over() -> None:
    first, *rest = weighed(0.999, *[0.1] * 8)
    assert log_odds(first or 0) == pytest.approx(log_odds(0.999) - 2 * math.log(9))
    assert rest == [0.1] * 8
    assert weighed(0.8, *[0.1] * 8)[0] == 0.5, "undecided, and never real for company"
    two = weighed(0.99, 0.99, 0.1, 0.1)
    assert [log_odds(p or 0) for p in two[:2]] == pytest.approx([log_odds(0.99) - 2 * math.log(2)] * 2)


def test_the_order_of_suspicion_stays() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        p = rng.random(6)
        after = np.array(weighed(*p.tolist()), float)
        assert (np.diff(after[np.argsort(p)]) >= 0).all()
        assert (after <= p).all() and (after[p < 0.5] == p[p < 0.5]).all()


def simulated(
    rng: np.random.Generator, files: int, tracks: int, shared: float, spread: float = 2.0
) -> np.ndarray:
    """Calibrated logits ``(files, tracks)`` of genuine faces; ``shared`` of the variance is the file's."""
    common, own = rng.normal(size=(files, 1)), rng.normal(size=(files, tracks))
    return -(spread**2) / 2 + spread * (math.sqrt(shared) * common + math.sqrt(1 - shared) * own)


@pytest.mark.parametrize("shared", [0.0, 0.5])
@pytest.mark.parametrize("threshold", [0.51, 0.7, 0.9])
@pytest.mark.parametrize("spread", [1.0, 2.0, 4.0])
def test_false_alarms_do_not_grow_with_the_number_of_faces(
    shared: float, threshold: float, spread: float
) -> None:
    rng = np.random.default_rng(1)
    flagged, uncorrected = [], []
    for tracks in (1, 2, 4, 8, 16):
        p = 1 / (1 + np.exp(-simulated(rng, 2000, tracks, shared, spread)))
        said = [max(q or 0 for q in weighed(*row)) for row in p.tolist()]
        flagged.append(float(np.mean(np.array(said) >= threshold)))
        uncorrected.append(float((p.max(1) >= threshold).mean()))
    assert uncorrected[-1] > 1.5 * uncorrected[0], "the greatest of many is what must be guarded against"
    assert max(flagged[1:]) <= flagged[0] + 0.01


def test_false_alarms_do_not_grow_with_the_number_of_windows() -> None:
    rng = np.random.default_rng(2)
    flagged = []
    for windows in (1, 2, 4, 8, 16):
        logits = simulated(rng, 3000, windows, 0.5)
        said = [aggregate([sigmoid(value) for value in row]) for row in logits.tolist()]
        flagged.append(float(np.mean(np.array(said) >= log_odds(0.7))))
    assert flagged[0] > 0.03
    assert max(flagged[1:]) <= flagged[0]


def test_over_time_each_moment_takes_every_detectors_nearest_clip() -> None:
    gml = [Score(1, 0.0, 0.6, 0.9), Score(1, 4.0, 4.6, 0.2)]
    whole = [Score(1, 0.0, 10.0, 0.7)]
    fused = fuse(1, {"gml": gml, "sola": whole}, {}, CALIBRATION)
    line = over_time(fused.detectors, CALIBRATION)
    assert [moment_s for moment_s, _ in line] == pytest.approx([0.3, 4.3, 5.0])
    alone = [fuse(1, {"gml": [clip], "sola": whole}, {}, CALIBRATION).probability for clip in gml]
    assert [p for _, p in line] == pytest.approx([alone[0], alone[1], alone[1]])


def test_over_time_leaves_out_who_has_no_say() -> None:
    weightless = next(name for name, entry in CALIBRATION.detectors.items() if entry.weight == 0)
    fused = fuse(1, {weightless: scores(0.9, 0.8)}, {}, CALIBRATION)
    assert over_time(fused.detectors, CALIBRATION) == ()


def test_a_face_too_narrow_for_anyone_to_tell_stays_undecided() -> None:
    calibration = Calibration({}, 0.0, 0.9, 0.2, least_width_px=60)
    limits = calibration.thresholds()
    for probability in (0.0, 0.1, 0.5, 0.95, 1.0):
        assert verdict(calibration.held(probability, 59, limits), *limits) == "uncertain"
        assert calibration.held(probability, 60, limits) == probability
        assert calibration.held(probability, 0, limits) == probability, "of unknown width"
