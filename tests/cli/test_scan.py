"""``deepscan scan`` from files to output and exit code, with tiny networks that call bright faces fake."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from deepscan.batch import run as batch_run
from deepscan.cli import run
from deepscan.cli.exit_codes import exit_code
from deepscan.inference import loading
from deepscan.report.json import line_schema, schema
from tests.fixtures.doubles import write_weights
from tests.fixtures.sample import failed, real, scanned

pytestmark = pytest.mark.slow


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

    def broken(*_: object, **__: object) -> None:
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


def test_reports_beside_the_main_one(
    portrait_photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.mp4").touch()
    paths = [str(portrait_photo), str(tmp_path / "empty.mp4")]
    beside = ["--sarif", "r.sarif", "--junit", "r.xml", "--markdown", "r.md"]
    assert run([*paths, "--json", *beside, *FAKE]) == 1
    assert len(json.loads(capsys.readouterr().out)["files"]) == 2
    assert json.loads(Path("r.sarif").read_text())["runs"][0]["results"][0]["level"] == "error"
    assert '<testsuite name="deepscan" tests="2" failures="1" errors="1"' in Path("r.xml").read_text()
    assert "1 fake, 1 without a verdict" in Path("r.md").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.mp4", "r.md", "r.sarif", "r.xml"]


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("r.sarif", '{\n  "$schema": "https://json.schemastore.org/sarif'),
        ("r.SARIF.json", '{\n  "$schema": "https://json.schemastore.org/sarif'),
        ("r.xml", "<?xml"),
        ("r.md", "### deepscan"),
        ("r.json", '{\n  "schema_version"'),
        ("r.jsonl", '{"schema_version"'),
        ("r.txt", " FAKE "),
    ],
)
def test_the_ending_of_the_name_chooses_the_format(
    name: str, start: str, portrait_photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([str(portrait_photo), "-o", name, *FAKE]) == 1
    assert capsys.readouterr().out == ""
    assert Path(name).read_text().startswith(start)


def test_a_report_never_overwrites_media_or_another_report(
    portrait_photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "clip.jpg"
    clip.write_bytes(portrait_photo.read_bytes())
    assert run(["--sarif", str(clip), str(portrait_photo)]) == 2
    assert "is a video or photo, and a report would overwrite it" in capsys.readouterr().err
    assert clip.read_bytes() == portrait_photo.read_bytes()
    assert run(["--sarif", "r.out", "-o", "r.out", str(portrait_photo)]) == 2
    assert "two reports would be written to this file" in capsys.readouterr().err


def test_no_report_is_left_behind_by_a_run_that_fails(portrait_photo: Path, tmp_path: Path) -> None:
    Path("r.md").write_text("before")
    assert run([str(portrait_photo), "--markdown", "r.md", "--sarif", "no/such/r.sarif"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["r.md"]
    assert Path("r.md").read_text() == "before"


def test_an_html_report_by_its_ending_or_beside(
    portrait_photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([str(portrait_photo), "--html", "beside.html", *FAKE]) == 1
    assert "FAKE" in capsys.readouterr().out
    assert run([str(portrait_photo), "-o", "main.html", *FAKE]) == 1
    assert capsys.readouterr().out == ""
    for name in ("beside.html", "main.html"):
        text = Path(name).read_text(encoding="utf-8")
        assert text.startswith("<!doctype html>")
        assert text.endswith("</html>\n")
        assert "As the detector saw it." in text


def test_saved_evidence_is_png_named_by_file_face_and_detector(portrait_photo: Path, tmp_path: Path) -> None:
    from PIL import Image

    odd = tmp_path / "a b\n<c>.jpg"
    odd.write_bytes(portrait_photo.read_bytes())
    assert run([str(odd), "--save-evidence", "evidence/of/run", "-q", *FAKE]) == 1
    folder = tmp_path / "evidence" / "of" / "run" / "0001-a_b__c_.jpg"
    assert sorted(path.name for path in folder.iterdir()) == [
        "face1-gend-0.00s.png",
        "face1-local_features-0.00s.png",
        "face1-sola-0.00s.png",
    ]
    with Image.open(folder / "face1-sola-0.00s.png") as picture:
        assert picture.size == (256, 256)


def test_an_evidence_folder_that_cannot_be_made(
    portrait_photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").touch()
    assert run([str(portrait_photo), "--save-evidence", "taken", *FAKE]) == 2
    assert "the evidence cannot be written here" in capsys.readouterr().err


def test_a_gpu_that_does_not_come_up_is_said_once_and_the_cpu_scans(
    portrait_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loading, "candidates", lambda device: ["tensorrt", "cuda", "cpu"])
    monkeypatch.setattr(batch_run, "try_elsewhere", lambda *asked: "its libraries do not load")
    shutil.copy(portrait_photo, tmp_path / "other.jpg")
    assert run([str(portrait_photo), "other.jpg", "--json", "--no-progress", *REAL]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert (report["device"], report["precision"], report["settings"]["precision"]) == ("cpu", "int8", "auto")
    assert err.count("\n") == 1
    assert err.startswith("deepscan: tensorrt does not come up (its libraries do not load); cuda does not")
    assert "scanning on cpu" in err


def test_the_precision_is_in_the_report(
    portrait_photo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSCAN_PRECISION", "fp32")
    assert run([str(portrait_photo), "--json", "--device", "cpu", *REAL]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["device"], report["precision"], report["settings"]["precision"]) == ("cpu", "fp32", "fp32")
    Draft202012Validator(schema()).validate(report)
