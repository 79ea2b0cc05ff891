"""What a pipeline uses: the gate, the action's step, and files that other tools read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.doubles import write_weights

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """This deepscan, with tiny networks."""
    weights = write_weights(tmp_path_factory.mktemp("weights"))
    own = {"PYTHONPATH": str(REPOSITORY), "DEEPSCAN_WEIGHTS": str(weights), "DEEPSCAN_THREADS": "1"}
    return {**os.environ, **own}


@pytest.fixture
def incoming(portrait_photo: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "incoming"
    (folder / "press").mkdir(parents=True)
    shutil.copy(portrait_photo, folder / "press" / "a b.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    (folder / "notes.txt").write_text("no media")
    return folder


def gate(incoming: Path, environment: dict[str, str], *options: str) -> int:
    places = ["--accepted", str(incoming.parent / "in"), "--quarantine", str(incoming.parent / "held")]
    command = [sys.executable, str(REPOSITORY / "ci" / "gate.py"), str(incoming), *places, "--", *options]
    return subprocess.run(command, env=environment, stderr=subprocess.DEVNULL).returncode


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_gate_lets_real_files_in_and_keeps_what_it_could_not_read(
    incoming: Path, environment: dict[str, str]
) -> None:
    (incoming.parent / "weights").mkdir()
    weights = write_weights(incoming.parent / "weights", middle=2.0)  # nothing is bright enough to be fake
    assert gate(incoming, {**environment, "DEEPSCAN_WEIGHTS": str(weights)}) == 3
    assert left(incoming.parent / "in") == ["press/a b.jpg"]
    assert left(incoming) == ["broken.jpg", "notes.txt"]


def test_the_gate_holds_flagged_files(incoming: Path, environment: dict[str, str]) -> None:
    assert gate(incoming, environment, "--threshold", "0") == 1
    assert left(incoming.parent / "held") == ["press/a b.jpg"]
    assert not (incoming.parent / "in").exists()


def test_the_gate_lets_in_what_somebody_has_accepted(
    incoming: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    photo = incoming / "press" / "a b.jpg"
    content = hashlib.sha256(photo.read_bytes()).hexdigest()
    known = {"schema_version": "1", "accepted": [{"sha256": content, "finding": "fake"}]}
    (tmp_path / "known.json").write_text(json.dumps(known))
    assert gate(incoming, environment, "--threshold", "0", "--baseline", str(tmp_path / "known.json")) == 3
    assert left(incoming.parent / "in") == ["press/a b.jpg"]


def test_the_gate_moves_nothing_on_an_error(incoming: Path, environment: dict[str, str]) -> None:
    before = left(incoming)
    assert gate(incoming, environment, "--no-such-option") == 2
    assert left(incoming) == before


def step(incoming: Path, environment: dict[str, str], **inputs: str) -> tuple[int, str]:
    """Exit code of the action's step, and the output that it set."""
    binary, output = incoming.parent / "deepscan", incoming.parent / "output"
    binary.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m deepscan "$@"\n')
    binary.chmod(0o755)
    given = {
        "DEEPSCAN_BIN": str(binary), "GATE_PATHS": f"{incoming}\n", "GATE_FAIL_ON": "fake",
        "GATE_UNSCANNED": "fail", "GATE_REPORT": str(incoming.parent / "report.json"), "GATE_OPTIONS": "",
        "GITHUB_OUTPUT": str(output), **inputs,
    }  # fmt: skip
    script = REPOSITORY / "ci" / "scan-step.sh"
    done = subprocess.run(["bash", str(script)], env={**environment, **given}, capture_output=True)
    return done.returncode, output.read_text()


def test_the_step_fails_on_a_flagged_file(incoming: Path, environment: dict[str, str]) -> None:
    assert step(incoming, environment, GATE_OPTIONS="--threshold\n0\n") == (1, "exit-code=1\n")
    assert (incoming.parent / "report.json").is_file()


def test_the_step_can_let_unscanned_files_pass(incoming: Path, environment: dict[str, str]) -> None:
    assert step(incoming, environment, GATE_OPTIONS="--threshold\n1") == (3, "exit-code=3\n")
    passed = step(incoming, environment, GATE_OPTIONS="--threshold\n1", GATE_UNSCANNED="pass")
    assert passed[0] == 0


def test_an_input_is_never_run_as_code(incoming: Path, environment: dict[str, str]) -> None:
    trap = incoming.parent / "trap"
    code, _ = step(incoming, environment, GATE_PATHS=f"$(touch {trap})\n; touch {trap}")
    assert code == 2
    assert not trap.exists()


def test_the_action_hands_every_input_of_its_own_to_the_step() -> None:
    action = (REPOSITORY / "action.yml").read_text(encoding="utf-8")
    script = (REPOSITORY / "ci" / "scan-step.sh").read_text(encoding="utf-8")
    for name in (
        "GATE_PATHS",
        "GATE_FAIL_ON",
        "GATE_UNSCANNED",
        "GATE_REPORT",
        "GATE_OPTIONS",
        "DEEPSCAN_BIN",
    ):
        assert f"{name}: ${{{{" in action
        assert f"${name}" in script
    assert "${{ inputs" not in action.split("run: bash")[1]
