"""The pipeline for ONE file, top to bottom: probe, plan, decode, follow faces, cut, score, fuse, report.

Nothing unread is ever called clean: ``real`` needs the whole file to have been within reach, no face that
matters to have been left out, and every track to have a probability. A file that falls short of that is
``uncertain``, or ``fake`` when what could be read is flagged. A track that no counted detector could score
has neither probability nor verdict.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from deepscan import ensemble, media
from deepscan.config import ScanConfig
from deepscan.detectors import SPECS
from deepscan.ensemble import Verdict
from deepscan.errors import MediaError, ScoreError
from deepscan.faces.clips import Clip, ClipCutter, Thumbnails
from deepscan.faces.people import judged_together
from deepscan.faces.tracker import FaceEngine, FaceTrack, FaceTracker, SkippedFaces
from deepscan.inference import loading
from deepscan.inference.detector import Answer, Detector
from deepscan.inference.devices import CPU
from deepscan.inference.evidence import EvidenceKeeper
from deepscan.inference.scheduler import Cascade, Panel
from deepscan.inference.session import Network, side_by_side
from deepscan.limits import thread_count
from deepscan.media import Coverage, Frame, MediaInfo
from deepscan.provenance.reader import ProvenanceReader
from deepscan.results import FileReport, Status, TrackReport
from deepscan.weights import Weights

Load = Callable[[ScanConfig, Weights], Mapping[str, Network]]

__all__ = ["FileReport", "Scanner", "Status", "TrackReport"]


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
        self._decode_ahead = threads > 1  # with one core, a second thread would only take turns
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
            tracks, skipped = self._look(parts)
            status = "partial" if not coverage.complete else "scanned" if tracks else "no_face"
        except MediaError as failure:
            status, error = failure.status, str(failure)
        except OSError as failure:  # gone, locked or failing since it was opened, or a limit of the system's
            status, error = "unreadable", f"{path} cannot be read ({failure.strerror or failure})"
        except ScoreError as failure:
            raise ScoreError(f"{path}: {failure}") from failure
        said: tuple[Verdict | None, float | None] = None, None
        if status in ("scanned", "partial"):
            whole = status == "scanned" and not any(faces.large for faces in skipped)
            said = ensemble.file_verdict([t.probability for t in tracks], self.thresholds, whole=whole)
        provenance = self._provenance.read(path)
        seconds = time.perf_counter() - started
        report = FileReport(str(path), status, *said, coverage, tracks, skipped, info, error, seconds)
        return replace(report, provenance=provenance)

    def _look(
        self, parts: Iterable[tuple[str, Iterator[Frame]]]
    ) -> tuple[tuple[TrackReport, ...], tuple[SkippedFaces, ...]]:
        """Follow, cut and score while the frames go by, part by part; no frame is kept."""
        config = self.config
        any_length = {name for name, detector in self._detectors.items() if detector.any_length}
        thumbnails = Thumbnails()
        keeper = EvidenceKeeper(self.calibration) if config.evidence else None
        seen: list[tuple[str, FaceTrack, ClipCutter]] = []
        skipped: list[SkippedFaces] = []
        fused = []
        with self._panel(keeper) as panel:
            for part, frames in parts:
                tracker = FaceTracker(
                    self._engine,
                    min_face_px=config.min_face_px,
                    max_faces=config.max_faces,
                    first_id=len(seen) + 1,
                )
                cutter = ClipCutter([detector.spec for detector in self._detectors.values()], any_length)
                for frame, faces in tracker.follow(media.prefetch(frames) if self._decode_ahead else frames):
                    cutter.add(frame, faces)
                    thumbnails.add(frame, faces)
                    panel.hear(cutter.take())
                panel.hear(cutter.take(last=True))
                seen += [(part, track, cutter) for track in tracker.tracks]
                skipped += [replace(faces, part=part) for faces in tracker.skipped]
            for _, track, cutter in seen:
                calibration = self.calibration.at(track.width_px, still=len(track.times_s) == 1)
                own, idle = panel.scores(track.id, calibration), panel.not_run(track.id)
                silent = [name for name in self._detectors if not own[name]]
                reasons = {name: idle.get(name) or cutter.shortfall(name, track.id) for name in silent}
                fused.append(ensemble.fuse(track.id, own, reasons, calibration))
            embeddings = [panel.embedding(track.id) for _, track, _ in seen]
        fused = judged_together(fused, [track for _, track, _ in seen], embeddings, self.calibration)
        reports = []
        for (part, track, _), judged in zip(seen, ensemble.weigh_tracks(fused), strict=True):
            p = judged.probability
            p = None if p is None else self.calibration.held(p, track.width_px, self.thresholds)
            said = None if p is None else ensemble.verdict(p, *self.thresholds)
            pictures = thumbnails.get(track.id), keeper.get(track.id) if keeper else None
            what = judged.detectors, track.width_px
            place = track.id, track.start_s, track.end_s
            reports.append(TrackReport(*place, p, said, *what, *pictures, judged.person, part))
        return tuple(reports), tuple(skipped)

    def _panel(self, keeper: EvidenceKeeper | None) -> Panel:
        """Asks the detectors about one file's clips, some side by side."""

        def ask(name: str, clips: Sequence[Clip]) -> list[Answer]:
            return self._detectors[name].answer(clips, maps=keeper is not None)

        batches = {name: detector.batch for name, detector in self._detectors.items()}
        if self.config.fast:
            return Cascade(ask, batches, at_once=self._at_once, keeper=keeper)
        return Panel(ask, batches, at_once=self._at_once, keeper=keeper)
