"""Figures by detector, level, source and forger, and by what was said."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from deepscan.ensemble import Calibration, DetectorCalibration, sigmoid
from deepscan.training.evaluation.calibration import Fit
from deepscan.training.evaluation.metrics import accuracy, calibration_error_at_even_odds, equal_error_rate
from deepscan.training.evaluation.scoring import ScoredFile
from deepscan.training.evaluation.summary import (
    Evaluation,
    auc_with_interval,
    by_detector,
    detector_figures,
    ensemble_moments,
    evaluation,
    fusion_figures,
    shuffled_figures,
    worst,
)

pytestmark = pytest.mark.slow

PLAIN = Calibration({"sola": DetectorCalibration(1.0, 0.0, 1.0)}, 0.0, 0.75, 0.3)
THRESHOLDS = (0.75, 0.3)


def file(label: int, probability: float | None, kind: str, person: int) -> ScoredFile:
    logits = {} if probability is None else {"sola": 4 * probability - 2}
    status = "no_face" if probability is None else "scanned"
    return ScoredFile(f"{kind}{person}", label, f"p{person}", "made", kind, status, probability, logits)


REAL = [file(0, p, "original", n) for n, p in enumerate((0.1, 0.2, 0.3, 0.4))]
SWAP = [file(1, p, "swap", n) for n, p in enumerate((0.9, 0.95, 0.8, 0.7))]
LIPS = [file(1, p, "lips", n) for n, p in enumerate((0.35, 0.15, 0.25, 0.05))]
FILES = [*REAL, *SWAP, *LIPS]
SCORES = np.array([f.probability for f in FILES], float)


def measured(files: list[ScoredFile], calibration: Calibration = PLAIN) -> Evaluation:
    return evaluation(files, calibration, THRESHOLDS)


def test_each_forger_stands_against_all_reals() -> None:
    found = measured(FILES).forgers
    assert list(found) == ["lips", "swap"]
    assert found["swap"]["ensemble"]["auc"] == found["swap"]["sola"]["auc"] == 1
    assert found["lips"]["ensemble"]["auc"] == pytest.approx(6 / 16)
    for by_name in found.values():
        assert all((one["real"], one["fake"]) == (4, 4) for one in by_name.values())
        assert all(one["auc_low"] <= one["auc"] <= one["auc_high"] for one in by_name.values())


def test_a_source_without_reals_is_measured_against_the_reals_of_all() -> None:
    elsewhere = [replace(one, source="wild") for one in SWAP]
    found = measured([*REAL, *LIPS, *elsewhere]).sources
    assert list(found) == ["made", "wild"]
    assert (found["made"]["ensemble"]["real"], found["made"]["ensemble"]["fake"]) == (4, 4)
    assert found["made"]["ensemble"]["auc"] == pytest.approx(6 / 16)
    assert (found["wild"]["ensemble"]["real"], found["wild"]["ensemble"]["auc"]) == (4, 1.0)


def test_every_figure_of_a_group_is_that_of_its_calibrated_probabilities() -> None:
    shifted = Calibration({"sola": DetectorCalibration(0.5, 1.0, 1.0)}, 0.0, 0.75, 0.3)
    group = measured(FILES, shifted).groups["sola"]
    labels = np.array([one.label for one in FILES])
    p = np.array([sigmoid(one.logits["sola"] / 0.5 + 1.0) for one in FILES])
    assert group["accuracy"] == pytest.approx(accuracy(labels, p), abs=1e-4)
    assert group["ece"] == pytest.approx(calibration_error_at_even_odds(labels, p), abs=1e-4)
    assert group["eer"] == pytest.approx(equal_error_rate(labels, p), abs=1e-4)
    for name in ("auc", "accuracy", "eer", "tpr_at_1_fpr", "ece"):
        assert group[f"{name}_low"] <= group[name] <= group[f"{name}_high"] + 1e-9, name


def test_a_detector_is_measured_on_the_files_it_scored() -> None:
    files = [*FILES, replace(SWAP[0], logits={}), replace(SWAP[0], logits={"gml": 1.0, "sola": 2.0})]
    for found in (detector_figures(files), measured(files).groups):
        assert (found["sola"]["real"], found["sola"]["fake"]) == (4, 9)
        assert math.isnan(found["gml"]["auc"])
    assert list(detector_figures(files)) == ["gml", "sola"]


def test_frames_are_counted_one_by_one() -> None:
    files = [
        replace(REAL[0], clips={"sola": ((0, 0, 0.1), (1, 1, 0.2), (2, 2, 0.9))}),
        replace(SWAP[0], clips={"sola": ((0, 0, 0.8), (1, 1, 0.3))}),
    ]
    found = measured(files).frames
    assert set(found) == {"sola", "ensemble"}
    assert (found["sola"]["real"], found["sola"]["fake"]) == (3, 2)
    assert found["sola"]["auc"] == pytest.approx(4 / 6, abs=1e-4)
    assert found["ensemble"]["auc"] == found["sola"]["auc"], "there is one detector"
    assert measured(files).groups["sola"]["real"] == 1


def test_a_moment_of_the_ensemble_hears_the_clip_nearest_to_it() -> None:
    calibration = Calibration(
        {"sola": DetectorCalibration(1, 0, 1), "gml": DetectorCalibration(1, 0, 1)}, 0.0, 0.5, 0.5
    )
    one = replace(
        REAL[0],
        clips={"sola": ((0, 0, 0.5), (4, 4, 0.5), (9, 9, 0.5)), "gml": ((0, 1, 0.2), (8, 9, 0.9))},
    )
    assert ensemble_moments(one, calibration) == pytest.approx([0.2, 0.2, 0.9])
    assert ensemble_moments(REAL[0], calibration) == []


def test_a_detector_that_uses_time_loses_by_shuffled_frames() -> None:
    rng = np.random.default_rng(0)
    files = []
    for n in range(80):
        score = 3.0 * (n % 2) + rng.normal()
        files.append(
            ScoredFile(
                f"{n}",
                n % 2,
                f"p{n // 4}",
                "made",
                "",
                "scanned",
                0.5,
                {"gml": score, "resnet3d": score, "sola": score},
                shuffled={"gml": rng.normal(), "resnet3d": score},
            )
        )
    found = shuffled_figures(files)
    assert list(found) == ["gml", "resnet3d"], "single frames have no order"
    assert found["gml"]["auc"] > 0.9 and 0.3 < found["gml"]["auc_shuffled"] < 0.7
    assert found["gml"]["difference_low"] > 0.2
    assert found["resnet3d"]["difference"] == found["resnet3d"]["score_change"] == 0
    assert found["gml"]["score_change"] > 0.1
    assert shuffled_figures(FILES) == {}


def test_fusion_is_measured_at_the_shipped_thresholds() -> None:
    calibration = Calibration({}, 0.0, threshold_fake=0.75, threshold_real=0.3)
    found = fusion_figures(Fit(calibration, tuple(FILES), SCORES))
    assert found["auc"] == auc_with_interval(FILES, SCORES)["auc"]
    assert found["false_positive_rate"] == 0
    assert found["true_positive_rate"] == pytest.approx(3 / 8)
    assert found["fake_below_real_threshold"] == pytest.approx(3 / 8)
    assert 0 < found["ece"] < 1
    assert 0 < found["ece_by_chance"] < found["ece_by_chance_high"]


def test_an_evaluation_counts_every_file_once() -> None:
    result = measured([*FILES, file(1, None, "swap", 9)])
    assert set(result.groups) == {"sola", "ensemble"}
    assert result.verdicts == {
        "real files called real": 2,
        "real files called uncertain": 2,
        "fake files called fake": 3,
        "fake files called uncertain": 2,
        "fake files called real": 3,
        "fake files without a score (no_face)": 1,
    }
    assert result.thresholds == {"fake": 0.75, "real": 0.3}


def test_the_worst_of_each_class_come_worst_first() -> None:
    assert [one.file for one in worst([*FILES, file(0, None, "gone", 9)], 2)] == [
        "original3", "original2", "lips3", "lips1"
    ]  # fmt: skip
    assert len(worst(FILES, 99)) == len(FILES)


def test_files_without_any_score_still_make_a_report() -> None:
    result = measured([file(1, None, "swap", 1), file(0, None, "original", 2)])
    assert all(math.isnan(result.groups["ensemble"][name]) for name in ("auc", "accuracy", "eer", "ece"))
    assert sum(result.verdicts.values()) == 2
    assert by_detector([], PLAIN)["ensemble"].scores.shape == (0,)
