"""Figures by detector, by kind of forgery, and by what was said."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from deepscan.ensemble import Calibration
from deepscan.training.calibrate import Fit
from deepscan.training.figures import auc_with_interval, by_kind, detector_figures, evaluation, fusion_figures
from deepscan.training.score import ScoredFile


def file(label: int, probability: float | None, kind: str, person: int) -> ScoredFile:
    logits = {} if probability is None else {"sola": 4 * probability - 2}
    status = "no_face" if probability is None else "scanned"
    return ScoredFile(f"{kind}{person}", label, f"p{person}", "made", kind, status, probability, logits)


REAL = [file(0, p, "original", n) for n, p in enumerate((0.1, 0.2, 0.3, 0.4))]
SWAP = [file(1, p, "swap", n) for n, p in enumerate((0.9, 0.95, 0.8, 0.7))]
LIPS = [file(1, p, "lips", n) for n, p in enumerate((0.35, 0.15, 0.25, 0.05))]
FILES = [*REAL, *SWAP, *LIPS]
SCORES = np.array([f.probability for f in FILES], float)


def test_each_kind_stands_against_all_reals() -> None:
    found = by_kind(FILES, SCORES)
    assert list(found) == ["lips", "swap"]
    assert found["swap"]["auc"] == 1
    assert found["lips"]["auc"] == pytest.approx(6 / 16)
    assert all((one["real"], one["fake"]) == (4, 4) for one in found.values())
    assert all(one["auc_low"] <= one["auc"] <= one["auc_high"] for one in found.values())


def test_a_detector_is_measured_on_the_files_it_scored() -> None:
    files = [*FILES, replace(SWAP[0], logits={}), replace(SWAP[0], logits={"gml": 1.0, "sola": 2.0})]
    found = detector_figures(files)
    assert list(found) == ["gml", "sola"]
    assert (found["sola"]["real"], found["sola"]["fake"]) == (4, 9)
    assert math.isnan(found["gml"]["auc"])


def test_fusion_is_measured_at_the_shipped_thresholds() -> None:
    calibration = Calibration({}, 0.0, threshold_fake=0.75, threshold_real=0.3)
    found = fusion_figures(Fit(calibration, tuple(FILES), SCORES))
    assert found["auc"] == auc_with_interval(FILES, SCORES)["auc"]
    assert found["false_positive_rate"] == 0
    assert found["true_positive_rate"] == pytest.approx(3 / 8)
    assert found["fake_below_real_threshold"] == pytest.approx(3 / 8)
    assert 0 < found["ece"] < 1


def test_an_evaluation_counts_every_file_once() -> None:
    files = [*FILES, file(1, None, "swap", 9)]
    result = evaluation(files, (0.75, 0.3))
    assert set(result.groups) == {"sola", "ensemble", "ensemble, lips", "ensemble, swap"}
    assert result.verdicts == {
        "real files called real": 2,
        "real files called uncertain": 2,
        "fake files called fake": 3,
        "fake files called uncertain": 2,
        "fake files called real": 3,
        "fake files without a score (no_face)": 1,
    }


def test_files_without_any_score_still_make_a_report() -> None:
    result = evaluation([file(1, None, "swap", 1), file(0, None, "original", 2)], (0.5, 0.5))
    assert math.isnan(result.groups["ensemble"]["auc"])
    assert sum(result.verdicts.values()) == 2
