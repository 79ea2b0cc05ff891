"""What the exit code says, so that a pipeline can act on it.

0: everything was scanned and nothing is flagged. 1: at least one file is flagged. 2: usage or internal error,
or the run was interrupted. 3: nothing is flagged, but something could not be fully scanned. Flagged wins over
not scanned. Files that were accepted before (``--baseline``) have no say.

A file in which no face was found counts as not scanned: nothing in it was judged, and it is not called clean.
So does one in which a face was left out that is large enough to matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deepscan.config import FailOn
    from deepscan.results import FileReport

CLEAN = 0
FLAGGED = 1
ERROR = 2
NOT_SCANNED = 3


def exit_code(files: Iterable[FileReport], fail_on: FailOn) -> int:
    """The exit code of a finished run."""
    from deepscan.report.outcome import outcome

    outcomes = {outcome(file, fail_on) for file in files}
    if "flagged" in outcomes:
        return FLAGGED
    return NOT_SCANNED if "not_scanned" in outcomes else CLEAN
