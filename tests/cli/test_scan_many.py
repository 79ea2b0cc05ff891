"""``deepscan scan`` over many files: limits, lists, earlier runs, Ctrl-C; real processes throughout."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from jsonschema import Draft202012Validator

from deepscan import batch
from deepscan.cli import run
from deepscan.report.json import line_schema, schema
from tests.fixtures import make
from tests.fixtures.doubles import write_weights
from tests.fixtures.scanners import Counting, Trouble

pytestmark = pytest.mark.slow

ODD_NAMES = [b"new\nline.jpg", b"quo\"te's.jpg", b"caf\xe9.jpg", b"\x1b[31mred.jpg", b"$(id) `id`.jpg"]
SHOWN = ["new\nline.jpg", "quo\"te's.jpg", "caf\\xe9.jpg", "\x1b[31mred.jpg", "$(id) `id`.jpg"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(autouse=True)
def settings(weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEEPSCAN_WEIGHTS", str(weights))
    monkeypatch.setenv("DEEPSCAN_THREADS", "1")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


Scan = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def scan(capsys: pytest.CaptureFixture[str]) -> Scan:
    """Run with ``--json``: exit code, document without timings, stderr."""

    def scan(*args: object) -> tuple[int, dict[str, Any], str]:
        code = run([str(arg) for arg in (*args, "--json")])
        out, err = capsys.readouterr()
        return code, timeless(out), err

    return scan


def timeless(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    Draft202012Validator(schema()).validate(document)
    for file in document["files"]:
        assert file.pop("seconds") >= 0
    return document


def names(document: dict[str, Any]) -> list[str]:
    return [Path(file["path"]).name for file in document["files"]]


@pytest.fixture
def mixed(tmp_path: Path, portrait_photo: Path, clip: Path) -> Path:
    """Twenty files, two of them bad, one with a video, names of every kind, and a loop."""
    folder = tmp_path / "mixed"
    (folder / "below").mkdir(parents=True)
    for number in range(12):
        shutil.copy(portrait_photo, folder / ("below" if number % 3 else "") / f"photo{number}.jpg")
    for name in ODD_NAMES:
        shutil.copy(portrait_photo, folder / os.fsdecode(name))
    shutil.copy(clip, folder / "clip.mp4")
    (folder / "below" / "empty.mp4").touch()
    make.cut_off(portrait_photo, folder / "cut.jpg", 0.05)
    (folder / "below" / "loop").symlink_to(folder, target_is_directory=True)
    return folder


def test_the_number_of_jobs_changes_no_byte_but_timings(
    mixed: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    texts = []
    for jobs in ("1", "2"):
        code = run([str(mixed), "--json", "--jobs", jobs, "--threshold", "1"])
        assert code == 3
        texts.append(capsys.readouterr().out)
    documents = [timeless(text) for text in texts]
    bare = [
        "\n".join(line for line in text.splitlines() if not line.lstrip().startswith('"seconds":'))
        for text in texts
    ]
    assert bare[0] == bare[1]
    files = documents[0]["files"]
    assert len(files) == len({file["path"] for file in files}) == documents[0]["summary"]["files"] == 20
    walked = [path for path in mixed.rglob("*") if path.is_file() and "loop" not in path.parts]
    assert [file["path"] for file in files] == [batch_path(path) for path in sorted(walked, key=str)]
    assert sum(file["status"] == "unreadable" for file in files) == 2


def batch_path(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@pytest.mark.parametrize("end", [b"\n", b"\0"])
def test_names_come_from_a_list_or_from_standard_input(
    mixed: Path, tmp_path: Path, scan: Scan, end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [name for name in ODD_NAMES if end == b"\0" or b"\n" not in name]
    shown = [name for name in SHOWN if end == b"\0" or "\n" not in name]
    content = b"".join(bytes(mixed) + b"/" + name + end for name in [*wanted, b"gone.mp4"])
    (tmp_path / "list").write_bytes(content)
    code, document, _ = scan("--file-list", tmp_path / "list")
    assert code == 3
    assert sorted(names(document)) == sorted([*shown, "gone.mp4"])
    gone = next(file for file in document["files"] if file["path"].endswith("gone.mp4"))
    assert (gone["status"], "does not exist" in gone["error"]) == ("unreadable", True)
    for args in (["-"], ["--file-list", "-"], ["-", "--file-list", "-"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert scan(*args)[1] == document


def test_excluded_files_are_counted_and_odd_names_can_be_excluded(mixed: Path, scan: Scan) -> None:
    args: list[object] = [mixed, "--exclude", "below", "--exclude", "photo*", "--exclude", "c[lu]*"]
    code, document, _ = scan(*args, "--exclude", "*[31mred.jpg".replace("[", "[[]"))
    assert code == 0
    assert sorted(names(document)) == sorted(name for name in SHOWN if "red" not in name)
    assert document["summary"]["excluded"] == 1 + 4 + 2 + 1


def test_a_cache_spares_what_is_known(
    mixed: Path, tmp_path: Path, scan: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache\n\x1b[31m\udce9"
    first = scan(mixed, "--cache", cache)
    assert "deepscan: 16 of 20 results were taken over" in first[2]  # photos are all the same
    second = scan(mixed, "--cache", cache, "--jobs", "2")
    assert "deepscan: 18 of 20 results were taken over" in second[2]
    assert second[:2] == first[:2] == scan(mixed)[:2]
    other = scan(mixed, "--cache", cache, "--max-faces", "3")
    assert "16 of 20" in other[2]
    assert run([str(mixed), "--cache", str(mixed / "cut.jpg")]) == 2


def test_a_baseline_takes_its_findings_out_of_the_exit_code(
    mixed: Path, tmp_path: Path, scan: Scan, capsys: pytest.CaptureFixture[str]
) -> None:
    accepted = tmp_path / "accepted\n\udce9.json"
    odd = mixed / os.fsdecode(ODD_NAMES[2])
    code, document, _ = scan(odd, "--threshold", "0", "--write-baseline", accepted)
    assert (code, document["summary"]["accepted"]) == (1, 0)
    odd = odd.rename(mixed / "renamed\x1b[0m.jpg")
    code, document, _ = scan(odd, "--threshold", "0", "--baseline", accepted)
    assert code == 0
    assert [(file["verdict"], file["accepted"]) for file in document["files"]] == [("fake", True)]
    assert document["summary"]["fake"] == document["summary"]["accepted"] == 1
    run([str(odd), "--threshold", "0", "--baseline", str(accepted)])
    assert "accepted before" in capsys.readouterr().out
    with odd.open("ab") as stream:
        stream.write(b"edited")
    assert scan(odd, "--threshold", "0", "--baseline", accepted)[0] == 1


def test_a_baseline_that_cannot_be_read_or_written_is_said_before_anything_runs(
    tmp_path: Path, portrait_photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option, path in (
        ("--baseline", "gone"),
        ("--write-baseline", "nowhere/new"),
        ("--write-baseline", "."),
    ):
        assert run([str(portrait_photo), option, str(tmp_path / path)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert "cannot be" in err


def test_limits_are_named_in_the_report(clip: Path, portrait_photo: Path, scan: Scan) -> None:
    code, document, _ = scan(clip, portrait_photo, "--max-size", "100", "--threshold", "1")
    assert code == 3
    assert all("more than --max-size allows (100)" in file["error"] for file in document["files"])
    code, document, _ = scan(clip, "--pixel-budget", "1M", "--threshold", "1")
    (file,) = document["files"]
    assert (code, file["status"], file["verdict"]) == (3, "partial", "uncertain")
    assert "--pixel-budget allows more" in file["coverage"]["warnings"][-1]
    assert 16 <= file["coverage"]["frames_decoded"] < 50
    assert document["settings"]["pixel_budget"] == 10**6


def trouble(folder: Path, *names: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("content")
    return [str(folder / name) for name in names]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_crash_shows_its_traceback_only_on_request(
    tmp_path: Path, jobs: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(batch, "scan_files", partial(batch.scan_files, make_scanner=Trouble))
    paths = trouble(tmp_path, "a.mp4", "bug.mp4", "crash.mp4", "z.mp4")
    assert run([*paths, "--jobs", jobs]) == 3
    out, err = capsys.readouterr()
    assert err == ""
    assert out.count("CRASHED") == 2
    assert run([*paths, "--jobs", jobs, "-v"]) == 3
    err = capsys.readouterr().err
    assert "ZeroDivisionError: division by \\x1b[31mzero" in err
    assert "Fatal Python error: Segmentation fault" in err
    assert f"deepscan: {tmp_path}/crash.mp4: where it crashed:\n" in err
    assert "\x1b" not in err


TROUBLED = """
import functools
from deepscan import batch
from deepscan.cli import main
from tests.fixtures.scanners import Trouble
batch.scan_files = functools.partial(batch.scan_files, make_scanner=Trouble)
main()
"""


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Run a command line of its own, in a process group of its own, as a terminal starts it."""
    root = str(Path(__file__).parents[2])
    with ExitStack() as stack:

        def start(args: Sequence[str], **options: Any) -> subprocess.Popen[str]:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", TROUBLED, *args],
                    env={**os.environ, "PYTHONPATH": root},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                    **options,
                )
            )
            stack.callback(process.kill)
            return process

        yield start


def press_ctrl_c(process: subprocess.Popen[str], pressed: int = signal.SIGINT) -> tuple[str, str]:
    os.killpg(process.pid, pressed)
    out, err = process.communicate(timeout=60)
    wait_for(lambda: not group_is_alive(process.pid), 10)  # nobody is left behind
    return out, err


@pytest.mark.parametrize(
    ("jobs", "pressed"), [("1", signal.SIGINT), ("2", signal.SIGINT), ("1", signal.SIGTERM)]
)
def test_ctrl_c_leaves_whole_lines(tmp_path: Path, start: Start, jobs: str, pressed: int) -> None:
    paths = trouble(tmp_path, "a.mp4", "b.mp4", *(f"slow{number:02}.mp4" for number in range(40)))
    process = start([*paths, "--jsonl", "--jobs", jobs])
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(4)]
    out, err = press_ctrl_c(process, pressed)
    lines += out.splitlines()
    assert process.returncode == 2
    for line, path in zip(lines, paths, strict=False):
        Draft202012Validator(line_schema()).validate(json.loads(line))
        assert json.loads(line)["path"] == path
    assert err == f"deepscan: interrupted, {len(lines)} of 42 files are in the report\n"
    assert 4 <= len(lines) < 42


def test_ctrl_c_while_workers_start_is_one_sentence_too(tmp_path: Path, start: Start) -> None:
    paths = trouble(tmp_path, "hang.mp4", "z.mp4")
    process = start([*paths, "--json"])
    parent = psutil.Process(process.pid)
    wait_for(lambda: any("spawn_main" in " ".join(child.cmdline()) for child in parent.children()))
    time.sleep(0.3)  # the worker's Python has started and imports; on a quick machine it is at the first file
    out, err = press_ctrl_c(process)
    assert process.returncode == 2
    assert (timeless(out)["interrupted"], timeless(out)["files"]) == (True, [])
    assert err == "deepscan: interrupted, 0 of 2 files are in the report\n"


def test_an_interrupted_run_goes_on_where_it_was(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "media"
    paths = [
        Path(path)
        for path in trouble(folder, "a.mp4", "b\n\x1b[1m.mp4", *(f"slow{n:02}.mp4" for n in range(20)))
    ]
    for number, path in enumerate(paths):
        path.write_text(f"{'fake' if number % 5 == 0 else 'real'} {number}")
    report = tmp_path / "report\udce9.json"
    kept = tmp_path / "report\udce9.json.resume"
    command = [str(folder), "--resume", "-o", str(report), "--json"]
    process = start(command)
    wait_for(lambda: kept.exists() and rows(kept) >= 3)
    _, err = press_ctrl_c(process)
    assert process.returncode == 2
    part = timeless(report.read_text())
    done = len(part["files"])
    assert part["interrupted"] is True
    assert 2 <= done < 22
    assert f"interrupted, {done} of 22 files are in the report; the same command goes on from here" in err

    scan_files = partial(batch.scan_files, make_scanner=Counting)
    monkeypatch.setattr(batch, "scan_files", scan_files)
    assert run(command) == 1
    err = capsys.readouterr().err
    whole = timeless(report.read_text())
    assert whole["files"][:done] == part["files"]
    assert (whole["interrupted"], len(whole["files"])) == (False, 22)
    scanned = folder.joinpath("count").read_bytes().count(b"\0")
    assert f"deepscan: {22 - scanned} of 22 results were taken over" in err
    assert 22 - scanned >= done
    assert not kept.exists()
    folder.joinpath("count").unlink()
    run([str(folder), "--json"])
    assert timeless(capsys.readouterr().out) == whole


def test_killing_the_run_ends_its_workers_and_keeps_what_is_done(tmp_path: Path, start: Start) -> None:
    trouble(tmp_path / "media", "a.mp4", "b.mp4", "hang.mp4")
    (tmp_path / "media" / "hang.mp4").write_text("not known from the others")
    report = tmp_path / "report.json"
    process = start([str(tmp_path / "media"), "--resume", "-o", str(report), "--timeout", "0"])
    kept = tmp_path / "report.json.resume"
    wait_for(lambda: kept.exists() and rows(kept) == 1)  # both have the same content
    process.kill()
    process.communicate(timeout=60)
    wait_for(lambda: not group_is_alive(process.pid))
    assert not report.exists()
    assert rows(kept) == 1


def test_resume_needs_a_report_to_stand_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([str(tmp_path), "--resume"]) == 2
    assert "--resume needs -o FILE" in capsys.readouterr().err


def rows(database: Path) -> int:
    try:
        with closing(sqlite3.connect(database)) as connection:
            return int(connection.execute("SELECT count(*) FROM results").fetchone()[0])
    except sqlite3.Error:
        return 0


def group_is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
