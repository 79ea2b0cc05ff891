"""What it takes before the first file: the command's start, imports, and one file cold."""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import measure
from rich.table import Table

EXAMPLE = Path(__file__).parents[2] / "examples" / "real.mp4"
SLOWEST = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    measure.add_options(parser, "runs/bench-startup.json")
    options = parser.parse_args()
    python = [sys.executable]
    weights = [] if options.weights is None else ["--weights", str(options.weights)]
    commands = {
        "python -c pass": [*python, "-c", "pass"],
        "deepscan --help": [*python, "-m", "deepscan", "--help"],
        "deepscan --version": [*python, "-m", "deepscan", "--version"],
        "import deepscan.scanner": [*python, "-c", "import deepscan.scanner"],
        "first file, 4 s of 512 px": measure.deepscan_command([EXAMPLE], *weights),
    }
    table = Table("", "wall s", "CPU s", "peak MB", title="Cold: medians")
    medians = {}
    for title, command in commands.items():
        costs = [measure.run(command, ends_with=(0, 1)) for _ in range(1 if options.quick else 5)]
        cost = medians[title] = measure.middle_cost(costs)
        table.add_row(title, f"{cost.wall_s:.2f}", f"{cost.cpu_s:.2f}", f"{cost.peak_rss_mb:.0f}")
    slowest = _slowest_imports()
    imports = Table("ms", "module", title="deepscan --help: imports that take longest, themselves alone")
    for ms, module in slowest:
        imports.add_row(f"{ms:.1f}", module)
    results = {"medians": {title: asdict(cost) for title, cost in medians.items()}, "imports_ms": slowest}
    measure.finish(options, results, [table, imports])


def _slowest_imports() -> list[tuple[float, str]]:
    command = [sys.executable, "-X", "importtime", "-m", "deepscan", "--help"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
    found = []
    for line in lines:
        own, _, module = (
            line.removeprefix("import time:").split("|")[:3] if line.count("|") == 2 else ("", "", "")
        )
        if own.strip().isdigit():
            found.append((int(own) / 1000, module.strip()))
    return sorted(found, reverse=True)[:SLOWEST]


if __name__ == "__main__":
    main()
