"""One worker process: takes mutants, scans them, says what came of each.

Everything is the real thing but the models: faces are not looked for (one is always in the middle of the
frame) and the networks call everything real, so that every mutant whose damage goes unnoticed comes out as
``real``.
"""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepscan.cli.exit_codes import CLEAN, exit_code
from deepscan.config import ScanConfig
from deepscan.faces.detector import Face
from deepscan.media import is_media
from deepscan.report.json import dumps, file_object
from deepscan.scanner import FileReport
from fuzz.mutate import APPENDED, mutant
from fuzz.oracle import violation
from tests.fixtures.doubles import write_weights

DETECTORS = ("sola", "resnet3d")  # one of single frames, one of windows
MEMORY_BYTES = 6 << 30


@dataclass(frozen=True)
class Task:
    """Which mutants a worker makes, and out of what."""

    seed: int
    sources: dict[str, bytes]
    folder: Path


@dataclass(frozen=True)
class Outcome:
    """What came of one mutant. ``violation`` is None when nothing is wrong."""

    index: int
    source: str
    damage: str
    status: str
    verdict: str | None
    exit_code: int | None
    said: str
    violation: str | None


class _FaceInTheMiddle:
    """Takes the place of the face engine."""

    confidence = 0.8

    def __init__(self, model: Path, *, providers: Sequence[str], threads: int) -> None:
        pass

    def detect(self, rgb: NDArray[np.uint8], *, confidence: float | None = None) -> list[Face]:
        height, width = rgb.shape[:2]
        sides = np.array([width, height], np.float32)
        box = np.concatenate([0.25 * sides, 0.75 * sides]).astype(np.float32)
        points = np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.5], [0.4, 0.6], [0.6, 0.6]], np.float32)
        return [Face(box, points * sides, 0.99)]


class Bench:
    """A scanner with the doubles in place, and how many frames each undamaged source has."""

    def __init__(self, task: Task) -> None:
        self._task = task
        weights = task.folder / "weights"
        if not (weights / "manifest.toml").exists():
            write_weights(weights, middle=2.0)
        scan: Any = import_module("deepscan.scanner")
        engine, scan.FaceEngine = scan.FaceEngine, _FaceInTheMiddle
        config = ScanConfig(weights=weights, device="cpu", threads=1, detectors=DETECTORS, min_face_px=8)
        try:
            self._scanner = scan.Scanner(config)
            self._thorough = scan.Scanner(replace(config, thorough=True))
        finally:
            scan.FaceEngine = engine
        self._frames = {name: self._whole(name, content) for name, content in task.sources.items()}

    def _whole(self, name: str, content: bytes) -> int:
        path = self._task.folder / name
        path.write_bytes(content)
        report = self._scanner.scan(path)
        if report.verdict != "real" or report.status != "scanned":
            raise RuntimeError(f"the undamaged {name} is not called real: {report}")
        path.unlink()
        return int(report.coverage.frames_decoded)

    def write(self, index: int) -> tuple[str, str, Path]:
        """Make a mutant: its source, its damage, its file."""
        source, damage, content = mutant(self._task.seed, index, self._task.sources)
        path = self._task.folder / f"mutant-{index}-{source}"
        path.write_bytes(content)
        return source, damage, path

    def run(self, index: int) -> Outcome:
        """Make a mutant, scan it, judge the answer."""
        source, damage, path = self.write(index)
        try:
            try:
                report = self._scanner.scan(path)
                line = json.loads(dumps(file_object(report)))
            except Exception as error:
                escaped = f"an exception escaped: {type(error).__name__}: {error}"
                return Outcome(index, source, damage, "crashed", None, None, escaped, escaped)
            said = "; ".join(
                filter(None, [report.error, *(report.coverage.warnings if report.coverage else ())])
            )
            wrong = self._violation(path, report, self._frames[source] * (1 + (damage == APPENDED)))
            if line["path"] != str(path) or report.status == "crashed":
                wrong = f"the report is not this file's: {line}"
            elif not is_media(path):
                wrong = "lost: a walk through its folder would leave this file out"
            code = exit_code([report], "fake")
            return Outcome(index, source, damage, report.status, report.verdict, code, said, wrong)
        finally:
            path.unlink(missing_ok=True)

    def _violation(self, path: Path, report: FileReport, frames: int) -> str | None:
        if exit_code([report], "fake") != CLEAN or report.coverage is None:
            return None
        if report.coverage.frames_decoded < frames:
            report = self._thorough.scan(path)
            if exit_code([report], "fake") != CLEAN:
                return f"only the thorough scan notices: {report.coverage}"
        return violation(path, report, frames)


def serve(connection: Connection, task: Task) -> None:
    """Answer indices with outcomes until None comes."""
    # Ctrl-C reaches every process of the terminal; the parent ends its workers when they are done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit_memory()
    task.folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(task)
    connection.send("ready")
    with contextlib.suppress(EOFError):  # the parent is gone
        while (index := connection.recv()) is not None:
            connection.send(asdict(bench.run(index)))


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
