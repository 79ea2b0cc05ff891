"""What all processes of a scan hold together at their largest, beside what the largest alone holds.

A page that several processes share counts for each of them in the sum of resident memory, and once in the
sum of proportional memory (Linux; elsewhere there is none).
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import footage
import measure
import psutil
from rich.table import Table

EVERY_S = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    measure.add_options(parser, "runs/bench-memory.json")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes (%(default)s)")
    options = parser.parse_args()
    weights = [] if options.weights is None else ["--weights", str(options.weights)]
    seconds, count = (4, options.jobs) if options.quick else (10, 2 * options.jobs)
    with tempfile.TemporaryDirectory(prefix="deepscan-bench-") as name:
        clips = [footage.Clip(f"{n}.mp4", seconds, None, seed=100 + n) for n in range(count)]
        paths = measure.elsewhere(footage.make, Path(name), clips)
        peaks = watch(measure.deepscan_command(paths, *weights, "--jobs", str(options.jobs)))
    table = Table("", "peak MB", title=f"{count} clips of {seconds} s of 1080p, {options.jobs} jobs")
    for what, value_mb in peaks.items():
        table.add_row(what, f"{value_mb:.0f}")
    measure.finish(options, {"jobs": options.jobs, "peaks_mb": peaks}, [table])


def watch(command: list[str]) -> dict[str, float]:
    """Run a program to its end; the peaks over time, MB.

    Raises:
        SystemExit: it ended with an error.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peaks: dict[str, float] = {}
    while process.poll() is None:
        for what, value_mb in _now(process.pid).items():
            peaks[what] = max(value_mb, peaks.get(what, 0.0))
        time.sleep(EVERY_S)
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}: ended with {process.returncode}")
    return peaks


def _now(pid: int) -> dict[str, float]:
    """Memory of a process and its children; nothing where one ends meanwhile."""
    try:
        parent = psutil.Process(pid)
        held = [each.memory_full_info() for each in (parent, *parent.children(recursive=True))]
    except psutil.Error:
        return {}
    resident = [each.rss / 1e6 for each in held]
    now = {"largest process, resident": max(resident), "all, resident": sum(resident)}
    if all(hasattr(each, "pss") for each in held):
        now["all, proportional"] = sum(each.pss / 1e6 for each in held)
    return now


if __name__ == "__main__":
    main()
