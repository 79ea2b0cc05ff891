"""``deepscan scan``: the options that are no settings (those come from ``ScanConfig``); see ``scan_run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deepscan.cli.reports import Outputs, by_ending
from deepscan.cli.scan_run import Wanted, run_scan
from deepscan.cli.setting_options import with_settings
from deepscan.config import EARLIER, INPUT, LIMITS, ScanConfig
from deepscan.errors import UsageError

OUTPUT = "Output"
PANELS = (INPUT, OUTPUT, "Settings", LIMITS, EARLIER)


def _path(text: str) -> Path:
    """A name from the command line; an empty one, of a variable that is not set, would be this directory."""
    if not text:
        raise UsageError("a path is empty; name a file or directory (`.` is this one)")
    return Path(text)


@with_settings(ScanConfig, PANELS)
def scan(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
            parser=_path,
            help="Videos, photos, or directories to walk; `-` reads names from standard input.",
            show_default=False,
        ),
    ] = None,
    file_list: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Scan what is named here, one path a line or separated by NUL; `-` is standard input.",
            rich_help_panel=INPUT,
        ),
    ] = None,
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
            help="Write the report here; the name's ending (.json, .jsonl, .html, .sarif, .md, .xml for "
            "JUnit) chooses the format when no option does.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write an HTML page with pictures as well.", rich_help_panel=OUTPUT
        ),
    ] = None,
    sarif: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write SARIF 2.1.0 as well.", rich_help_panel=OUTPUT),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write JUnit XML as well.", rich_help_panel=OUTPUT),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a Markdown summary as well.", rich_help_panel=OUTPUT),
    ] = None,
    save_evidence: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write the most suspicious moments and the detectors' maps here, as PNG.",
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
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Keep results beside the report of -o until it is complete, and go on from there.",
            rich_help_panel=EARLIER,
        ),
    ] = False,
    write_baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write this run's findings as a file for --baseline.",
            rich_help_panel=EARLIER,
        ),
    ] = None,
    **settings: Any,
) -> None:
    """Say of every file whether a face in it was forged.

    Exit code 0: everything was scanned, nothing is flagged. 1: something is flagged. 2: usage or internal
    error, or interrupted. 3: nothing is flagged, but something could not be fully scanned.

    Settings that are not given here come from DEEPSCAN_* variables, then from deepscan.toml or the
    tool.deepscan table of pyproject.toml.
    """
    if resume and output is None:
        raise UsageError("--resume needs -o FILE: results are kept beside the report until it is complete")
    beside = {"html": html, "sarif": sarif, "junit": junit, "markdown": markdown}
    outputs = Outputs(
        form=_format(as_json, as_jsonl, output),
        output=output,
        beside={form: path for form, path in beside.items() if path is not None},
        evidence=save_evidence,
    )
    wanted = Wanted(outputs, write_baseline, resume, quiet, verbose, not no_progress and not quiet)
    raise typer.Exit(run_scan(paths or [], file_list, settings, wanted))


def _format(as_json: bool, as_jsonl: bool, output: Path | None) -> str:
    if as_json and as_jsonl:
        raise UsageError("--json and --jsonl are two formats; choose one")
    if as_json or as_jsonl:
        return "json" if as_json else "jsonl"
    return by_ending(output)
