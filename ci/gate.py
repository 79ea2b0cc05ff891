#!/usr/bin/env python3
"""Let only cleared media into a pipeline: scan a folder, then sort its files by what was found.

    ci/gate.py INCOMING --accepted DIR --quarantine DIR [--report FILE] [-- DEEPSCAN OPTIONS]

Files called real move to ACCEPTED, and so do those that somebody accepted before (`-- --baseline FILE`);
flagged ones move to QUARANTINE. Whatever was not fully scanned, is uncertain,
or is no media stays where it is, for a person. Folders keep their shape below each. Nothing is overwritten.

The exit code is deepscan's: 0 nothing flagged, 1 something flagged, 2 error (no file has moved), 3 nothing
flagged but something could not be fully scanned. Needs nothing but Python and an installed deepscan.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ERROR = 2


def main() -> int:
    options, deepscan_options = _options(sys.argv[1:])
    with tempfile.TemporaryDirectory() as scratch:
        report = options.report or Path(scratch) / "report.json"
        command = [sys.executable, "-m", "deepscan", "scan", str(options.incoming), *deepscan_options]
        code = subprocess.run([*command, "--json", "-o", str(report)]).returncode
        if code not in (0, 1, 3):
            return ERROR
        files = json.loads(report.read_text(encoding="utf-8"))["files"]
    moved = {"real": options.accepted, "fake": options.quarantine}
    kept = 0
    for path, verdict in _sure(files, options.fail_on).items():
        target = moved.get(verdict)
        kept += target is None or not _move(Path(path), options.incoming, target)
    print(f"gate: {kept} of {len(files)} files stay in {options.incoming}", file=sys.stderr)
    return code


def _options(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description="Scan a folder and sort its files by what was found.")
    parser.add_argument("incoming", type=Path)
    parser.add_argument("--accepted", type=Path, required=True, help="where files called real go")
    parser.add_argument("--quarantine", type=Path, required=True, help="where flagged files go")
    parser.add_argument("--report", type=Path, help="keep the JSON report here")
    parser.add_argument(
        "--fail-on", choices=("fake", "uncertain", "declared"), default="fake", help="what is flagged"
    )
    split = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:split])
    return options, ["--fail-on", options.fail_on, *arguments[split + 1 :]]


def _sure(files: list[dict[str, Any]], fail_on: str) -> dict[str, str]:
    """Path -> ``real``, ``fake`` or ``stays``; real are files scanned whole, or accepted by a person before.

    Names that are not valid text are spelt out in the report. Two files can then look alike, and neither is
    moved.
    """
    flagged = ("fake", "uncertain") if fail_on == "uncertain" else ("fake",)
    times = Counter(file["path"] for file in files)
    said = {}
    for file in files:
        declared = fail_on == "declared" and (file["provenance"] or {}).get("declared_synthetic", False)
        clear = file["accepted"] or (
            file["status"] == "scanned" and file["verdict"] == "real" and not declared
        )
        verdict = "real" if clear else "fake" if file["verdict"] in flagged or declared else "stays"
        said[file["path"]] = verdict if times[file["path"]] == 1 else "stays"
    return said


def _move(path: Path, incoming: Path, target: Path) -> bool:
    """Move a file below ``target``; False when it is not there or something of its name already is."""
    place = target / path.relative_to(incoming)
    if path.is_symlink() or not path.is_file() or place.exists():
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    path.rename(place)
    return True


if __name__ == "__main__":
    sys.exit(main())
