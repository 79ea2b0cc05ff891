"""Where the CPU time of a scan goes, measured from outside: the pipeline itself carries no timers.

The stages exclude one another, and add up to the CPU time of the whole process, threads included.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar
from unittest.mock import patch

import deepscan.media
from deepscan.faces.clips import Clip, ClipCutter
from deepscan.faces.crops import Thumbnails
from deepscan.faces.tracker import FaceTracker
from deepscan.inference.detector import ClipOutput, Detector
from deepscan.media import Medium
from deepscan.media.rgb import upright_rgb

STAGES = ("decode", "colour", "faces", "crops", "nets", "other")

P = ParamSpec("P")
T = TypeVar("T")


class StageClock:
    """Charges every thread's CPU seconds to the stage that it entered last.

    ``other`` is the rest of the process: what no stage is put around, and the threads that a network has of
    its own where it may use more than one core.
    """

    def __init__(self) -> None:
        self._spent_s: dict[str, float] = {}
        self._own = threading.local()
        self._lock = threading.Lock()
        self.restart()

    def restart(self) -> None:
        """Back to zero; call it outside of any stage."""
        self._spent_s = dict.fromkeys(STAGES, 0.0)
        self._since_s = time.process_time()

    def stop(self) -> dict[str, float]:
        """CPU seconds by stage since the last ``restart``."""
        rest_s = time.process_time() - self._since_s - sum(self._spent_s.values())
        return {**self._spent_s, "other": rest_s}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What this thread runs inside belongs to ``name``, except what enters a stage of its own."""
        self._charge()
        self._stack().append(name)
        try:
            yield
        finally:
            self._charge()
            self._stack().pop()

    def timed(self, name: str, function: Callable[P, T]) -> Callable[P, T]:
        """``function``, as the stage ``name``."""

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            with self.stage(name):
                return function(*args, **kwargs)

        return call

    def timed_items(self, name: str, function: Callable[P, Iterable[T]]) -> Callable[P, Iterator[T]]:
        """A function that hands out items, as the stage ``name`` while each is made."""

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            items = iter(function(*args, **kwargs))
            while True:
                with self.stage(name):
                    try:
                        item = next(items)
                    except StopIteration:
                        return
                yield item

        return call

    def _stack(self) -> list[str]:
        if not hasattr(self._own, "stack"):
            self._own.stack = []
        stack: list[str] = self._own.stack
        return stack

    def _charge(self) -> None:
        now_s, stack = time.thread_time(), self._stack()
        if stack:
            with self._lock:
                self._spent_s[stack[-1]] += now_s - self._own.since_s
        self._own.since_s = now_s


def watch(clock: StageClock) -> None:
    """Put the clock around every stage of the scans of this process, for good."""
    patch.object(deepscan.media, "begin", clock.timed("decode", deepscan.media.begin)).start()
    patch.object(Medium, "frames", clock.timed_items("decode", Medium.frames)).start()
    patch("deepscan.media.video.upright_rgb", clock.timed("colour", upright_rgb)).start()
    patch.object(FaceTracker, "follow", clock.timed_items("faces", FaceTracker.follow)).start()
    patch.object(ClipCutter, "add", clock.timed("crops", ClipCutter.add)).start()
    patch.object(ClipCutter, "take", clock.timed("crops", ClipCutter.take)).start()
    patch.object(Thumbnails, "add", clock.timed("crops", Thumbnails.add)).start()
    patch.object(Detector, "run", clock.timed("nets", Detector.run)).start()


@contextmanager
def recorded_clips() -> Iterator[list[tuple[str, Clip]]]:
    """Collects what every detector is given inside the ``with`` block, by detector's name."""
    seen: list[tuple[str, Clip]] = []
    answer = Detector.run

    def record(self: Detector, clips: list[Clip], *, maps: bool = False) -> list[ClipOutput]:
        seen.extend((self.spec.name, clip) for clip in clips)
        return answer(self, clips, maps=maps)

    with patch.object(Detector, "run", record):
        yield seen
