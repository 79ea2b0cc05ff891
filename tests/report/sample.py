"""Results made by hand, for tests of what is done with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from deepscan.batch import RunReport
from deepscan.config import ScanConfig
from deepscan.detectors import SPECS
from deepscan.detectors.base import Score
from deepscan.ensemble import DetectorVerdict, Verdict
from deepscan.faces import SkippedFaces
from deepscan.media import Coverage, MediaInfo
from deepscan.scan import FileReport, Status, TrackReport

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
        "skipped": (SkippedFaces("smaller than 48 px", 3, 0.0, 4.1),),
        "media": MediaInfo("video", "mp4", "h264", 1920, 1080, 0, 10.0, 25.0, 250),
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
        "weights": {name: f"{number:064x}" for number, name in enumerate(SPECS)},
        "threshold_fake": 0.8,
        "threshold_real": 0.2,
        "not_counted": (),
        "config": ScanConfig(),
        "total": len(files),
        "left_out": 0,
        "files": list(files),
    }
    return RunReport(**{**values, **changes})
