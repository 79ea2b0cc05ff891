"""The extent of one picture around its face, laid around another face."""

from __future__ import annotations

import numpy as np

from deepscan.training.data.framing import reach_of, within

BOX = np.array([40, 30, 60, 50], np.float32)


def test_a_picture_lies_within_its_own_reach() -> None:
    rows, columns = within(reach_of((10, 5, 90, 70), BOX), BOX, (100, 120))
    assert (rows, columns) == (slice(5, 70), slice(10, 90))


def test_a_face_of_twice_the_size_has_twice_the_surroundings() -> None:
    reach = reach_of((20, 30, 70, 60), BOX)
    rows, columns = within(reach, np.array([100, 100, 140, 140], np.float32), (400, 400))
    assert (rows, columns) == (slice(100, 160), slice(60, 160))


def test_nothing_is_asked_for_beyond_the_picture() -> None:
    rows, columns = within(reach_of((0, 0, 200, 200), BOX), BOX, (80, 90))
    assert (rows, columns) == (slice(0, 80), slice(0, 90))
