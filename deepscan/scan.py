"""The pipeline for ONE file, top to bottom: probe, plan, decode, follow faces, cut, score, fuse, report.

Nothing unread is ever called clean: ``real`` needs the whole file to have been within reach and every
track to have a probability. A file that falls short of that is ``uncertain``, or ``fake`` when what could
be read is flagged. A track that no counted detector could score has neither probability nor verdict.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deepscan import ScanModule, ensemble, media
from deepscan.clips import ClipCutter, Thumbnails
from deepscan.config import ScanConfig
from deepscan.detectors import SPECS
from deepscan.detectors.base import Score
from deepscan.detectors.detector import Detector
from deepscan.ensemble import DetectorVerdict, Verdict
from deepscan.errors import MediaError, ScoreError
from deepscan.faces import FaceEngine, FaceTracker, SkippedFaces
from deepscan.media import Coverage, Frame, MediaInfo
from deepscan.runtime import CPU, Session, thread_count
from deepscan.weights import Weights

Status = Literal["scanned", "no_face", "partial", "unreadable", "timeout", "crashed", "unsupported"]


@dataclass(frozen=True)
class TrackReport:
    """One face, from when it appears until it is lost; ``thumbnail`` is ``(48, 48, 3)`` uint8 RGB."""

    id: int
    start_s: float
    end_s: float
    probability: float | None
    verdict: Verdict | None
    detectors: tuple[DetectorVerdict, ...]
    face_width_px: int
    thumbnail: NDArray[np.uint8] | None = field(compare=False)


@dataclass(frozen=True)
class FileReport:
    """Everything that is known about one file; ``seconds`` is the wall time it took."""

    path: str
    status: Status
    verdict: Verdict | None
    probability: float | None
    coverage: Coverage | None
    tracks: tuple[TrackReport, ...]
    skipped: tuple[SkippedFaces, ...]
    media: MediaInfo | None
    error: str | None
    seconds: float = field(compare=False)


class Scanner:
    """All models, loaded once; ``device`` is where they really run, ``cpu`` or ``cuda``."""

    def __init__(self, config: ScanConfig) -> None:
        """Load and verify every model. Raises WeightsError, FaceModelError, DeviceError."""
        self.config = config
        self.weights = Weights(config.weights)
        self.calibration = self.weights.manifest.calibration
        self.thresholds = self.calibration.thresholds(config.threshold)
        threads = thread_count(config.threads)
        sessions = {
            name: Session(self.weights.path(name), device=config.device, threads=threads)
            for name in config.detectors
        }
        self.device = "cuda" if all(session.device == "cuda" for session in sessions.values()) else "cpu"
        self._detectors = {name: Detector(SPECS[name], session) for name, session in sessions.items()}
        # Faces are found on the CPU even beside a GPU, so that every device looks at the same crops.
        model = config.face_model or self.weights.face_path()
        self._engine = FaceEngine(model, providers=[CPU], threads=threads)

    def scan(self, path: Path) -> FileReport:
        """Scan one file. Raises ScoreError and the like, never MediaError: that becomes the status."""
        started = time.perf_counter()
        info: MediaInfo | None = None
        coverage: Coverage | None = None
        tracks: tuple[TrackReport, ...] = ()
        skipped: tuple[SkippedFaces, ...] = ()
        status: Status
        error: str | None = None
        try:
            info = media.probe(path)
            coverage = Coverage(info.duration_s)
            plan = media.plan(info, thorough=self.config.thorough)
            tracks, skipped = self._look(media.frames(path, info, plan, coverage))
            status = "partial" if not coverage.complete else "scanned" if tracks else "no_face"
        except MediaError as failure:
            status, error = failure.status, str(failure)
        except ScoreError as failure:
            raise ScoreError(f"{path}: {failure}") from failure
        verdict: Verdict | None = None
        probability: float | None = None
        if status in ("scanned", "partial"):
            verdict, probability = ensemble.file_verdict(
                [track.probability for track in tracks], self.thresholds, whole=status == "scanned"
            )
        seconds = time.perf_counter() - started
        return FileReport(
            str(path), status, verdict, probability, coverage, tracks, skipped, info, error, seconds
        )

    def _look(self, frames: Iterable[Frame]) -> tuple[tuple[TrackReport, ...], tuple[SkippedFaces, ...]]:
        """Follow, cut and score while the frames go by; no frame is kept."""
        tracker = FaceTracker(
            self._engine, min_face_px=self.config.min_face_px, max_faces=self.config.max_faces
        )
        cutter = ClipCutter([detector.spec for detector in self._detectors.values()])
        thumbnails = Thumbnails()
        scores: dict[int, dict[str, list[Score]]] = defaultdict(lambda: defaultdict(list))

        def score(*, last: bool = False) -> None:
            for name, clip in cutter.take(last=last):
                scores[clip.track_id][name].extend(self._detectors[name].score([clip]))

        for frame, faces in tracker.follow(frames):
            cutter.add(frame, faces)
            thumbnails.add(frame, faces)
            score()
        score(last=True)
        reports = []
        for track in tracker.tracks:
            own = scores[track.id]
            reasons = {name: cutter.shortfall(name, track.id) for name in self._detectors if not own[name]}
            fused = ensemble.fuse(track.id, own, reasons, self.calibration)
            p = fused.probability
            said = None if p is None else ensemble.verdict(p, *self.thresholds)
            width_px = round(float(np.median(track.boxes[:, 2] - track.boxes[:, 0])))
            picture = thumbnails.get(track.id)
            reports.append(
                TrackReport(track.id, track.start_s, track.end_s, p, said, fused.detectors, width_px, picture)
            )
        return tuple(reports), tuple(tracker.skipped)


sys.modules[__name__].__class__ = ScanModule
