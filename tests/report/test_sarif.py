"""SARIF: valid by the published schema, and every place in it leads back to the file."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from jsonschema import Draft4Validator

from deepscan.detectors import SPECS
from deepscan.report.sarif import SarifReport, uri
from deepscan.results import RunReport
from tests.fixtures.sample import ODD_NAMES, face, failed, real, run, scanned, written

SCHEMA = Path(__file__).parent / "schemas" / "sarif-2.1.0-rtm.5.json"


def log(results: RunReport) -> Any:
    document = json.loads(written(SarifReport, results))
    Draft4Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(document)
    return document["runs"][0]


EVERYTHING = [
    scanned(),
    real(),
    scanned("u.mp4", verdict="uncertain", tracks=(face(1, 0.5, "uncertain"),), probability=0.5),
    scanned("part.mp4", status="partial", verdict="uncertain", tracks=(face(1, 0.1, "real"),)),
    failed(),
    failed("n.jpg", "no_face"),
    failed("c.mp4", "crashed", "c.mp4: the worker process died while scanning this file"),
    scanned("unscored.mp4", verdict="uncertain", probability=None, tracks=(face(1, None, None),)),
]


def test_every_kind_of_result_is_valid_and_every_file_is_listed_in_order() -> None:
    sarif = log(run(EVERYTHING))
    assert [a["location"]["uri"] for a in sarif["artifacts"]] == [file.path for file in EVERYTHING]
    assert log(run([]))["invocations"][0]["executionSuccessful"]


def test_rule_ids_are_stable() -> None:
    rules = [rule["id"] for rule in log(run([]))["tool"]["driver"]["rules"]]
    assert rules == [
        "deepscan-face",
        "deepscan-gend",
        "deepscan-gml",
        "deepscan-global-local",
        "deepscan-sola",
        "deepscan-resnet3d",
        "deepscan-local-features",
        "deepscan-declared-synthetic",
        "deepscan-invalid-manifest",
    ]


def test_a_flagged_face_is_an_error_and_the_detectors_behind_it_are_notes() -> None:
    sarif = log(run([real(), scanned()], not_counted=("sola",)))
    first, *notes = sarif["results"]
    assert (first["ruleId"], first["level"]) == ("deepscan-face", "error")
    assert "97 %, 17 points above" in first["message"]["text"]
    assert [note["ruleId"] for note in notes] == [
        "deepscan-gend",
        "deepscan-gml",
        "deepscan-global-local",
        "deepscan-local-features",
    ]
    assert {note["level"] for note in notes} == {"note"}
    for result in sarif["results"]:
        assert sarif["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        place = result["locations"][0]["physicalLocation"]["artifactLocation"]
        assert sarif["artifacts"][place["index"]]["location"]["uri"] == place["uri"] == "a.mp4"


def test_places_carry_the_span_of_time() -> None:
    whole, gml, *_ = (result["locations"][0] for result in log(run([scanned()]))["results"])
    assert whole["properties"] == {"startSeconds": 0.0, "endSeconds": 10.0}
    assert gml["properties"] == {"startSeconds": 3.2, "endSeconds": 3.7}
    assert gml["message"]["text"] == "face 1 at 3.2 to 3.7 s"
    assert "region" not in gml["physicalLocation"]


def test_uncertain_faces_are_warnings_and_real_ones_no_results() -> None:
    unsure = scanned(verdict="uncertain", tracks=(face(1, 0.5, "uncertain"), face(2, 0.1, "real")))
    results = [r for r in log(run([unsure]))["results"] if r["ruleId"] == "deepscan-face"]
    assert [result["level"] for result in results] == ["warning"]
    assert log(run([real()]))["results"] == []


@pytest.mark.parametrize("file", EVERYTHING[3:])
def test_what_was_not_scanned_is_a_notification(file: Any) -> None:
    invocation = log(run([real(), file]))["invocations"][0]
    assert invocation["executionSuccessful"] is False
    said = invocation["toolExecutionNotifications"]
    assert said[0]["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": file.path, "index": 1}
    known = {d["id"] for d in log(run([]))["tool"]["driver"]["notifications"]}
    assert {notification["descriptor"]["id"] for notification in said} <= known
    if file.error:
        assert said[0]["message"]["text"] == file.error.removeprefix(f"{file.path}: ").removeprefix(
            f"{file.path} "
        )


def test_a_flagged_file_that_breaks_off_is_no_successful_execution_either() -> None:
    assert not log(run([scanned(status="partial")]))["invocations"][0]["executionSuccessful"]
    assert log(run([scanned()]))["invocations"][0]["executionSuccessful"]


def test_what_was_accepted_before_is_suppressed_and_no_failure() -> None:
    sarif = log(run([scanned(accepted=True), replace(failed(), accepted=True), scanned("new.mp4")]))
    places = [result["locations"][0]["physicalLocation"]["artifactLocation"] for result in sarif["results"]]
    assert {place["uri"] for place in places} == {"a.mp4", "new.mp4"}
    for result, place in zip(sarif["results"], places, strict=True):
        statuses = [suppression["status"] for suppression in result.get("suppressions", [])]
        assert statuses == (["accepted"] if place["uri"] == "a.mp4" else [])
    assert sarif["invocations"][0]["executionSuccessful"]


def test_an_interrupted_run_is_no_successful_execution() -> None:
    invocation = log(run([real()], total=3, interrupted=True))["invocations"][0]
    assert not invocation["executionSuccessful"]
    said = invocation["toolExecutionNotifications"][-1]
    assert said["message"]["text"] == "interrupted: 1 of 3 files scanned."
    assert said["level"] == "error"


def test_faces_left_out_are_noted() -> None:
    said = log(run([scanned()]))["invocations"][0]["toolExecutionNotifications"]
    assert [(n["level"], n["message"]["text"]) for n in said] == [
        ("note", "3 faces not judged: smaller than 48 px.")
    ]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_stay_valid_and_lead_back_to_the_file(name: str) -> None:
    sarif = log(run([scanned(name), failed(f"dir/{name}")]))
    first, second = (artifact["location"]["uri"] for artifact in sarif["artifacts"])
    parts = urlsplit(first)
    assert (parts.scheme, parts.query, parts.fragment) == (
        "file" if name.startswith("/") else "",
        "",
        "",
    )
    assert second.isascii()
    if "\ud800" not in name:
        assert unquote_to_bytes(parts.path) == os.fsencode(str(Path(name)))


def test_an_absolute_path_is_a_file_uri() -> None:
    assert uri("/a b/c#d.mp4") == "file:///a%20b/c%23d.mp4"
    assert uri("../x.mp4") == "../x.mp4"
    assert uri(os.fsdecode(b"caf\xe9.mp4")) == "caf%E9.mp4"


def test_messages_hold_no_links_and_no_placeholders() -> None:
    file = failed("x.mp4", error="x.mp4: see [here](http://example.com) {0}")
    said = log(run([file]))["invocations"][0]["toolExecutionNotifications"]
    assert said[0]["message"]["text"] == "see \\\\[here\\\\](http://example.com) {{0}}".replace("\\\\", "\\")


def test_a_finding_keeps_its_fingerprint() -> None:
    def prints(results: RunReport) -> list[str]:
        return [r["partialFingerprints"]["deepscanFace/v1"] for r in log(results)["results"]]

    assert prints(run([scanned()])) == prints(run([scanned(seconds=9.0), real()]))
    assert len(set(prints(run([scanned(), scanned("b.mp4")])))) == 2 * len(SPECS), "a face and four detectors"
