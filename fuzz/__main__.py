"""``python -m fuzz``: thousands of mutants, in worker processes, going on where it was stopped."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from deepscan.cli.exit_codes import NOT_SCANNED
from fuzz.mutate import mutant
from fuzz.sources import write_all
from fuzz.worker import Bench, Outcome, Task, serve

SPAWN = get_context("spawn")
RECYCLE_AFTER = 1000
HANGS_AFTER_S = 120.0


class Worker:
    """A process that runs mutants one by one; replaced when it dies, hangs or has done its share."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._left = 0
        self.process: BaseProcess | None = None

    def run(self, index: int) -> dict[str, Any]:
        """The outcome of one mutant: the worker's, or what became of the worker."""
        if not self._left or self.process is None:
            self.stop()
            self.process = self._start()
            self._left = RECYCLE_AFTER
        self._left -= 1
        try:
            self._connection.send(index)
            if self._connection.poll(HANGS_AFTER_S):
                outcome: dict[str, Any] = self._connection.recv()
                return outcome
            status, said = "timeout", f"no answer within {HANGS_AFTER_S:.0f} s"
        except (EOFError, OSError):
            self.process.join()
            status, said = "crashed", f"the worker died (exit code {self.process.exitcode})"
        self.process.kill()
        self.process.join()
        self.process = None
        source, damage, _ = mutant(self._task.seed, index, self._task.sources)
        return asdict(Outcome(index, source, damage, status, None, NOT_SCANNED, said, None))

    def _start(self) -> BaseProcess:
        self._connection, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=serve, args=(theirs, self._task), daemon=True)
        process.start()
        theirs.close()
        if self._connection.recv() != "ready":
            raise RuntimeError("the worker does not start")
        return process

    def stop(self) -> None:
        """End the process."""
        if self.process is not None and self.process.is_alive():
            self._connection.send(None)
            self.process.join(30)
        self.process = None


class State:
    """What is known so far: one line for each mutant, in a file outside the repository."""

    def __init__(self, path: Path, seed: int) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.done: dict[int, dict[str, Any]] = {}
        if path.exists():
            first, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
            if json.loads(first) != {"seed": seed}:
                raise SystemExit(f"{path} is the state of another seed; choose another folder with --state")
            for line in lines:
                with contextlib.suppress(json.JSONDecodeError):  # an interruption cut it off
                    outcome = json.loads(line)
                    self.done[outcome["index"]] = outcome
        else:
            path.write_text(json.dumps({"seed": seed}) + "\n", encoding="utf-8")

    def add(self, outcome: dict[str, Any]) -> None:
        """Keep an outcome; what is written survives an interruption."""
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            self.done[outcome["index"]] = outcome
            file.write(json.dumps(outcome) + "\n")


def main() -> int:
    """Run, print the summary; exit code 1 when an assertion was violated."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--mutants", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 2) // 2))
    parser.add_argument("--state", type=Path, default=Path(tempfile.gettempdir()) / "deepscan-fuzz")
    parser.add_argument("--only", type=int, help="run this mutant alone, here, and keep its file")
    parser.add_argument("--sources", help="only of these, such as heic,tif,bmp,avif: what their names end in")
    options = parser.parse_args()
    options.state.mkdir(parents=True, exist_ok=True)
    sources = write_all(options.state / "sources")
    if options.sources:
        endings = tuple(options.sources.split(","))
        sources = {name: content for name, content in sources.items() if name.endswith(endings)}
    if options.only is not None:
        return _alone(Task(options.seed, sources, options.state), options.only)
    state = State(options.state / f"outcomes-{options.seed}.jsonl", options.seed)
    tasks = [Task(options.seed, sources, options.state / f"worker-{n}") for n in range(options.jobs)]
    Run(state, options.mutants).work(tasks)
    outcomes = [state.done[index] for index in sorted(state.done) if index < options.mutants]
    return _summary(outcomes, options.mutants)


class Run:
    """Hands out what is not done yet, or was violated, to one thread for each worker process."""

    def __init__(self, state: State, wanted: int) -> None:
        self._state = state
        self._wanted = wanted
        settled = {index for index, outcome in state.done.items() if not outcome["violation"]}
        self._waiting = [index for index in reversed(range(wanted)) if index not in settled]
        self._started, self._before = time.monotonic(), len(state.done)

    def work(self, tasks: Sequence[Task]) -> None:
        """Until nothing waits; Ctrl-C ends it after the mutants in hand."""
        threads = [threading.Thread(target=self._feed, args=(task,)) for task in tasks]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            self._waiting.clear()
            for thread in threads:
                thread.join()

    def _feed(self, task: Task) -> None:
        worker = Worker(task)
        try:
            while self._waiting:
                with contextlib.suppress(IndexError):  # another thread took the last one
                    self._state.add(worker.run(self._waiting.pop()))
                if len(self._state.done) % 500 == 0:
                    self._say_how_far()
        finally:
            worker.stop()
            shutil.rmtree(task.folder, ignore_errors=True)

    def _say_how_far(self) -> None:
        done = len(self._state.done)
        rate = (done - self._before) / (time.monotonic() - self._started)
        print(f"{done} of {self._wanted}, {rate:.0f} a second", file=sys.stderr, flush=True)


def _alone(task: Task, index: int) -> int:
    bench = Bench(task)
    outcome = bench.run(index)
    print(json.dumps(asdict(outcome), indent=2))
    print(bench.write(index)[2])
    return int(outcome.violation is not None)


def _summary(outcomes: list[dict[str, Any]], wanted: int) -> int:
    violations = [outcome for outcome in outcomes if outcome["violation"]]
    missing = wanted - len(outcomes)
    statuses = Counter(f"{o['status']}{' ' + o['verdict'] if o['verdict'] else ''}" for o in outcomes)
    for outcome in violations:
        print(f"#{outcome['index']} {outcome['source']}, {outcome['damage']}: {outcome['violation']}")
    print(f"{len(outcomes)} mutants: " + ", ".join(f"{n} {status}" for status, n in statuses.most_common()))
    print(f"{len(violations)} violations, {missing} lost")
    return int(bool(violations or missing))


if __name__ == "__main__":
    sys.exit(main())
