"""Ctrl-C goes to every process of a terminal; the parent alone decides what comes of it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


def block_ctrl_c() -> None:
    """Processes started from this thread inherit that Ctrl-C, which a terminal sends to all, is not for them.

    They ignore it by themselves only once they have started up, and would complain before. Python's resource
    tracker must run first: starting it lifts the block.
    """
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


@contextmanager
def ctrl_c_blocked() -> Iterator[None]:
    """The same for a while; a Ctrl-C that comes in between takes effect at its end."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    block_ctrl_c()
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
