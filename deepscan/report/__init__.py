"""What a run found, for people and for programs: one module per format.

A report is told of the run before its first file, of every file as it finishes, in input order, and of the
end. Reports only read results: nothing here scans.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from deepscan.batch import RunReport
    from deepscan.scan import FileReport


class Report(Protocol):
    """One output format."""

    def begin(self, run: RunReport) -> None:
        """Nothing is scanned yet; ``run.files`` is empty."""

    def file(self, file: FileReport) -> None:
        """One more file is finished."""

    def end(self, run: RunReport) -> None:
        """All files are in ``run.files``."""
