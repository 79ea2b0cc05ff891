"""The JSON reports: valid by the shipped schema, complete, and readable by any parser."""

from __future__ import annotations

import io
import json
import math
import os
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from deepscan.media import Coverage
from deepscan.report.json import JsonReport, line_schema, schema
from deepscan.report.jsonl import JsonlReport
from deepscan.results import RunReport
from tests.fixtures.sample import REASON, face, failed, real, run, scanned

EVERYTHING = [
    scanned(),
    failed(),
    real(),
    scanned("part.mp4", status="partial", verdict="uncertain", probability=0.4),
    scanned("tiny.mp4", probability=None, verdict="uncertain", tracks=(face(1, None, None),)),
    failed("empty.jpg", "no_face"),
]


def document(report: RunReport) -> Any:
    stream = io.StringIO()
    writer = JsonReport(stream)
    writer.begin(report)
    for file in report.files:
        writer.file(file)
    writer.end(report)
    return json.loads(stream.getvalue())


def lines(report: RunReport) -> list[Any]:
    stream = io.StringIO()
    writer = JsonlReport(stream)
    writer.begin(report)
    for file in report.files:
        writer.file(file)
    writer.end(report)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_the_schemas_are_schemas() -> None:
    Draft202012Validator.check_schema(schema())
    Draft202012Validator.check_schema(line_schema())


def test_every_kind_of_result_is_valid() -> None:
    report = run(EVERYTHING)
    Draft202012Validator(schema()).validate(document(report))
    for line in lines(report):
        Draft202012Validator(line_schema()).validate(line)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("files", 0, "verdict"), "clean"),
        (("files", 0, "extra"), 1),
        (("files", 0, "probability"), 1.5),
        (("files", 0, "tracks", 0, "detectors"), {"other": 0.5}),
        (("files", 1, "verdict"), "real"),
        (("extra",), 1),
        (("weights",), {"gml": "short"}),
        (("files", 0, "explanation", "speaks_for"), ["other"]),
        (("files", 0, "explanation", "reasons"), []),
    ],
)
def test_the_schema_refuses_what_the_report_never_says(where: tuple[Any, ...], value: Any) -> None:
    report = document(run(EVERYTHING))
    place = report
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    assert not Draft202012Validator(schema()).is_valid(report)


def test_the_contract_names() -> None:
    report = document(run([scanned(), failed()]))
    assert (report["schema_version"], report["deepscan"], report["device"]) == ("1", "0.1.0", "cpu")
    assert {"files": 2, "fake": 1, "real": 0, "uncertain": 0, "not_scanned": 1}.items() <= report[
        "summary"
    ].items()
    first, second = report["files"]
    assert first["coverage"] == {
        "duration_s": 10.0,
        "seconds_covered": 10.0,
        "frames_decoded": 96,
        "frames_failed": 0,
        "warnings": [],
    }
    track = first["tracks"][0]
    assert track["detectors"]["gml"] == 0.97
    assert track["detectors"]["resnet3d"] is None
    assert track["not_scored"] == {"resnet3d": REASON}
    assert {"detector": "gml", "start_s": 3.2, "end_s": 3.7, "probability": 0.97} in track["scores"]
    assert (second["status"], second["verdict"], second["coverage"], second["tracks"]) == (
        "unreadable",
        None,
        None,
        [],
    )


def test_the_explanation_is_in_the_document_and_in_every_line() -> None:
    report = run([scanned(), failed()])
    first, second = (file["explanation"] for file in document(report)["files"])
    assert [line["explanation"] for line in lines(report)] == [first, second]
    assert (first["track"], first["above_fake"], first["above_real"]) == (1, 0.17, 0.77)
    assert first["speaks_for"] == ["gend", "gml", "global_local", "sola", "local_features"]
    assert (second["track"], second["above_fake"], second["speaks_for"]) == (None, None, [])
    assert second["reasons"] == [failed().error]


def test_every_file_counts_once_in_the_summary() -> None:
    summary = document(run(EVERYTHING, left_out=7))["summary"]
    assert summary["files"] == len(EVERYTHING)
    assert sum(summary[name] for name in ("fake", "real", "uncertain", "not_scanned")) == len(EVERYTHING)
    assert (summary["partial"], summary["left_out"]) == (1, 7)


def test_only_seconds_differ_between_two_runs() -> None:
    slow, fast = (document(run([scanned(seconds=seconds)])) for seconds in (9.0, 1.0))
    assert slow["files"][0].pop("seconds") == 9.0
    assert fast["files"][0].pop("seconds") == 1.0
    assert slow == fast


def test_the_number_of_workers_leaves_no_trace() -> None:
    from deepscan.config import ScanConfig

    assert document(run([scanned()], config=ScanConfig(jobs=4))) == document(run([scanned()]))


def test_numbers_are_rounded_and_never_nan() -> None:
    report = document(
        run([scanned(probability=1 / 3, coverage=Coverage(math.nan, -0.0, 1, 0, []), seconds=0.1 + 0.2)])
    )
    file = report["files"][0]
    assert (file["probability"], file["seconds"]) == (0.333333, 0.3)
    assert file["coverage"]["duration_s"] is None
    assert math.copysign(1, file["coverage"]["seconds_covered"]) == 1


def test_a_name_that_is_not_utf8_keeps_the_json_valid() -> None:
    name = os.fsdecode(b"caf\xe9\x1b[31m\n.mp4")
    stream = io.StringIO()
    JsonReport(stream).end(run([scanned(name), failed("\ud800.mp4")]))
    stream.getvalue().encode("ascii")
    assert "\\ud8" not in stream.getvalue().replace("\\\\ud8", "")
    paths = [file["path"] for file in json.loads(stream.getvalue())["files"]]
    assert paths == ["caf\\xe9\x1b[31m\n.mp4", "\\ud800.mp4"]


def test_each_line_is_complete_and_written_at_once() -> None:
    stream = io.StringIO()
    writer = JsonlReport(stream)
    report = run([scanned(), failed()])
    writer.begin(report)
    writer.file(report.files[0])
    first = json.loads(stream.getvalue())
    assert (first["path"], first["schema_version"], first["device"]) == ("a.mp4", "1", "cpu")
    assert set(first["weights"]) == set(report.weights)
