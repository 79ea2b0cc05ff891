"""JUnit XML: valid by the published schema, and the outcomes are those of the exit code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from deepscan.config import ScanConfig
from deepscan.report.junit import JunitReport
from deepscan.results import RunReport
from deepscan.text import visible
from tests.fixtures.sample import ODD_NAMES, face, failed, real, run, scanned, written

SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).parent / "schemas" / "junit-4.xsd"))


def suite(results: RunReport) -> Any:
    root = etree.fromstring(written(JunitReport, results).encode("utf-8"))
    SCHEMA.assertValid(root)
    return root[0]


UNSURE = scanned("u.mp4", verdict="uncertain", tracks=(face(1, 0.5, "uncertain"),), probability=0.5)
PART = scanned("p.mp4", status="partial", verdict="uncertain", probability=0.1)


def outcomes(results: RunReport) -> dict[str, str]:
    return {case.get("name"): case[0].tag for case in suite(results).iter("testcase")}


def test_the_outcomes_are_those_of_the_exit_code() -> None:
    files = [scanned(), real(), UNSURE, PART, failed(), failed("n.jpg", "no_face")]
    assert outcomes(run(files)) == {
        "a.mp4": "failure",
        "r.mp4": "system-out",
        "u.mp4": "system-out",
        "p.mp4": "error",
        "b.mp4": "error",
        "n.jpg": "error",
    }
    strict = run(files, config=ScanConfig(fail_on="uncertain"))
    assert (outcomes(strict)["u.mp4"], outcomes(strict)["p.mp4"]) == ("failure", "failure")


def test_what_was_accepted_before_passes() -> None:
    files = [scanned(accepted=True), replace(failed(), accepted=True)]
    assert set(outcomes(run(files)).values()) == {"system-out"}
    assert suite(run(files)).findtext(".//system-out").startswith("fake 97 % (accepted before)")


def test_an_interrupted_run_never_passes() -> None:
    ended = run([real()], total=3, interrupted=True)
    assert outcomes(ended) == {"r.mp4": "system-out", "the whole run": "error"}
    assert suite(ended).find(".//error").get("message") == "interrupted: 1 of 3 files scanned"
    assert (suite(ended).get("tests"), suite(ended).get("errors")) == ("2", "1")


def test_the_counts_add_up() -> None:
    counts = suite(run([scanned(), real(), failed()])).attrib
    assert (counts["tests"], counts["failures"], counts["errors"]) == ("3", "1", "1")
    assert suite(run([])).get("tests") == "0"


def test_it_says_why_and_what_made_it() -> None:
    results = suite(run([scanned(), failed()]))
    failure, error = results.find(".//failure"), results.find(".//error")
    assert (failure.get("type"), failure.get("message")) == ("fake", "fake 97 %")
    assert "17 points above the 80 %" in failure.text
    assert (error.get("type"), error.get("message")) == (
        "unreadable",
        "is empty (zero bytes); fetch the file again.",
    )
    properties = {p.get("name"): p.get("value") for p in results.iter("property")}
    assert properties["deepscan"] == "0.1.0"
    assert len(properties["weights.gml"]) == 64


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_and_errors_break_nothing(name: str) -> None:
    results = run([scanned(name), failed(name), failed("x.mp4", error=f"x.mp4: {name}")])
    cases = list(suite(results).iter("testcase"))
    assert [case.get("name") for case in cases] == [visible(name), visible(name), "x.mp4"]
    assert cases[2][0].get("message").strip() == visible(name).strip()
