"""Ctrl-C, or SIGTERM, takes effect between files, never in the middle of a line of the report."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

Item = TypeVar("Item")

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # the terminal's, and what stops a container or a CI job


class Interrupt:
    """While it is entered, Ctrl-C ends a loop over ``until_interrupted`` and nothing else.

    Attributes:
        asked: somebody pressed Ctrl-C.
    """

    def __init__(self) -> None:
        self.asked = False
        self._waiting = False

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Handle Ctrl-C here; signals reach the main thread only, other threads change nothing."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def until_interrupted(self, items: Iterator[Item]) -> Iterator[Item]:
        """The items; ends early when Ctrl-C was pressed, at once while it waits for the next one."""
        while not self.asked:
            try:
                self._waiting = True
                item = next(items)
            except (StopIteration, KeyboardInterrupt):
                return
            finally:
                self._waiting = False
            yield item

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if self._waiting:
            self._waiting = False  # a second Ctrl-C must not disturb the end of the workers
            raise KeyboardInterrupt
