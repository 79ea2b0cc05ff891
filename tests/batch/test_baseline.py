"""Accepted findings: by content, up to what was accepted, and only then."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from deepscan import batch
from deepscan.cli.exit_codes import exit_code
from deepscan.errors import UsageError
from deepscan.scanner import FileReport
from tests.fixtures.sample import failed, real, scanned

ONE, OTHER = "1" * 64, "2" * 64
FAKE = scanned(sha256=ONE)
UNCERTAIN = scanned(verdict="uncertain", probability=0.5, sha256=ONE)
PARTIAL = scanned(status="partial", verdict="uncertain", sha256=ONE)
NO_FACE = scanned(status="no_face", verdict=None, probability=None, tracks=(), sha256=ONE)
NO_VERDICT = scanned(verdict=None, probability=None, sha256=ONE)
REAL = real(sha256=ONE)


@pytest.mark.parametrize(
    ("finding", "report", "accepted"),
    [
        ("fake", FAKE, True),
        ("fake", UNCERTAIN, True),
        ("fake", NO_FACE, True),
        ("uncertain", UNCERTAIN, True),
        ("uncertain", PARTIAL, True),
        ("uncertain", FAKE, False),
        ("no_face", NO_FACE, True),
        ("no_face", NO_VERDICT, True),
        ("no_face", UNCERTAIN, False),
        ("no_face", FAKE, False),
        ("fake", REAL, False),  # there is nothing to accept
    ],
)
def test_what_is_accepted_is_that_finding_or_a_lesser_one(
    finding: str, report: FileReport, accepted: bool
) -> None:
    assert batch.Baseline({ONE: finding}).mark(report).accepted is accepted
    assert not batch.Baseline({OTHER: finding}).mark(report).accepted
    assert not batch.Baseline({}).mark(failed()).accepted


def test_accepted_files_have_no_say_in_the_exit_code() -> None:
    known = batch.Baseline({ONE: "fake"})
    assert exit_code([known.mark(FAKE)], "fake") == 0
    assert exit_code([known.mark(FAKE), scanned(sha256=OTHER)], "fake") == 1
    assert exit_code([known.mark(UNCERTAIN)], "uncertain") == 0
    assert exit_code([known.mark(NO_FACE)], "fake") == 0
    assert exit_code([known.mark(FAKE), failed()], "fake") == 3


def test_a_run_writes_the_file_that_the_next_run_reads(tmp_path: Path) -> None:
    path = tmp_path / "accepted.json"
    odd = scanned("caf\udce9\n\x1b[31m.mp4", sha256=OTHER)
    files = [FAKE, odd, real(sha256="3" * 64), failed(), UNCERTAIN]
    stream = io.StringIO()
    assert batch.write_baseline(files, stream) == 2
    path.write_text(stream.getvalue(), encoding="utf-8")
    document = json.loads(path.read_bytes())
    assert document["accepted"][1]["path"] == "caf\\xe9\n\x1b[31m.mp4"
    known = batch.read_baseline(path)
    assert dict(known.findings) == {ONE: "fake", OTHER: "fake"}
    document["accepted"][0]["note"] = "labelled as satire"
    document["accepted"][0]["sha256"] = "A" * 64
    path.write_text(json.dumps(document))
    assert "a" * 64 in batch.read_baseline(path).findings


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("\udcff", "is not JSON"),
        ("[]", "no baseline of schema_version 1"),
        ('{"schema_version": "2", "accepted": []}', "no baseline of schema_version 1"),
        ('{"schema_version": "1"}', "every entry of accepted needs"),
        ('{"schema_version": "1", "accepted": [{"sha256": "1"}]}', "every entry of accepted needs"),
        ('{"schema_version": "1", "accepted": ["1"]}', "every entry of accepted needs"),
    ],
)
def test_a_file_that_is_no_baseline_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "accepted.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=rf"accepted\.json: .*{message}"):
        batch.read_baseline(path)
    with pytest.raises(UsageError, match=r"gone: this baseline cannot be read"):
        batch.read_baseline(tmp_path / "gone")
