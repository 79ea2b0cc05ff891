"""Many files: which ones, in which order, in how many workers, and what the run as a whole amounts to.

Choices where nothing else says so:

- Directories are walked in full. Hidden files count like any other, because a leading dot must not get a
  file past a gate, and links to directories are followed, each directory once.
- In a directory only media files are taken, told by their content. A file that cannot be read is taken too,
  and so is a directory that cannot be listed: both come back as ``unreadable`` instead of being passed over.
- A path named on the command line is always taken.
- A file whose worker dies is run once more, alone, so that it is known which file of those in flight did it.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

from deepscan import __version__
from deepscan.config import ScanConfig
from deepscan.errors import DeepscanError, UsageError
from deepscan.media import is_media
from deepscan.runtime import CPU, CUDA, Session, providers, thread_count
from deepscan.scan import FileReport, Scanner, Status
from deepscan.weights import Weights

WORKER_DIED = "the worker process died while scanning this file"


@dataclass
class RunReport:
    """A run: what is known before the first file, and the files so far, in input order.

    Attributes:
        version: deepscan's.
        device: ``cpu`` or ``cuda``, as resolved.
        provider: ONNX Runtime's execution provider.
        weights: sha256 per detector that takes part.
        threshold_fake: probability from which a track is fake.
        threshold_real: probability below which a track is real.
        not_counted: detectors of weight 0: reported, without a say.
        config: the settings of the run.
        total: files to scan.
        left_out: files in walked directories that are no media.
    """

    version: str
    device: str
    provider: str
    weights: Mapping[str, str]
    threshold_fake: float
    threshold_real: float
    not_counted: tuple[str, ...]
    config: ScanConfig
    total: int
    left_out: int
    files: list[FileReport] = field(default_factory=list)


@dataclass(frozen=True)
class Survey:
    """What the given paths hold: ``files`` to scan, and how many others were ``left_out`` as no media."""

    files: tuple[Path, ...]
    left_out: int


def begin(found: Survey, config: ScanConfig) -> RunReport:
    """What is known of a run before it starts. Raises DeviceError, WeightsError."""
    weights = Weights(config.weights)
    calibration = weights.manifest.calibration
    fake, real = calibration.thresholds(config.threshold)
    device = _device(config, weights)
    return RunReport(
        version=__version__,
        device=device,
        provider=CUDA if device == "cuda" else CPU,
        weights=weights.hashes(config.detectors),
        threshold_fake=fake,
        threshold_real=real,
        not_counted=tuple(name for name in config.detectors if calibration.detectors[name].weight == 0),
        config=config,
        total=len(found.files),
        left_out=found.left_out,
    )


def _device(config: ScanConfig, weights: Weights) -> str:
    """Where the networks really run: CUDA may be there in name only, so one of them is loaded to see."""
    if providers(config.device)[0] == CPU:
        return "cpu"
    return Session(weights.path(config.detectors[0]), device=config.device).device


def collect(paths: Sequence[Path]) -> list[Path]:
    """The files to scan: see ``survey``."""
    return list(survey(paths).files)


def survey(paths: Sequence[Path]) -> Survey:
    """Walk the given paths.

    Returns:
        Every file once, sorted; a directory that cannot be listed stands for itself.

    Raises:
        UsageError: a given path does not exist.
    """
    found: dict[str, Path] = {}
    walk = _Walk()
    for path in paths:
        if not os.path.lexists(path):
            raise UsageError(f"{path}: no such file or directory")
        for file in walk.files(path) if path.is_dir() else (path,):
            found.setdefault(os.path.abspath(file), file)
    return Survey(tuple(sorted(found.values(), key=str)), walk.left_out)


class _Walk:
    """Depth-first walk that enters each directory once, whatever links lead to it."""

    def __init__(self) -> None:
        self.left_out = 0
        self._entered: set[tuple[int, int]] = set()

    def files(self, directory: Path) -> Iterator[Path]:
        pending = [directory]
        while pending:
            directory = pending.pop()
            try:
                status = directory.stat()
                if (status.st_dev, status.st_ino) in self._entered:
                    continue
                self._entered.add((status.st_dev, status.st_ino))
                entries = sorted(directory.iterdir())
            except OSError:
                yield directory
                continue
            for entry in entries:
                if entry.is_dir():
                    pending.append(entry)
                elif entry.is_file() and (not os.access(entry, os.R_OK) or is_media(entry)):
                    yield entry
                else:
                    self.left_out += 1


def scan_files(paths: Sequence[Path], config: ScanConfig) -> Iterator[FileReport]:
    """Scan every path; reports come in the order of ``paths``, whatever the number of workers.

    Raises:
        DeepscanError: the models do not load or a score makes no sense; no file's report would be right.
    """
    jobs = min(config.jobs, max(1, len(paths)))
    settings = replace(config, jobs=1, threads=thread_count(config.threads, jobs))
    if jobs == 1:
        scanner = Scanner(settings)
        for path in paths:
            yield _guarded(path, scanner.scan)
    else:
        yield from _in_workers(paths, settings, jobs)


def _guarded(path: Path, scan: Callable[[Path], FileReport]) -> FileReport:
    """One file's report. What goes wrong with this file only, bugs included, ends in its status."""
    started = time.perf_counter()
    if path.is_dir():
        return _failed(path, "unreadable", f"{path}: this directory cannot be listed{_why(path)}")
    try:
        return scan(path)
    except DeepscanError:
        raise
    except Exception as error:
        sentence = f"{path}: scanning this file failed ({type(error).__name__}: {error})"
        return _failed(path, "crashed", sentence, time.perf_counter() - started)


def _why(directory: Path) -> str:
    try:
        os.scandir(directory).close()
    except OSError as error:
        return f" ({error.strerror})"
    return ""


def _failed(path: Path, status: Status, error: str, seconds: float = 0.0) -> FileReport:
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


_scanner: Scanner | None = None  # one per worker process, made with its first file


def _start_worker() -> None:
    # Ctrl-C reaches every process of the terminal: workers end at once, and only the parent has a say on it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _scan_in_worker(path: Path, config: ScanConfig) -> FileReport:
    def scan(path: Path) -> FileReport:
        global _scanner
        if _scanner is None:
            _scanner = Scanner(config)
        return _scanner.scan(path)

    return _guarded(path, scan)


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start_worker)


def _in_workers(paths: Sequence[Path], config: ScanConfig, jobs: int) -> Iterator[FileReport]:
    waiting = deque(range(len(paths)))

    def as_finished() -> Iterator[tuple[int, FileReport]]:
        while waiting:
            yield from _until_a_worker_dies(paths, waiting, config, jobs)

    done: dict[int, FileReport] = {}
    following = 0
    for index, report in as_finished():
        done[index] = report
        while following in done:
            yield done.pop(following)
            following += 1


def _until_a_worker_dies(
    paths: Sequence[Path], waiting: deque[int], config: ScanConfig, jobs: int
) -> Iterator[tuple[int, FileReport]]:
    """Take indices off ``waiting`` and yield them with their reports, until none is left or one dies."""
    running: dict[Future[FileReport], int] = {}
    pool = _pool(jobs)
    try:
        while waiting or running:
            # No more in flight than there are workers: when one dies, those are the only suspects.
            while waiting and len(running) < jobs:
                running[pool.submit(_scan_in_worker, paths[waiting[0]], config)] = waiting[0]
                waiting.popleft()
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                report = future.result()
                yield running.pop(future), report
    except BrokenProcessPool:
        for index in sorted(running.values()):
            yield index, _alone(paths[index], config)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _alone(path: Path, config: ScanConfig) -> FileReport:
    """Scan one file in a worker of its own; the file is to blame if that one dies too."""
    started = time.perf_counter()
    with _pool(1) as pool:
        try:
            return pool.submit(_scan_in_worker, path, config).result()
        except BrokenProcessPool:
            return _failed(path, "crashed", f"{path}: {WORKER_DIED}", time.perf_counter() - started)
