"""``deepscan scan``: the command that everything else is there for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepscan.cli.exit_codes import ERROR, exit_code
from deepscan.cli.reports import Outputs, by_ending, opened_reports
from deepscan.errors import UsageError

if TYPE_CHECKING:
    from deepscan.batch import ResultStore, RunReport, Survey
    from deepscan.config import ScanConfig
    from deepscan.report import Report
    from deepscan.results import FileReport

INPUT = "Input"
SETTINGS = "Settings"
LIMITS = "Limits of each file"
OUTPUT = "Output"
EARLIER = "Earlier runs"


@dataclass(frozen=True)
class Wanted:
    """What becomes of the results of a run."""

    outputs: Outputs
    baseline: Path | None
    resume: bool
    quiet: bool
    verbose: bool
    progress: bool


def scan(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATH",
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
            help="Ask the cheap detectors first, and no others where those are certain.",
            rich_help_panel=SETTINGS,
        ),
    ] = False,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="fake|uncertain", help="The verdict that makes the exit code 1.", rich_help_panel=SETTINGS
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
    raise typer.Exit(_run(paths or [], file_list, flags, wanted))


def _format(as_json: bool, as_jsonl: bool, output: Path | None) -> str:
    if as_json and as_jsonl:
        raise UsageError("--json and --jsonl are two formats; choose one")
    if as_json or as_jsonl:
        return "json" if as_json else "jsonl"
    return by_ending(output)


def _run(paths: list[Path], file_list: Path | None, flags: dict[str, Any], wanted: Wanted) -> int:
    from deepscan import batch
    from deepscan.cli.interrupt import Interrupt
    from deepscan.cli.output import check_writable, opened
    from deepscan.config import load

    config = load({**flags, "evidence": wanted.outputs.pictures or None})
    found = _survey(paths, file_list, config)
    known = batch.Baseline({}) if config.baseline is None else batch.read_baseline(config.baseline)
    if wanted.baseline is not None:
        check_writable(wanted.baseline)
    interrupt = Interrupt()
    reports = opened_reports(wanted.outputs, quiet=wanted.quiet, verbose=wanted.verbose)
    with reports as report, interrupt.caught():
        run = batch.begin(found, config)
        if run.warning:
            typer.echo(f"deepscan: {run.warning}", err=True)
        store = _store(run, wanted)
        report.begin(run)
        with closing(batch.scan_files(found.files, run.resolved, store=store)) as results:
            _follow(interrupt.until_interrupted(map(known.mark, results)), run, report, wanted)
        run.interrupted = interrupt.asked and len(run.files) < run.total
        report.end(run)
    if not wanted.quiet:
        _tell(run, wanted, kept=store is not None)
    if run.interrupted:
        return ERROR
    if wanted.resume:
        _resume_file(wanted).unlink(missing_ok=True)
    if wanted.baseline is not None:
        with opened(wanted.baseline) as stream:
            batch.write_baseline(run.files, stream)
    return exit_code(run.files, config.fail_on)


def _survey(paths: list[Path], file_list: Path | None, config: ScanConfig) -> Survey:
    from deepscan import batch

    lists = [batch.STDIN] if batch.STDIN in paths else []
    if file_list is not None and file_list not in lists:
        lists.append(file_list)
    if not paths and not lists:
        raise UsageError("nothing to scan: name files or directories, or give --file-list")
    named = [path for path in paths if path != batch.STDIN]
    listed = [name for source in lists for name in batch.read_names(source)]
    return batch.survey(named, listed=listed, exclude=config.exclude)


def _store(run: RunReport, wanted: Wanted) -> ResultStore | None:
    from deepscan import batch

    files = [_resume_file(wanted)] if wanted.resume else []
    if run.config.cache is not None:
        files.append(run.config.cache)
    return batch.open_store(run, *files) if files else None


def _resume_file(wanted: Wanted) -> Path:
    """Results of a report that is not complete yet."""
    output = wanted.outputs.output
    assert output is not None
    return output.with_name(f"{output.name}.resume")


def _follow(files: Iterator[FileReport], run: RunReport, report: Report, wanted: Wanted) -> None:
    """Report every file as it finishes."""
    from deepscan.cli.progress import ScanProgress
    from deepscan.evidence import without_pictures

    with ScanProgress(run.total, wanted=wanted.progress) as bar:
        for file in files:
            run.files.append(without_pictures(file))
            with bar.file_done():
                report.file(file)
                if wanted.verbose and file.trace:
                    _show_trace(file.path, file.trace)


def _show_trace(path: str, trace: str) -> None:
    from deepscan.report.escape import visible

    typer.echo(f"deepscan: {visible(path)}: where it crashed:", err=True)
    for line in trace.splitlines():
        typer.echo(visible(line), err=True)


def _tell(run: RunReport, wanted: Wanted, *, kept: bool) -> None:
    """What is no result of the scan, on stderr."""
    if not run.total:
        typer.echo("deepscan: there is no video or photo to scan here", err=True)
    if kept:
        count = sum(file.taken_over for file in run.files)
        typer.echo(f"deepscan: {count} of {run.total} results were taken over from earlier runs", err=True)
    if run.interrupted:
        more = "; the same command goes on from here" if wanted.resume else ""
        done = f"{len(run.files)} of {run.total} files are in the report"
        typer.echo(f"deepscan: interrupted, {done}{more}", err=True)
