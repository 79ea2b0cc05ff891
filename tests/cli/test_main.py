"""Commands, options and exit codes, as a shell sees them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deepscan import __version__
from deepscan.cli import app, run

HEAVY = ("numpy", "av", "cv2", "insightface", "onnxruntime", "torch", "PIL")
MOST_MODULES = 400
"""What `--help` may import in all (340 when this was written); seconds: `benchmarks/speed/startup.py`."""


def deepscan(*args: str | bytes, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "deepscan", *args],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["gone.mp4"], "gone.mp4: no such file or directory"),
        (["scan", "gone.mp4"], "gone.mp4: no such file or directory"),
        (["trian"], "trian: no such file; did you mean `train`?"),
        (["wieghts"], "wieghts: no such file; did you mean `weights`?"),
        (["docter"], "docter: no such file; did you mean `doctor`?"),
        (["--jsn", "."], "No such option: --jsn"),
        (["scan", "--jsn", "."], "No such option: --jsn"),
        ([""], "a path is empty; name a file or directory"),
        (["--json", ".", ""], "a path is empty; name a file or directory"),
        (["scan"], "nothing to scan: name files or directories"),
        (["--json", "--jsonl", "."], "--json and --jsonl are two formats; choose one"),
        (["--device", "gpu", "."], "device must be one of auto, cpu, cuda, tensorrt, not 'gpu'"),
        (["--detectors", "gmll", "."], "detectors must be among"),
        (["--threshold", "2", "."], "threshold must be a number from 0 to 1"),
        (["--jobs", "0", "."], "jobs must be a whole number, 1 or more"),
        (["--weights", "nowhere", "doctor", "."], "doctor: no such file or directory"),
        (["weights", "verify", "--weights", "nowhere"], "there is no weights manifest here"),
    ],
)
def test_a_mistake_is_one_sentence_on_stderr(
    args: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("deepscan: ")
    assert sentence in err
    assert len(err.splitlines()) == 1


def test_every_command_can_be_misspelt(capsys: pytest.CaptureFixture[str]) -> None:
    names = CliRunner().invoke(app, ["--help"]).output.split()
    for name in ("scan", "doctor", "evaluate", "schema", "weights", "train"):
        assert name in names
        assert run([name[:-2] + name[-1] + name[-2]]) == 2
        assert f"did you mean `{name}`?" in capsys.readouterr().err


def test_an_internal_error_exits_2_with_a_traceback_only_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from deepscan import batch

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(batch, "survey", broken)
    assert run([str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "internal error, nothing is decided (ZeroDivisionError: division by zero)" in err
    assert "Traceback" not in err
    assert run([str(tmp_path), "-v"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_version_and_help() -> None:
    version = CliRunner().invoke(app, ["--version"])
    assert (version.exit_code, version.output) == (0, f"deepscan {__version__}\n")
    usage = CliRunner().invoke(app, ["--help"])
    assert usage.exit_code == 0
    for command in ("scan", "doctor", "weights", "schema"):
        assert command in usage.output
    options = CliRunner().invoke(app, ["scan", "--help"], env={"COLUMNS": "120"}).output
    for option in ("--json", "--jsonl", "--output", "--detectors", "--device", "--threshold", "--max-faces",
                   "--min-face", "--face-model", "--jobs", "--thorough", "--fail-on", "--weights", "--quiet",
                   "--verbose", "--no-progress", "--file-list", "--exclude", "--timeout", "--max-memory",
                   "--max-size", "--pixel-budget", "--resume", "--cache", "--baseline",
                   "--write-baseline"):  # fmt: skip
        assert option in options


def test_help_loads_nothing_heavy_and_little_at_all() -> None:
    code = (
        "import sys\n"
        "from deepscan.cli import run\n"
        "code = run(['--help'])\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        f"print(code, loaded, len(sys.modules) < {MOST_MODULES}, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "0 [] True\n"


def test_completion_offers_commands_and_the_options_of_scan() -> None:
    def offered(words: str, position: int) -> list[str]:
        done = deepscan(_DEEPSCAN_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(position))
        return done.stdout.split()

    assert offered("deepscan do", 1) == ["doctor"]
    assert offered("deepscan --js", 1) == ["--json", "--jsonl"]
    assert offered("deepscan weights v", 2) == ["verify"]


def test_schema_prints_a_schema(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from jsonschema import Draft202012Validator

    for args in (["schema"], ["schema", "--jsonl"]):
        assert run(args) == 0
        Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))


def test_a_reader_that_goes_away_does_not_look_like_a_forgery() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "deepscan", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 2
    assert b"Traceback" not in error
