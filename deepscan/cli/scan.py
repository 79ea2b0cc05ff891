"""``deepscan scan``: the options of the command that everything else is there for, see ``scan_run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepscan.cli.reports import Outputs, by_ending
from deepscan.cli.scan_run import Wanted, run_scan
from deepscan.errors import UsageError

INPUT = "Input"
SETTINGS = "Settings"
LIMITS = "Limits of each file"
OUTPUT = "Output"
EARLIER = "Earlier runs"


def _path(text: str) -> Path:
    """A name from the command line; an empty one, of a variable that is not set, would be this directory."""
    if not text:
        raise UsageError("a path is empty; name a file or directory (`.` is this one)")
    return Path(text)


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
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="Leave out what matches in directories, by name, or by path where it has a /; repeatable.",
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
    detectors: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Detectors to ask, comma-separated.", rich_help_panel=SETTINGS),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="auto|cpu|cuda|tensorrt", help="Where the networks run.", rich_help_panel=SETTINGS
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="auto|int8|fp16|fp32",
            help="What the networks compute in; auto: int8 on a CPU, fp16 on a GPU.",
            rich_help_panel=SETTINGS,
        ),
    ] = None,
    decoder: Annotated[
        str | None,
        typer.Option(
            metavar="cpu|nvdec",
            help="What decodes videos; a GPU's decoder hides damage inside pictures.",
            rich_help_panel=SETTINGS,
        ),
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
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="Ask GenD first, then the cheap detectors, and no others where those are certain.",
            rich_help_panel=SETTINGS,
        ),
    ] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="fake|uncertain|declared",
            help="What makes the exit code 1: fake; or also uncertain, or declared synthetic by the file.",
            rich_help_panel=SETTINGS,
        ),
    ] = None,
    trust_anchors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="PEM certificates that vouch for those who sign C2PA manifests.",
            rich_help_panel=SETTINGS,
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="End a scan that takes longer; 0: never. 600 if not given.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="End a scan that takes more memory; 0: never. 4G if not given.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Do not open files larger than this, such as 500M.", rich_help_panel=LIMITS
        ),
    ] = None,
    pixel_budget: Annotated[
        str | None,
        typer.Option(
            metavar="COUNT",
            help="Stop after decoding so many pixels, over all frames; 0: never. 200G if not given.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Keep results beside the report of -o until it is complete, and go on from there.",
            rich_help_panel=EARLIER,
        ),
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep results here and take over what is known, by content; runs may share it.",
            rich_help_panel=EARLIER,
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Findings accepted before, by content: reported, without a say in the exit code.",
            rich_help_panel=EARLIER,
        ),
    ] = None,
    write_baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write this run's findings as such a file.", rich_help_panel=EARLIER
        ),
    ] = None,
) -> None:
    """Say of every file whether a face in it was forged.

    Exit code 0: everything was scanned, nothing is flagged. 1: something is flagged. 2: usage or internal
    error, or interrupted. 3: nothing is flagged, but something could not be fully scanned.

    Settings that are not given here come from DEEPSCAN_* variables, then from deepscan.toml or the
    tool.deepscan table of pyproject.toml.
    """
    flags = {
        "detectors": detectors,
        "device": device,
        "precision": precision,
        "decoder": decoder,
        "threshold": threshold,
        "max_faces": max_faces,
        "min_face_px": min_face,
        "face_model": face_model,
        "weights": weights,
        "jobs": jobs,
        "thorough": thorough or None,
        "fast": fast or None,
        "fail_on": fail_on,
        "trust_anchors": trust_anchors,
        "timeout": timeout,
        "max_memory": max_memory,
        "max_size": max_size,
        "pixel_budget": pixel_budget,
        "exclude": exclude,
        "baseline": baseline,
        "cache": cache,
    }
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
    raise typer.Exit(run_scan(paths or [], file_list, flags, wanted))


def _format(as_json: bool, as_jsonl: bool, output: Path | None) -> str:
    if as_json and as_jsonl:
        raise UsageError("--json and --jsonl are two formats; choose one")
    if as_json or as_jsonl:
        return "json" if as_json else "jsonl"
    return by_ending(output)
