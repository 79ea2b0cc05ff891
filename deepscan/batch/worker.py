"""What runs inside a worker process: one file at a time, the models loaded once.

The process writes its stderr to a log file of its own. Native code that crashes writes its last lines there
(and the Python stack, by faulthandler); they are shown only on request.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import stat
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from deepscan.batch.cache import ResultStore
from deepscan.config import ScanConfig
from deepscan.errors import DeepscanError
from deepscan.limits import named
from deepscan.results import FileReport, Status
from deepscan.weights import sha256


class FileScanner(Protocol):
    """Scans one file; ``deepscan.scanner.Scanner`` is the one."""

    def scan(self, path: Path) -> FileReport:
        """One file's report."""


@dataclass(frozen=True)
class Setup:
    """Everything that a worker process is given when it starts; stderr goes to ``log``."""

    config: ScanConfig
    make_scanner: Callable[[ScanConfig], FileScanner]
    store: ResultStore | None
    log: Path


@dataclass(frozen=True)
class Prepared:
    """What is known of a file before it is scanned.

    Attributes:
        pid: of the process that will scan it.
        sha256: of its content; None for what cannot be read.
        report: where there is no need to scan it any more.
    """

    pid: int
    sha256: str | None = None
    report: FileReport | None = None


_setup: Setup
_scanner: FileScanner | None = None


def start(setup: Setup) -> None:
    """Set the process up."""
    global _setup
    _setup = setup
    isolate_process(setup.log)


def isolate_process(log_path: Path) -> None:
    """What every process of a run needs: its signals, its log, and that it never outlives its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides what comes of it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    if log != 2:  # it is where stderr was closed
        os.dup2(log, 2)
        os.close(log)
    faulthandler.enable(2, all_threads=False)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed ends no worker, and one in the middle of a hang would stay for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def prepare(path: Path) -> Prepared:
    """Hash a file, and answer at once where that is possible: too large, or known from an earlier run."""
    os.ftruncate(2, 0)
    pid = os.getpid()
    try:
        size = _size(path)
        limit = _setup.config.max_size
        if path.is_dir():
            sentence = f"{path}: this directory cannot be listed{_why(path)}"
            return Prepared(pid, report=failure(path, "unreadable", sentence))
        if size is None:
            return Prepared(pid)
        if limit and size > limit:
            sentence = f"{path} has {size} bytes, more than --max-size allows ({limit})."
            return Prepared(pid, report=failure(path, "unreadable", sentence))
        content = sha256(path)
        return Prepared(pid, content, _setup.store.get(path, content) if _setup.store else None)
    except OSError:
        return Prepared(pid)  # the scan says what is wrong with it
    except Exception as error:
        return Prepared(pid, report=_bug(path, error))


def load() -> None:
    """Load the models. Raises WeightsError, FaceModelError, DeviceError."""
    global _scanner
    if _scanner is None:
        _scanner = _setup.make_scanner(_setup.config)


def scan(path: Path, content: str | None) -> FileReport:
    """Scan one file and keep its result. What goes wrong with this file only, bugs included, is its status.

    Args:
        path: the file.
        content: its sha256, as far as known.

    Raises:
        DeepscanError: the models do not load or a score makes no sense; no file's report would be right.
    """
    load()
    assert _scanner is not None
    started = time.perf_counter()
    try:
        before = _identity(path)
        report = replace(_scanner.scan(path), sha256=content)
        if _setup.store and content and before == _identity(path):
            _setup.store.put(path, content, report)
    except DeepscanError:
        raise
    except Exception as error:
        return replace(_bug(path, error, time.perf_counter() - started), sha256=content)
    return report


def cause_of_death(exitcode: int) -> str:
    """A negative exit code is the number of the signal that ended the process."""
    if exitcode >= 0:
        return f"exit code {exitcode}"
    try:
        return signal.Signals(-exitcode).name
    except ValueError:
        return f"signal {-exitcode}"


def failure(path: Path, status: Status, error: str, seconds: float = 0.0) -> FileReport:
    """The report of a file that gave nothing."""
    return FileReport(
        path=str(path),
        status=status,
        verdict=None,
        probability=None,
        coverage=None,
        tracks=(),
        skipped=(),
        media=None,
        error=error,
        seconds=seconds,
    )


def _bug(path: Path, error: Exception, seconds: float = 0.0) -> FileReport:
    limit = named(error)
    what = f"{type(error).__name__}: {error}" if limit is None else limit
    sentence = f"{path}: scanning this file failed ({what})"
    return replace(failure(path, "crashed", sentence, seconds), trace=traceback.format_exc())


def _size(path: Path) -> int | None:
    """Bytes of a regular file; None for everything else, which may block whoever reads it."""
    status = path.stat()
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _identity(path: Path) -> tuple[int, int] | None:
    """Changes when the file is written to."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _why(directory: Path) -> str:
    try:
        os.scandir(directory).close()
    except OSError as error:
        return f" ({error.strerror})"
    return ""
