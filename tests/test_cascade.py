"""Which detectors ``--fast`` asks, and what the others say for themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from deepscan.cascade import BY_COST, CERTAIN, NO_SAY, NOT_NEEDED, Cascade
from deepscan.clips import Clip
from deepscan.detectors import SPECS
from deepscan.detectors.base import Score
from deepscan.ensemble import Calibration, DetectorCalibration

CLIP = Clip(1, np.zeros((1, 8, 8, 3), np.uint8), (0.0,))


def calibration(**weights: float) -> Calibration:
    detectors = {name: DetectorCalibration(1.0, 0.0, weights.get(name, 0.0)) for name in SPECS}
    return Calibration(detectors, 0.0, 0.7, 0.3)


def ask_all(cascade_of: Calibration, answers: dict[str, float]) -> tuple[set[str], dict[str, str]]:
    """Who was asked when every detector has one clip, and what is said of the others."""
    asked: list[str] = []

    def ask(name: str, clips: Sequence[Clip]) -> list[Score]:
        asked.append(name)
        return [Score(clip.track_id, 0.0, 0.0, answers[name]) for clip in clips]

    cascade = Cascade(ask, cascade_of)
    cascade.hear((name, CLIP) for name in SPECS)
    assert not asked, "nobody is asked before the file has ended"
    scored = {name for name, scores in cascade.scores(1).items() if scores}
    assert scored == set(asked)
    return scored, cascade.not_run(1)


def test_every_detector_has_a_place_in_the_order() -> None:
    assert sorted(BY_COST) == sorted(SPECS)


@pytest.mark.parametrize("sure", [CERTAIN + 0.005, 1 - CERTAIN - 0.005])
def test_a_certain_cheap_answer_is_enough_either_way(sure: float) -> None:
    scored, idle = ask_all(calibration(gml=1.0, global_local=1.0), {"global_local": sure})
    assert scored == {"global_local"}
    assert idle == {"gml": NOT_NEEDED, "sola": NO_SAY, "resnet3d": NO_SAY, "local_features": NO_SAY}


def test_a_doubtful_cheap_answer_is_not() -> None:
    scored, idle = ask_all(calibration(gml=1.0, global_local=1.0), {"global_local": 0.7, "gml": 0.2})
    assert scored == {"global_local", "gml"}
    assert "gml" not in idle


def test_a_suspicion_in_a_crowd_must_be_certain_among_all_its_faces() -> None:
    answers = {"global_local": CERTAIN + 0.005, "gml": 0.9999}

    def ask(name: str, clips: Sequence[Clip]) -> list[Score]:
        return [Score(clip.track_id, 0.0, 0.0, answers[name]) for clip in clips]

    cascade = Cascade(ask, calibration(gml=1.0, global_local=1.0))
    cascade.hear((name, replace(CLIP, track_id=track)) for track in (1, 2, 3) for name in answers)
    assert set(cascade.scores(1)) == {"global_local", "gml"}
    assert cascade.not_run(1) == {}


def test_a_track_without_clips_has_neither_scores_nor_idle_detectors() -> None:
    cascade = Cascade(lambda name, clip: [], calibration(gml=1.0))
    assert not any(cascade.scores(7).values())
    assert cascade.not_run(7) == {}
