"""Which reports a run writes, and where: one to stdout or ``-o``, any number beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from deepscan.cli.output import opened
from deepscan.errors import UsageError

if TYPE_CHECKING:
    from deepscan.report import Report

ENDINGS = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".sarif": "sarif",
    ".sarif.json": "sarif",
    ".xml": "junit",
    ".md": "markdown",
    ".html": "html",
    ".htm": "html",
}


@dataclass(frozen=True)
class Outputs:
    """What a run writes.

    Attributes:
        form: of the main report.
        output: where the main report goes; None: stdout.
        beside: further reports, by format.
        evidence: folder for pictures of the most suspicious moments; None: none are written.
    """

    form: str
    output: Path | None
    beside: Mapping[str, Path]
    evidence: Path | None = None

    @property
    def pictures(self) -> bool:
        """Somebody will look at pictures, so the scan must keep some."""
        return self.evidence is not None or self.form == "html" or "html" in self.beside


def by_ending(output: Path | None) -> str:
    """The format that a file's name asks for; ``terminal`` where it asks for none."""
    if output is None:
        return "terminal"
    name = output.name.lower()
    fitting = [ending for ending in ENDINGS if name.endswith(ending)]
    return ENDINGS[max(fitting, key=len)] if fitting else "terminal"


@contextmanager
def opened_reports(outputs: Outputs, *, quiet: bool, verbose: bool) -> Iterator[Report]:
    """All reports of a run as one; their files appear together when the run has ended well.

    Raises:
        UsageError: one of them cannot be written, or would overwrite a video, a photo or another report.
    """
    from deepscan.report import Together

    _check([path for path in (outputs.output, *outputs.beside.values()) if path is not None])
    with ExitStack() as stack:
        stream = stack.enter_context(opened(outputs.output))
        reports = [_report(outputs.form, stream, quiet=quiet, verbose=verbose)]
        for form, path in outputs.beside.items():
            reports.append(_report(form, stack.enter_context(opened(path))))
        if outputs.evidence is not None:
            from deepscan.report.evidence_files import EvidenceFiles

            reports.append(EvidenceFiles(outputs.evidence))
        yield Together(reports)


def _check(paths: list[Path]) -> None:
    from deepscan.media import is_media

    seen: set[Path] = set()
    for path in paths:
        if path.exists() and not path.is_file():
            continue  # a device or pipe takes several; a folder is refused when it is opened
        # `--html clips/*.mp4` hands the first clip over as the name of the report.
        if path.exists() and is_media(path):
            raise UsageError(f"{path}: this is a video or photo, and a report would overwrite it")
        if path.resolve() in seen:
            raise UsageError(f"{path}: two reports would be written to this file")
        seen.add(path.resolve())


def _report(form: str, stream: TextIO, *, quiet: bool = False, verbose: bool = False) -> Report:
    if form == "json":
        from deepscan.report.json import JsonReport

        return JsonReport(stream)
    if form == "jsonl":
        from deepscan.report.jsonl import JsonlReport

        return JsonlReport(stream)
    if form == "sarif":
        from deepscan.report.sarif import SarifReport

        return SarifReport(stream)
    if form == "junit":
        from deepscan.report.junit import JunitReport

        return JunitReport(stream)
    if form == "markdown":
        from deepscan.report.markdown import MarkdownReport

        return MarkdownReport(stream)
    if form == "html":
        from deepscan.report.html import HtmlReport

        return HtmlReport(stream)
    from rich.console import Console

    from deepscan.report.terminal import TerminalReport

    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    return TerminalReport(console, quiet=quiet, verbose=verbose)
