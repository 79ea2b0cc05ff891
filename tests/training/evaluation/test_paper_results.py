"""The papers' figures lie beside those measured on the same corpus, the same forger and the same reals."""

from __future__ import annotations

import re

import pytest

from deepscan.detectors import SPECS
from deepscan.ensemble import Calibration, DetectorCalibration
from deepscan.training.evaluation.paper_results import Comparison, compare, published
from deepscan.training.evaluation.scoring import ScoredFile

PLAIN = Calibration({name: DetectorCalibration(1.0, 0.0, 1.0) for name in SPECS}, 0.0, 0.5, 0.5)


def file(label: int, logit: float, kind: str, source: str = "FaceForensics++", **more: object) -> ScoredFile:
    clips = {name: ((0.0, 0.0, 0.9 if logit > 0 else 0.1), (1.0, 1.0, 0.9)) for name in SPECS}
    return ScoredFile(
        f"{kind}{logit}", label, "p", source, kind, "scanned", 0.5, dict.fromkeys(SPECS, logit), clips=clips
    )


def found(files: list[ScoredFile], detector: str) -> dict[tuple[str, str, str], Comparison]:
    return {
        (one.published.corpus, one.published.forgeries, one.published.trained_on): one
        for one in compare(files, PLAIN)
        if one.detector == detector
    }


def test_a_files_accuracy_is_compared_at_its_own_compression() -> None:
    files = [
        file(0, -1, "original c23"), file(0, 2, "original c23"), file(1, 2, "Deepfakes c23"),
        file(1, 1, "FaceSwap c23"), file(0, -1, "original c40"), file(1, -2, "Deepfakes c40"),
    ]  # fmt: skip
    rows = found(files, "global_local")
    high = rows["FaceForensics++", "* c23", "FaceForensics++ c23"]
    assert (high.measured, high.real, high.fake) == (0.75, 2, 2)
    assert high.published.value == 0.9533
    assert high.difference == pytest.approx(0.75 - 0.9533, abs=1e-4)
    low = rows["FaceForensics++", "* c40", "FaceForensics++ c40"]
    assert (low.measured, low.real, low.fake) == (0.5, 1, 1)


def test_a_forgers_frames_are_compared_with_frames() -> None:
    files = [file(0, -1, "original c23"), file(1, 2, "Deepfakes c23"), file(1, 1, "FaceSwap c23")]
    rows = found(files, "local_features")
    one = rows["FaceForensics++", "Deepfakes c23", "the same forger"]
    assert (one.real, one.fake) == (2, 2), "two frames of each of two files"
    assert one.measured == 0.75
    assert ("FaceForensics++", "Face2Face c23", "the same forger") not in rows


def test_deeperforensics_takes_its_reals_from_faceforensics() -> None:
    files = [file(0, -1, "original c23"), file(1, 2, "end_to_end", "DeeperForensics")]
    assert found(files, "gml")["DeeperForensics", "*", "FaceForensics++ c23"].measured == 1


def test_nothing_is_compared_on_another_corpus_or_without_a_class() -> None:
    assert compare([file(0, -1, "original", "mine"), file(1, 1, "swap", "mine")], PLAIN) == ()
    assert compare([file(1, 1, "Celeb-synthesis", "Celeb-DF v2")], PLAIN) == ()


def test_every_row_names_a_detector_a_place_and_a_share() -> None:
    assert {detector for detector, _ in published()} == set(SPECS) - {"gend"}, (
        "whose encoder is not the paper's"
    )
    assert all(re.fullmatch(r"(Table|Figure) \d+", one.place) for _, one in published())
    assert all(0.5 < one.value <= 1 for _, one in published())
    keys = [(name, o.corpus, o.forgeries, o.metric, o.level, o.trained_on) for name, o in published()]
    assert len(set(keys)) == len(keys)
