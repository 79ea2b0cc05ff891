"""How the cost grows with duration, faces, resolution and number of files; JSON, and a plot of each.

Every point is one scan from the shell, models loaded and all, so that the left end of every curve is what
any scan costs. CPU seconds are plotted, since they hold still on a busy machine.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import footage
import measure
from footage import Clip
from measure import elsewhere
from rich.console import Console
from rich.table import Table

Point = tuple[float, Sequence[Path]]
"""Where on the axis, and the files to scan."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    measure.add_options(parser, "runs/bench-growth.json")
    parser.add_argument("--plots", type=Path, default=Path("docs"), help="folder of the plots (%(default)s)")
    parser.add_argument("--only", choices=AXES, help="one axis")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes (%(default)s)")
    options = parser.parse_args()
    stderr = Console(stderr=True)
    weights = [] if options.weights is None else ["--weights", str(options.weights)]
    results: dict[str, list[dict[str, Any]]] = {}
    for axis, points in AXES.items():
        if options.only not in (None, axis):
            continue
        with tempfile.TemporaryDirectory(prefix="deepscan-bench-") as name:
            for at, paths in points(Path(name), options.quick):
                stderr.print(f"{axis}: {at:g}")
                command = measure.deepscan_command(
                    paths, *weights, "--jobs", str(options.jobs), "--max-faces", "20"
                )
                cost = measure.run(command, ends_with=(0, 1))
                results.setdefault(axis, []).append({"at": at, **asdict(cost)})
    tables = []
    for axis, rows in results.items():
        table = Table(axis, "wall s", "CPU s", "peak MB", title=f"Growth with {axis}")
        for row in rows:
            table.add_row(*(f"{row[key]:g}" if key == "at" else f"{row[key]:.1f}" for key in row))
        tables.append(table)
        if not options.quick:
            _plot(axis, rows, options.plots / f"growth-{axis.split()[0]}.svg")
    measure.finish(options, {"jobs": options.jobs, "axes": results}, tables)


def _durations(folder: Path, quick: bool) -> Iterator[Point]:
    for seconds, repeat in ((4, 1), (4, 4)) if quick else ((10, 1), (30, 2), (60, 5), (60, 30), (60, 120)):
        (path,) = elsewhere(footage.make, folder, [Clip("d.mp4", seconds, 250, height=720, repeat=repeat)])
        yield seconds * repeat, [path]


def _faces(folder: Path, quick: bool) -> Iterator[Point]:
    for faces in (1, 3) if quick else (1, 2, 5, 10, 20):
        yield faces, elsewhere(footage.make, folder, [Clip("f.mp4", 3 if quick else 10, 250, faces=faces)])


def _heights(folder: Path, quick: bool) -> Iterator[Point]:
    for height in (360, 720) if quick else (360, 720, 1080, 1440, 2160):
        yield height, elsewhere(footage.make, folder, [Clip("h.mp4", 3 if quick else 10, 250, height=height)])


def _files(folder: Path, quick: bool) -> Iterator[Point]:
    """Photos and one in ten a clip; copies, since deepscan looks at each path anew."""
    (clip,) = elsewhere(footage.make, folder, [Clip("clip.mp4", 2, 60, height=360)])
    (photo,) = elsewhere(footage.make_photos, folder, 1)
    for count in (1, 4) if quick else (1, 10, 100, 500, 2000):
        here = folder / str(count)
        here.mkdir()
        for number in range(count):
            source = clip if number % 10 == 9 else photo
            (here / f"{number:04}{source.suffix}").hardlink_to(source)
        yield count, [here]


AXES: dict[str, Callable[[Path, bool], Iterator[Point]]] = {
    "duration (s)": _durations,
    "faces": _faces,
    "resolution (lines)": _heights,
    "number of files": _files,
}


def _plot(axis: str, rows: Sequence[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure((6, 3.5), layout="constrained")
    cpu = figure.subplots()
    at = [row["at"] for row in rows]
    cpu.plot(at, [row["cpu_s"] for row in rows], "o-", label="CPU seconds")
    cpu.set(xlabel=axis, ylabel="CPU seconds", xscale="log", ylim=(0, None), xticks=at)
    cpu.set_xticks(at, [f"{place:g}" for place in at], minor=False)
    cpu.minorticks_off()
    memory = cpu.twinx()
    memory.plot(at, [row["peak_rss_mb"] for row in rows], "s--", color="tab:orange", label="peak MB")
    memory.set(ylabel="peak MB, largest process", ylim=(0, None))
    figure.legend(loc="outside upper center", ncols=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
