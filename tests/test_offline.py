"""A scan opens no socket, looks up no name and leaves nothing below HOME: real library, real networks.

Native code opens sockets that Python's audit hooks never hear of, so strace watches whole process trees. HOME
is watched without it, too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[1]
EXAMPLE = str(REPOSITORY / "examples" / "forged.mp4")
# What would keep ONNX Runtime silent by itself, or says where caches are.
SILENCERS = ("CI", "GITHUB_ACTIONS", "ORT_RUNNING_UNIT_TESTS", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
CONTACT = re.compile(r"socket\(AF_INET|connect\(.*nscd|open(?:at)?\(.*\"/etc/(?:resolv\.conf|hosts)\"")
TRACED = "trace=socket,connect,open,openat"

SCAN = "import sys, deepscan; print(deepscan.scan(sys.argv[1]).verdict)"
SERVED = """
import sys
from pathlib import Path
from deepscan import batch
from deepscan.config import ScanConfig

if __name__ == "__main__":
    config = ScanConfig(device="cpu", precision="int8", detectors=("sola", "local_features"), jobs=2)
    for report in batch.scan_files([Path(sys.argv[1])], config, batch=2):
        print(report.verdict)
"""
TRAINING = """
import numpy as np
from pathlib import Path
from deepscan.faces.mesh import FaceMesh

FaceMesh(Path("weights/faces/facemesh_468.onnx"))
import deepscan.training.export.onnx
print("loaded")
"""


@dataclass(frozen=True)
class Seen:
    """What a program did: lines of strace that name a contact, and files that it left below HOME."""

    printed: str
    contacts: list[str]
    files: list[str]


def watched(program: Sequence[str], folder: Path) -> Seen:
    """Run Python with a fresh HOME, as a user's shell would, and watch it and all it starts."""
    home, trace = folder / "home", folder / "trace"
    home.mkdir()
    env = {name: value for name, value in os.environ.items() if name not in SILENCERS}
    env |= {"HOME": str(home), "ORT_DISABLE_TELEMETRY": "0", "PYTHONPATH": str(REPOSITORY)}
    strace = ["strace", "-f", "-qq", "-e", TRACED, "-o", str(trace)] if can_trace() else []
    done = subprocess.run(
        [*strace, sys.executable, *program],
        cwd=REPOSITORY,
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode in (0, 1), done.stderr
    lines = trace.read_text(errors="replace").splitlines() if strace else []
    files = [str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir()]
    return Seen(done.stdout, [line for line in lines if CONTACT.search(line)], files)


def can_trace() -> bool:
    """There is strace, and it may trace here (some containers forbid it)."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="HOME and strace are Linux's")
@pytest.mark.parametrize(
    ("program", "says"),
    [
        (["-m", "deepscan", EXAMPLE, "--jobs", "2"], "FAKE"),
        (["-m", "deepscan", "doctor"], "can scan on this machine"),
        (["-c", SCAN, EXAMPLE], "fake"),
        (["{script}", EXAMPLE], ""),
        (["-c", TRAINING], "loaded"),
    ],
    ids=["command", "doctor", "python", "served", "training"],
)
def test_nothing_leaves_the_machine(program: list[str], says: str, tmp_path: Path) -> None:
    script = tmp_path / "served.py"
    script.write_text(SERVED)
    seen = watched([part.replace("{script}", str(script)) for part in program], tmp_path)
    assert says in seen.printed
    assert seen.printed.strip()
    assert (seen.contacts, seen.files) == ([], [])


@pytest.mark.skipif(sys.platform != "linux", reason="HOME and strace are Linux's")
def test_what_would_leave_is_noticed(tmp_path: Path) -> None:
    code = """
    import socket
    from pathlib import Path

    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    socket.getaddrinfo("localhost", 80)
    Path.home().joinpath("deviceid").write_text("1")
    """
    seen = watched(["-c", "if True:" + code], tmp_path)
    assert seen.files == ["deviceid"]
    if can_trace():
        said = "\n".join(seen.contacts)
        assert "AF_INET" in said
        assert "/etc/hosts" in said
