"""JUnit XML, for pipelines that show tests: a file is a test case.

A flagged file is a failure, one that was not fully scanned an error, and everything else passes: the same
three outcomes that the exit code tells apart. JUnit has no word for ``uncertain``; such a file passes, with
the verdict in its output, unless ``--fail-on uncertain`` makes it a failure. So does one that was accepted
before. A run that was interrupted has one more test case, ``the whole run``, with an error.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO
from xml.etree import ElementTree

from deepscan.report.explanation import explain
from deepscan.report.outcome import ACCEPTED, error_without_path, interruption, label, outcome
from deepscan.report.provenance import sentences
from deepscan.report.provenance import warnings as about_origin
from deepscan.text import percent, visible

if TYPE_CHECKING:
    from deepscan.results import FileReport, RunReport

ELEMENTS = {"flagged": "failure", "not_scanned": "error", "passed": "system-out"}


class JunitReport:
    """Writes the document when the run ends."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def begin(self, run: RunReport) -> None:
        """Nothing to write yet."""

    def file(self, file: FileReport) -> None:
        """Nothing to write yet."""

    def end(self, run: RunReport) -> None:
        """Write the document."""
        root = testsuites(run)
        ElementTree.indent(root)
        text = ElementTree.tostring(root, encoding="unicode")
        self._stream.write(f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n')


def testsuites(run: RunReport) -> ElementTree.Element:
    """The whole document."""
    outcomes = Counter(outcome(file, run.config.fail_on) for file in run.files)
    counts = {
        "name": "deepscan",
        "tests": str(len(run.files) + run.interrupted),
        "failures": str(outcomes["flagged"]),
        "errors": str(outcomes["not_scanned"] + run.interrupted),
        "time": _seconds(sum(file.seconds for file in run.files)),
    }
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", counts)
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _provenance(run).items():
        ElementTree.SubElement(properties, "property", name=name, value=value)
    for file in run.files:
        suite.append(_testcase(file, run))
    if run.interrupted:
        case = ElementTree.SubElement(suite, "testcase", classname="deepscan", name="the whole run")
        ElementTree.SubElement(case, "error", type="interrupted", message=interruption(run))
    return root


def _provenance(run: RunReport) -> dict[str, str]:
    return {
        "deepscan": run.version,
        "provider": run.provider,
        "precision": run.precision,
        "threshold.fake": f"{run.threshold_fake:.4f}",
        "threshold.real": f"{run.threshold_real:.4f}",
        **{f"weights.{name}": sha256 for name, sha256 in run.weights.items()},
    }


def _testcase(file: FileReport, run: RunReport) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", classname="deepscan", name=visible(file.path), time=_seconds(file.seconds)
    )
    ended = outcome(file, run.config.fail_on)
    element = ElementTree.SubElement(case, ELEMENTS[ended])
    if ended != "passed":
        element.set("type", _lacking(file) if ended == "not_scanned" else _flagged(file, run))
        element.set("message", _headline(file))
    element.text = "\n".join([_headline(file), *_details(file, run)])
    return case


def _flagged(file: FileReport, run: RunReport) -> str:
    """The verdict, or that the file declares itself synthetic where only that fails it."""
    by_verdict = outcome(replace(file, provenance=None), run.config.fail_on) == "flagged"
    return label(file) if by_verdict else "declared_synthetic"


def _lacking(file: FileReport) -> str:
    return "faces_not_judged" if file.status == "scanned" and file.unjudged else file.status


def _headline(file: FileReport) -> str:
    if file.probability is not None:
        text = f"{label(file)} {percent(file.probability)}"
    else:
        text = error_without_path(file) or label(file)
    if file.declared_synthetic:
        text += " (declared synthetic)"
    return f"{text} ({ACCEPTED})" if file.accepted else text


def _details(file: FileReport, run: RunReport) -> list[str]:
    explanation = explain(file, run)
    reasons = [] if file.verdict is None and file.error else list(explanation.reasons)
    warnings = [] if file.coverage is None else list(file.coverage.warnings)
    return [visible(line) for line in (*reasons, *warnings, *sentences(file), *about_origin(file))]


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}"
