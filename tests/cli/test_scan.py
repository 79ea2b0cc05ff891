"""``deepscan scan`` from files to output and exit code, with tiny networks that call bright faces fake."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from deepscan.cli import run
from deepscan.cli.exit_codes import exit_code
from deepscan.report.json import line_schema, schema
from tests.doubles import write_weights
from tests.report.sample import failed, real, scanned


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights"), weights={"resnet3d": 0.0})


@pytest.fixture(autouse=True)
def settings(weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEEPSCAN_WEIGHTS", str(weights))
    monkeypatch.setenv("DEEPSCAN_THREADS", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.chdir(tmp_path)


FAKE, REAL, ODD = ("--threshold", "0"), ("--threshold", "1"), ("--fail-on", "uncertain")


def test_the_exit_code_says_what_was_found() -> None:
    uncertain = scanned(verdict="uncertain")
    part = scanned(status="partial", verdict="uncertain")
    assert exit_code([], "fake") == 0
    assert exit_code([real()], "fake") == 0
    assert exit_code([real(), uncertain], "fake") == 0
    assert exit_code([real(), uncertain], "uncertain") == 1
    assert exit_code([real(), failed()], "fake") == 3
    assert exit_code([real(), failed("n.mp4", "no_face")], "fake") == 3
    assert exit_code([real(), part], "fake") == 3
    assert exit_code([failed(), scanned()], "fake") == 1
    assert exit_code([scanned(), failed()], "fake") == 1


def test_a_photo_end_to_end(portrait_photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([str(portrait_photo), *FAKE]) == 1
    out, err = capsys.readouterr()
    assert out.startswith(" FAKE ")
    assert "SOLA" in out
    assert "\x1b" not in out
    assert err == ""


def test_one_path_is_one_scan_whatever_stands_in_front(
    portrait_photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = []
    for args in (
        [str(portrait_photo), "--json"],
        ["--json", str(portrait_photo)],
        ["scan", str(portrait_photo), "--json"],
    ):
        run(args)
        document = json.loads(capsys.readouterr().out)
        document["files"][0].pop("seconds")
        documents.append(document)
    assert documents[0] == documents[1] == documents[2]


def test_json_and_jsonl_are_valid_and_cover_every_path(
    clip: Path, faceless: Path, portrait_photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    paths = [str(path) for path in (text, clip, faceless, portrait_photo, empty)]
    assert run([*paths, "--json", "--jobs", "2"]) == 3
    document = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema()).validate(document)
    assert [file["path"] for file in document["files"]] == sorted(paths)
    assert document["not_counted"] == ["resnet3d"]
    assert run([*paths, "--jsonl"]) == 3
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for line, file in zip(lines, document["files"], strict=True):
        Draft202012Validator(line_schema()).validate(line)
        assert {key: line[key] for key in file if key != "seconds"} == {
            key: value for key, value in file.items() if key != "seconds"
        }
    errors = {Path(line["path"]).name: line["error"] for line in lines}
    assert "zero bytes" in errors["empty.mp4"]
    assert "not a video or photo" in errors["text.mp4"]


def test_a_report_file_appears_whole_or_not_at_all(
    portrait_photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out" / "report.json"
    assert run([str(portrait_photo), "-o", str(target)]) == 2
    assert "the report cannot be written here" in capsys.readouterr().err
    target.parent.mkdir()
    assert run([str(portrait_photo), "-o", str(target), *FAKE]) == 1
    first = target.read_text()
    Draft202012Validator(schema()).validate(json.loads(first))
    assert capsys.readouterr().out == ""
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask

    from deepscan import batch

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(batch, "scan_files", broken)
    assert run([str(portrait_photo), "-o", str(target)]) == 2
    assert target.read_text() == first
    assert list(target.parent.iterdir()) == [target]


def test_a_report_file_may_be_a_link_or_a_device(
    portrait_photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "real.jsonl").touch()
    (tmp_path / "link.jsonl").symlink_to("real.jsonl")
    run([str(portrait_photo), "-o", str(tmp_path / "link.jsonl")])
    assert (tmp_path / "link.jsonl").is_symlink()
    assert json.loads((tmp_path / "real.jsonl").read_text())["path"] == str(portrait_photo)
    run([str(portrait_photo), "-o", os.devnull])
    assert not Path(os.devnull).is_file()


def test_flags_win_over_the_environment(
    portrait_photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEEPSCAN_DETECTORS", "gml,sola")
    monkeypatch.setenv("DEEPSCAN_MAX_FACES", "2")
    run([str(portrait_photo), "--json", "--detectors", "sola"])
    document = json.loads(capsys.readouterr().out)
    assert list(document["weights"]) == ["sola"]
    assert (document["settings"]["detectors"], document["settings"]["max_faces"]) == (["sola"], 2)


def test_a_directory_without_media_is_empty_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("no media")
    assert run([str(tmp_path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["files"] == []
    assert json.loads(out)["summary"]["left_out"] == 1
    assert err == "deepscan: there is no video or photo to scan here\n"


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="names must be Unicode there")
def test_a_name_that_is_not_utf8(
    portrait_photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.jpg")
    path.write_bytes(portrait_photo.read_bytes())
    for args in ([str(path)], [str(tmp_path)]):
        run([*args, "--json"])
        file = json.loads(capsys.readouterr().out)["files"][0]
        assert (file["path"], file["status"]) == (f"{tmp_path}/caf\\xe9.jpg", "scanned")
    run([str(path)])
    assert "caf\\xe9.jpg" in capsys.readouterr().out


def test_quiet_says_nothing_about_a_real_file(
    portrait_photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = write_weights(Path("dim"), middle=2.0)
    assert run([str(portrait_photo), "-q", "--weights", str(weights)]) == 0
    assert capsys.readouterr() == ("", "")
