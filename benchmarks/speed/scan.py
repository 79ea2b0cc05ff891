"""How long scans take, where the time goes, and how far that is from the floor (see README.md)."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import mean, median
from typing import Any

import footage
import measure
from floor import Floor, FloorMeter
from measure import Cost, middle_cost
from rich.console import Console
from rich.table import Table
from stages import STAGES, StageClock, watch

from deepscan.config import ScanConfig
from deepscan.limits import thread_count
from deepscan.scanner import Scanner
from deepscan.weights import find_root

SPAWN = get_context("spawn")


@dataclass(frozen=True)
class Recipe:
    """A case whose files are still to be made."""

    name: str
    jobs: int
    make: Callable[..., list[Path]]
    arguments: tuple[Any, ...]

    def made(self) -> Case:
        """The case, its files made."""
        paths = measure.elsewhere(self.make, *self.arguments, True)
        return Case(self.name, tuple(paths), self.jobs)


@dataclass(frozen=True)
class Case:
    """Files that are scanned in one go, by ``jobs`` workers."""

    name: str
    paths: tuple[Path, ...]
    jobs: int


@dataclass(frozen=True)
class Warm:
    """One go with loaded models; ``stages`` are CPU seconds, all workers together."""

    cost: Cost
    stages: dict[str, float]


@dataclass(frozen=True)
class Result:
    """One case: every repeat, and the floors measured beside each, on one core and on all of them at once."""

    case: str
    files: int
    jobs: int
    cores: int
    cold: list[Cost]
    warm: list[Warm]
    floor: list[Floor]
    busy_floor: list[Floor]

    def document(self) -> dict[str, Any]:
        """For JSON: the measured values, and the medians that the table shows."""
        warm = [go.cost for go in self.warm]
        return {
            **asdict(self),
            "medians": {
                "cold": {**asdict(middle_cost(self.cold)), **self._to_floor(self.cold)},
                "warm": {**asdict(middle_cost(warm)), **self._to_floor(warm)},
                "stages": {name: median(go.stages[name] for go in self.warm) for name in STAGES},
                "floor_wall_s": median(least.cpu_s for least in self.floor) / self.cores,
                "busy_floor_wall_s": median(least.cpu_s for least in self.busy_floor) / self.cores,
                "floor_decode_s": median(least.decode_s for least in self.floor),
                "floor_nets_s": median(least.nets_s for least in self.floor),
            },
        }

    def _to_floor(self, costs: list[Cost]) -> dict[str, float]:
        """Medians of the repeats' own ratios: a busy moment of the machine meets both sides of one."""
        pairs = list(zip(costs, self.floor, strict=True))
        busy_pairs = zip(costs, self.busy_floor, strict=True)
        return {
            "wall_to_floor": median(cost.wall_s / (least.cpu_s / self.cores) for cost, least in pairs),
            "wall_to_busy_floor": median(
                cost.wall_s / (least.cpu_s / self.cores) for cost, least in busy_pairs
            ),
            "cpu_to_floor": median(cost.cpu_s / least.cpu_s for cost, least in pairs),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure scans of videos and photos that this script makes.")
    measure.add_options(parser, "runs/bench-scan.json")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--repeats", type=int, help="times each case is measured (3; 1 with --quick)")
    parser.add_argument("--media", type=Path, help="folder that keeps the files made, for the next time")
    options = parser.parse_args()
    repeats = options.repeats or (1 if options.quick else 3)
    weights = find_root(options.weights)
    cores, load = thread_count(), measure.load()
    stderr = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="deepscan-bench-") as name:
        results = []
        folder = options.media / ("quick" if options.quick else "full") if options.media else Path(name)
        for case in _cases(folder, cores, quick=options.quick):
            if options.only in case.name:
                stderr.print(f"making and scanning: {case.name}")
                results.append(_measure(case.made(), weights, cores, repeats))
    documents = [result.document() for result in results]
    measure.finish(options, {"load_before": load, "cases": documents}, _tables(documents))


def _cases(folder: Path, cores: int, *, quick: bool) -> list[Recipe]:
    clip = footage.Clip
    one_s, usual_s, long_s, times, few, many, photos = (
        (4, 12, 12, 5, 2, 4, 12) if quick else (10, 60, 40, 15, 4, 40, 500)
    )
    whole = [clip(f"whole-{n}.mp4", one_s, None, seed=100 + n) for n in range(few)]
    short = [clip(f"{n:02}.mp4", 3, 60, seed=10 + n) for n in range(many)]
    long = clip("long.mp4", long_s, 250, seed=2, height=720, repeat=times)
    return [
        Recipe(f"{one_s} s 1080p, one keyframe", 1, footage.make, (folder, [clip("one.mp4", one_s, None)])),
        Recipe(f"{usual_s} s 1080p", 1, footage.make, (folder, [clip("usual.mp4", usual_s, 250, seed=1)])),
        Recipe(f"{long_s * times} s 720p", 1, footage.make, (folder, [long])),
        Recipe(f"folder of {few} clips, {one_s} s", min(cores, few), footage.make, (folder / "whole", whole)),
        Recipe(f"folder of {many} clips, 3 s", min(cores, many), footage.make, (folder / "many", short)),
        Recipe(f"folder of {photos} photos", cores, footage.make_photos, (folder / "photos", photos)),
    ]


def _measure(case: Case, weights: Path, cores: int, repeats: int) -> Result:
    """Cold, warm and the floors in turn, so that the machine's busy moments meet them all."""
    config = ScanConfig(weights=weights, threads=thread_count(None, case.jobs))
    barrier = SPAWN.Barrier(case.jobs)
    every_core = SPAWN.Barrier(cores)
    alone = ScanConfig(weights=weights, threads=1)
    cold, warm, least, busy = [], [], [], []
    with (
        ProcessPoolExecutor(case.jobs, SPAWN, _start_worker, (config, barrier)) as workers,
        ProcessPoolExecutor(cores, SPAWN, _start_meter, (alone, every_core)) as meters,
    ):
        for warming in [workers.submit(_warm_up, case.paths[0]) for _ in range(case.jobs)]:
            warming.result()
        _busy_floor(meters, cores, case.paths[:1])
        for _ in range(repeats):
            cold.append(_cold(case, weights))
            warm.append(_warm(case, workers))
            least.append(meters.submit(_floor, case.paths).result())
            busy.append(_busy_floor(meters, cores, case.paths))
    return Result(case.name, len(case.paths), case.jobs, cores, cold, warm, least, busy)


def _busy_floor(meters: ProcessPoolExecutor, cores: int, paths: Sequence[Path]) -> Floor:
    """The mean of the floors that all cores measure at once: they share memory, caches and heat."""
    found = [at_once.result() for at_once in [meters.submit(_floor_together, paths) for _ in range(cores)]]
    return Floor(mean(f.decode_s for f in found), mean(f.nets_s for f in found), found[0].clips)


def _cold(case: Case, weights: Path) -> Cost:
    """From the shell: Python starts, the models load, the files are scanned, all processes end."""
    options = ("--weights", str(weights), "--jobs", str(case.jobs))
    # 1: something was called fake, which is not the matter here.
    return measure.run(measure.deepscan_command(case.paths, *options), ends_with=(0, 1))


def _warm(case: Case, workers: ProcessPoolExecutor) -> Warm:
    """One go with workers that have scanned a file before."""
    started = time.perf_counter()
    done = list(workers.map(_scan, case.paths))
    wall_s = time.perf_counter() - started
    stages = {name: sum(used[name] for used, _ in done) for name in STAGES}
    return Warm(Cost(wall_s, sum(stages.values()), max(rss for _, rss in done)), stages)


_scanner: Scanner
_barrier: Barrier
_clock: StageClock
_meter: FloorMeter


def _start_worker(config: ScanConfig, barrier: Barrier) -> None:
    global _scanner, _barrier, _clock
    _scanner, _barrier, _clock = Scanner(config), barrier, StageClock()
    watch(_clock)


def _start_meter(config: ScanConfig, barrier: Barrier) -> None:
    global _meter, _barrier
    _meter, _barrier = FloorMeter(config), barrier


def _floor(paths: Sequence[Path]) -> Floor:
    return _meter.measure(paths)


def _floor_together(paths: Sequence[Path]) -> Floor:
    _barrier.wait()
    return _meter.measure(paths)


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


def _peak_rss_mb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / measure.RSS_UNITS_PER_MB


def _tables(cases: list[dict[str, Any]]) -> list[Table]:
    ratios = ("wall / floor", "CPU / floor", "busy floor s", "wall / busy")
    headings = ("", "wall s", "CPU s", "peak MB", "floor s", *ratios)
    costs = Table(*headings, title="Scans: medians (peak memory: the largest)")
    stages = Table("", *STAGES, "floor decode", "floor nets", title="CPU seconds by stage, warm")
    for case in cases:
        medians = case["medians"]
        for state in ("cold", "warm"):
            cost = medians[state]
            figures = (cost["wall_s"], cost["cpu_s"], medians["floor_wall_s"])
            wall, cpu, bound = (f"{figure:.2f}" for figure in figures)
            busy = (medians["busy_floor_wall_s"], cost["wall_to_busy_floor"])
            shares = (cost["wall_to_floor"], cost["cpu_to_floor"], *busy)
            costs.add_row(
                f"{case['case']}, {state}", wall, cpu, f"{cost['peak_rss_mb']:.0f}", bound,
                *(f"{share:.2f}" for share in shares),
            )  # fmt: skip
        own = (medians["stages"][name] for name in STAGES)
        values = [*own, medians["floor_decode_s"], medians["floor_nets_s"]]
        stages.add_row(case["case"], *(f"{value:.2f}" for value in values))
    return [costs, stages]


if __name__ == "__main__":
    main()
