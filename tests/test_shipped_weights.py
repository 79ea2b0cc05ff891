"""The weights that ship: whole, measured, and right about the example clips."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from deepscan.cli import app
from deepscan.config import ScanConfig
from deepscan.detectors import SPECS
from deepscan.inference.session import Session
from deepscan.scanner import FileReport, Scanner
from deepscan.weights import Weights
from tests.fixtures import make

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[1]
EXAMPLES = REPOSITORY / "examples"


@pytest.fixture(scope="module")
def weights() -> Weights:
    return Weights(REPOSITORY / "weights")


@pytest.fixture(scope="module")
def scanner(weights: Weights) -> Scanner:
    return Scanner(ScanConfig(weights=weights.root, device="cpu"))


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The genuine example on the left, smaller; the forged one on the right."""
    frames = []
    for real, forged in zip(
        *(pictures(EXAMPLES / name, 50) for name in ("real.mp4", "forged.mp4")), strict=True
    ):
        canvas = np.full_like(forged, 90)
        canvas[64:448, 64:448] = cv2.resize(real, (384, 384), interpolation=cv2.INTER_AREA)
        frames.append(np.hstack([canvas, forged]))
    return make.write_clip(tmp_path_factory.mktemp("pair") / "two.mp4", frames, fps=25, options={"crf": "18"})


def pictures(path: Path, count: int) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as file:
        decoded = file.decode(video=0)
        return [next(decoded).to_ndarray(format="rgb24") for _ in range(count)]


def test_every_model_file_is_the_one_in_the_manifest(weights: Weights) -> None:
    assert [weights.problem(model) for model in weights.files()] == [None] * len(weights.files())
    assert list(weights.manifest.detectors) == list(SPECS)


@pytest.mark.parametrize("name", SPECS)
def test_every_detector_states_what_was_measured_and_counts_only_above_chance(
    weights: Weights, name: str
) -> None:
    entry = weights.manifest.detectors[name]
    assert entry.metrics["float_gap_largest"] <= 0.02
    assert 0 <= entry.metrics["auc_low"] <= entry.metrics["auc"] <= entry.metrics["auc_high"] <= 1
    assert entry.calibration.weight == 0 or entry.metrics["auc_low"] > 0.5
    card = (weights.root / f"{name}.md").read_text(encoding="utf-8")
    assert f"video AUC {entry.metrics['auc']:.3f}" in card
    assert ("has weight 0" in card) == (entry.calibration.weight == 0)


@pytest.mark.parametrize("name", SPECS)
def test_every_network_computes_in_float_as_well(weights: Weights, name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, *SPECS[name].clip_shape), dtype=np.uint8)
    as_shipped, in_float = (
        Session(weights.path(name), precision=precision, tuning=weights.tuning_path(name)).run(
            pixels, ["probability"]
        )["probability"]
        for precision in ("int8", "fp32")
    )
    np.testing.assert_allclose(in_float, as_shipped, atol=0.02)


def test_the_genuine_example_is_not_flagged_and_the_forged_one_is(scanner: Scanner) -> None:
    assert scanner.scan(EXAMPLES / "forged.mp4").verdict == "fake"
    assert scanner.scan(EXAMPLES / "real.mp4").verdict != "fake"


def test_photos_are_judged_by_gml_and_the_detectors_of_single_frames(
    scanner: Scanner, tmp_path: Path
) -> None:
    verdicts = {}
    for name in ("real", "forged"):
        path = tmp_path / f"{name}.png"
        cv2.imwrite(str(path), pictures(EXAMPLES / f"{name}.mp4", 1)[0][..., ::-1])
        report = scanner.scan(path)
        verdicts[name] = report.verdict
        (track,) = report.tracks
        ran = {detector.name for detector in track.detectors if detector.scores}
        assert ran == {"gend", "gml", "sola", "local_features"}
    assert verdicts["real"] != "fake"
    assert verdicts["forged"] != "real"


def test_of_two_faces_the_forged_one_is_named_and_the_other_is_not(
    scanner: Scanner, side_by_side: Path
) -> None:
    report = scanner.scan(side_by_side)
    assert report.status == "scanned"
    scored_by_all(report)
    genuine, forged = sorted(report.tracks, key=lambda track: track.face_width_px)
    assert genuine.face_width_px < 100 < forged.face_width_px
    assert forged.probability is not None and genuine.probability is not None
    assert forged.probability > genuine.probability + 0.2
    assert forged.verdict != "real" and genuine.verdict != "fake"
    assert (report.verdict, report.probability) == (forged.verdict, forged.probability)


def scored_by_all(report: FileReport) -> None:
    for track in report.tracks:
        assert track.probability is not None
        assert [(d.name, d.reason) for d in track.detectors] == [(name, None) for name in SPECS]


def test_scores_do_not_depend_on_the_number_of_workers_nor_on_what_else_is_there(
    weights: Weights, side_by_side: Path, tmp_path: Path
) -> None:
    alone = scores([side_by_side], weights, 1)
    with_others = scores([side_by_side, make.portrait_clip(tmp_path / "a.mp4", 1.0)], weights, 2)
    assert with_others[side_by_side.name] == alone[side_by_side.name]


def scores(paths: list[Path], weights: Weights, jobs: int) -> dict[str, object]:
    """What is said of each file, by its name."""
    options = [
        "--json",
        "--no-progress",
        "--jobs",
        str(jobs),
        "--device",
        "cpu",
        "--weights",
        str(weights.root),
    ]
    result = CliRunner().invoke(app, ["scan", *map(str, paths), *options])
    return {Path(file["path"]).name: file["tracks"] for file in json.loads(result.stdout)["files"]}
