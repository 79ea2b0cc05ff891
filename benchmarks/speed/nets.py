"""What one clip costs each network: int8 as it ships, float32, float16; threads, and clips a batch.

float32 and float16 are what `--precision` makes of the shipped file as it is loaded. Most float16 operators
do not exist on a CPU, so that there it shows what it would cost, not what to use.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

import measure
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from deepscan.config import Computed
from deepscan.detectors import SPECS
from deepscan.detectors.spec import DetectorSpec
from deepscan.errors import WeightsError
from deepscan.inference.session import Session
from deepscan.weights import Weights

PRECISIONS: tuple[Computed, ...] = ("int8", "fp32", "fp16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    measure.add_options(parser, "runs/bench-nets.json")
    options = parser.parse_args()
    weights = Weights(options.weights)
    settings = [(1, 1)] if options.quick else [(1, 1), (2, 1), (1, 4), (2, 4)]
    repeats = 1 if options.quick else 5
    rows: list[dict[str, Any]] = []
    for detector, spec in SPECS.items():
        for precision in PRECISIONS:
            try:
                rows += [
                    {"detector": detector, "form": precision, "threads": threads, "batch": batch}
                    | _cost(weights, spec, precision, threads, batch, repeats)
                    for threads, batch in settings
                ]
            except WeightsError as error:
                rows.append({"detector": detector, "form": precision, "error": str(error)})
    table = Table("", "form", "threads", "batch", "wall ms / clip", "CPU ms / clip", title="One clip, median")
    for row in rows:
        if "error" in row:
            table.add_row(row["detector"], row["form"], "", "", "cannot run", "")
            continue
        figures = (f"{row[key]:.0f}" for key in ("wall_ms", "cpu_ms"))
        table.add_row(row["detector"], row["form"], str(row["threads"]), str(row["batch"]), *figures)
    measure.finish(options, {"rows": rows}, [table])


def _cost(
    weights: Weights, spec: DetectorSpec, precision: Computed, threads: int, batch: int, repeats: int
) -> dict[str, float]:
    session = Session(
        weights.path(spec.name),
        precision=precision,
        threads=threads,
        tuning=weights.tuning_path(spec.name),
    )
    pixels = _pixels(spec, batch)
    session.run(pixels, ["probability"])
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        session.run(pixels, ["probability"])
        walls.append((time.perf_counter() - wall) * 1000 / batch)
        cpus.append((time.process_time() - cpu) * 1000 / batch)
    return {"wall_ms": median(walls), "cpu_ms": median(cpus)}


def _pixels(spec: DetectorSpec, batch: int) -> NDArray[np.uint8]:
    clip = (spec.frames,) if spec.frames > 1 else ()
    shape = (batch, *clip, spec.size_px, spec.size_px, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


if __name__ == "__main__":
    main()
