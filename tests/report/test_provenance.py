"""Provenance stands in every report beside the verdict, escaped, and moves no verdict."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
from jsonschema import Draft202012Validator
from rich.console import Console

from deepscan.batch.baseline import Baseline, finding
from deepscan.cli.exit_codes import exit_code
from deepscan.config import ScanConfig
from deepscan.provenance import GenerationParameters, Manifest, Provenance, Tag
from deepscan.report.html import HtmlReport
from deepscan.report.json import JsonReport, schema
from deepscan.report.junit import JunitReport
from deepscan.report.markdown import MarkdownReport
from deepscan.report.sarif import SarifReport
from deepscan.report.terminal import TerminalReport
from deepscan.results import FileReport
from tests.fixtures.sample import ODD_NAMES, failed, real, run, scanned, written

MADE = ("trainedAlgorithmicMedia",)
SYNTHETIC = Provenance(
    Manifest("valid", "Signer, Newsroom", "2026-01-02T03:04:05Z", "Painter 1", ("c2pa.created",), MADE),
    MADE,
    (GenerationParameters("ComfyUI", 'PNG text "prompt"', "{a cat}"),),
    (Tag("encoder", "Lavf61"),),
)
INVALID = Provenance(
    Manifest("invalid", source_types=MADE, problems=("hash: wrong",)), warnings=("it is invalid",)
)
UNREAD = Provenance(Manifest("not_read", problems=("c2pa is not installed",)), warnings=("it was not read",))
TAGGED = Provenance(tags=(Tag("encoder", "Lavf61"),))
DECLARED = ScanConfig(fail_on="declared")


def terminal(files: list[FileReport], config: ScanConfig, **options: bool) -> str:
    def make(stream: Any) -> TerminalReport:
        console = Console(file=stream, width=120, highlight=False, markup=False, emoji=False)
        return TerminalReport(console, **options)

    return written(make, run(files, config=config))  # type: ignore[arg-type]


def by(report: type[Any]) -> Callable[[list[FileReport], ScanConfig], str]:
    return lambda files, config: written(report, run(files, config=config))


FORMATS = {
    "terminal": terminal,
    "json": by(JsonReport),
    "html": by(HtmlReport),
    "markdown": by(MarkdownReport),
    "junit": by(JunitReport),
    "sarif": by(SarifReport),
}


@pytest.mark.parametrize("form", FORMATS)
def test_every_report_says_so(form: str) -> None:
    said = FORMATS[form]([real(provenance=SYNTHETIC)], ScanConfig())
    assert "trainedAlgorithmicMedia" in said
    assert "Signer, Newsroom" in said
    assert "it is invalid" in FORMATS[form]([real(provenance=INVALID)], ScanConfig())
    assert "it was not read" in FORMATS[form]([replace(failed(), provenance=UNREAD)], ScanConfig())


def test_it_moves_no_verdict_and_fails_a_run_only_where_asked() -> None:
    declared, unread, broken = (real(provenance=found) for found in (SYNTHETIC, UNREAD, INVALID))
    assert (declared.verdict, declared.probability) == ("real", 0.03)
    assert exit_code([declared, unread, broken], "fake") == 0
    assert exit_code([declared], "uncertain") == 0
    assert exit_code([declared], "declared") == 1
    assert exit_code([unread, broken, real(provenance=TAGGED)], "declared") == 0
    assert exit_code([scanned()], "declared") == 1
    assert exit_code([replace(failed(), provenance=SYNTHETIC)], "declared") == 1
    xmp = real(provenance=Provenance(source_types=("compositeWithTrainedAlgorithmicMedia",)))
    assert exit_code([xmp], "declared") == 1
    assert finding(declared) == "declared"
    assert finding(broken) is None
    accepted = Baseline({"a" * 64: "declared"}).mark(replace(declared, sha256="a" * 64))
    assert exit_code([accepted], "declared") == 0
    assert not Baseline({"a" * 64: "declared"}).mark(scanned(sha256="a" * 64)).accepted


def test_the_terminal_takes_a_line_only_where_there_is_something() -> None:
    nothing = terminal([real(), real("b.mp4")], ScanConfig())
    assert terminal([real(provenance=TAGGED), real("b.mp4")], ScanConfig()) == nothing
    lines = terminal([real(provenance=SYNTHETIC), real("b.mp4")], ScanConfig()).splitlines()
    assert len(lines) <= len(nothing.splitlines()) + 3
    assert "Lavf61" in terminal([real(provenance=TAGGED)], ScanConfig(), verbose=True)
    assert terminal([real()], ScanConfig(), quiet=True) == ""
    assert "declared synthetic" in terminal([real(provenance=SYNTHETIC)], ScanConfig(), quiet=True)


def test_json_is_valid_and_complete() -> None:
    files = [real(provenance=found) for found in (SYNTHETIC, INVALID, UNREAD, TAGGED, None)]
    document = json.loads(by(JsonReport)(files, DECLARED))
    Draft202012Validator(schema()).validate(document)
    assert [f["provenance"] and f["provenance"]["declared_synthetic"] for f in document["files"]] == [
        True, False, False, False, None,
    ]  # fmt: skip
    assert document["summary"]["declared_synthetic"] == 1
    assert document["files"][0]["provenance"]["manifest"] == {
        "state": "valid",
        "signer": "Signer, Newsroom",
        "signed_at": "2026-01-02T03:04:05Z",
        "generator": "Painter 1",
        "actions": ["c2pa.created"],
        "source_types": ["trainedAlgorithmicMedia"],
        "problems": [],
    }


def test_sarif_has_rules_of_its_own() -> None:
    files = [real(provenance=SYNTHETIC), real("i.mp4", provenance=INVALID), real("u.mp4", provenance=UNREAD)]
    for config, level in ((ScanConfig(), "warning"), (DECLARED, "error")):
        log = json.loads(by(SarifReport)(files, config))["runs"][0]
        assert [(r["ruleId"], r["level"]) for r in log["results"]] == [
            ("deepscan-declared-synthetic", level),
            ("deepscan-invalid-manifest", "warning"),
        ]
        for result in log["results"]:
            assert log["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        invocation = log["invocations"][0]
        assert invocation["executionSuccessful"]
        notes = invocation["toolExecutionNotifications"]
        assert [note["descriptor"]["id"] for note in notes] == ["deepscan-origin"]
    suppressed = json.loads(by(SarifReport)([replace(files[0], accepted=True)], DECLARED))["runs"][0]
    assert suppressed["results"][0]["suppressions"]


def test_junit_fails_a_declared_file_where_asked() -> None:
    for config, element in ((ScanConfig(), "system-out"), (DECLARED, "failure")):
        root = ElementTree.fromstring(by(JunitReport)([real(provenance=SYNTHETIC)], config))
        said = root.find(f".//testcase/{element}")
        assert said is not None and "declared synthetic" in str(said.text)
        assert said.get("type") == (None if element == "system-out" else "declared_synthetic")


def test_markdown_lifts_a_declared_file_out_of_the_fold() -> None:
    text = by(MarkdownReport)([real(provenance=SYNTHETIC)], ScanConfig())
    assert "<details>" not in text
    assert "<details>" in by(MarkdownReport)([real(provenance=TAGGED)], ScanConfig())


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("form", FORMATS)
def test_words_from_outside_are_escaped(form: str, name: str) -> None:
    odd = Provenance(
        Manifest("untrusted", name, name, name, (name,), (name, *MADE), (name,)),
        (name,),
        (GenerationParameters(name, name, name),),
        (Tag(name, name),),
        (name,),
    )
    said = FORMATS[form]([real(provenance=odd)], ScanConfig())
    said.encode()
    assert "\x1b" not in said and "\x00" not in said and "\u202e" not in said
    if form in ("html", "markdown"):
        assert "<script" not in said and "<b>bold" not in said
    if form == "markdown":
        assert "](" not in said and "@somebody" not in said
    if form == "junit":
        ElementTree.fromstring(said)
    if form == "json":
        Draft202012Validator(schema()).validate(json.loads(said))
