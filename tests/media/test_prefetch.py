"""Decoding ahead changes when frames are made, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from deepscan.errors import UnreadableMedia
from deepscan.media import Frame
from deepscan.media.prefetch import prefetch

PICTURE = np.zeros((4, 4, 3), np.uint8)


def film(count: int, made: list[int], *, breaks: bool = False) -> Iterator[Frame]:
    for number in range(count):
        made.append(threading.get_ident())
        yield Frame(number, number / 25, PICTURE, None, False)
    if breaks:
        raise UnreadableMedia("the disk is gone")


@pytest.mark.parametrize("count", [0, 1, 3, 50])
def test_every_frame_comes_once_and_in_order(count: int) -> None:
    made: list[int] = []
    assert [frame.index for frame in prefetch(film(count, made))] == list(range(count))
    assert threading.get_ident() not in made


def test_an_error_arrives_after_the_frames_before_it() -> None:
    frames = prefetch(film(2, [], breaks=True))
    assert [next(frames).index, next(frames).index] == [0, 1]
    with pytest.raises(UnreadableMedia, match="the disk is gone"):
        next(frames)


def test_leaving_early_stops_the_thread() -> None:
    made: list[int] = []
    before = threading.active_count()
    frames = prefetch(film(1000, made))
    next(frames)
    frames.close()
    assert threading.active_count() == before
    assert len(made) < 10
