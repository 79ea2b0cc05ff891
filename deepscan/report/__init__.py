"""What a run found, for people and for programs: one module per format.

A report receives the run before its first file, every file as it finishes, in input order, and the
end. Reports only read results: nothing here scans.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from deepscan.results import FileReport, RunReport


class Report(Protocol):
    """One output format."""

    def begin(self, run: RunReport) -> None:
        """Nothing is scanned yet; ``run.files`` is empty."""

    def file(self, file: FileReport) -> None:
        """One more file is finished."""

    def end(self, run: RunReport) -> None:
        """All files are in ``run.files``."""


class Together:
    """Several reports of one run."""

    def __init__(self, reports: Sequence[Report]) -> None:
        self._reports = reports

    def begin(self, run: RunReport) -> None:
        """Tell every report."""
        for report in self._reports:
            report.begin(run)

    def file(self, file: FileReport) -> None:
        """Tell every report."""
        for report in self._reports:
            report.file(file)

    def end(self, run: RunReport) -> None:
        """Tell every report."""
        for report in self._reports:
            report.end(run)
