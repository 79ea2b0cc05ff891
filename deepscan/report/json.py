"""One JSON document for the whole run; ``schema.json`` beside this module describes it.

Numbers are rounded to ``DECIMALS``. The wall time of a file stands under ``seconds`` and nowhere else, so two
reports on the same files differ there only. What is not a finite number is ``null``.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TextIO

from deepscan.report.explanation import Explanation, explain
from deepscan.text import portable

if TYPE_CHECKING:
    from deepscan.ensemble import DetectorVerdict
    from deepscan.media import Coverage, MediaInfo
    from deepscan.provenance import Manifest, Provenance
    from deepscan.results import FileReport, RunReport, SkippedFaces, TrackReport

SCHEMA_VERSION = "1"
DECIMALS = 6


class JsonReport:
    """Writes the document when the run ends."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def begin(self, run: RunReport) -> None:
        """Nothing to write yet."""

    def file(self, file: FileReport) -> None:
        """Nothing to write yet."""

    def end(self, run: RunReport) -> None:
        """Write the document."""
        self._stream.write(dumps(run_object(run), indent=2) + "\n")


def dumps(value: Any, indent: int | None = None) -> str:
    """ASCII only, so that no locale can break it, and never NaN."""
    return json.dumps(value, indent=indent, allow_nan=False)


def schema() -> dict[str, Any]:
    """JSON Schema of the document; ``$defs/line`` is that of one line of ``--jsonl``."""
    text = files("deepscan.report").joinpath("schema.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def line_schema() -> dict[str, Any]:
    """JSON Schema of one line of ``--jsonl``."""
    document = schema()
    return {
        "$schema": document["$schema"],
        "title": document["$defs"]["line"]["title"],
        "$ref": "#/$defs/line",
        "$defs": document["$defs"],
    }


def origin(run: RunReport) -> dict[str, Any]:
    """What made the report: enough to repeat it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "deepscan": run.version,
        "weights": dict(run.weights),
        "device": run.device,
        "provider": run.provider,
        "precision": run.precision,
    }


def run_object(run: RunReport) -> dict[str, Any]:
    """The whole document."""
    config = run.config
    verdicts = Counter(file.verdict for file in run.files)
    return {
        **origin(run),
        "thresholds": {"fake": number(run.threshold_fake), "real": number(run.threshold_real)},
        "settings": {
            "detectors": list(config.detectors),
            "precision": config.precision,
            "decoder": config.decoder,
            "max_faces": config.max_faces,
            "min_face_px": config.min_face_px,
            "face_model": None if config.face_model is None else portable(str(config.face_model)),
            "thorough": config.thorough,
            "fast": config.fast,
            "fail_on": config.fail_on,
            "timeout": number(config.timeout),
            "max_memory": config.max_memory,
            "max_size": config.max_size,
            "pixel_budget": config.pixel_budget,
            "trust_anchors": None if config.trust_anchors is None else portable(str(config.trust_anchors)),
        },
        "not_counted": list(run.not_counted),
        "summary": {
            "files": len(run.files),
            "fake": verdicts["fake"],
            "real": verdicts["real"],
            "uncertain": verdicts["uncertain"],
            "not_scanned": verdicts[None],
            "partial": sum(file.status == "partial" for file in run.files),
            "declared_synthetic": sum(file.declared_synthetic for file in run.files),
            "accepted": sum(file.accepted for file in run.files),
            "left_out": run.left_out,
            "excluded": run.excluded,
        },
        "interrupted": run.interrupted,
        "files": [explained_file(file, run) for file in run.files],
    }


def explained_file(file: FileReport, run: RunReport) -> dict[str, Any]:
    """One file, and why its verdict is what it is."""
    return {**file_object(file), "explanation": _explanation(explain(file, run))}


def file_object(file: FileReport) -> dict[str, Any]:
    """What was measured on one file."""
    return {
        "path": portable(file.path),
        "status": file.status,
        "verdict": file.verdict,
        "probability": number(file.probability),
        "media": None if file.media is None else _media(file.media),
        "coverage": None if file.coverage is None else _coverage(file.coverage),
        "tracks": [_track(track) for track in file.tracks],
        "skipped": [_skipped(faces) for faces in file.skipped],
        "provenance": None if file.provenance is None else _provenance(file.provenance),
        "error": None if file.error is None else portable(file.error),
        "sha256": file.sha256,
        "accepted": file.accepted,
        "seconds": number(file.seconds),
    }


def number(value: float | None) -> float | None:
    """Rounded; None for what JSON cannot say. Adding zero turns -0.0 into 0.0."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), DECIMALS) + 0.0


def _explanation(explanation: Explanation) -> dict[str, Any]:
    return {
        "track": explanation.track,
        "speaks_for": list(explanation.speaks_for),
        "speaks_against": list(explanation.speaks_against),
        "above_fake": number(explanation.above_fake),
        "above_real": number(explanation.above_real),
        "reasons": [portable(sentence) for sentence in explanation.reasons],
        "more_certain": [portable(phrase) for phrase in explanation.more_certain],
    }


def _media(media: MediaInfo) -> dict[str, Any]:
    return {
        "kind": media.kind,
        "container": portable(media.container),
        "codec": portable(media.codec),
        "width": media.width,
        "height": media.height,
        "rotation_deg": media.rotation_deg,
        "duration_s": number(media.duration_s),
        "frame_rate": number(media.frame_rate),
        "frames_expected": media.frames_expected,
        "parts": [portable(part) for part in media.parts],
        "bits_per_pixel": number(media.bits_per_pixel),
    }


def _coverage(coverage: Coverage) -> dict[str, Any]:
    return {
        "duration_s": number(coverage.duration_s),
        "seconds_covered": number(coverage.seconds_covered),
        "frames_decoded": coverage.frames_decoded,
        "frames_failed": coverage.frames_failed,
        "warnings": [portable(warning) for warning in coverage.warnings],
    }


def _provenance(provenance: Provenance) -> dict[str, Any]:
    manifest = provenance.manifest
    return {
        "declared_synthetic": bool(provenance.declared),
        "manifest": None if manifest is None else _manifest(manifest),
        "source_types": _texts(provenance.source_types),
        "generation": [
            {"tool": portable(used.tool), "place": portable(used.place), "text": portable(used.text)}
            for used in provenance.generation
        ],
        "tags": [{"name": portable(tag.name), "value": portable(tag.value)} for tag in provenance.tags],
        "warnings": _texts(provenance.warnings),
    }


def _manifest(manifest: Manifest) -> dict[str, Any]:
    return {
        "state": manifest.state,
        "signer": None if manifest.signer is None else portable(manifest.signer),
        "signed_at": None if manifest.signed_at is None else portable(manifest.signed_at),
        "generator": None if manifest.generator is None else portable(manifest.generator),
        "actions": _texts(manifest.actions),
        "source_types": _texts(manifest.source_types),
        "problems": _texts(manifest.problems),
    }


def _texts(texts: Iterable[str]) -> list[str]:
    return [portable(text) for text in texts]


def _skipped(faces: SkippedFaces) -> dict[str, Any]:
    return {
        "part": portable(faces.part),
        "reason": portable(faces.reason),
        "count": faces.count,
        "start_s": number(faces.start_s),
        "end_s": number(faces.end_s),
        "large": faces.large,
        "judge_with": faces.judge_with,
    }


def _track(track: TrackReport) -> dict[str, Any]:
    return {
        "id": track.id,
        "person": track.person,
        "part": portable(track.part),
        "start_s": number(track.start_s),
        "end_s": number(track.end_s),
        "probability": number(track.probability),
        "verdict": track.verdict,
        "face_width_px": track.face_width_px,
        "detectors": {detector.name: number(detector.probability) for detector in track.detectors},
        "not_scored": {
            detector.name: portable(detector.reason)
            for detector in track.detectors
            if detector.reason is not None
        },
        "scores": [score for detector in track.detectors for score in _scores(detector)],
    }


def _scores(detector: DetectorVerdict) -> list[dict[str, Any]]:
    return [
        {
            "detector": detector.name,
            "start_s": number(score.start_s),
            "end_s": number(score.end_s),
            "probability": number(score.probability),
        }
        for score in detector.scores
    ]
