"""The report for a person: one glance says which file, which face, when, and which detectors say so.

A file of a longer run whose verdict is ``real`` takes one line; ``verbose`` shows everything of every file,
``quiet`` shows one line for each file that somebody should look at and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from deepscan.detectors import SPECS
from deepscan.report.drawing import Drawing
from deepscan.report.explanation import explain
from deepscan.report.outcome import ACCEPTED, counts, error_without_path
from deepscan.report.provenance import brief, sentences, warnings
from deepscan.text import moment, percent, visible

if TYPE_CHECKING:
    from deepscan.ensemble import DetectorVerdict
    from deepscan.results import FileReport, RunReport, TrackReport

FACES_SHOWN = 4
WARNINGS_SHOWN = 3
TITLE_WIDTH = max(len(spec.title) for spec in SPECS.values())
LABEL_WIDTH = 9
ROOMY_COLUMNS = 60
"""Columns from which labels and bars stand beside what they belong to; below, everything is one column."""

VERDICT_STYLES = {"fake": "bold white on red", "real": "bold green", "uncertain": "bold black on yellow"}
NO_VERDICT_STYLE = "bold magenta"


class TerminalReport:
    """Prints every file as it finishes and a line for the whole run at the end."""

    def __init__(self, console: Console, *, quiet: bool = False, verbose: bool = False) -> None:
        self._console = console
        self._draw = Drawing(console)
        self._roomy = console.width >= ROOMY_COLUMNS
        self._quiet = quiet
        self._verbose = verbose
        self._several = False
        self._run: RunReport | None = None
        self._not_counted: tuple[str, ...] = ()
        self._showed_uncounted = False

    def begin(self, run: RunReport) -> None:
        """Learn how much room each file may take."""
        self._run = run
        self._several = run.total > 1
        self._not_counted = run.not_counted

    def file(self, file: FileReport) -> None:
        """Print one file."""
        plain = file.verdict == "real" and file.status == "scanned" and not file.declared_synthetic
        if self._quiet and plain:
            return
        self._line(self._heading(file))
        if self._quiet:
            return
        if file.error is not None:
            self._note("", error_without_path(file))
        brief = self._several and not self._verbose and file.verdict == "real" and file.status == "scanned"
        if not brief:
            self._faces(file)
            self._explanation(file)
            self._coverage(file)
        self._provenance(file)
        self._skipped(file)
        if not brief:
            self._line(Text())

    def end(self, run: RunReport) -> None:
        """Print what the run amounts to."""
        if self._quiet:
            return
        if self._several:
            self._line(self._summary(run))
        if run.left_out:
            noun = "file is" if run.left_out == 1 else "files are"
            self._line(Text(f"{run.left_out} other {noun} no media and left out", style="dim"))
        if run.excluded:
            noun = "file or directory is" if run.excluded == 1 else "files and directories are"
            self._line(Text(f"{run.excluded} {noun} excluded", style="dim"))
        if self._showed_uncounted:
            names = ", ".join(SPECS[name].title for name in run.not_counted)
            self._line(Text(f"not counted: {names} (adds nothing to the others on validation)", style="dim"))
        if self._verbose:
            self._line(Text(f"deepscan {run.version} on {run.provider}, {run.precision}", style="dim"))

    def _line(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)

    def _note(self, label: str, text: str, style: str = "") -> None:
        """A labelled line below the file's heading; long ones wrap under themselves."""
        if not self._roomy:
            self._column(Text().append(f"{label}: " if label else "", "dim").append(text, style))
            return
        row = Table.grid(padding=(0, 1))
        row.add_column(width=LABEL_WIDTH, style="dim")
        row.add_column(style=style)
        row.add_row(label, Text(text))
        self._console.print(Padding(row, (0, 0, 0, 2), expand=False))

    def _column(self, text: Text) -> None:
        """A paragraph of the narrow layout."""
        text.overflow = "fold"
        self._console.print(Padding(text, (0, 0, 0, 1), expand=False))

    def _heading(self, file: FileReport) -> Text:
        text = self._label(file.verdict, file.probability, file.status)
        text.append("  ").append(visible(file.path), style="bold")
        facts = []
        if file.status == "partial":
            facts.append("only a part could be read")
        if file.media is not None:
            facts.append(f"{visible(file.media.codec)} {file.media.width}x{file.media.height}")
            if file.media.duration_s is not None and file.media.kind != "image":
                facts.append(moment(file.media.duration_s))
        if file.declared_synthetic:
            facts.append("declared synthetic")
        if file.accepted:
            facts.append(ACCEPTED)
        if self._verbose:
            facts.append(f"scanned in {file.seconds:.1f} s")
        return text.append("".join(f" {self._draw.dot} {fact}" for fact in facts), style="dim")

    def _label(self, verdict: str | None, probability: float | None, status: str) -> Text:
        if verdict is None:
            name = "no verdict" if status in ("scanned", "partial") else status.replace("_", " ")
            return Text(f" {name.upper()} ", style=NO_VERDICT_STYLE)
        share = "" if probability is None else f" {percent(probability)}"
        return Text(f" {verdict.upper()}{share} ", style=VERDICT_STYLES[verdict])

    def _faces(self, file: FileReport) -> None:
        timed = file.media is None or file.media.kind != "image"
        tracks = sorted(file.tracks, key=lambda track: (-(track.probability or 0.0), track.id))
        shown = tracks if self._verbose else tracks[:FACES_SHOWN]
        for track in shown:
            if not self._roomy:
                self._narrow_face(track, timed)
                continue
            below = 1 if self._draw.pictures else 0  # one picture must not run into the next
            self._console.print(Padding(self._face(track, timed), (0, 0, below, 2), expand=False))
        if hidden := len(tracks) - len(shown):
            noun = "face" if hidden == 1 else "faces"
            self._note("", f"{hidden} less suspicious {noun} not shown (-v shows all)", "dim")

    def _face_heading(self, track: TrackReport, timed: bool) -> Text:
        heading = Text().append(f"face {track.id}", "bold")
        if track.part:
            heading.append(f"  {visible(track.part)}")
        if timed:
            heading.append(f"  {self._draw.span(track.start_s, track.end_s)}")
        heading.append(f"  {track.face_width_px} px wide  ", style="dim")
        return heading.append_text(self._label(track.verdict, track.probability, "scanned"))

    def _narrow_face(self, track: TrackReport, timed: bool) -> None:
        self._column(self._face_heading(track, timed))
        for detector in track.detectors:
            opinion = self._opinion(detector, timed, bar=False)
            self._column(Text(f"{SPECS[detector.name].title}: ").append_text(opinion))

    def _face(self, track: TrackReport, timed: bool) -> Table:
        rows = Table.grid(padding=(0, 1))
        rows.add_column(width=TITLE_WIDTH)
        rows.add_column(overflow="fold")
        for detector in track.detectors:
            rows.add_row(Text(SPECS[detector.name].title), self._opinion(detector, timed))
        beside = Table.grid()
        beside.add_row(self._face_heading(track, timed))
        beside.add_row(rows)
        picture = self._draw.thumbnail(track.thumbnail)
        if picture is None:
            return beside
        face = Table.grid(padding=(0, 2))
        face.add_row(picture, beside)
        return face

    def _opinion(self, detector: DetectorVerdict, timed: bool, *, bar: bool = True) -> Text:
        if detector.probability is None:
            return Text(f"no score: {visible(detector.reason or 'unknown reason')}", style="dim")
        counted = detector.name not in self._not_counted
        text = self._draw.bar(detector.probability, dim=not counted) if bar else Text()
        text.append(f" {percent(detector.probability):>5}" if bar else percent(detector.probability))
        if timed and detector.peak is not None:
            text.append(
                f"  strongest at {self._draw.span(detector.peak.start_s, detector.peak.end_s)}", style="dim"
            )
        if not counted:
            self._showed_uncounted = True
            text.append("  not counted", style="dim")
        return text

    def _explanation(self, file: FileReport) -> None:
        """Why; and what would make the answer surer where it is not sure."""
        if self._run is None or file.verdict is None:
            return
        explanation = explain(file, self._run)
        self._note("why", visible(" ".join(explanation.reasons)))
        if explanation.more_certain and (self._verbose or explanation.close or file.verdict == "uncertain"):
            self._note("helpful", visible("; ".join(explanation.more_certain)))

    def _coverage(self, file: FileReport) -> None:
        coverage = file.coverage
        if coverage is None:
            return
        if file.media is None or file.media.kind != "image":
            text = f"{coverage.frames_decoded} frames, {moment(coverage.seconds_covered)}"
            if coverage.duration_s is not None:
                text += f" of {moment(coverage.duration_s)}"
            if coverage.frames_failed:
                text += f", {coverage.frames_failed} frames could not be decoded"
            self._note("looked at", text)
        shown = coverage.warnings if self._verbose else coverage.warnings[:WARNINGS_SHOWN]
        for warning in shown:
            self._note("warning", visible(warning), "yellow")
        if hidden := len(coverage.warnings) - len(shown):
            self._note("", f"{hidden} more warnings (-v shows all)", "dim")

    def _skipped(self, file: FileReport) -> None:
        for faces in file.skipped:
            noun = "face" if faces.count == 1 else "faces"
            text = f"{faces.count} {noun}: {visible(faces.reason)}"
            if faces.part:
                text += f", {visible(faces.part)}"
            if file.media is None or file.media.kind != "image":
                text += f", {self._draw.span(faces.start_s, faces.end_s)}"
            if faces.judge_with:
                text += f"; {faces.judge_with} judges them all"
            self._note("skipped", text, "yellow" if faces.large else "")

    def _provenance(self, file: FileReport) -> None:
        """What the file says about its own origin: a line, and one for each warning."""
        shown = sentences(file) if self._verbose else [brief(file)]
        for text in filter(None, shown):
            self._note("origin", visible(text), "bold" if file.declared_synthetic else "")
        for warning in warnings(file):
            self._note("warning", visible(warning), "yellow")

    def _summary(self, run: RunReport) -> Text:
        styles = {**VERDICT_STYLES, "without a verdict": NO_VERDICT_STYLE}
        parts = [Text(f"{count} {name}", styles.get(name, "")) for count, name in counts(run.files)]
        return Text(f"{len(run.files)} files: ", style="bold").append_text(Text(", ").join(parts))
