"""Files -> reports in input order: the parent's side of the workers, and the limits that each file has.

One thread of the parent stands by each worker process, hands it one file after the other and waits. When the
process dies or has to be ended, that file is to blame, and the next one gets a new process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any, ParamSpec, TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from deepscan.batch.cache import ResultStore
from deepscan.batch.inference_client import connect
from deepscan.batch.inference_server import serving
from deepscan.batch.memory import memory_limit
from deepscan.batch.signals import block_ctrl_c
from deepscan.batch.worker import (
    FileScanner,
    Prepared,
    Setup,
    cause_of_death,
    failure,
    load,
    prepare,
    scan,
    start,
)
from deepscan.config import ScanConfig
from deepscan.errors import WorkerError
from deepscan.limits import memory_note, thread_count
from deepscan.results import FileReport
from deepscan.scanner import Scanner

# Decoders and allocators leak and fragment a little with every file; a fresh process costs a few seconds.
FILES_PER_PROCESS = 250
LOG_SHOWN = 20_000  # characters

Args = ParamSpec("Args")
Result = TypeVar("Result")


def scan_files(
    paths: Sequence[Path],
    config: ScanConfig,
    *,
    store: ResultStore | None = None,
    make_scanner: Callable[..., FileScanner] = Scanner,
    batch: int | None = None,
) -> Generator[FileReport, None, None]:
    """Scan every path; reports come in the order of ``paths``, whatever the number of workers.

    Closing the iterator ends the workers at once. Where ``config.device`` names a GPU, the networks are in
    one process of their own, which makes batches of the clips of all workers.

    Args:
        paths: the files.
        config: the settings.
        store: results of earlier runs to take over, and where new ones are kept.
        make_scanner: called with the settings, once in every worker process; must be importable there. Takes
            ``load`` as ``Scanner`` does, where the networks are in a process of their own.
        batch: clips that a network takes at once, in a process of their own on a CPU as well; None: one on a
            CPU, as many as suit the device on a GPU.

    Raises:
        DeepscanError: the models do not load or a score makes no sense; no file's report would be right.
    """
    jobs = min(config.jobs, max(1, len(paths)))
    settings = replace(config, jobs=1, threads=thread_count(config.threads, jobs))
    apart = batch is not None or config.device in ("cuda", "tensorrt")
    with TemporaryDirectory(prefix="deepscan-", ignore_cleanup_errors=True) as logs, ExitStack() as stack:
        server = None
        if apart and paths:
            server = stack.enter_context(serving(settings, batch, Path(logs, "networks.log")))
            make_scanner = partial(make_scanner, load=partial(connect, server.address))
        setups = [Setup(settings, make_scanner, store, Path(logs, f"{job}.log")) for job in range(jobs)]
        try:
            yield from _scan_all(paths, [Worker(setup) for setup in setups])
        except WorkerError as error:
            death = server.death() if server else None
            if death is None:
                raise
            raise death from error


def _scan_all(paths: Sequence[Path], workers: Sequence[Worker]) -> Iterator[FileReport]:
    """Hand out the files to the workers, and end these."""
    free: SimpleQueue[Worker] = SimpleQueue()
    for worker in workers:
        free.put(worker)

    def scan(path: Path) -> FileReport:
        worker = free.get()
        try:
            return worker.scan(path)
        finally:
            free.put(worker)

    with ThreadPoolExecutor(len(workers), initializer=block_ctrl_c) as threads:
        try:
            yield from threads.map(scan, paths)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.stop()


class Worker:
    """One worker process and its successors; ``scan`` is for one thread, ``stop`` for any."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._pool: ProcessPool | None = None
        self._scanned = 0
        self._loaded = False
        self._stopped = False
        self._lock = threading.Lock()
        self._waiting: ProcessFuture[Any] | None = None

    def scan(self, path: Path) -> FileReport:
        """One file's report, whatever becomes of the process that scans it. Raises DeepscanError."""
        if self._scanned >= FILES_PER_PROCESS:
            self._end_process()
        self._scanned += 1
        config = self._setup.config
        started = time.perf_counter()
        prepared: Prepared | None = None
        exceeded = threading.Event()
        try:
            prepared = self._call(config.timeout, prepare, path)
            if prepared.report is not None:
                return prepared.report
            self._load()
            with memory_limit(prepared.pid, config.max_memory) as exceeded:
                return self._call(config.timeout, scan, path, prepared.sha256)
        except TimeoutError:
            sentence = f"{path}: not finished after {config.timeout:g} s; --timeout allows more"
            report = failure(path, "timeout", sentence)
        except ProcessExpired as death:
            if exceeded.is_set():
                limit = f"{config.max_memory / 2**30:.3g} GiB"
                sentence = f"{path}: scanning it takes more than {limit} of memory; --max-memory allows more"
            else:
                cause = cause_of_death(death.exitcode)
                sentence = f"{path}: the worker process died while scanning this file ({cause})"
                sentence += memory_note()
            report = replace(failure(path, "crashed", sentence), trace=self._stderr_tail())
        self._loaded = False
        content = None if prepared is None else prepared.sha256
        return replace(report, sha256=content, seconds=time.perf_counter() - started)

    def stop(self) -> None:
        """End the process now, whatever it does, and let nobody wait for it."""
        with self._lock:
            self._stopped = True
            if self._waiting is not None:
                self._waiting.cancel()  # type: ignore[no-untyped-call]
        self._end_process()

    def _load(self) -> None:
        """Load the models if that is still to be done; neither its time nor a failure is the file's fault."""
        if self._loaded:
            return
        try:
            self._call(0, load)
        except ProcessExpired as death:
            raise WorkerError(
                f"a worker process died while it loaded the networks ({cause_of_death(death.exitcode)})"
                f"{memory_note()}; check the free memory, or try fewer --jobs"
            ) from death
        self._loaded = True

    def _call(
        self, timeout_s: float, function: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs
    ) -> Result:
        """Call a function in the process and wait.

        Raises:
            TimeoutError: it took longer than ``timeout_s`` (0: may take for ever) and the process was ended.
            ProcessExpired: the process died.
            WorkerError: no process can be started.
            CancelledError: the worker was stopped.
        """
        for attempt in range(2):
            try:
                with self._lock:
                    if self._stopped:
                        raise CancelledError
                    future = self._running_pool().schedule(function, args, kwargs, timeout=timeout_s or None)
                    self._waiting = future
                return future.result()
            except BrokenProcessPool as error:
                # The process died before it took the call: of what an earlier file left behind, or at once.
                words = self._stderr_tail() or "no reason is known"
                self._end_process()
                if attempt:
                    raise WorkerError(f"no worker process can be started ({error}): {words}") from error
        raise AssertionError("unreachable")

    def _running_pool(self) -> ProcessPool:
        if self._pool is not None and not self._pool.active:
            self._end_process()  # it broke between two files
        if self._pool is None:
            self._pool = ProcessPool(
                1, initializer=start, initargs=(self._setup,), context=get_context("spawn")
            )
        return self._pool

    def _end_process(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()  # type: ignore[no-untyped-call]
            pool.join()
        self._scanned = 0
        self._loaded = False

    def _stderr_tail(self) -> str:
        """What the process wrote to its stderr about the file at hand."""
        try:
            text = self._setup.log.read_text(encoding="utf-8", errors="backslashreplace")
        except OSError:
            return ""
        return text[-LOG_SHOWN:].strip()
