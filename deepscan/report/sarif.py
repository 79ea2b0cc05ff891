"""SARIF 2.1.0, for code-scanning dashboards and other tools that read findings.

Choices:

- One result for each face that is fake (``error``) or uncertain (``warning``), under the rule
  ``deepscan-face``; beside it a ``note`` for each counted detector that speaks for a forgery, under that
  detector's own rule. Rule ids never change.
- A place in a video is a file and a span of time. SARIF has no field for time, so the span stands in the
  location's message, in its logical location, and as numbers (seconds) in its properties. There is no
  region: lines and columns mean nothing in a video.
- A file that was not scanned to its end, and a face that nobody could judge, is a notification of the
  invocation, which is then not ``executionSuccessful``; so is a run that was interrupted. Faces left out by a
  setting are only noted.
- A file that declares itself synthetic, and one whose C2PA manifest is invalid, are results of the file under
  rules of their own; they do not depend on the verdict.
- What was accepted before stays a result with a suppression; a file accepted without a verdict is only noted.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import quote_from_bytes

from deepscan.detectors import SPECS
from deepscan.report.explanation import SPEAKS_FOR, explain
from deepscan.report.json import dumps, number
from deepscan.report.outcome import error_without_path, interruption
from deepscan.report.provenance import declaration, sentences, warnings
from deepscan.text import counted, percent, portable, span, visible

if TYPE_CHECKING:
    from deepscan.ensemble import DetectorVerdict
    from deepscan.results import FileReport, RunReport, TrackReport

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
FACE_RULE = "deepscan-face"
DECLARED_RULE = "deepscan-declared-synthetic"
MANIFEST_RULE = "deepscan-invalid-manifest"
ORIGIN_RULES = (
    {
        "id": DECLARED_RULE,
        "name": "DeclaredSynthetic",
        "shortDescription": {"text": "The file says that a trained model made it"},
        "fullDescription": {
            "text": "A C2PA manifest that is not invalid, or XMP, has the digital source type "
            "trainedAlgorithmicMedia or compositeWithTrainedAlgorithmicMedia. No detector has a say in this."
        },
        "defaultConfiguration": {"level": "warning"},
    },
    {
        "id": MANIFEST_RULE,
        "name": "InvalidManifest",
        "shortDescription": {"text": "The file's C2PA manifest is invalid"},
        "fullDescription": {
            "text": "The file or its manifest was changed after it was signed, or is damaged."
        },
        "defaultConfiguration": {"level": "warning"},
    },
)
LEVELS = {"fake": "error", "uncertain": "warning"}
SUPPRESSION = {"kind": "external", "status": "accepted", "justification": "Listed in the file of --baseline."}
NOTIFICATIONS = {
    "partial": "The file breaks off or is damaged; only a part of it was judged.",
    "no_face": "No face large enough to judge was found.",
    "unreadable": "The file cannot be opened or decoded.",
    "unsupported": "The file holds no picture to look at.",
    "timeout": "Scanning the file took too long.",
    "crashed": "The worker that scanned the file died.",
    "unscored": "No counted detector could judge a face in the file.",
    "skipped": "Faces were seen that were not judged.",
    "origin": "What the file says about its origin could not be read.",
    "interrupted": "The run was ended before its last file.",
}


class SarifReport:
    """Writes the log when the run ends."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def begin(self, run: RunReport) -> None:
        """Nothing to write yet."""

    def file(self, file: FileReport) -> None:
        """Nothing to write yet."""

    def end(self, run: RunReport) -> None:
        """Write the log."""
        self._stream.write(dumps(sarif_log(run), indent=2) + "\n")


def sarif_log(run: RunReport) -> dict[str, Any]:
    """The whole log: one run of one tool."""
    rules = _rules(run)
    places = {rule["id"]: place for place, rule in enumerate(rules)}
    results = [
        {**result, "ruleIndex": places[result["ruleId"]]}
        for index, file in enumerate(run.files)
        for result in _results(file, index, run)
    ]
    notifications = [one for index, file in enumerate(run.files) for one in _notifications(file, index)]
    if run.interrupted:
        notifications.append(_notification("interrupted", "error", f"{interruption(run)}."))
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "deepscan",
                        "semanticVersion": run.version,
                        "rules": rules,
                        "notifications": [
                            {"id": f"deepscan-{name.replace('_', '-')}", "shortDescription": {"text": text}}
                            for name, text in NOTIFICATIONS.items()
                        ],
                    }
                },
                "invocations": [
                    {
                        "executionSuccessful": all(one["level"] == "note" for one in notifications),
                        "toolExecutionNotifications": notifications,
                    }
                ],
                "artifacts": [_artifact(file) for file in run.files],
                "results": results,
                "properties": {
                    "thresholds": {"fake": number(run.threshold_fake), "real": number(run.threshold_real)},
                    "device": run.device,
                    "provider": run.provider,
                    "precision": run.precision,
                    "notCounted": list(run.not_counted),
                },
            }
        ],
    }


def uri(path: str) -> str:
    """A path as a URI: ``file:`` for an absolute one, else relative; every odd byte percent-encoded."""
    pure = PurePath(path)
    text = pure.as_posix()
    try:
        raw = os.fsencode(text)
    except UnicodeEncodeError:  # a lone surrogate that no file name can hold
        raw = portable(text).encode()
    encoded = quote_from_bytes(raw, safe="/")
    if not pure.is_absolute():
        return encoded
    return "file://" + (encoded if encoded.startswith("/") else "/" + encoded.replace("%3A", ":", 1))


def rule_id(detector: str) -> str:
    """The stable rule id of a detector: ``deepscan-global-local``."""
    return f"deepscan-{detector.replace('_', '-')}"


def _rules(run: RunReport) -> list[dict[str, Any]]:
    face = {
        "id": FACE_RULE,
        "name": "ForgedFace",
        "shortDescription": {"text": "A face looks forged"},
        "fullDescription": {"text": "The calibrated ensemble of detectors does not call this face real."},
        "help": {
            "text": "An error is a face called fake; a warning is one about which the detectors are unsure. "
            "Look at the named seconds yourself, and at the report of `deepscan --html`."
        },
        "defaultConfiguration": {"level": "error"},
    }
    detectors = [
        {
            "id": rule_id(name),
            "name": "".join(word.capitalize() for word in name.split("_")),
            "shortDescription": {"text": f"{SPECS[name].title} speaks for a forgery"},
            "fullDescription": {"text": f"{SPECS[name].paper}."},
            "defaultConfiguration": {"level": "note"},
            "properties": {"counted": name not in run.not_counted, "sha256": run.weights[name]},
        }
        for name in run.weights
        if name in SPECS
    ]
    return [face, *detectors, *ORIGIN_RULES]


def _artifact(file: FileReport) -> dict[str, Any]:
    return {
        "location": {"uri": uri(file.path)},
        **({"hashes": {"sha-256": file.sha256}} if file.sha256 else {}),
        "roles": ["analysisTarget"],
        "properties": {
            "status": file.status,
            "verdict": file.verdict,
            "probability": number(file.probability),
        },
    }


def _results(file: FileReport, index: int, run: RunReport) -> list[dict[str, Any]]:
    explanation = explain(file, run)
    found = []
    for track in file.tracks:
        if track.verdict not in LEVELS or track.probability is None:
            continue
        message = f"Face {track.id} looks forged with a probability of {percent(track.probability)}."
        if track.id == explanation.track:
            message = " ".join(explanation.reasons)
        found.append(
            {
                "ruleId": FACE_RULE,
                "level": LEVELS[track.verdict],
                "message": {"text": _message(message)},
                "rank": round(100 * track.probability, 2),
                "locations": [_location(file, index, track, track.start_s, track.end_s)],
                "partialFingerprints": _fingerprint(file, track, FACE_RULE),
                "properties": {"verdict": track.verdict, "probability": number(track.probability)},
            }
        )
        found += [
            _detector_result(file, index, track, detector)
            for detector in track.detectors
            if detector.name not in run.not_counted and (detector.probability or 0.0) >= SPEAKS_FOR
        ]
    found += _origin_results(file, index, run)
    return [{**result, "suppressions": [SUPPRESSION]} for result in found] if file.accepted else found


def _origin_results(file: FileReport, index: int, run: RunReport) -> list[dict[str, Any]]:
    """What the file says about its own origin, as findings of the file as a whole."""
    found = []
    if said := declaration(file):
        level = "error" if run.config.fail_on == "declared" else "warning"
        found.append((DECLARED_RULE, level, "; ".join([f"The file {said}", *sentences(file)[1:]])))
    manifest = None if file.provenance is None else file.provenance.manifest
    if manifest is not None and manifest.state == "invalid":
        found.append((MANIFEST_RULE, "warning", "; ".join(warnings(file))))
    return [
        {
            "ruleId": rule,
            "level": level,
            "message": {"text": _message(f"{text}.")},
            "locations": [_file_location(file, index)],
            "partialFingerprints": {"deepscanFile/v1": _digest(portable(file.path), rule)},
        }
        for rule, level, text in found
    ]


def _detector_result(
    file: FileReport, index: int, track: TrackReport, detector: DetectorVerdict
) -> dict[str, Any]:
    share = detector.probability or 0.0
    title = SPECS[detector.name].title
    start_s, end_s = track.start_s, track.end_s
    if detector.peak is not None:
        start_s, end_s = detector.peak.start_s, detector.peak.end_s
    return {
        "ruleId": rule_id(detector.name),
        "level": "note",
        "message": {"text": f"{title} takes face {track.id} for forged ({percent(share)})."},
        "rank": round(100 * share, 2),
        "locations": [_location(file, index, track, start_s, end_s)],
        "partialFingerprints": _fingerprint(file, track, rule_id(detector.name)),
        "properties": {"probability": number(share)},
    }


def _location(
    file: FileReport, index: int, track: TrackReport, start_s: float, end_s: float
) -> dict[str, Any]:
    still = file.media is not None and file.media.kind == "image"
    face = f"face {track.id} of {portable(track.part)}" if track.part else f"face {track.id}"
    where = face if still else f"{face} at {span(start_s, end_s, ' to ')}"
    return {
        "physicalLocation": {"artifactLocation": {"uri": uri(file.path), "index": index}},
        "logicalLocations": [{"name": f"face {track.id}", "fullyQualifiedName": where, "kind": "object"}],
        "message": {"text": where},
        "properties": {"startSeconds": number(start_s), "endSeconds": number(end_s)},
    }


def _fingerprint(file: FileReport, track: TrackReport, rule: str) -> dict[str, str]:
    """The same finding in the next run of the same file by name."""
    return {"deepscanFace/v1": _digest(portable(file.path), str(track.id), rule)}


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _file_location(file: FileReport, index: int) -> dict[str, Any]:
    return {"physicalLocation": {"artifactLocation": {"uri": uri(file.path), "index": index}}}


def _notifications(file: FileReport, index: int) -> list[dict[str, Any]]:
    found = []
    if file.status != "scanned":
        text = error_without_path(file) or NOTIFICATIONS[file.status]
        if file.coverage is not None and file.coverage.warnings:
            text += " " + "; ".join(file.coverage.warnings) + "."
        level = "warning" if file.status in ("partial", "no_face") else "error"
        found.append(_notification(file.status, level, text))
    elif any(track.probability is None for track in file.tracks):
        found.append(_notification("unscored", "warning", NOTIFICATIONS["unscored"]))
    for skipped in file.skipped:
        text = f"{counted(skipped.count, 'face')} not judged: {skipped.reason}."
        if skipped.judge_with:
            text += f" {skipped.judge_with} judges them all."
        found.append(_notification("skipped", "warning" if skipped.large else "note", text))
    manifest = None if file.provenance is None else file.provenance.manifest
    if manifest is None or manifest.state != "invalid":  # that is a result
        found += [_notification("origin", "note", f"{text}.") for text in warnings(file)]
    place = _file_location(file, index)
    noted = {"level": "note"} if file.accepted else {}
    return [{**notification, **noted, "locations": [place]} for notification in found]


def _notification(kind: str, level: str, text: str) -> dict[str, Any]:
    return {
        "descriptor": {"id": f"deepscan-{kind.replace('_', '-')}"},
        "level": level,
        "message": {"text": _message(text)},
    }


def _message(text: str) -> str:
    """Plain text that no viewer takes for a link or a placeholder (SARIF 3.11.5 and 3.11.6)."""
    for special, plain in (("\\", "\\\\"), ("[", "\\["), ("]", "\\]"), ("{", "{{"), ("}", "}}")):
        text = text.replace(special, plain)
    return visible(text)
