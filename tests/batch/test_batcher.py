"""Batches from many askers: who gets which answer, how long anybody waits, and what a failure costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deepscan.batch.batcher import Batcher
from deepscan.errors import WeightsError


class Doubling:
    """Answers with twice the pixels; fails on a batch that holds a 13."""

    outputs = ("probability", "map")
    any_length = False

    def __init__(self, batch: int = 4, takes_s: float = 0.0) -> None:
        self.batch = batch
        self.sizes: list[int] = []
        self._takes_s = takes_s

    def run(self, pixels: NDArray[np.uint8], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        self.sizes.append(len(pixels))
        time.sleep(self._takes_s)
        if (pixels == 13).any():
            raise WeightsError("13 brings bad luck")
        whole = {"probability": 2.0 * pixels.reshape(len(pixels), -1).max(1), "map": pixels * 2}
        return {name: whole[name] for name in outputs}


def clips(*values: int) -> NDArray[np.uint8]:
    return np.stack([np.full((3, 2), value, np.uint8) for value in values])


def test_clips_of_several_askers_share_batches_and_everybody_gets_his_own_answer() -> None:
    network = Doubling(takes_s=0.02)
    batcher = Batcher({"gml": network}, wait_s=0.2)
    start = threading.Barrier(8)

    def ask(number: int) -> bool:
        start.wait()
        found = batcher.ask("gml", clips(number, number + 20), ("map", "probability"))
        return found["probability"].tolist() == [2 * number, 2 * number + 40] and bool(
            (found["map"] == 2 * clips(number, number + 20)).all()
        )

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(8)))
    assert sum(network.sizes) == 16
    assert max(network.sizes) == 4
    assert len(network.sizes) < 8


def test_a_lone_clip_waits_no_longer_than_it_must() -> None:
    batcher = Batcher({"gml": Doubling(batch=64)}, wait_s=0.05)
    started_s = time.monotonic()
    batcher.ask("gml", clips(1), ("probability",))
    assert 0.04 < time.monotonic() - started_s < 5


def test_what_differs_in_kind_is_not_mixed() -> None:
    one, other = Doubling(), Doubling()
    batcher = Batcher({"gml": one, "sola": other}, wait_s=0.1)
    with ThreadPoolExecutor(3) as threads:
        asked = [
            threads.submit(batcher.ask, "gml", clips(1), ("probability",)),
            threads.submit(batcher.ask, "gml", clips(2), ("map",)),
            threads.submit(batcher.ask, "sola", clips(3), ("probability",)),
        ]
        assert [set(answer.result()) for answer in asked] == [{"probability"}, {"map"}, {"probability"}]
    assert (one.sizes, other.sizes) == ([1, 1], [1])


def test_there_is_room_for_so_many_clips_and_no_more() -> None:
    batcher = Batcher({"gml": Doubling()}, room=4)
    entered = threading.Event()

    def enter() -> None:
        with batcher.room(2):
            entered.set()

    with batcher.room(3):
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.2)
    assert entered.wait(5)
    thread.join()
    with batcher.room(400):  # alone there is room for anything
        pass


def test_a_clip_that_fails_spoils_no_other() -> None:
    network = Doubling()
    batcher = Batcher({"gml": network}, wait_s=0.2)
    with ThreadPoolExecutor(3) as threads:
        asked = [threads.submit(batcher.ask, "gml", clips(number), ("probability",)) for number in (5, 13, 6)]
        assert asked[0].result()["probability"].tolist() == [10]
        assert asked[2].result()["probability"].tolist() == [12]
        with pytest.raises(WeightsError, match="bad luck"):
            asked[1].result()
    assert network.sizes[0] > 1
    with pytest.raises(WeightsError, match="not loaded"):
        batcher.ask("sola", clips(1), ("probability",))
    assert batcher.ask("gml", clips(7), ("probability",))["probability"].tolist() == [14]
