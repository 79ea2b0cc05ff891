"""A run of ``deepscan scan``: what is found, scanned, reported and told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from deepscan import limits
from deepscan.cli.exit_codes import ERROR, exit_code
from deepscan.cli.reports import Outputs, opened_reports
from deepscan.errors import UsageError

if TYPE_CHECKING:
    from deepscan.batch import ResultStore, Survey
    from deepscan.config import ScanConfig
    from deepscan.report import Report
    from deepscan.results import FileReport, RunReport


@dataclass(frozen=True)
class Wanted:
    """What becomes of the results of a run."""

    outputs: Outputs
    baseline: Path | None
    resume: bool
    quiet: bool
    verbose: bool
    progress: bool


def run_scan(paths: list[Path], file_list: Path | None, flags: dict[str, Any], wanted: Wanted) -> int:
    """Scan what is named and report it; returns the exit code.

    Args:
        paths: files and directories; ``-`` is standard input.
        file_list: names more of them.
        flags: settings by their names in ``ScanConfig``; None where the command line says nothing.
        wanted: what becomes of the results.

    Raises:
        UsageError: nothing is named, or a setting, an input or an output cannot be used.
    """
    limits.check(jobs=1, threads=1)  # what is imported from here on needs as much

    from deepscan.config import load

    config = load({**flags, "evidence": wanted.outputs.pictures or None})
    limits.check(config.jobs, limits.thread_count(config.threads, config.jobs))

    from deepscan import batch
    from deepscan.cli.interrupt import Interrupt
    from deepscan.cli.output import check_writable, opened
    from deepscan.provenance.manifests import read_anchors

    if config.trust_anchors is not None:
        read_anchors(config.trust_anchors)
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
    from deepscan.results import without_pictures

    with ScanProgress(run.total, wanted=wanted.progress) as bar:
        for file in files:
            run.files.append(without_pictures(file))
            with bar.file_done():
                report.file(file)
                if wanted.verbose and file.trace:
                    _show_trace(file.path, file.trace)


def _show_trace(path: str, trace: str) -> None:
    from deepscan.text import visible

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
