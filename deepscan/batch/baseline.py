"""Findings that somebody has looked at and accepted: they stay in the report and do not fail the run.

The file is JSON, to be kept beside the media and edited by hand::

    {"schema_version": "1",
     "accepted": [{"sha256": "…", "finding": "fake", "path": "a.mp4", "note": "satire, labelled as such"}]}

What counts is the content's hash, so a renamed file stays accepted and an edited one does not; ``path`` and
``note`` are for people. A finding is ``fake``, ``uncertain``, ``declared`` (``real``, but it declares itself
synthetic) or the status of a file without a verdict. What is accepted is that finding or a lesser one:
content that was accepted as ``uncertain`` fails the run once it is found to be ``fake``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from deepscan.errors import UsageError
from deepscan.results import FileReport
from deepscan.text import portable

SCHEMA_VERSION = "1"
WEIGHT = {"fake": 2, "uncertain": 1}  # everything else, which nobody judged: 0


@dataclass(frozen=True)
class Baseline:
    """Accepted findings by sha256."""

    findings: Mapping[str, str]

    def mark(self, report: FileReport) -> FileReport:
        """The report, ``accepted`` when what it finds was accepted before."""
        found = finding(report)
        known = self.findings.get(report.sha256 or "")
        if found is None or known is None or WEIGHT.get(found, 0) > WEIGHT.get(known, 0):
            return report
        return replace(report, accepted=True)


def finding(report: FileReport) -> str | None:
    """What somebody would have to accept; None for a file that is scanned whole and ``real``."""
    if report.verdict in WEIGHT:
        return report.verdict
    if report.status != "scanned" or report.verdict is None:
        return report.status
    return "declared" if report.declared_synthetic else None


def read_baseline(path: Path) -> Baseline:
    """Read accepted findings.

    Raises:
        UsageError: the file cannot be read or is something else.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: this baseline cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise UsageError(f"{path}: this baseline is not JSON ({error})") from error
    if not isinstance(document, dict) or document.get("schema_version") != SCHEMA_VERSION:
        raise UsageError(f"{path}: this is no baseline of schema_version {SCHEMA_VERSION}")
    entries = document.get("accepted")
    if not isinstance(entries, list) or not all(_is_entry(entry) for entry in entries):
        raise UsageError(f"{path}: every entry of accepted needs a sha256 and a finding")
    return Baseline({entry["sha256"].lower(): entry["finding"] for entry in entries})


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in ("sha256", "finding"))


def write_baseline(files: Sequence[FileReport], stream: TextIO) -> int:
    """Write all findings of a run as accepted, but for files that cannot be read: these have no hash.

    Returns:
        The number of findings written.
    """
    entries: dict[str, dict[str, str]] = {}
    for file in files:
        found = finding(file)
        if found is not None and file.sha256 is not None:
            entries.setdefault(
                file.sha256, {"sha256": file.sha256, "finding": found, "path": portable(file.path)}
            )
    document = {"schema_version": SCHEMA_VERSION, "accepted": list(entries.values())}
    stream.write(json.dumps(document, indent=2) + "\n")
    return len(entries)
