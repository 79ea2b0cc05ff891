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
from deepscan.clips import Clip, ClipCutter, Thumbnails
from deepscan.detectors.base import Score
from deepscan.detectors.detector import Detector
from deepscan.evidence import EvidenceKeeper
from deepscan.faces import FaceTracker
from deepscan.media.picture import upright_rgb

STAGES = ("decode", "colour", "faces", "crops", "nets", "other")

P = ParamSpec("P")
T = TypeVar("T")


class StageClock:
    """Charges CPU seconds to whichever stage was entered last.

    The thread that made the clock is charged with the whole process, so that the threads of a network count;
    any other thread that enters a stage, such as the one that decodes ahead, with its own time, which is
    then taken off the first one's.
    """

    def __init__(self) -> None:
        self.cpu_s = dict.fromkeys(STAGES, 0.0)
        self._elsewhere_s = 0.0
        self._owner = threading.get_ident()
        self._own = threading.local()
        self._lock = threading.Lock()

    def restart(self) -> None:
        """Back to zero; call it on the clock's own thread."""
        self.cpu_s = dict.fromkeys(STAGES, 0.0)
        self._own.since_s = self._now()

    def stop(self) -> dict[str, float]:
        """CPU seconds by stage since the last ``restart``."""
        self._charge()
        return dict(self.cpu_s)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What runs inside belongs to ``name``, except what enters a stage of its own."""
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
            self._own.stack = ["other"]
        stack: list[str] = self._own.stack
        return stack

    def _now(self) -> float:
        if threading.get_ident() == self._owner:
            return time.process_time() - self._elsewhere_s
        return time.thread_time()

    def _charge(self) -> None:
        with self._lock:
            now_s, stack = self._now(), self._stack()
            spent_s = now_s - getattr(self._own, "since_s", now_s)
            self._own.since_s = now_s
            if threading.get_ident() != self._owner:
                if len(stack) == 1:  # waiting, or code that no stage is put around
                    return
                self._elsewhere_s += spent_s
            self.cpu_s[stack[-1]] += spent_s


def watch(clock: StageClock) -> None:
    """Put the clock around every stage of the scans of this process, for good."""
    patch.object(deepscan.media, "probe", clock.timed("decode", deepscan.media.probe)).start()
    patch.object(deepscan.media, "frames", clock.timed_items("decode", deepscan.media.frames)).start()
    patch("deepscan.media.video.upright_rgb", clock.timed("colour", upright_rgb)).start()
    patch.object(FaceTracker, "follow", clock.timed_items("faces", FaceTracker.follow)).start()
    patch.object(ClipCutter, "add", clock.timed("crops", ClipCutter.add)).start()
    patch.object(ClipCutter, "take", clock.timed("crops", ClipCutter.take)).start()
    patch.object(Thumbnails, "add", clock.timed("crops", Thumbnails.add)).start()
    patch.object(Detector, "score", clock.timed("nets", Detector.score)).start()


@contextmanager
def recorded_clips() -> Iterator[list[tuple[str, Clip]]]:
    """Collects what every detector is given inside the ``with`` block, by detector's name."""
    seen: list[tuple[str, Clip]] = []
    score = Detector.score

    def record(self: Detector, clips: list[Clip], keeper: EvidenceKeeper | None = None) -> list[Score]:
        seen.extend((self.spec.name, clip) for clip in clips)
        return score(self, clips, keeper)

    with patch.object(Detector, "score", record):
        yield seen
