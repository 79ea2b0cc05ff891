"""The pipeline for ONE file, top to bottom: probe, plan, decode, follow faces, cut, score, fuse, report.

Nothing unread is ever called clean: ``real`` needs the whole file to have been within reach, no face that
matters to have been left out, and every track to have a probability. A file that falls short of that is
``uncertain``, or ``fake`` when what could be read is flagged. A track that no counted detector could score
has neither probability nor verdict.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deepscan import ensemble, media
from deepscan.config import ScanConfig
from deepscan.detectors import SPECS
from deepscan.ensemble import Verdict
from deepscan.errors import MediaError, ScoreError
from deepscan.faces.clips import Clip, ClipCutter
from deepscan.faces.crops import Thumbnails
from deepscan.faces.people import judged_together
from deepscan.faces.tracker import FaceEngine, FaceTrack, FaceTracker
from deepscan.inference import loading
from deepscan.inference.detector import ClipOutput, Detector
from deepscan.inference.devices import CPU
from deepscan.inference.evidence import EvidenceKeeper
from deepscan.inference.scheduler import FastScheduler, Scheduler
from deepscan.inference.session import Network, side_by_side
from deepscan.limits import thread_count
from deepscan.media import Coverage, Frame, MediaInfo
from deepscan.provenance.reader import ProvenanceReader
from deepscan.results import FileReport, SkippedFaces, Status, TrackReport
from deepscan.weights import Weights

Load = Callable[[ScanConfig, Weights], Mapping[str, Network]]

__all__ = ["FileReport", "Scanner", "Status", "TrackReport"]


@dataclass(frozen=True)
class _Followed:
    """One face of one part (a video track, a page), and what cut its clips."""

    part: str
    track: FaceTrack
    cutter: ClipCutter


class Scanner:
    """All models, loaded once; the networks by ``load``, which may have them in another process."""

    def __init__(self, config: ScanConfig, load: Load = loading.load) -> None:
        """Load and verify every model. Raises WeightsError, FaceModelError, DeviceError, UsageError."""
        self.config = config
        self._provenance = ProvenanceReader(config.trust_anchors)
        self.weights = Weights(config.weights)
        self.calibration = self.weights.manifest.calibration
        self.thresholds = self.calibration.thresholds(config.threshold)
        threads = thread_count(config.threads)
        self._prefetch = threads > 1  # with one core, a second thread would only take turns
        loaded = load(config, self.weights)
        self._detectors = {name: Detector(SPECS[name], network) for name, network in loaded.items()}
        at_once, threads = side_by_side(threads)
        self._at_once = at_once if all(network.batch == 1 for network in loaded.values()) else 1
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
            medium = media.begin(path, self.config.pixel_budget)
            info = medium.info
            coverage = Coverage(info.duration_s, pixel_budget=self.config.pixel_budget)
            nvdec = self.config.decoder == "nvdec"
            parts = medium.parts(coverage, thorough=self.config.thorough, nvdec=nvdec)
            tracks, skipped = self._scan_parts(parts)
            status = "partial" if not coverage.complete else "scanned" if tracks else "no_face"
        except MediaError as failure:
            status, error = failure.status, str(failure)
        except OSError as failure:  # gone, locked or failing since it was opened, or a limit of the system's
            status, error = "unreadable", f"{path} cannot be read ({failure.strerror or failure})"
        except ScoreError as failure:
            raise ScoreError(f"{path}: {failure}") from failure
        outcome: tuple[Verdict | None, float | None] = None, None
        if status in ("scanned", "partial"):
            whole = status == "scanned" and not any(faces.large for faces in skipped)
            outcome = ensemble.file_verdict([t.probability for t in tracks], self.thresholds, whole=whole)
        provenance = self._provenance.read(path)
        seconds = time.perf_counter() - started
        report = FileReport(str(path), status, *outcome, coverage, tracks, skipped, info, error, seconds)
        return replace(report, provenance=provenance)

    def _scan_parts(
        self, parts: Iterable[tuple[str, Iterator[Frame]]]
    ) -> tuple[tuple[TrackReport, ...], tuple[SkippedFaces, ...]]:
        """Follow, cut and score while the frames go by, part by part; no frame is kept."""
        thumbnails = Thumbnails()
        keeper = EvidenceKeeper(self.calibration) if self.config.evidence else None
        followed: list[_Followed] = []
        skipped: list[SkippedFaces] = []
        with self._scheduler(keeper) as scheduler:
            for part, frames in parts:
                tracker = self._tracker(first_id=len(followed) + 1)
                cutter = self._cutter()
                for frame, faces in tracker.follow(media.prefetch(frames) if self._prefetch else frames):
                    cutter.add(frame, faces)
                    thumbnails.add(frame, faces)
                    scheduler.submit(cutter.take())
                scheduler.submit(cutter.take(last=True))
                followed += [_Followed(part, track, cutter) for track in tracker.tracks]
                skipped += [replace(faces, part=part) for faces in tracker.skipped]
            fused = [self._fuse(one, scheduler) for one in followed]
            embeddings = [scheduler.embedding(one.track.id) for one in followed]
        fused = judged_together(fused, [one.track for one in followed], embeddings, self.calibration)
        reports = [
            self._track_report(one, judged, thumbnails, keeper)
            for one, judged in zip(followed, ensemble.weigh_tracks(fused), strict=True)
        ]
        return tuple(reports), tuple(skipped)

    def _tracker(self, first_id: int) -> FaceTracker:
        config = self.config
        return FaceTracker(
            self._engine, min_face_px=config.min_face_px, max_faces=config.max_faces, first_id=first_id
        )

    def _cutter(self) -> ClipCutter:
        any_length = {name for name, detector in self._detectors.items() if detector.any_length}
        return ClipCutter([detector.spec for detector in self._detectors.values()], any_length)

    def _fuse(self, followed: _Followed, scheduler: Scheduler) -> ensemble.TrackVerdict:
        """The detectors' scores of a track as one calibrated probability."""
        track = followed.track
        calibration = self.calibration.at(track.width_px, still=len(track.times_s) == 1)
        scheduler.finish(track.id, calibration)
        scores, not_run = scheduler.scores(track.id), scheduler.not_run(track.id)
        reasons = {
            name: not_run.get(name) or followed.cutter.shortfall(name, track.id)
            for name in self._detectors
            if not scores[name]
        }
        return ensemble.fuse(track.id, scores, reasons, calibration)

    def _track_report(
        self,
        followed: _Followed,
        judged: ensemble.TrackVerdict,
        thumbnails: Thumbnails,
        keeper: EvidenceKeeper | None,
    ) -> TrackReport:
        track, p = followed.track, judged.probability
        if p is not None:
            p = self.calibration.held(p, track.width_px, self.thresholds)
        return TrackReport(
            id=track.id,
            start_s=track.start_s,
            end_s=track.end_s,
            probability=p,
            verdict=None if p is None else ensemble.verdict(p, *self.thresholds),
            detectors=judged.detectors,
            face_width_px=track.width_px,
            thumbnail=thumbnails.get(track.id),
            evidence=keeper.get(track.id) if keeper else None,
            person=judged.person,
            part=followed.part,
        )

    def _scheduler(self, keeper: EvidenceKeeper | None) -> Scheduler:
        """Hands one file's clips to the detectors, some of which run side by side."""

        def score(name: str, clips: Sequence[Clip]) -> list[ClipOutput]:
            return self._detectors[name].run(clips, maps=keeper is not None)

        batches = {name: detector.batch for name, detector in self._detectors.items()}
        kind = FastScheduler if self.config.fast else Scheduler
        return kind(score, batches, at_once=self._at_once, keeper=keeper)
