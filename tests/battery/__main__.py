"""``python -m tests.battery``: run the battery and print what each case gives, as a Markdown table."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from deepscan.cli.exit_codes import exit_code
from deepscan.config import ScanConfig
from deepscan.scanner import FileReport, Scanner
from deepscan.text import visible
from tests.battery.files import FILES, FileCase
from tests.battery.runs import RUNS, RunCase, run
from tests.fixtures.doubles import write_weights

RULES = {
    "scanned": "any, here real",
    "partial": "fake or uncertain, never real",
}


def main() -> None:
    """Print the table."""
    print("| case | status | verdict | exit code | what the report says |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        weights = write_weights(Path("weights").resolve(), middle=2.0)
        scanner = Scanner(ScanConfig(weights=weights, device="cpu"))
        for case in FILES:
            print(_file_row(case, scanner, _empty(Path("files"))))
        for number, run_case in enumerate(RUNS):
            print(_run_row(run_case, _empty(Path(f"run{number}").resolve()), weights))


def _empty(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _file_row(case: FileCase, scanner: Scanner, folder: Path) -> str:
    path = folder / case.file
    case.write(path)
    report = scanner.scan(path)
    code = exit_code([report], "fake")
    return _row(
        case.title, report.status, RULES.get(report.status, "none"), code, _said(report, case, folder)
    )


def _said(report: FileReport, case: FileCase, folder: Path) -> str:
    warnings = report.coverage.warnings if report.coverage else []
    told = next((line for line in [report.error, *warnings] if line and case.says in line), "")
    return told.replace(f"{folder}{os.sep}", "")


def _run_row(case: RunCase, folder: Path, weights: Path) -> str:
    result = run(case, folder, weights, "-v")
    said = result.err.strip().replace(f"{folder}{os.sep}", "")
    if case.files is None:
        return _row(case.title, "", "no report", result.exit_code, said)
    status = "scanned" if result.exit_code == 0 else "unsupported"
    rule = RULES.get(status, "none")
    return _row(case.title, status, rule, result.exit_code, f"each of {case.files} files once")


def _row(*cells: object) -> str:
    return "| " + " | ".join(visible(str(cell)).replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    sys.exit(main())
