"""A forgery that a detector could not see is drawn anew."""

from __future__ import annotations

import numpy as np
import pytest

from deepscan.training.synthesis.self_blend import Pair
from deepscan.training.synthesis.visibility import LEAST_TRACE, TRIES, most_visible, trace


def differing(levels: float, share: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A grey clip, one that differs in ``share`` of the face's rows, and the face: the left half."""
    real = np.full((2, 20, 20, 3), 100, np.uint8)
    fake = real.copy()
    fake[:, : round(20 * share), :10] += np.uint8(levels)
    face = np.zeros((2, 20, 20), np.float32)
    face[..., :10] = 1
    return real, fake, face


def test_a_trace_is_that_of_the_part_of_the_face_that_differs_most() -> None:
    assert trace(*differing(12)) == pytest.approx(12)
    assert trace(*differing(12, share=0.1)) == pytest.approx(12), "a mouth is enough"
    assert trace(*differing(0)) == 0
    real, fake, face = differing(12)
    assert trace(real, fake, 1 - face) == 0, "beside the face nothing counts"
    assert trace(real, fake, np.zeros_like(face)) == 0, "no face in the picture"


class Draws:
    """Forgeries of given traces, one after the other."""

    def __init__(self, *levels: float) -> None:
        self.levels, self.asked = levels, 0

    def __call__(self) -> Pair:
        real, fake, face = differing(self.levels[self.asked])
        self.asked += 1
        return Pair(real, fake, face)


def seen(pair: Pair) -> float:
    return trace(pair.real, pair.fake, pair.mask)


def test_weak_draws_are_drawn_anew_until_one_counts() -> None:
    draws = Draws(1, 3, 40, 50)
    assert seen(most_visible("self-blend", draws, seen)) == 40
    assert draws.asked == 3


def test_where_none_counts_the_plainest_is_taken() -> None:
    draws = Draws(1, 9, 4, 2, 80)
    assert seen(most_visible("reenactment", draws, seen)) == 9
    assert draws.asked == TRIES


def test_families_that_change_the_whole_face_are_drawn_once() -> None:
    assert {"swap", "animation", "timing"}.isdisjoint(LEAST_TRACE)
    draws = Draws(0, 80)
    assert seen(most_visible("animation", draws, seen)) == 0
    assert draws.asked == 1
