"""How long scans take, where the time goes, and how far that is from the floor (see README.md)."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Any

import floor
import footage
from rich.console import Console
from rich.table import Table
from stages import STAGES, StageClock, watch

from deepscan import __version__
from deepscan.config import ScanConfig
from deepscan.runtime import thread_count
from deepscan.scan import Scanner
from deepscan.weights import find_root

SPAWN = get_context("spawn")


@dataclass(frozen=True)
class Case:
    """Files that are scanned in one go, by ``jobs`` workers."""

    name: str
    paths: tuple[Path, ...]
    jobs: int


@dataclass(frozen=True)
class Cost:
    """What one go took: wall and CPU seconds, and the largest process's peak memory, MB."""

    wall_s: float
    cpu_s: float
    peak_rss_mb: float


@dataclass(frozen=True)
class Warm:
    """One go with loaded models; ``stages`` are CPU seconds, all workers together."""

    cost: Cost
    stages: dict[str, float]


@dataclass(frozen=True)
class Result:
    """One case: every repeat, and the floor under them."""

    case: str
    files: int
    jobs: int
    cores: int
    cold: list[Cost]
    warm: list[Warm]
    floor: floor.Floor

    def document(self) -> dict[str, Any]:
        """For JSON: the measured values, and the medians that the table shows."""
        floor_wall_s = self.floor.cpu_s / self.cores
        warm = _middle([go.cost for go in self.warm])
        return {
            **asdict(self),
            "floor_wall_s": floor_wall_s,
            "medians": {
                "cold": asdict(_middle(self.cold)),
                "warm": asdict(warm),
                "stages": {name: median(go.stages[name] for go in self.warm) for name in STAGES},
                "wall_to_floor": warm.wall_s / floor_wall_s,
                "cpu_to_floor": warm.cpu_s / self.floor.cpu_s,
            },
        }


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    weights = find_root(options.weights)
    cores, load = thread_count(), _load()
    stderr = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="deepscan-bench-") as name:
        stderr.print("making the videos")
        cases = _cases(Path(name), cores, quick=options.quick)
        results = []
        for case in cases:
            stderr.print(f"scanning: {case.name}")
            results.append(_measure(case, weights, cores, 1 if options.quick else 3))
    document = {
        "deepscan": __version__,
        "machine": {"cpu": _cpu_name(), "cores": cores, "python": platform.python_version()},
        "load_before": load,
        "weights": str(weights),
        "quick": options.quick,
        "cases": [result.document() for result in results],
    }
    _print(document)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    stderr.print(f"written: {options.output}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure scans of videos that this script makes.")
    parser.add_argument("--weights", type=Path, help="weights folder to use instead of the shipped one")
    parser.add_argument("--quick", action="store_true", help="shorter videos, each measured once")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("runs/bench-scan.json"), help="JSON to write (%(default)s)"
    )
    return parser.parse_args(arguments)


def _cases(folder: Path, cores: int, *, quick: bool) -> list[Case]:
    lengths_s = (4, 12) if quick else (10, 60)
    many = 4 if quick else 12
    single_gop = footage.Clip("single-gop.mp4", lengths_s[0], None)
    usual = footage.Clip("usual.mp4", lengths_s[1], 250, seed=1)
    short = [footage.Clip(f"{n:02}.mp4", 3, 60, seed=10 + n) for n in range(many)]
    # In a process of its own: what this one grows to would count as the peak of those it starts.
    with ProcessPoolExecutor(1, SPAWN) as worker:
        alone = worker.submit(footage.make, folder, [single_gop, usual]).result()
        together = worker.submit(footage.make, folder / "many", short).result()
    return [
        Case(f"{lengths_s[0]} s, one keyframe", (alone[0],), 1),
        Case(f"{lengths_s[1]} s", (alone[1],), 1),
        Case(f"folder of {many}, 3 s each", tuple(together), min(cores, many)),
    ]


def _measure(case: Case, weights: Path, cores: int, repeats: int) -> Result:
    cold = [_cold(case, weights) for _ in range(repeats)]
    warm = _warm(case, ScanConfig(weights=weights, threads=thread_count(None, case.jobs)), repeats)
    with ProcessPoolExecutor(1, SPAWN) as worker:
        least = worker.submit(floor.measure, case.paths, ScanConfig(weights=weights, threads=1), repeats)
        return Result(case.name, len(case.paths), case.jobs, cores, cold, warm, least.result())


def _cold(case: Case, weights: Path) -> Cost:
    """From the shell: Python starts, the models load, the files are scanned, all processes end."""
    command = [sys.executable, "-m", "deepscan", "scan", *map(str, case.paths)]
    command += ["--weights", str(weights), "--jobs", str(case.jobs), "--json", "--quiet"]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.perf_counter() - started
    if process.returncode not in (0, 1):  # 1: something was called fake, which is not the matter here
        raise SystemExit(f"{' '.join(command)}: ended with {process.returncode}")
    return Cost(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / _RSS_UNITS_PER_MB)


def _warm(case: Case, config: ScanConfig, repeats: int) -> list[Warm]:
    """With workers that have scanned a file before."""
    barrier = SPAWN.Barrier(case.jobs)
    goes = []
    with ProcessPoolExecutor(case.jobs, SPAWN, _start_worker, (config, barrier)) as pool:
        for warming in [pool.submit(_warm_up, case.paths[0]) for _ in range(case.jobs)]:
            warming.result()
        for _ in range(repeats):
            started = time.perf_counter()
            done = list(pool.map(_scan, case.paths))
            wall_s = time.perf_counter() - started
            stages = {name: sum(used[name] for used, _ in done) for name in STAGES}
            goes.append(Warm(Cost(wall_s, sum(stages.values()), max(rss for _, rss in done)), stages))
    return goes


_scanner: Scanner
_barrier: Barrier
_clock: StageClock


def _start_worker(config: ScanConfig, barrier: Barrier) -> None:
    global _scanner, _barrier, _clock
    _scanner, _barrier, _clock = Scanner(config), barrier, StageClock()
    watch(_clock)


def _warm_up(path: Path) -> None:
    _scanner.scan(path)
    _barrier.wait()  # so that no worker takes a second file while another has not had its first


def _scan(path: Path) -> tuple[dict[str, float], float]:
    """One file: CPU seconds by stage, and this process's peak memory so far, MB."""
    _clock.restart()
    report = _scanner.scan(path)
    used = _clock.stop()
    if report.status != "scanned" or not report.tracks:
        raise RuntimeError(f"{path}: {report.status}, {len(report.tracks)} faces; this measures nothing")
    return used, _peak_rss_mb()


_RSS_UNITS_PER_MB = 1e6 if sys.platform == "darwin" else 1e3


def _peak_rss_mb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _RSS_UNITS_PER_MB


def _middle(costs: Sequence[Cost]) -> Cost:
    return Cost(
        median(cost.wall_s for cost in costs),
        median(cost.cpu_s for cost in costs),
        max(cost.peak_rss_mb for cost in costs),
    )


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _print(document: dict[str, Any]) -> None:
    costs = Table(title="Scans: medians (peak memory: the largest)", title_justify="left")
    for heading in ("", "wall s", "CPU s", "peak MB", "floor s", "wall / floor", "CPU / floor"):
        costs.add_column(heading, justify="right" if heading else "left")
    stages = Table(title="CPU seconds by stage, warm", title_justify="left")
    for heading in ("", *STAGES, "floor decode", "floor nets"):
        stages.add_column(heading, justify="right" if heading else "left")
    for case in document["cases"]:
        medians, least = case["medians"], case["floor"]
        floor_cpu_s = least["decode_s"] + least["nets_s"]
        for state in ("cold", "warm"):
            cost = medians[state]
            figures = (cost["wall_s"], cost["cpu_s"], case["floor_wall_s"])
            wall, cpu, bound = (f"{figure:.2f}" for figure in figures)
            ratios = (cost["wall_s"] / case["floor_wall_s"], cost["cpu_s"] / floor_cpu_s)
            costs.add_row(
                f"{case['case']}, {state}", wall, cpu, f"{cost['peak_rss_mb']:.0f}", bound,
                *(f"{ratio:.2f}" for ratio in ratios),
            )  # fmt: skip
        values = [*(medians["stages"][name] for name in STAGES), least["decode_s"], least["nets_s"]]
        stages.add_row(case["case"], *(f"{value:.2f}" for value in values))
    machine = document["machine"]
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(f"{machine['cpu']}, {machine['cores']} cores; load before: {document['load_before']}")
    console.print(costs, stages)


if __name__ == "__main__":
    main()
