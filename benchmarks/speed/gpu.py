"""Videos per second on a GPU, how busy it is, the time that the networks alone take, the gap to a CPU."""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

import footage
import measure
from rich.console import Console
from rich.table import Table
from stages import recorded_clips

from deepscan import batch
from deepscan.config import ScanConfig
from deepscan.detectors import SPECS
from deepscan.faces.clips import Clip
from deepscan.inference.detector import Detector
from deepscan.inference.devices import gpu_count
from deepscan.inference.loading import Placement, load_placed, place
from deepscan.limits import thread_count
from deepscan.scanner import Scanner
from deepscan.weights import Weights, find_root

QUERY = ("--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "-lms", "100")
CPU = Placement("cpu", "fp32")


@dataclass(frozen=True)
class Floor:
    """The networks alone, on every clip of the scans, in full batches.

    ``gap``: the largest distance of a score from that of a CPU in fp32, over the clips of one video.
    """

    wall_s: float
    clips: int
    gap: float


@dataclass(frozen=True)
class Run:
    """One scan of all files; utilisation in percent, None where nvidia-smi does not say."""

    jobs: int
    wall_s: float
    videos_per_s: float
    gpu_busy: float | None
    gpu_peak_mb: float | None


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure scans on an NVIDIA GPU, of videos that this makes.")
    measure.add_options(parser, "runs/bench-gpu.json")
    parser.add_argument("--device", choices=("cuda", "tensorrt"), default="cuda")
    parser.add_argument("--precision", choices=("fp16", "fp32", "int8"), default="fp16")
    parser.add_argument("--files", type=int, help="videos of 10 s, 1080p (64; 8 with --quick)")
    options = parser.parse_args()
    if not gpu_count():
        raise SystemExit("no NVIDIA GPU answers here, and without one there is nothing to measure")
    config = ScanConfig(
        weights=find_root(options.weights), device=options.device, precision=options.precision, timeout=0
    )
    count = max(2, options.files or (8 if options.quick else 64))
    cores = thread_count()
    said = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="deepscan-bench-") as name:
        said.print(f"making {count} videos")
        paths = measure.elsewhere(_make, Path(name), count)
        said.print("the networks alone")
        floor = measure.elsewhere(_floor, config, paths[0], count)
        runs = []
        for jobs in sorted({1, max(1, cores // 2), cores}):
            said.print(f"scanning with {jobs} jobs")
            runs.append(_scan(replace(config, jobs=jobs), paths))
    document = {
        "gpu": _gpu_name(),
        "device": config.device,
        "precision": config.precision,
        "files": count,
        "floor": asdict(floor),
        "runs": [{**asdict(run), "wall_to_floor": run.wall_s / floor.wall_s} for run in runs],
    }
    measure.finish(options, document, [_table(runs, floor, count)])


def _make(folder: Path, count: int) -> list[Path]:
    """Two different videos, linked to under as many names: a worker cannot know, and encoding takes long."""
    made = footage.make(folder, [footage.Clip(f"made{n}.mp4", 10, 250, seed=n) for n in range(2)])
    paths = [folder / f"{number:03}.mp4" for number in range(count)]
    for number, path in enumerate(paths):
        path.hardlink_to(made[number % len(made)])
    return paths


def _scan(config: ScanConfig, paths: Sequence[Path]) -> Run:
    """A whole run; its clock starts with the first report, when all networks are loaded and warm."""
    with _watched_gpu() as seen:
        times_s = []
        for report in batch.scan_files(paths, config):
            if report.status != "scanned" or not report.tracks:
                raise SystemExit(f"{report.path}: {report.status}: {report.error}; this measures nothing")
            if not times_s:
                seen.clear()
            times_s.append(time.perf_counter())
    wall_s = times_s[-1] - times_s[0]
    busy, memory_mb = zip(*seen, strict=True) if seen else ((), ())
    return Run(
        config.jobs,
        wall_s * len(paths) / (len(paths) - 1),
        (len(paths) - 1) / wall_s,
        fmean(busy) if busy else None,
        max(memory_mb) if memory_mb else None,
    )


@contextmanager
def _watched_gpu() -> Iterator[list[tuple[float, float]]]:
    """Percent busy and MB in use of the first GPU, ten times a second; empty without nvidia-smi."""
    seen: list[tuple[float, float]] = []
    try:
        watcher = subprocess.Popen(["nvidia-smi", *QUERY, "-i", "0"], stdout=subprocess.PIPE, text=True)
    except OSError:
        yield seen
        return

    def read() -> None:
        assert watcher.stdout is not None
        for line in watcher.stdout:
            busy, _, memory_mb = line.partition(",")
            seen.append((float(busy), float(memory_mb)))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield seen
    finally:
        watcher.terminate()
        watcher.wait()
        reader.join()


def _gpu_name() -> str | None:
    try:
        query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader", "-i", "0"]
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _floor(config: ScanConfig, path: Path, files: int) -> Floor:
    """Seconds that the networks alone need for the clips of ``files`` such videos."""
    weights = Weights(config.weights)
    on_cpu = replace(config, device="cpu", precision="fp32")
    with recorded_clips() as clips:
        Scanner(on_cpu, lambda settings, found: load_placed(settings, found, CPU)).scan(path)
    by_detector: dict[str, list[Clip]] = defaultdict(list)
    for name, clip in clips:
        by_detector[name].append(clip)
    cpu = _detectors(on_cpu, weights, CPU)
    gpu = _detectors(config, weights, place(config, weights))
    gap = max(
        abs(one.probability - other.probability)
        for name, own in by_detector.items()
        for one, other in zip(gpu[name].score(own), cpu[name].score(own), strict=True)
    )
    started_s = time.perf_counter()
    for name, own in by_detector.items():
        gpu[name].score(own * files)
    return Floor(time.perf_counter() - started_s, len(clips) * files, gap)


def _detectors(config: ScanConfig, weights: Weights, placement: Placement) -> dict[str, Detector]:
    loaded = load_placed(config, weights, placement)
    return {name: Detector(SPECS[name], network) for name, network in loaded.items()}


def _table(runs: Sequence[Run], floor: Floor, files: int) -> Table:
    alone = f"networks alone {floor.wall_s:.2f} s; largest gap to a CPU {floor.gap:.4f}"
    title = f"{files} videos of 10 s; {alone}"
    table = Table("jobs", "wall s", "videos / s", "wall / floor", "GPU busy %", "GPU peak MB", title=title)
    for run in runs:
        table.add_row(
            str(run.jobs),
            f"{run.wall_s:.2f}",
            f"{run.videos_per_s:.2f}",
            f"{run.wall_s / floor.wall_s:.2f}",
            *("-" if value is None else f"{value:.0f}" for value in (run.gpu_busy, run.gpu_peak_mb)),
        )
    return table


if __name__ == "__main__":
    main()
