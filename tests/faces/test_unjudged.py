"""A face that was left out and could have been judged keeps a file from being called real, and is named."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from deepscan.cli.exit_codes import exit_code
from deepscan.config import MIN_FACE_PX
from deepscan.faces.detector import Face
from deepscan.faces.unjudged import LeftOut, Sighting, SkippedFaces, is_sliver
from deepscan.report.explanation import explain
from deepscan.report.html import HtmlReport
from deepscan.report.json import JsonReport
from deepscan.report.jsonl import JsonlReport
from deepscan.report.junit import JunitReport
from deepscan.report.markdown import MarkdownReport
from deepscan.report.outcome import outcome
from deepscan.report.sarif import SarifReport
from deepscan.report.terminal import TerminalReport
from tests.fixtures.sample import real, run, written

SHAPE = (400, 600, 3)


def face(x: float, y: float, width: float, height: float | None = None) -> Face:
    box = np.array([x, y, x + width, y + (width * 1.3 if height is None else height)], np.float32)
    return Face(box, np.zeros((5, 2), np.float32), 0.99)


def skipped(*looks: Face, crowded: bool = False, min_face_px: int = 200) -> SkippedFaces:
    left, sighting = LeftOut(min_face_px, 8), Sighting()
    for number, seen in enumerate(looks):
        left.look([(sighting, seen)], SHAPE, number / 5, crowded=crowded)
    left.end(sighting)
    (said,) = left.skipped()
    return said


@pytest.mark.parametrize(
    ("looks", "large"),
    [
        ([face(100, 100, 80)], 1),
        ([face(100, 100, MIN_FACE_PX)], 1),
        ([face(100, 100, MIN_FACE_PX - 1)], 0),
        ([face(100, 100, MIN_FACE_PX - 1)] * 5, 0),
        ([face(-60, 100, 120)], 0),
        ([face(-60, 100, 120)] * 2, 1),
        ([face(0, 100, 50, 150)], 0),
        ([face(550, 100, 50, 150)], 0),
        ([face(100, 100, 50, 150)], 1),
        ([face(0, 100, 100)], 1),
        ([face(-60, 100, 120), face(20, 100, 120)], 1),
    ],
)
def test_a_face_matters_that_is_large_enough_and_no_sliver_seen_once(looks: list[Face], large: int) -> None:
    said = skipped(*looks)
    assert (said.count, said.large) == (1, large)
    assert (said.judge_with is not None) == (large > 0)


def test_what_a_frame_cuts_off_makes_a_sliver() -> None:
    assert is_sliver(face(-60, 0, 120).box, SHAPE)
    assert not is_sliver(face(-20, 0, 120).box, SHAPE)
    assert is_sliver(face(100, 330, 120).box, SHAPE)


def test_the_option_that_is_named_judges_the_faces() -> None:
    assert skipped(face(100, 100, 90), face(100, 100, 120)).judge_with == "--min-face 120"
    assert skipped(face(100, 100, 90), crowded=True).judge_with == "--max-faces 9"
    crowd = LeftOut(48, 8)
    sightings = [Sighting() for _ in range(5)]
    for number in (2, 5, 3):
        crowd.look([(s, face(9, 9, 90)) for s in sightings[:number]], SHAPE, number, crowded=True)
    for sighting in sightings:
        crowd.end(sighting)
    (said,) = crowd.skipped()
    assert (said.count, said.large, said.judge_with) == (5, 5, "--max-faces 13")


UNJUDGED = SkippedFaces("more than 8 at a time (--max-faces)", 2, 0.0, 4.1, 1, "--max-faces 10")
GALLERY = replace(real("gallery.mp4", skipped=(UNJUDGED,)), verdict="uncertain")


def test_such_a_file_counts_as_not_scanned() -> None:
    assert outcome(GALLERY, "fake") == "not_scanned"
    assert outcome(GALLERY, "uncertain") == "flagged"
    assert outcome(replace(GALLERY, accepted=True), "fake") == "passed"
    assert exit_code([real(), GALLERY], "fake") == 3
    assert exit_code([replace(GALLERY, skipped=(replace(UNJUDGED, large=0),))], "fake") == 0


def test_the_explanation_says_how_many_and_how_to_judge_them() -> None:
    said = explain(GALLERY, run([GALLERY]))
    assert any(
        "1 face large enough to judge was left out: more than 8 at a time" in reason
        for reason in said.reasons
    )
    assert any("the other faces too, with --max-faces 10" in phrase for phrase in said.more_certain)
    unseen = replace(GALLERY, status="no_face", verdict=None, probability=None, tracks=())
    assert "with --max-faces 10" in explain(unseen, run([unseen])).more_certain[0]


@pytest.mark.parametrize(
    "report", [JsonReport, JsonlReport, HtmlReport, SarifReport, JunitReport, MarkdownReport]
)
def test_every_report_names_the_faces_and_the_option(report: type) -> None:
    text = written(report, run([GALLERY]))
    assert "more than 8 at a time" in text.replace("&#45;", "-")
    assert "max-faces" in text.replace("&#45;", "-")
    if report is not JunitReport:
        assert "max-faces 10" in text.replace("&#45;", "-")


def test_machines_read_it_as_not_scanned() -> None:
    document = json.loads(written(JsonReport, run([GALLERY])))
    assert document["files"][0]["skipped"][0]["large"] == 1
    junit = written(JunitReport, run([GALLERY]))
    assert 'errors="1"' in junit and 'type="faces_not_judged"' in junit
    log = json.loads(written(SarifReport, run([GALLERY])))["runs"][0]["invocations"][0]
    assert not log["executionSuccessful"]
    assert [said["level"] for said in log["toolExecutionNotifications"]] == ["warning"]


@pytest.mark.parametrize("quiet", [False, True])
def test_the_terminal_shows_such_a_file_even_when_quiet(quiet: bool) -> None:
    stream = StringIO()
    report = TerminalReport(Console(file=stream, width=300), quiet=quiet)
    results = run([GALLERY, real()])
    report.begin(results)
    for file in results.files:
        report.file(file)
    report.end(results)
    text = stream.getvalue()
    assert "UNCERTAIN" in text and "gallery.mp4" in text
    assert ("r.mp4" in text) is not quiet
    assert ("--max-faces 10 judges them all" in text) is not quiet
    assert ("1 with faces not judged" in text) is not quiet
