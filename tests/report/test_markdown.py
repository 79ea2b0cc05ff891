"""The Markdown summary, as a renderer shows it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from lxml import html
from markdown_it import MarkdownIt

from deepscan.report.markdown import PATH_CHARACTERS, MarkdownReport
from deepscan.results import RunReport
from deepscan.text import visible
from tests.fixtures.sample import ODD_NAMES, face, failed, real, run, scanned, written

UNSURE = scanned("u.mp4", verdict="uncertain", tracks=(face(1, 0.5, "uncertain"),), probability=0.5)


def rendered(results: RunReport) -> Any:
    text = written(MarkdownReport, results)
    return html.fromstring(
        f"<div>{MarkdownIt('commonmark', {'html': True}).enable('table').render(text)}</div>"
    )


def rows(results: RunReport) -> list[list[str]]:
    return [[cell.text_content() for cell in row] for row in rendered(results).iter("tr")]


def test_what_to_look_at_comes_first_and_the_rest_is_folded_away() -> None:
    results = run([real(), failed(), UNSURE, scanned()])
    assert [row[:3] for row in rows(results)[:4]] == [
        ["verdict", "file", "probability"],
        ["fake", "a.mp4", "97 %"],
        ["unreadable", "b.mp4", ""],
        ["uncertain", "u.mp4", "50 %"],
    ]
    page = rendered(results)
    assert page.find(".//h3").text == "deepscan: 4 files: 1 fake, 1 uncertain, 1 real, 1 without a verdict"
    folded = page.find(".//details")
    assert "1 file in which no known trace was found" in folded.find("summary").text
    assert "r.mp4" in folded.text_content()


def test_it_says_why_and_what_would_help() -> None:
    fake, unreadable, unsure = rows(run([failed(), UNSURE, scanned()]))[1:]
    assert "17 points above the 80 %" in fake[3]
    assert unreadable[3] == "is empty (zero bytes); fetch the file again."
    assert "What would help: " in unsure[3]
    assert "What would help" not in fake[3]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_and_errors_are_shown_and_never_act(name: str) -> None:
    results = run([failed(name), failed("x.mp4", error=f"x.mp4: {name}")])
    page = rendered(results)
    head, first, second = rows(results)
    assert len(head) == len(first) == len(second) == 4
    squeezed = re.sub(r"\s+", " ", visible(name))
    assert re.sub(r"\s+", " ", first[1]) == squeezed
    assert re.sub(r"\s+", " ", second[3]).strip() == squeezed.strip()
    allowed = {"div", "h3", "table", "thead", "tbody", "tr", "th", "td", "strong", "code", "sub", "p"}
    assert {element.tag for element in page.iter()} <= allowed
    source = written(MarkdownReport, results)
    assert not re.search(r"@somebody|#1 |www\.example|://", source)


def test_a_summary_fits_into_a_comment() -> None:
    long = [failed(f"{number}{'x' * 240}.mp4", error="y" * 5000) for number in range(500)]
    text = written(MarkdownReport, run([*long, *(real(f"{number}{'r' * 240}.mp4") for number in range(500))]))
    assert len(text) < 65_536
    assert "… and 440 more files" in text
    assert max(len(row[1]) for row in rows(run(long))) <= PATH_CHARACTERS + 1


def test_a_run_without_files() -> None:
    assert "deepscan: 0 files" in written(MarkdownReport, run([]))


def test_accepted_findings_come_last_and_an_interrupted_run_says_so() -> None:
    results = run([scanned(accepted=True), scanned("new.mp4")], total=5, interrupted=True)
    _, first, second = rows(results)
    assert (first[1], second[0], second[1]) == ("new.mp4", "fake (accepted before)", "a.mp4")
    assert "1 accepted before (interrupted: 2 of 5 files scanned)" in written(MarkdownReport, results)
