"""The README names what the program really has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import typer
from typer.main import get_command

from deepscan.cli import app

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")


def test_every_option_of_a_scan_is_in_the_readme() -> None:
    scan = get_command(app).commands["scan"]  # type: ignore[attr-defined]
    spelled = {name for option in scan.params for name in option.opts if name.startswith("--")}
    assert len(spelled) > 10
    missing = {name for name in spelled - {"--help"} if f"`{name}" not in TEXT and f"/{name}" not in TEXT}
    assert not missing


def test_every_command_in_the_readme_exists() -> None:
    root = get_command(app)
    named = set(re.findall(r"deepscan (train [a-z]+|weights [a-z]+|doctor|evaluate|schema)\b", TEXT))
    assert {"doctor", "schema", "evaluate", "train fit"} <= named
    for command in named:
        found: object = root
        for word in command.split():
            found = found.commands[word]  # type: ignore[attr-defined]
        assert isinstance(found, typer.core.TyperCommand)


def test_every_file_that_the_readme_names_exists() -> None:
    paths = set(re.findall(r"`((?:weights|examples|benchmarks|deepscan)/[\w./-]+)`", TEXT))
    assert paths
    assert [path for path in sorted(paths) if not (README.parent / path).exists()] == []


def test_the_report_that_the_readme_shows_is_the_one_that_is_printed() -> None:
    shown = re.search(r"\$ deepscan examples/\n(.*?)```", TEXT, re.DOTALL)
    assert shown is not None
    command = [sys.executable, "-m", "deepscan", "examples/"]
    eighty = {**os.environ, "COLUMNS": "80"}
    printed = subprocess.run(
        command, cwd=README.parent, env=eighty, check=False, capture_output=True, text=True, encoding="utf-8"
    )
    assert printed.returncode == 1
    assert rows(printed.stdout) == rows(shown.group(1))


def rows(report: str) -> list[str]:
    """What every row of a report says at its left, without its figures, which differ between processors."""
    starts = [line for line in report.splitlines() if re.match(r" {1,2}\S", line)]
    return [re.sub(r"[\d.>]+", "#", line.strip().split("  ")[0]) for line in starts]
