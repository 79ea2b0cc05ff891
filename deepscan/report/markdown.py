"""A Markdown summary, for a pull-request comment or the summary page of a pipeline's step.

What somebody should look at comes first, and everything else is folded away. Both places limit the length of
what they take (65,536 characters for a comment on GitHub), so that long lists are cut, and say so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TextIO

from deepscan.detectors import SPECS
from deepscan.report.explanation import explain
from deepscan.report.outcome import ACCEPTED, error_without_path, label, outcome, totals
from deepscan.report.provenance import brief, warnings
from deepscan.text import counted, listed, percent, visible

if TYPE_CHECKING:
    from deepscan.results import FileReport, RunReport

ROWS = 60
PATH_CHARACTERS = 160
WHY_CHARACTERS = 500
SPECIAL = re.compile(r"[\\`*_\[\]<>|#@~&!$]|:(?=//)|(?<=www)\.")


class MarkdownReport:
    """Writes the summary when the run ends."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def begin(self, run: RunReport) -> None:
        """Nothing to write yet."""

    def file(self, file: FileReport) -> None:
        """Nothing to write yet."""

    def end(self, run: RunReport) -> None:
        """Write the summary."""
        self._stream.write(summary(run))


def summary(run: RunReport) -> str:
    """The whole text."""
    quiet = [file for file in run.files if _is_quiet(file)]
    loud = sorted((file for file in run.files if file not in quiet), key=lambda file: _urgency(file, run))
    parts = [f"### deepscan: {totals(run)}", ""]
    if loud:
        cells = [
            [
                f"**{label(file)}**{f' ({ACCEPTED})' if file.accepted else ''}",
                _code(file.path),
                _share(file),
                _why(file, run),
            ]
            for file in loud[:ROWS]
        ]
        parts += [*_table(["verdict", "file", "probability", "why"], cells), *_rest(len(loud)), ""]
    if quiet:
        cells = [[_code(file.path), _share(file)] for file in quiet[:ROWS]]
        noun = "file" if len(quiet) == 1 else "files"
        parts += [f"<details><summary>{len(quiet)} {noun} in which no known trace was found</summary>", ""]
        parts += [*_table(["file", "probability"], cells), *_rest(len(quiet)), "", "</details>", ""]
    parts += [_footer(run), ""]
    return "\n".join(parts)


def _is_quiet(file: FileReport) -> bool:
    """Nobody needs to look at it."""
    lines = file.declared_synthetic or warnings(file)
    return file.verdict == "real" and file.status == "scanned" and not lines


def _urgency(file: FileReport, run: RunReport) -> tuple[int, float]:
    order = {"flagged": 0, "not_scanned": 1, "passed": 2}
    return order[outcome(file, run.config.fail_on)], -(file.probability or 0.0)


def _share(file: FileReport) -> str:
    return "" if file.probability is None else _plain(percent(file.probability))


def _why(file: FileReport, run: RunReport) -> str:
    """Only errors hold words from outside, and those stand in a code span."""
    if file.verdict is None and file.error:
        return _code(error_without_path(file), WHY_CHARACTERS) + _origin(file)
    explanation = explain(file, run)
    text = " ".join(explanation.reasons)
    if explanation.more_certain and file.verdict == "uncertain":
        text += f" What would help: {'; '.join(explanation.more_certain)}."
    return _plain(text) + _origin(file)


def _origin(file: FileReport) -> str:
    """What the file says about its own origin, and warnings about it, in code spans."""
    lines = [text for text in (brief(file), *warnings(file)) if text]
    return "".join(f"<br>Origin: {_code(text, WHY_CHARACTERS)}" for text in lines)


def _footer(run: RunReport) -> str:
    facts = [
        f"deepscan {run.version}",
        f"fake from {percent(run.threshold_fake)}, real below {percent(run.threshold_real)}",
    ]
    if run.not_counted:
        facts.append(f"not counted: {listed([SPECS[name].title for name in run.not_counted])}")
    if run.left_out:
        facts.append(f"{counted(run.left_out, 'other file')} left out as no media")
    if run.excluded:
        facts.append(f"{run.excluded} excluded")
    return f"<sub>{' · '.join(facts)}</sub>"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _rest(count: int) -> list[str]:
    return (
        ["", f"… and {counted(count - ROWS, 'more file')}; the JSON report has them all."]
        if count > ROWS
        else []
    )


def _code(text: str, limit: int = PATH_CHARACTERS) -> str:
    """Words from outside, in a cell of a table.

    A code element, because nobody is mentioned and nothing is linked in one; not a code span, because a table
    has no safe way to write a backslash and a pipe in those.
    """
    shown = visible(text)
    if len(shown) > limit:
        shown = f"{shown[: limit // 2]}…{shown[-limit // 2 :]}"
    return f"<code>{_plain(shown)}</code>"


def _plain(text: str) -> str:
    """Nothing in it is markup, HTML, a table's border or a link: an entity is none of these."""
    return SPECIAL.sub(lambda found: f"&#{ord(found.group())};", visible(text))
