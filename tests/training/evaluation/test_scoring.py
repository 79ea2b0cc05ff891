"""What is kept of a scan for the figures."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepscan.config import ScanConfig
from deepscan.detectors.spec import Score
from deepscan.ensemble import DetectorVerdict, aggregate, logit
from deepscan.errors import UsageError
from deepscan.faces.clips import Clip
from deepscan.inference.detector import ClipOutput
from deepscan.scanner import FileReport, Scanner, TrackReport
from deepscan.training.data.corpora import Source
from deepscan.training.evaluation.scoring import (
    ShufflingScanner,
    load_scores,
    main_track,
    random_order,
    resume_scores,
    save_scores,
    score_files,
    scored,
)
from deepscan.weights import read_manifest
from tests.fixtures.doubles import write_weights

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
    assert file.others == ({"sola": aggregate([0.1])},)
    assert file.clips == {"sola": ((0.0, 1.0, 0.9), (1.0, 2.0, 0.2)), "resnet3d": ((0.0, 1.0, 1.0),)}


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
    assert set(photo.logits) == {"gend", "sola", "local_features"}
    said = {d.name: d for d in scanner.scan(portrait_photo).tracks[0].detectors}
    assert photo.logits["sola"] == pytest.approx(aggregate([s.probability for s in said["sola"].scores]))
    assert (gone.label, gone.status, gone.logits) == (1, "unreadable", {})


def test_scores_of_an_older_file_are_read(tmp_path: Path) -> None:
    old = {"file": "a", "label": 1, "identity": "p", "source": "s", "kind": "", "status": "scanned"}
    path = tmp_path / "scores.jsonl"
    path.write_text(json.dumps({**old, "probability": 0.5, "logits": {"sola": 1.0}}) + "\n", encoding="utf-8")
    (file,) = load_scores(path)
    assert (file.logits, file.others, file.clips) == ({"sola": 1.0}, (), {})


@pytest.mark.parametrize("text", ["{}\n", "no json\n", '{"file": "a"}\n', "[1]\n"])
def test_a_file_that_holds_no_scores_is_an_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="is no file of scores"):
        load_scores(path)


def test_kept_scores_of_other_files_or_other_weights_are_refused(
    portrait_photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanner = Scanner(ScanConfig(weights=write_weights(tmp_path / "weights"), device="cpu", threads=1))
    rows = [Source(portrait_photo, "real", "ann", "made", "", "")]
    path, manifest = tmp_path / "scores.jsonl", scanner.weights.manifest
    first = resume_scores(path, rows, lambda: scanner, manifest)
    assert load_scores(path) == first
    with Image.open(portrait_photo) as photo:
        assert 40 < first[0].face_width_px < photo.width
    assert resume_scores(path, rows, lambda: pytest.fail("scanned again"), manifest) == first
    with pytest.raises(UsageError, match="not among these files"):
        resume_scores(path, [replace(rows[0], file=tmp_path / "other.jpg")], lambda: scanner, manifest)
    other = read_manifest(write_weights(tmp_path / "other", middle=0.7))
    with pytest.raises(UsageError, match="of other weights"):
        resume_scores(path, rows, lambda: scanner, other)


def test_a_random_order_keeps_no_two_frames_together() -> None:
    for count in (8, 12, 16):
        order = random_order(count, 1.5)
        assert sorted(order) == list(range(count))
        assert all(abs(a - b) > 1 for a, b in itertools.pairwise(order))
        assert order == random_order(count, 1.5) != random_order(count, 2.5)


def test_a_temporal_detector_sees_the_clip_once_in_order_and_once_not(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The brightness network cannot tell; one that looks at the first frame alone can."""
    config = ScanConfig(weights=write_weights(tmp_path / "weights"), device="cpu", threads=1)
    scanner = ShufflingScanner(config)
    seen: list[np.ndarray] = []
    inner = scanner._shufflers["resnet3d"]._detector
    plain = inner.run

    def watch(clips: Sequence[Clip], *, maps: bool = False) -> list[ClipOutput]:
        seen.extend(one.pixels for one in clips)
        return plain(clips, maps=maps)

    monkeypatch.setattr(inner, "run", watch)
    (file,) = score_files([Source(clip, "real", "ann", "made", "", "")], scanner)
    assert set(file.shuffled) == {"gml", "global_local", "resnet3d"}
    mixed, in_order = seen[0], seen[1]
    np.testing.assert_array_equal(mixed, in_order[random_order(16, file.clips["resnet3d"][0][0])])
    assert not np.array_equal(mixed, in_order)
    assert (
        file.logits
        == next(score_files([Source(clip, "real", "ann", "made", "", "")], Scanner(config))).logits
    )
    assert file.shuffled["resnet3d"] == pytest.approx(file.logits["resnet3d"], abs=1e-4)
