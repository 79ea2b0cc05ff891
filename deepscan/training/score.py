"""Labelled files -> what each detector says of each, through the very pipeline of a scan."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from deepscan.ensemble import aggregate
from deepscan.scan import FileReport, Scanner, TrackReport
from deepscan.training.prepare import Source


@dataclass(frozen=True)
class ScoredFile:
    """One labelled file after a scan.

    Attributes:
        file: its path.
        label: 1 = forged, 0 = real.
        identity: who is shown; figures are bootstrapped over identities.
        source: where it is from.
        kind: the forger or the compression, for figures by group; empty when nothing is known.
        status: of the scan.
        probability: of the ensemble as it stood at the scan; None without a score.
        logits: aggregated logit per detector, of the largest face's track, before calibration.
    """

    file: str
    label: int
    identity: str
    source: str
    kind: str
    status: str
    probability: float | None
    logits: dict[str, float]


def score_files(rows: Iterable[Source], scanner: Scanner) -> Iterator[ScoredFile]:
    """Scan every row's file, in order; files without a scored face come with empty ``logits``."""
    for row in rows:
        yield scored(row, scanner.scan(row.file))


def scored(row: Source, report: FileReport) -> ScoredFile:
    """What of a report the figures are made from."""
    track = main_track(report)
    logits = (
        {}
        if track is None
        else {
            detector.name: aggregate([score.probability for score in detector.scores])
            for detector in track.detectors
            if detector.scores
        }
    )
    return ScoredFile(
        file=str(row.file),
        label=int(row.label == "fake"),
        identity=row.identity,
        source=row.source,
        kind=row.kind,
        status=report.status,
        probability=report.probability,
        logits=logits,
    )


def main_track(report: FileReport) -> TrackReport | None:
    """The track of the largest face; None without any."""
    return max(report.tracks, key=lambda track: (track.face_width_px, -track.id), default=None)


def save_scores(path: Path, files: Iterable[ScoredFile]) -> None:
    """One JSON line per file."""
    path.write_text("".join(json.dumps(asdict(file)) + "\n" for file in files), encoding="utf-8")


def load_scores(path: Path) -> list[ScoredFile]:
    """What ``save_scores`` wrote."""
    return [ScoredFile(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
