"""``deepscan scan``: the command that everything else is there for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from deepscan.cli.exit_codes import exit_code
from deepscan.errors import UsageError

if TYPE_CHECKING:
    from deepscan.report import Report

SETTINGS = "Settings"
OUTPUT = "Output"


def scan(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", help="Videos, photos, or directories to walk.", show_default=False),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Report as one JSON document.", rich_help_panel=OUTPUT)
    ] = False,
    as_jsonl: Annotated[
        bool,
        typer.Option(
            "--jsonl", help="Report as JSON Lines, each file as it finishes.", rich_help_panel=OUTPUT
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the report here; the name's ending (.json, .jsonl) chooses the format "
            "when no option does.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="One line for each file that is flagged or not scanned; no progress, no notes.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Every face of every file, and all warnings.", rich_help_panel=OUTPUT
        ),
    ] = False,
    no_progress: Annotated[
        bool, typer.Option("--no-progress", help="No progress bar.", rich_help_panel=OUTPUT)
    ] = False,
    detectors: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Detectors to ask, comma-separated.", rich_help_panel=SETTINGS),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="auto|cpu|cuda", help="Where the networks run.", rich_help_panel=SETTINGS),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="0..1",
            help="Probability from which a face is fake, instead of the calibrated one.",
            rich_help_panel=SETTINGS,
        ),
    ] = None,
    max_faces: Annotated[
        int | None,
        typer.Option(metavar="N", help="Faces to follow at the same time.", rich_help_panel=SETTINGS),
    ] = None,
    min_face: Annotated[
        int | None,
        typer.Option(metavar="PX", help="Skip faces narrower than this.", rich_help_panel=SETTINGS),
    ] = None,
    face_model: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="An InsightFace detector, not the shipped one.",
            rich_help_panel=SETTINGS,
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Weights folder instead of the shipped one.", rich_help_panel=SETTINGS
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", help="Worker processes.", rich_help_panel=SETTINGS)
    ] = None,
    thorough: Annotated[
        bool,
        typer.Option("--thorough", help="Look at every frame instead of a sample.", rich_help_panel=SETTINGS),
    ] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="fake|uncertain", help="The verdict that makes the exit code 1.", rich_help_panel=SETTINGS
        ),
    ] = None,
) -> None:
    """Say of every file whether a face in it was forged.

    Exit code 0: everything was scanned, nothing is flagged. 1: something is flagged. 2: usage or internal
    error. 3: nothing is flagged, but something could not be fully scanned.

    Settings that are not given here come from DEEPSCAN_* variables, then from deepscan.toml or the
    tool.deepscan table of pyproject.toml.
    """
    flags = {
        "detectors": detectors,
        "device": device,
        "threshold": threshold,
        "max_faces": max_faces,
        "min_face_px": min_face,
        "face_model": face_model,
        "weights": weights,
        "jobs": jobs,
        "thorough": thorough or None,
        "fail_on": fail_on,
    }
    form = _format(as_json, as_jsonl, output)
    raise typer.Exit(_run(paths, flags, form, output, quiet=quiet, verbose=verbose, progress=not no_progress))


def _format(as_json: bool, as_jsonl: bool, output: Path | None) -> str:
    if as_json and as_jsonl:
        raise UsageError("--json and --jsonl are two formats; choose one")
    if as_json or as_jsonl:
        return "json" if as_json else "jsonl"
    suffix = "" if output is None else output.suffix.lower().removeprefix(".")
    return suffix if suffix in ("json", "jsonl") else "terminal"


def _run(
    paths: list[Path],
    flags: dict[str, Any],
    form: str,
    output: Path | None,
    *,
    quiet: bool,
    verbose: bool,
    progress: bool,
) -> int:
    from deepscan import batch
    from deepscan.cli.output import opened
    from deepscan.cli.progress import ScanProgress
    from deepscan.config import load

    config = load(flags)
    found = batch.survey(paths)
    with opened(output) as stream:
        report = _report(form, stream, quiet=quiet, verbose=verbose)
        run = batch.begin(found, config)
        report.begin(run)
        with ScanProgress(run.total, wanted=progress and not quiet) as bar:
            for file in batch.scan_files(found.files, config):
                run.files.append(file)
                with bar.file_done():
                    report.file(file)
        report.end(run)
    if not found.files and not quiet:
        typer.echo("deepscan: there is no video or photo to scan here", err=True)
    return exit_code(run.files, config.fail_on)


def _report(form: str, stream: TextIO, *, quiet: bool, verbose: bool) -> Report:
    if form == "json":
        from deepscan.report.json import JsonReport

        return JsonReport(stream)
    if form == "jsonl":
        from deepscan.report.jsonl import JsonlReport

        return JsonlReport(stream)
    from rich.console import Console

    from deepscan.report.terminal import TerminalReport

    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    return TerminalReport(console, quiet=quiet, verbose=verbose)
