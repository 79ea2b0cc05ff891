"""This source tree against another one, the same files in turn: what a change is worth on a busy machine."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import footage
import measure
from measure import Times
from rich.table import Table

from deepscan.weights import find_root

HERE = Path(__file__).parents[2]
WORKER = """
import sys, time
from pathlib import Path
import deepscan
from deepscan.config import ScanConfig
from deepscan.scanner import Scanner
assert Path(deepscan.__file__).is_relative_to(sys.argv[1]), f"{deepscan.__file__} is not in {sys.argv[1]}"
scanner = Scanner(ScanConfig(weights=Path(sys.argv[2])))
for line in sys.stdin:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    scanner.scan(Path(line.rstrip("\\n")))
    print(time.perf_counter() - wall_s, time.process_time() - cpu_s, flush=True)
"""


class Tree:
    """A worker that scans with the code of one source tree, its models loaded once."""

    def __init__(self, root: Path, weights: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(root), str(weights)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=root,  # Python looks here first
        )

    def scan(self, path: Path) -> Times:
        """Raises SystemExit where the worker ended."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().split()
        if len(answer) != 2:
            raise SystemExit("a tree's worker ended; its error is above.")
        return float(answer[0]), float(answer[1])

    def close(self) -> None:
        """End the worker."""
        self._process.communicate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    measure.add_options(parser, "runs/bench-versus.json")
    parser.add_argument("tree", type=Path, help="the other source tree, such as a git worktree")
    parser.add_argument("--repeats", type=int, help="times each file is scanned by each (9; 1 with --quick)")
    parser.add_argument("--media", type=Path, help="folder that keeps the files made, for the next time")
    options = parser.parse_args()
    repeats = options.repeats or (1 if options.quick else 9)
    weights = find_root(options.weights).resolve()
    table = Table(
        "", "wall s, other", "this", "this / other", "CPU s, other", "this", "this / other", title="Medians"
    )
    results = {}
    with tempfile.TemporaryDirectory(prefix="deepscan-bench-") as name:
        folder = (options.media / ("quick" if options.quick else "full")) if options.media else Path(name)
        paths = [
            path.resolve() for path in measure.elsewhere(footage.make, folder, _clips(options.quick), True)
        ]
        trees = [Tree(options.tree.resolve(), weights), Tree(HERE, weights)]
        for path in paths:
            pairs = _in_turn(trees, path, repeats)
            results[path.name] = pairs
            table.add_row(path.name, *_figures(pairs))
        for tree in trees:
            tree.close()
    measure.finish(options, {"pairs": results}, [table])


def _clips(quick: bool) -> list[footage.Clip]:
    """The first two files of ``scanner.py``."""
    one_s, usual_s = (4, 12) if quick else (10, 60)
    return [footage.Clip("one.mp4", one_s, None), footage.Clip("usual.mp4", usual_s, 250, seed=1)]


def _in_turn(trees: list[Tree], path: Path, repeats: int) -> list[tuple[Times, Times]]:
    """Pairs of (other, this), after a first scan each; who begins takes turns."""
    for tree in trees:
        tree.scan(path)
    pairs = []
    for repeat in range(repeats):
        order = trees if repeat % 2 else trees[::-1]
        found = {id(tree): tree.scan(path) for tree in order}
        pairs.append((found[id(trees[0])], found[id(trees[1])]))
    return pairs


def _figures(pairs: list[tuple[Times, Times]]) -> list[str]:
    figures = []
    for clock in (0, 1):
        other, this = (median(pair[side][clock] for pair in pairs) for side in (0, 1))
        figures += [other, this, median(pair[1][clock] / pair[0][clock] for pair in pairs)]
    return [f"{figure:.3f}" for figure in figures]


if __name__ == "__main__":
    main()
