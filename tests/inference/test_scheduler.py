"""Which detectors ``--fast`` asks, and what the others say for themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from deepscan.detectors import SPECS
from deepscan.detectors.spec import Score
from deepscan.ensemble import Calibration, DetectorCalibration
from deepscan.errors import ScoreError
from deepscan.faces.clips import Clip
from deepscan.inference.detector import ClipOutput
from deepscan.inference.scheduler import (
    AHEAD,
    CERTAIN,
    FAST_ORDER,
    NOT_NEEDED,
    WEIGHT_ZERO,
    FastScheduler,
    Scheduler,
)

CLIP = Clip(1, np.zeros((1, 8, 8, 3), np.uint8), (0.0,))


def calibration(**weights: float) -> Calibration:
    detectors = {name: DetectorCalibration(1.0, 0.0, weights.get(name, 0.0)) for name in SPECS}
    return Calibration(detectors, 0.0, 0.7, 0.3)


def answer(clip: Clip, probability: float) -> ClipOutput:
    return ClipOutput(clip, Score(clip.track_id, clip.times_s[0], clip.times_s[-1], probability), {})


def ask_all(cascade_of: Calibration, answers: dict[str, float]) -> tuple[set[str], dict[str, str]]:
    """Who was asked when every detector has one clip, and what is said of the others."""
    asked: list[str] = []

    def ask(name: str, clips: Sequence[Clip]) -> list[ClipOutput]:
        asked.append(name)
        return [answer(clip, answers[name]) for clip in clips]

    cascade = FastScheduler(ask)
    cascade.submit((name, CLIP) for name in SPECS)
    assert not asked, "nobody is asked before the file has ended"
    cascade.finish(1, cascade_of)
    scored = {name for name, scores in cascade.scores(1).items() if scores}
    assert scored == set(asked)
    return scored, cascade.not_run(1)


def test_every_detector_has_a_place_in_the_order() -> None:
    assert sorted(FAST_ORDER) == sorted(SPECS)


@pytest.mark.parametrize("sure", [CERTAIN + 0.005, 1 - CERTAIN - 0.005])
def test_a_certain_cheap_answer_is_enough_either_way(sure: float) -> None:
    scored, idle = ask_all(calibration(gml=1.0, global_local=1.0), {"global_local": sure})
    assert scored == {"global_local"}
    zero = {name: WEIGHT_ZERO for name in SPECS if name not in ("global_local", "gml")}
    assert idle == {**zero, "gml": NOT_NEEDED}


def test_a_doubtful_cheap_answer_is_not() -> None:
    scored, idle = ask_all(calibration(gml=1.0, global_local=1.0), {"global_local": 0.7, "gml": 0.2})
    assert scored == {"global_local", "gml"}
    assert "gml" not in idle


def test_a_cheap_answer_about_a_small_face_is_not_enough() -> None:
    picky = replace(calibration(gml=1.0, global_local=1.0), full_width_px=100.0)
    answers = {"global_local": CERTAIN + 0.005, "gml": 0.9}
    assert ask_all(picky.at(100, still=False), answers)[0] == {"global_local"}
    assert ask_all(picky.at(60, still=False), answers)[0] == {"global_local", "gml"}


def test_a_suspicion_in_a_crowd_must_be_certain_among_all_its_faces() -> None:
    answers = {"global_local": CERTAIN + 0.005, "gml": 0.9999}

    def ask(name: str, clips: Sequence[Clip]) -> list[ClipOutput]:
        return [answer(clip, answers[name]) for clip in clips]

    cascade = FastScheduler(ask)
    cascade.submit((name, replace(CLIP, track_id=track)) for track in (1, 2, 3) for name in answers)
    cascade.finish(1, calibration(gml=1.0, global_local=1.0))
    assert set(cascade.scores(1)) == {"global_local", "gml"}
    assert cascade.not_run(1) == {}


def test_a_track_without_clips_has_neither_scores_nor_idle_detectors() -> None:
    cascade = FastScheduler(lambda name, clip: [])
    cascade.finish(7, calibration(gml=1.0))
    assert not any(cascade.scores(7).values())
    assert cascade.not_run(7) == {}


def clip_at(start_s: float) -> Clip:
    return replace(CLIP, times_s=(start_s,))


def test_two_are_asked_at_once_and_their_answers_taken_in_order() -> None:
    both = threading.Barrier(2, timeout=30)  # broken, if the second question waits for the first's answer

    def ask(name: str, clips: Sequence[Clip]) -> list[ClipOutput]:
        both.wait()
        if clips[0].times_s[0] % 2 == 0:
            time.sleep(0.05)
        return [answer(clip, 0.5) for clip in clips]

    with Scheduler(ask, at_once=2) as scheduler:
        scheduler.submit(("sola", clip_at(start_s)) for start_s in range(6))
        scheduler.finish(1, calibration())
        assert [score.start_s for score in scheduler.scores(1)["sola"]] == list(range(6))


def test_not_more_clips_wait_than_there_is_room_for() -> None:
    may_answer = threading.Event()

    def ask(name: str, clips: Sequence[Clip]) -> list[ClipOutput]:
        may_answer.wait(30)
        return [answer(clip, 0.5) for clip in clips]

    taken: list[int] = []

    def clips() -> Iterator[tuple[str, Clip]]:
        for number in range(AHEAD + 5):
            taken.append(number)
            yield "sola", clip_at(number)

    with Scheduler(ask, at_once=2) as scheduler:
        hearing = threading.Thread(target=scheduler.submit, args=(clips(),))
        hearing.start()
        patience_s = time.monotonic() + 30
        while len(taken) < AHEAD + 1 and time.monotonic() < patience_s:
            time.sleep(0.01)
        hearing.join(0.1)
        assert len(taken) == AHEAD + 1, "it waits for an answer before it takes another clip"
        may_answer.set()
        hearing.join(30)
        scheduler.finish(1, calibration())
        assert len(scheduler.scores(1)["sola"]) == AHEAD + 5


def test_an_error_of_one_that_is_asked_aside_is_raised_and_ends_the_others() -> None:
    asked: list[float] = []

    def ask(name: str, clips: Sequence[Clip]) -> list[ClipOutput]:
        asked.append(clips[0].times_s[0])
        time.sleep(0.2)
        raise ScoreError("no probability")

    with pytest.raises(ScoreError, match="no probability"), Scheduler(ask, at_once=2) as scheduler:
        scheduler.submit(("sola", clip_at(start_s)) for start_s in range(AHEAD))
        scheduler.finish(1, calibration())
    assert len(asked) < AHEAD, "what had not begun is not asked any more"
