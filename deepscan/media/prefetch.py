"""Decoding while the networks run: frames are made one step ahead, on a thread of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from deepscan.media.info import Frame

FRAMES = 4
"""Made ahead at most: 25 MB at 1080p. Decoding comes in bursts between windows, so more would help little."""


def prefetch(frames: Iterator[Frame]) -> Iterator[Frame]:
    """The same frames, in the same order; what ``frames`` raises is raised here.

    FFmpeg and the colour conversion let go of Python's lock, and so do the networks: with a core to spare
    the two overlap. ``frames`` is only ever run by one thread at a time.
    """
    with ThreadPoolExecutor(1, "decode") as thread:
        coming = deque(thread.submit(next, frames, None) for _ in range(FRAMES))
        while (frame := coming.popleft().result()) is not None:
            coming.append(thread.submit(next, frames, None))
            yield frame
