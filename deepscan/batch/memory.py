"""A limit on the memory of a worker process.

The parent looks at how much the worker really uses and kills it above the limit. An address-space limit
(RLIMIT_AS) does not do: CUDA and the allocators of ONNX Runtime reserve many times what they use.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

INTERVAL_S = 0.05  # memory is filled at a few GB a second: a bomb gets some hundred MB past the limit


@contextmanager
def memory_limit(pid: int, limit_bytes: int) -> Iterator[threading.Event]:
    """Kill the process ``pid`` as soon as it uses more than ``limit_bytes``; 0: no limit.

    Yields:
        An event that is set before the process is killed.
    """
    exceeded, done = threading.Event(), threading.Event()

    def watch() -> None:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            while not done.wait(INTERVAL_S):
                if used_bytes(process) > limit_bytes:
                    exceeded.set()
                    process.kill()
                    return

    thread = threading.Thread(target=watch, name="deepscan-memory", daemon=True)
    if limit_bytes:
        thread.start()
    try:
        yield exceeded
    finally:
        done.set()
        if limit_bytes:
            thread.join()


def used_bytes(process: psutil.Process) -> int:
    """Memory in use that belongs to this process alone; libraries shared with others do not count."""
    info = process.memory_info()
    return int(info.rss - getattr(info, "shared", 0))
