"""What the benchmark scripts share: options, cost of a process, the machine, table and JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from deepscan import __version__
from deepscan.limits import thread_count
from deepscan.weights import find_root

T = TypeVar("T")

Times = tuple[float, float]
"""Wall and CPU seconds."""

RSS_UNITS_PER_MB = 1e6 if sys.platform == "darwin" else 1e3


@dataclass(frozen=True)
class Cost:
    """What one go took: wall and CPU seconds, and the largest process's peak memory, MB."""

    wall_s: float
    cpu_s: float
    peak_rss_mb: float


def add_options(parser: argparse.ArgumentParser, output: str) -> None:
    """``--quick``, ``--weights`` and ``-o``, which every script has."""
    parser.add_argument("--weights", type=Path, help="weights folder to use instead of the shipped one")
    parser.add_argument(
        "--quick", action="store_true", help="less of everything, measured once: does it run?"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path(output), help="JSON to write (%(default)s)")


def run(command: Sequence[str], *, ends_with: Sequence[int] = (0,)) -> Cost:
    """Run a program to its end, silently; its children that it waits for count.

    Raises:
        SystemExit: it ended with another code.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.perf_counter() - started
    if process.returncode not in ends_with:
        sentence = said.decode(errors="replace").strip()
        raise SystemExit(f"{' '.join(command)}: ended with {process.returncode}: {sentence}")
    return Cost(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / RSS_UNITS_PER_MB)


def elsewhere(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a process of its own: what this one grows to would count as its children's peak."""
    with ProcessPoolExecutor(1, get_context("spawn")) as worker:
        return worker.submit(function, *arguments).result()


def deepscan_command(paths: Sequence[Path], *options: str) -> list[str]:
    """``deepscan scan`` on these paths, as from the shell."""
    return [sys.executable, "-m", "deepscan", "scan", *map(str, paths), "--json", "--quiet", *options]


def middle(times: Sequence[Times]) -> Times:
    """Median of each clock."""
    return median(wall_s for wall_s, _ in times), median(cpu_s for _, cpu_s in times)


def middle_cost(costs: Sequence[Cost]) -> Cost:
    """Median of each clock, and the largest peak."""
    return Cost(
        median(cost.wall_s for cost in costs),
        median(cost.cpu_s for cost in costs),
        max(cost.peak_rss_mb for cost in costs),
    )


def finish(options: argparse.Namespace, results: dict[str, Any], tables: Sequence[Table]) -> None:
    """Print the tables and write the JSON, with what is needed to tell figures apart."""
    document = {
        "deepscan": __version__,
        "machine": {"cpu": cpu_name(), "cores": thread_count(), "python": platform.python_version()},
        "load_at_end": load(),
        "weights": str(find_root(options.weights)),
        "quick": options.quick,
        **results,
    }
    console = Console(width=None if sys.stdout.isatty() else 120)
    machine = document["machine"]
    console.print(f"{machine['cpu']}, {machine['cores']} cores; load at the end: {document['load_at_end']}")
    for table in tables:
        table.title_justify = "left"
        for column in table.columns[1:]:
            column.justify = "right"
        console.print(table)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    Console(stderr=True).print(f"written: {options.output}")


def cpu_name() -> str:
    """The processor's, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def load() -> float | None:
    """One-minute load average; None where the system has none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
