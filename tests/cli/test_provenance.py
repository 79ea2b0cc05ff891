"""``deepscan scan`` on signed files, from file to exit code, with tiny networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deepscan.cli import run
from deepscan.provenance import manifests
from tests.fixtures import signed
from tests.fixtures.doubles import write_weights

REAL = ("--threshold", "1")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(autouse=True)
def settings(weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEEPSCAN_WEIGHTS", str(weights))
    monkeypatch.setenv("DEEPSCAN_THREADS", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def made(portrait_photo: Path, tmp_path: Path) -> Path:
    """A photo whose manifest says that a trained model made it."""
    return signed.sign(portrait_photo, tmp_path / "made.jpg", "image/jpeg")


def scan(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, Any]:
    code = run([str(path), "--json", *options])
    return code, json.loads(capsys.readouterr().out)["files"][0]


def test_a_gate_on_declarations_and_who_is_trusted(
    made: Path, portrait_photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, plain = scan(portrait_photo, capsys, *REAL, "--fail-on", "declared")
    ordinary, file = scan(made, capsys, *REAL)
    assert code == ordinary == 0
    for name in ("status", "probability", "verdict"):
        assert file[name] == plain[name]
    assert file["provenance"]["declared_synthetic"]
    assert file["provenance"]["manifest"]["state"] == "untrusted"
    anchors = tmp_path / "root.pem"
    anchors.write_bytes(signed.authority().root)
    code, file = scan(made, capsys, *REAL, "--fail-on", "declared", "--trust-anchors", str(anchors))
    assert (code, file["provenance"]["manifest"]["state"]) == (1, "valid")
    assert run([str(made), "--trust-anchors", str(tmp_path / "missing.pem")]) == 2
    assert "trust anchors" in capsys.readouterr().err


def test_a_tampered_file_keeps_its_status_and_is_warned_of(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, before = scan(made, capsys, *REAL)
    code, file = scan(signed.tampered(made, tmp_path / "t.jpg"), capsys, *REAL, "--fail-on", "declared")
    assert (code, file["status"]) == (0, before["status"])
    assert file["provenance"]["manifest"]["state"] == "invalid"
    assert not file["provenance"]["declared_synthetic"]
    assert file["provenance"]["warnings"]


def test_results_that_are_kept_keep_it(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ("--cache", str(tmp_path / "cache"))
    _, first = scan(made, capsys, *cache)
    run([str(made), "--json", *cache])
    captured = capsys.readouterr()
    assert "1 of 1 results were taken over" in captured.err
    assert json.loads(captured.out)["files"][0]["provenance"] == first["provenance"] is not None
    anchors = tmp_path / "root.pem"
    anchors.write_bytes(signed.authority().root)
    _, trusted = scan(made, capsys, *cache, "--trust-anchors", str(anchors))
    assert trusted["provenance"]["manifest"]["state"] == "valid"
    monkeypatch.setattr("deepscan.batch.cache.c2pa_version", lambda: None)
    run([str(made), "--json", *cache])
    assert "0 of 1 results were taken over" in capsys.readouterr().err


def test_doctor_says_whether_manifests_are_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(["doctor"])
    assert "reads C2PA manifests" in capsys.readouterr().out
    monkeypatch.setattr(manifests, "c2pa_version", lambda: None)
    run(["doctor"])
    assert "pip install 'deepscan[provenance]'" in capsys.readouterr().out
