"""Limits of the system that a run may meet: files open at once, address space, room on a disk.

A shell sets the first two (``ulimit -n``, ``ulimit -v``), and processes that are started inherit them. Native
libraries do not always survive a lack of memory, some wait for ever, so that a run that cannot go well is
refused before it begins; what comes up on the way is named in one sentence.
"""

from __future__ import annotations

import errno
import os
from importlib import import_module
from typing import Any

from deepscan.errors import UsageError

OPEN_FILES = 16
OPEN_FILES_PER_WORKER = 6
MEMORY_BYTES = 3 << 29
"""Address space with which a worker on two threads loads the networks that ship, 1.5 GiB."""
MEMORY_BYTES_PER_THREAD = 72 << 20
"""What the C library sets aside for every further thread: its stack and an arena."""

FULL = {errno.ENOSPC, errno.EFBIG} | {getattr(errno, "EDQUOT", errno.ENOSPC)}
FILES = {errno.EMFILE, errno.ENFILE}
STARVED = (
    "cannot allocate memory",
    "failed to map segment",
    "can't start new thread",
    "bad_alloc",
    "failed to create thread",
)


def thread_count(threads: int | None = None, jobs: int = 1) -> int:
    """Threads for one worker: as asked for, else this process's share of the cores it may run on."""
    if threads is not None:
        return threads
    # macOS and Windows have no such mask
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // jobs)


def check(jobs: int, threads: int) -> None:
    """Refuse a run that the limits of this shell would end somewhere. Raises UsageError.

    Args:
        jobs: worker processes.
        threads: of each.
    """
    files, wanted = open_files(), OPEN_FILES + OPEN_FILES_PER_WORKER * jobs
    if files is not None and files < wanted:
        raise UsageError(
            f"no more than {files} files may be open at once here, and {_workers(jobs)} need {wanted}: raise "
            f"the limit with `ulimit -n {wanted}`" + ("" if jobs == 1 else ", or use fewer --jobs")
        )
    memory = address_space()
    needed = MEMORY_BYTES + MEMORY_BYTES_PER_THREAD * max(0, threads - 2)
    if memory is not None and memory < needed:
        raise UsageError(
            f"no process may use more than {memory >> 20} MiB of address space here, and the networks need "
            f"{needed >> 20} MiB: raise the limit with `ulimit -v {needed >> 10}` or `ulimit -v unlimited`"
        )


def _workers(jobs: int) -> str:
    return "a worker process and its parent" if jobs == 1 else f"{jobs} worker processes"


def open_files() -> int | None:
    """Files that a process may have open at once; None: without a limit, or not known."""
    return _limit("RLIMIT_NOFILE")


def address_space() -> int | None:
    """Bytes of address space that a process may use; None: without a limit, or not known."""
    return _limit("RLIMIT_AS")


def _limit(name: str) -> int | None:
    try:
        resource: Any = import_module("resource")  # Windows has none
        soft = int(resource.getrlimit(getattr(resource, name))[0])
    except (ImportError, AttributeError, OSError, ValueError):
        return None
    return None if soft == resource.RLIM_INFINITY else soft


def named(error: BaseException) -> str | None:
    """The limit that an error, or what caused it, comes from; None where it is no limit."""
    seen: BaseException | None = error
    while seen is not None:
        sentence = _named(seen)
        if sentence is not None:
            return sentence
        seen = seen.__cause__ or seen.__context__
    return None


def _named(error: BaseException) -> str | None:
    number = error.errno if isinstance(error, OSError) else None
    if number in FULL:
        return f"there is no more room on the disk{_file(error)}: free some, or write elsewhere"
    if number in FILES:
        limit = open_files()
        allowed = "" if limit is None else f" ({limit} are allowed)"
        return f"too many files are open at once{allowed}: raise `ulimit -n`, or use fewer --jobs"
    starved = isinstance(error, MemoryError) or number == errno.ENOMEM
    if starved or any(words in str(error).lower() for words in STARVED):
        return f"there is not enough memory{memory_note()}: free some, or use fewer --jobs"
    return None


def memory_note() -> str:
    """The limit on address space, in brackets; empty where there is none."""
    limit = address_space()
    return "" if limit is None else f" (`ulimit -v` allows a process {limit >> 20} MiB)"


def _file(error: BaseException) -> str:
    name = getattr(error, "filename", None)
    return f" of {name}" if isinstance(name, str) else ""
