"""Results made by hand, for tests of what is done with them."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from deepscan.batch import RunReport
from deepscan.config import ScanConfig
from deepscan.detectors import SPECS
from deepscan.detectors.base import Score
from deepscan.ensemble import Calibration, DetectorCalibration, DetectorVerdict, Verdict
from deepscan.left_out import SkippedFaces
from deepscan.media import Coverage, MediaInfo
from deepscan.scan import FileReport, Status, TrackReport

CALIBRATION = Calibration({name: DetectorCalibration(1.0, 0.0, 0.5) for name in SPECS}, 0.0, 0.8, 0.2)
REASON = "needs 16 consecutive frames with this face; it has 10"


def opinion(name: str, probability: float, *, track: int = 1) -> DetectorVerdict:
    """Two clips; the second, from 3.2 to 3.7 s, is the stronger."""
    scores = (Score(track, 0.0, 0.5, probability / 2), Score(track, 3.2, 3.7, probability))
    return DetectorVerdict(name, probability, scores, scores[1], None)


def face(number: int = 1, probability: float | None = 0.97, verdict: Verdict | None = "fake") -> TrackReport:
    """A face with a score of every detector but resnet3d."""
    detectors = tuple(
        DetectorVerdict(name, None, (), None, REASON)
        if name == "resnet3d" or probability is None
        else opinion(name, probability, track=number)
        for name in SPECS
    )
    gradient = np.linspace(0, 255, 48 * 48 * 3).astype(np.uint8).reshape(48, 48, 3)
    return TrackReport(number, 0.0, 10.0, probability, verdict, detectors, 120, gradient)


def scanned(path: str = "a.mp4", **changes: Any) -> FileReport:
    """A ten-second video with one forged face."""
    values: dict[str, Any] = {
        "path": path,
        "status": "scanned",
        "verdict": "fake",
        "probability": 0.97,
        "coverage": Coverage(10.0, 10.0, 96, 0, []),
        "tracks": (face(),),
        "skipped": (SkippedFaces("smaller than 48 px", 3, 0.0, 4.1, 0, None),),
        "media": MediaInfo("video", "mp4", "h264", 1920, 1080, 0, 10.0, 25.0, 250, 0.1),
        "error": None,
        "seconds": 4.25,
    }
    return FileReport(**{**values, **changes})


def real(path: str = "r.mp4", **changes: Any) -> FileReport:
    """A video with one face and nothing to say against it."""
    tracks = (face(1, 0.03, "real"),)
    return scanned(
        path, **{"verdict": "real", "probability": 0.03, "tracks": tracks, "skipped": (), **changes}
    )


def failed(path: str = "b.mp4", status: Status = "unreadable", error: str | None = None) -> FileReport:
    """A file that gave nothing."""
    return scanned(
        path,
        status=status,
        verdict=None,
        probability=None,
        coverage=None,
        tracks=(),
        skipped=(),
        media=None,
        error=error or f"{path} is empty (zero bytes); fetch the file again.",
    )


def run(files: Sequence[FileReport] = (), **changes: Any) -> RunReport:
    """A finished run over ``files``."""
    values: dict[str, Any] = {
        "version": "0.1.0",
        "device": "cpu",
        "provider": "CPUExecutionProvider",
        "precision": "int8",
        "weights": {name: f"{number:064x}" for number, name in enumerate((*SPECS, "an_encoder"))},
        "threshold_fake": 0.8,
        "threshold_real": 0.2,
        "not_counted": (),
        "calibration": CALIBRATION,
        "config": ScanConfig(),
        "total": len(files),
        "left_out": 0,
        "files": list(files),
    }
    return RunReport(**{**values, **changes})


def written(report: type[Any], results: RunReport, *args: Any) -> str:
    """What a report class writes of a finished run, told of it step by step as the command line does."""
    stream = io.StringIO()
    writer = report(stream, *args)
    writer.begin(results)
    for file in results.files:
        writer.file(file)
    writer.end(results)
    return stream.getvalue()


# File names that break formats which take them as they are.
ODD_NAMES = (
    "quo\"te's & <b>bold</b> ]]> --> .mp4",
    "line\nbreak\r\ttab.mp4",
    "control\x00\x01\x08\x0b\x1b[31m\x7f\x9b.mp4",
    os.fsdecode(b"latin-\xe9\xff.mp4"),
    "\ud800 lone surrogate.mp4",
    "\ufffe\uffff\u202e\u2028 direction.mp4",
    "`tick` ``` | pipe \\| [link](http://example.com) @somebody #1 www.example.com {{x}} {0} %41.mp4",
    "</script><script>alert(1)</script><!-- {% raw %} {{ 7*7 }}.mp4",
    "smile \U0001f600 日本語.mp4",
    "-rf --json.mp4",
    " lead and trail .mp4 ",
    "C:\\odd:name?x=1#frag.mp4",
    "javascript:alert(1).mp4",
    "//host/share.mp4",
)
