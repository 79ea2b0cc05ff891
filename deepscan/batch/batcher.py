"""Clips of many files -> batches for one device: a bounded queue, and which network runs next.

A batch holds clips of one detector, with the same outputs. It runs when it is full, or ``wait_s`` after
its first clip came: a lone file loses that much per request and no more. Of several that may run, the one
whose first clip has waited longest goes first, so that no detector starves.

A batch that fails is tried again clip by clip: there may be memory for one, and only the clip that is to
blame fails.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepscan.errors import DeepscanError, WeightsError
from deepscan.inference.session import Network

WAIT_S = 0.005
ROOM_CLIPS = 128
"""Clips in the queue at most: 230 MB of the largest."""

Outputs = dict[str, NDArray[Any]]
Kind = tuple[str, tuple[int, ...], tuple[str, ...]]
"""What may share a batch: detector, shape of a clip, names of the outputs."""


@dataclass(eq=False)
class _Waiting:
    """One clip in the queue."""

    pixels: NDArray[np.uint8]
    since_s: float = field(default_factory=time.monotonic)
    result: Future[Outputs] = field(default_factory=Future)


class Batcher:
    """Runs the networks on a thread of its own, for any number of calling threads.

    Args:
        networks: by detector; run by one thread at a time.
        wait_s: how long a clip waits for others.
        room: clips in the queue at most.
    """

    def __init__(
        self, networks: Mapping[str, Network], *, wait_s: float = WAIT_S, room: int = ROOM_CLIPS
    ) -> None:
        self.networks = networks
        self._wait_s = wait_s
        self._room = room
        self._taken = 0
        self._queues: dict[Kind, deque[_Waiting]] = defaultdict(deque)
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name="deepscan-batches", daemon=True).start()

    @contextmanager
    def room(self, clips: int) -> Iterator[None]:
        """Wait until there is room for so many clips, and keep it; more than ``room`` wait to be alone."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken == 0 or self._taken + clips <= self._room)
            self._taken += clips
        try:
            yield
        finally:
            with self._changed:
                self._taken -= clips
                self._changed.notify_all()

    def ask(self, detector: str, pixels: NDArray[np.uint8], outputs: Sequence[str]) -> Outputs:
        """The result of ``Network.run`` for these clips, each perhaps in another batch; raises its errors."""
        if detector not in self.networks:
            raise WeightsError(f"{detector}: this detector is not loaded.")
        kind = (detector, pixels.shape[1:], tuple(outputs))
        waiting = [_Waiting(clip) for clip in pixels]
        with self._changed:
            self._queues[kind].extend(waiting)
            self._changed.notify_all()
        results = [clip.result.result() for clip in waiting]
        return {name: np.stack([one[name] for one in results]) for name in outputs}

    def _work(self) -> None:
        while True:
            (detector, _, outputs), clips = self._next()
            try:
                self._run(detector, clips, outputs)
            except DeepscanError:
                for clip in clips:
                    self._run_alone(detector, clip, outputs)
            except Exception as error:
                _fail(clips, error)

    def _next(self) -> tuple[Kind, list[_Waiting]]:
        """The batch to run now; waits for one."""
        with self._changed:
            while True:
                now_s = time.monotonic()
                due_s = {
                    kind: now_s if len(queue) >= self._most(kind) else queue[0].since_s + self._wait_s
                    for kind, queue in self._queues.items()
                }
                ready = [kind for kind, at_s in due_s.items() if at_s <= now_s]
                if ready:
                    kind = min(ready, key=lambda kind: self._queues[kind][0].since_s)
                    return kind, self._take(kind)
                self._changed.wait(min(due_s.values()) - now_s if due_s else None)

    def _take(self, kind: Kind) -> list[_Waiting]:
        queue = self._queues[kind]
        clips = [queue.popleft() for _ in range(min(len(queue), self._most(kind)))]
        if not queue:
            del self._queues[kind]
        return clips

    def _most(self, kind: Kind) -> int:
        return self.networks[kind[0]].batch

    def _run(self, detector: str, clips: list[_Waiting], outputs: Sequence[str]) -> None:
        found = self.networks[detector].run(np.stack([clip.pixels for clip in clips]), outputs)
        for place, clip in enumerate(clips):
            clip.result.set_result({name: values[place] for name, values in found.items()})

    def _run_alone(self, detector: str, clip: _Waiting, outputs: Sequence[str]) -> None:
        try:
            self._run(detector, [clip], outputs)
        except Exception as error:
            _fail([clip], error)


def _fail(clips: Sequence[_Waiting], error: BaseException) -> None:
    for clip in clips:
        if not clip.result.done():
            clip.result.set_exception(error)
