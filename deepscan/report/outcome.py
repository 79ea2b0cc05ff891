"""What a file's result means to whoever gates on it; the exit codes say the same of a whole run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from deepscan.text import counted, visible

if TYPE_CHECKING:
    from deepscan.config import FailOn
    from deepscan.results import FileReport, RunReport

ACCEPTED = "accepted before"

Outcome = Literal["flagged", "not_scanned", "passed"]


def outcome(file: FileReport, fail_on: FailOn) -> Outcome:
    """``flagged`` wins over ``not_scanned``: what was not scanned to its end, or not with all its faces.

    What somebody has accepted before passes.
    """
    if file.accepted:
        return "passed"
    if file.verdict == "fake" or (file.verdict == "uncertain" and fail_on == "uncertain"):
        return "flagged"
    if fail_on == "declared" and file.declared_synthetic:
        return "flagged"
    return "passed" if file.looked_through and file.verdict is not None else "not_scanned"


def label(file: FileReport) -> str:
    """The verdict in a word, or why there is none: ``fake``, ``no face``."""
    return file.verdict or file.status.replace("_", " ")


def error_without_path(file: FileReport) -> str:
    """The file's error, safe to print, without the path that stands beside it anyway."""
    error, path = visible(file.error or ""), visible(file.path)
    if error.startswith((f"{path}:", f"{path} ")):
        return error[len(path) :].removeprefix(":").lstrip()
    return error


def counts(files: Sequence[FileReport]) -> list[tuple[int, str]]:
    """How many files there are of each kind that occurs; the kinds overlap from ``read only in part`` on."""
    verdicts = Counter(file.verdict for file in files)
    kinds = [(verdicts[name], name) for name in ("fake", "uncertain", "real")]
    kinds += [
        (verdicts[None], "without a verdict"),
        (sum(file.status == "partial" for file in files), "read only in part"),
        (sum(file.unjudged > 0 for file in files), "with faces not judged"),
        (sum(file.declared_synthetic for file in files), "declared synthetic"),
        (sum(file.accepted for file in files), ACCEPTED),
    ]
    return [(count, name) for count, name in kinds if count]


def totals(run: RunReport) -> str:
    """``3 files: 1 fake, 1 real, 1 without a verdict``."""
    named = ", ".join(f"{count} {name}" for count, name in counts(run.files))
    text = counted(len(run.files), "file") + (f": {named}" if named else "")
    return f"{text} ({interruption(run)})" if run.interrupted else text


def interruption(run: RunReport) -> str:
    """How far a run came that was ended before its last file."""
    return f"interrupted: {len(run.files)} of {counted(run.total, 'file')} scanned"
