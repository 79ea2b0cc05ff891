"""Closed streams, full disks, low limits, narrow terminals: one plain sentence, never silence, never a 1."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepscan import limits
from deepscan.cli import run, streams
from deepscan.errors import UsageError
from deepscan.report import terminal
from tests.fixtures.doubles import write_weights

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell"),
]
needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(autouse=True)
def settings(weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEEPSCAN_WEIGHTS", str(weights))
    monkeypatch.setenv("DEEPSCAN_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), *sys.path]))
    monkeypatch.chdir(tmp_path)


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell; ``deepscan`` in it is this one."""
    line = line.replace("deepscan ", f"{sys.executable} -m deepscan ")
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=120)


def refusal(line: str) -> str:
    """The one sentence that a line of shell ends with, exit code 2."""
    done = shell(line)
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("deepscan: ")
    return done.stderr


def test_closed_streams(portrait_photo: Path) -> None:
    assert "standard input is closed" in refusal("deepscan - <&-")
    assert "standard output is closed" in refusal(f"deepscan {portrait_photo} >&-")
    for closed in ("<&-", "2>&-"):
        done = shell(f"deepscan {portrait_photo} --threshold 0 {closed}")
        assert (done.returncode, done.stdout[:6]) == (1, " FAKE ")
    done = shell(f"deepscan {portrait_photo} --threshold 0 -o report.json >&-")
    assert (done.returncode, Path("report.json").exists()) == (1, True)


@needs_full
@pytest.mark.parametrize("options", ["", "--json", "--jsonl", "--version"])
def test_a_full_disk_under_standard_output_is_no_forgery(options: str, portrait_photo: Path) -> None:
    said = refusal(f"deepscan {options} {portrait_photo} --threshold 0 > /dev/full")
    assert "no more room on the disk" in said or "No space left on device" in said


@needs_full
@pytest.mark.parametrize(
    "options", ["-o", "--json -o", "--html", "--sarif", "--junit", "--markdown", "--write-baseline"]
)
def test_a_full_disk_under_a_report_is_named(
    options: str, portrait_photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([str(portrait_photo), "--threshold", "0", *options.split(), "/dev/full"]) == 2
    err = capsys.readouterr().err
    assert err == "deepscan: /dev/full: this file cannot be written (No space left on device)\n"


def test_a_disk_that_fills_up_leaves_no_half_of_anything(portrait_photo: Path, tmp_path: Path) -> None:
    """`ulimit -f` lets files grow to 2048 bytes only."""
    (tmp_path / "report.json").write_text("as it was")
    small = "ulimit -f 4 && deepscan"
    said = refusal(f"{small} {portrait_photo} -q -o report.json")
    assert "report.json: this file cannot be written (File too large)" in said
    said = refusal(f"{small} {portrait_photo} -q --save-evidence evidence")
    assert "the evidence cannot be written here (File too large)" in said
    assert (tmp_path / "report.json").read_text() == "as it was"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "report.json"]


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ("ulimit -n 8", "no more than 8 files may be open at once here"),
        ("ulimit -n 20", "raise the limit with `ulimit -n 22`"),
        ("ulimit -v 200000", "no process may use more than 195 MiB of address space here"),
        ("ulimit -v 1200000", "or `ulimit -v unlimited`"),
    ],
)
def test_low_limits_are_named(limit: str, says: str, portrait_photo: Path) -> None:
    assert says in refusal(f"{limit}; deepscan {portrait_photo}")


def test_the_limits_that_are_just_enough_are_enough(portrait_photo: Path) -> None:
    done = shell(f"ulimit -n 28; ulimit -v 1572864; deepscan {portrait_photo} --jobs 2 --threshold 0")
    assert done.returncode == 1, done.stderr


def test_more_workers_need_more_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "open_files", lambda: 64)
    limits.check(jobs=8, threads=1)
    with pytest.raises(UsageError, match=r"9 worker processes need 70: .* or use fewer --jobs"):
        limits.check(jobs=9, threads=1)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(28, "No space left on device", "/tmp/x"), "no more room on the disk of /tmp/x"),
        (OSError(24, "Too many open files"), "too many files are open at once"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("can't start new thread"), "not enough memory"),
        (ImportError("libavcodec.so: failed to map segment from shared object"), "not enough memory"),
        (ZeroDivisionError("division by zero"), None),
        (OSError(5, "Input/output error"), None),
    ],
)
def test_an_error_that_comes_from_a_limit_is_named(error: Exception, says: str | None) -> None:
    try:
        raise ValueError("something else") from error
    except ValueError as outer:
        said = limits.named(outer)
    assert says is said is None or (said is not None and str(says) in said)


def test_a_command_line_that_cannot_be_loaded_is_no_forgery(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise MemoryError")
    code = "import sys; sys.path.insert(0, '.'); from deepscan.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "x.mp4"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "deepscan: the command line cannot be loaded (MemoryError)\n"


@pytest.mark.parametrize("columns", ["0", "1", "20", "59", "-5", "many", "100000"])
def test_every_width_shows_everything(
    columns: str, portrait_photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert run([str(portrait_photo), "--threshold", "0"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    for words in (
        "FAKE",
        portrait_photo.name,
        "face 1",
        "Local features",
        "Face 1 has a probability",
        "no score",
    ):
        assert words in shown
    assert run(["--help"]) == 0
    assert "doctor" in "".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("columns", [20, terminal.ROOMY_COLUMNS - 1])
def test_a_narrow_terminal_gets_one_column(
    columns: int, portrait_photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    run([str(portrait_photo), "--threshold", "0"])
    lines = capsys.readouterr().out.splitlines()[1:]
    assert max(map(len, lines)) <= columns
    assert not any(line.startswith("  ") for line in lines)
    assert any(line.startswith(" SOLA: ") and line.rstrip().endswith("%") for line in lines)


def test_widths_that_nobody_can_lay_out_for_are_forgotten() -> None:
    for said, left in (("0", None), ("-3", None), ("x", None), ("7", "20"), ("50", "50"), ("", "")):
        environment = {"COLUMNS": said}
        streams.fit_columns(environment)
        assert environment.get("COLUMNS") == left
