"""The report for a person."""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from deepscan.media import Coverage, MediaInfo
from deepscan.report.drawing import Drawing
from deepscan.report.terminal import TerminalReport
from deepscan.results import RunReport, SkippedFaces
from deepscan.text import percent
from tests.fixtures.sample import REASON, face, failed, real, run, scanned


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "COLUMNS", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def shown(report: RunReport, *, quiet: bool = False, verbose: bool = False, **console: Any) -> str:
    stream = io.StringIO()
    options = {"width": 120, "highlight": False, "markup": False, "emoji": False, **console}
    writer = TerminalReport(Console(file=stream, **options), quiet=quiet, verbose=verbose)
    writer.begin(report)
    for file in report.files:
        writer.file(file)
    writer.end(report)
    return stream.getvalue()


def test_one_glance_tells_file_verdict_face_time_and_detectors() -> None:
    text = shown(run([scanned()]))
    assert " FAKE 97 %   a.mp4" in text
    assert "face 1  0.0–10.0 s" in text
    gml = next(line for line in text.splitlines() if "GML" in line)
    assert "███" in gml
    assert "97 %  strongest at 3.2–3.7 s" in gml
    assert REASON in next(line for line in text.splitlines() if "3D ResNet" in line)
    assert "looked at 96 frames, 10.0 s of 10.0 s" in text
    assert "3 faces: smaller than 48 px, 0.0–4.1 s" in text


def test_a_file_that_gave_nothing_says_why_in_one_sentence() -> None:
    text = shown(run([failed()]))
    assert " UNREADABLE   b.mp4\n" in text
    assert "is empty (zero bytes); fetch the file again." in text
    assert text.count("b.mp4") == 1


def test_a_file_read_in_part_says_so() -> None:
    file = scanned(
        status="partial", coverage=Coverage(10.0, 6.0, 60, 2, ["the file ends early"]), verdict="uncertain"
    )
    text = shown(run([file]))
    assert "only a part could be read" in text
    assert "6.0 s of 10.0 s, 2 frames could not be decoded" in text
    assert "the file ends early" in text


def test_in_a_longer_run_a_real_file_takes_one_line() -> None:
    text = shown(run([real(), scanned()]))
    assert text.count("\n  GML  ") == 1
    assert "2 files: 1 fake, 1 real" in text
    assert shown(run([real(), scanned()]), verbose=True).count("\n  GML  ") == 2
    assert shown(run([real()])).count("\n  GML  ") == 1


def test_it_says_why_and_what_would_help() -> None:
    text = shown(run([scanned()]))
    assert "why       Face 1 has a probability of 97 %, 17 points above the 80 %" in text
    assert "helpful" not in text
    unsure = shown(run([scanned(verdict="uncertain", tracks=(face(1, 0.5, "uncertain"),), probability=0.5)]))
    assert "30 points short of fake" in unsure
    assert "helpful" in unsure
    assert "helpful" in shown(run([scanned()]), verbose=True)
    assert "why" not in shown(run([scanned()]), quiet=True)


def test_quiet_shows_only_what_somebody_should_look_at() -> None:
    assert shown(run([real(), scanned(), failed()]), quiet=True).splitlines() == [
        " FAKE 97 %   a.mp4 · h264 1920x1080 · 10.0 s",
        " UNREADABLE   b.mp4",
    ]


def test_the_most_suspicious_faces_come_first_and_the_rest_is_counted() -> None:
    tracks = tuple(face(number, number / 10, "uncertain") for number in range(1, 7))
    text = shown(run([scanned(tracks=tracks)]))
    assert text.index("face 6") < text.index("face 5") < text.index("face 3")
    assert "face 2 " not in text
    assert "2 less suspicious faces not shown" in text
    assert "face 1 " in shown(run([scanned(tracks=tracks)]), verbose=True)


def test_a_detector_without_a_say_is_marked() -> None:
    text = shown(run([scanned()], not_counted=("sola",)))
    assert "not counted" in next(line for line in text.splitlines() if "SOLA " in line)
    assert "not counted: SOLA (adds nothing to the others on validation)" in text
    assert "not counted" not in shown(run([failed()], not_counted=("sola",))), "no detector is shown"


def test_a_photo_has_no_times() -> None:
    photo = scanned(
        "p.jpg",
        media=MediaInfo("image", "jpeg", "jpeg", 256, 384, 0, None, None, 1),
        coverage=Coverage(None, 0.0, 1, 0, []),
        skipped=(SkippedFaces("smaller than 48 px", 1, 0.0, 0.0, 0, None),),
    )
    text = shown(run([photo]))
    assert "strongest" not in text
    assert "0.0" not in text


def test_names_can_neither_steer_the_terminal_nor_break_the_report() -> None:
    name = os.fsdecode(b"\xff\x1b]0;owned\x07[bold]\xe2\x80\xae.mp4\n FAKE 99 %")
    for report in (run([scanned(name)]), run([failed(name)])):
        text = shown(report, force_terminal=True, color_system="truecolor")
        assert "\x1b]" not in text
        assert "\x07" not in text
        assert "\u202e" not in text
        assert "\\xff\\x1b]0;owned\\x07[bold]\\u202e.mp4\\n FAKE 99 %" in text
        text.encode("utf-8")


def test_no_color_prints_no_colours_and_no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    coloured = shown(run([scanned()]), force_terminal=True, color_system="truecolor")
    assert "\x1b[1;37;41m" in coloured
    assert "▀" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    text = shown(run([scanned()]), force_terminal=True, color_system="truecolor")
    assert "▀" not in text
    assert not any(f"\x1b[{code}" in text for code in ("3", "4", "1;3", "1;4", "38", "48"))
    assert "0.0–10.0 s" in text


def test_a_pipe_gets_no_escapes() -> None:
    assert "\x1b" not in shown(run([scanned(), failed()]))


def test_an_encoding_without_blocks_gets_ascii() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    writer = TerminalReport(Console(file=stream, width=120, highlight=False))
    report = run([scanned()])
    writer.begin(report)
    writer.file(report.files[0])
    writer.end(report)
    stream.seek(0)
    text = stream.read()
    assert "################" in text
    assert "0.0-10.0 s" in text


def test_a_thumbnail_is_a_square_of_half_blocks() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor")
    picture = Drawing(console).thumbnail(np.full((48, 48, 3), 200, np.uint8))
    assert picture is not None
    assert picture.plain.splitlines() == ["▀" * 12] * 6
    assert Drawing(console).thumbnail(None) is None


@pytest.mark.parametrize(
    ("start_s", "end_s", "text"),
    [
        (0.0, 0.0, "0.0 s"),
        (3.2, 3.71, "3.2–3.7 s"),
        (59.0, 61.0, "59.0 s–1:01.0"),
        (59.98, 3661.25, "1:00.0–1:01:01.2"),
    ],
)
def test_time_spans(start_s: float, end_s: float, text: str) -> None:
    assert Drawing(Console(file=io.StringIO())).span(start_s, end_s) == text


def test_no_detector_is_ever_certain() -> None:
    assert [percent(value) for value in (0.0, 0.004, 0.5, 0.994, 1.0)] == [
        "<1 %",
        "<1 %",
        "50 %",
        ">99 %",
        ">99 %",
    ]
