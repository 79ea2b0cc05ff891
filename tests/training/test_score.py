"""What is kept of a scan for the figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from deepscan.config import ScanConfig
from deepscan.detectors.base import Score
from deepscan.ensemble import DetectorVerdict, aggregate, logit
from deepscan.scan import FileReport, Scanner, TrackReport
from deepscan.training.prepare import Source
from deepscan.training.score import load_scores, main_track, save_scores, score_files, scored
from tests.doubles import write_weights

ROW = Source(Path("a.mp4"), "fake", "ann", "made", "none", "swap")


def track(number: int, width_px: int, **probabilities: list[float]) -> TrackReport:
    detectors = tuple(
        DetectorVerdict(
            name, None, tuple(Score(number, float(i), i + 1.0, p) for i, p in enumerate(ps)), None, None
        )
        for name, ps in probabilities.items()
    )
    return TrackReport(number, 0.0, 1.0, 0.5, "uncertain", detectors, width_px, None)


def report(*tracks: TrackReport) -> FileReport:
    return FileReport("a.mp4", "scanned", "uncertain", 0.6, None, tracks, (), None, None, 0.1)


def test_the_largest_face_speaks_for_the_file() -> None:
    small, large, late = track(1, 80), track(2, 120), track(3, 120)
    assert main_track(report(small, large, late)) is large
    assert main_track(report()) is None


def test_logits_are_those_that_a_scan_fuses() -> None:
    file = scored(
        ROW, report(track(1, 90, sola=[0.9, 0.2], gml=[], resnet3d=[1.0]), track(2, 60, sola=[0.1]))
    )
    assert file.logits == {"sola": aggregate([0.9, 0.2]), "resnet3d": logit(1.0)}
    assert (file.label, file.identity, file.kind) == (1, "ann", "swap")
    assert (file.status, file.probability) == ("scanned", 0.6)


def test_a_file_without_faces_has_no_logits() -> None:
    assert scored(ROW, report()).logits == {}


def test_scores_come_back_from_disk(tmp_path: Path) -> None:
    files = [scored(ROW, report(track(1, 90, sola=[0.9]))), scored(ROW, report())]
    save_scores(tmp_path / "scores.jsonl", files)
    assert load_scores(tmp_path / "scores.jsonl") == files


def test_files_are_scored_through_a_scan(portrait_photo: Path, tmp_path: Path) -> None:
    scanner = Scanner(ScanConfig(weights=write_weights(tmp_path / "weights"), device="cpu", threads=1))
    rows = [
        Source(portrait_photo, "real", "ann", "made", "", ""),
        Source(tmp_path / "gone.jpg", "fake", "bob", "made", "", ""),
    ]
    photo, gone = score_files(rows, scanner)
    assert set(photo.logits) == {"sola", "local_features"}
    said = {d.name: d for d in scanner.scan(portrait_photo).tracks[0].detectors}
    assert photo.logits["sola"] == pytest.approx(aggregate([s.probability for s in said["sola"].scores]))
    assert (gone.label, gone.status, gone.logits) == (1, "unreadable", {})
