"""From a checkpoint to a weights folder that a scan loads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from deepscan.detectors.recipe import Rounding
from deepscan.detectors.registry import recipe_of_detector
from deepscan.ensemble import Calibration, DetectorCalibration
from deepscan.errors import UsageError
from deepscan.training.export import onnx as onnx_files
from deepscan.training.export import weights_folder
from deepscan.training.export.onnx import ScoreGap, export_onnx, halve_weights, run_onnx, scores
from deepscan.training.export.weights_folder import (
    Shipped,
    enter_calibration,
    enter_detector,
    enter_face_model,
    read_table,
)
from deepscan.training.networks import build
from deepscan.training.provenance import Provenance
from deepscan.weights import Weights, read_manifest
from tests.fixtures.doubles import brightness_net
from tests.training.conftest import FACES, Prepared

pytestmark = pytest.mark.slow

FACTS = Provenance("Apache-2.0", "portraits", "CC0-1.0", "mine.toml")
GAP = ScoreGap(largest=0.012345678, mean=0.001, count=4)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained LocalFeatures whose answers are not all alike."""
    torch.manual_seed(0)
    net: Any = build("local_features")
    path = tmp_path_factory.mktemp("run") / "checkpoint.pt"
    torch.save({"model": net.state_dict()}, path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A weights folder with the face model and two detectors, as ``export`` leaves it."""
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "retinaface_mnet025.onnx").write_bytes(
        (FACES / "retinaface_mnet025.onnx").read_bytes()
    )
    for name in ("sola", "gml"):
        enter_detector(
            tmp_path, Shipped(brightness_net(tmp_path / f"{name}.onnx", name), "int8", GAP), name, FACTS
        )
    enter_face_model(tmp_path, "retinaface_mnet025", "MIT")
    return tmp_path


def test_a_shipped_detector_is_small_true_to_the_float_net_and_alone(
    checkpoint: Path, prepared: Prepared, tmp_path: Path
) -> None:
    shipped = weights_folder.ship("local_features", checkpoint, prepared.cache, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["local_features.onnx"]
    assert shipped.path.stat().st_size < 4_033_000 * 0.6
    assert shipped.gap.count == 4, "both validation samples, real and forged"
    net: Any = build("local_features")
    net.load_state_dict(torch.load(checkpoint, weights_only=True)["model"])
    export_onnx(net, tmp_path / "float.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)
    one, other = (run_onnx(path, pixels)["probability"] for path in (shipped.path, tmp_path / "float.onnx"))
    np.testing.assert_allclose(one, other, atol=0.05)


def test_weights_stay_float_where_int8_strays(
    checkpoint: Path, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_files, "MAX_SCORE_GAP", -1.0)
    shipped = weights_folder.ship("local_features", checkpoint, prepared.cache, tmp_path)
    assert shipped.precision == "float16 weights"
    assert len(shipped.refused) == len(recipe_of_detector("local_features").roundings)
    assert shipped.gap.largest < 0.01 and not any(gap.acceptable for gap in shipped.refused)
    kinds = {node.op_type for node in onnx.load(str(shipped.path)).graph.node}
    assert "DequantizeLinear" not in kinds


def test_int8_is_not_tried_where_nobody_wants_it(
    checkpoint: Path, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_folder, "quantise", lambda *_, **__: pytest.fail("int8 was tried"))
    shipped = weights_folder.ship("local_features", checkpoint, prepared.cache, tmp_path, try_int8=False)
    assert shipped.precision == "float16 weights" and shipped.gap.acceptable


def test_no_more_stays_float_than_scores_need(
    checkpoint: Path, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[str, ...]] = []

    def quantise(source: Path, batches: Sequence[object], out: Path, *, keep_float: tuple[str, ...]) -> None:
        """Rounds so badly that another network comes out, unless the heads stay float."""
        tried.append(keep_float)
        if keep_float == ("heads",):
            halve_weights(source, out)
        else:
            brightness_net(out, "local_features")

    monkeypatch.setattr(weights_folder, "quantise", quantise)
    ways = [Rounding(2, kept) for kept in ((), ("heads",), ("features", "heads"))]
    other = replace(recipe_of_detector("local_features"), roundings=tuple(ways))
    monkeypatch.setattr(weights_folder, "recipe_of_detector", lambda name: other)
    shipped = weights_folder.ship("local_features", checkpoint, prepared.cache, tmp_path)
    assert tried == [(), ("heads",)]
    assert shipped.precision == "int8" and shipped.gap.acceptable
    assert [gap.acceptable for gap in shipped.refused] == [False]


def test_a_cache_with_nobody_to_check_on_is_an_error(
    checkpoint: Path, prepared: Prepared, tmp_path: Path
) -> None:
    text = (prepared.cache / "index.jsonl").read_text(encoding="utf-8")
    for sample in prepared.samples:
        (tmp_path / sample.folder).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / sample.folder).symlink_to(prepared.cache / sample.folder)
    (tmp_path / "index.jsonl").write_text(text.replace('"val"', '"train"'), encoding="utf-8")
    with pytest.raises(UsageError, match="kept out of training"):
        weights_folder.ship("local_features", checkpoint, tmp_path, tmp_path)


def test_halved_weights_are_smaller_and_answer_alike(checkpoint: Path, tmp_path: Path) -> None:
    net: Any = build("local_features")
    net.load_state_dict(torch.load(checkpoint, weights_only=True)["model"])
    whole, half = tmp_path / "whole.onnx", tmp_path / "half.onnx"
    export_onnx(net, whole)
    halve_weights(whole, half)
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    rng = np.random.default_rng(1)
    batches = [rng.integers(0, 256, (n, 128, 128, 3), dtype=np.uint8) for n in (1, 3)]
    assert ScoreGap.between(scores(whole, batches), scores(half, batches)).largest < 0.01
    assert set(run_onnx(half, batches[0])) == {"probability", "forged_pixels"}


def test_the_manifest_can_be_read_and_its_files_verified(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert list(manifest.detectors) == ["gml", "sola"], "in the order of the reports"
    entry = manifest.detectors["gml"]
    assert (entry.training_data, entry.data_licences) == ("portraits", "CC0-1.0")
    assert (entry.model.licence, entry.recipe, entry.spec_version) == ("Apache-2.0", "mine.toml", "1")
    assert entry.calibration == DetectorCalibration(1.0, 0.0, 1.0)
    assert entry.metrics["float_gap_largest"] == 0.01235
    weights = Weights(folder)
    assert weights.path("sola") == folder / "sola.onnx"
    assert weights.face_path() == folder / "faces" / "retinaface_mnet025.onnx"
    assert [weights.problem(model) for model in weights.files()] == [None] * 3
    assert not list(folder.glob("*.partial"))


def test_a_folder_with_one_detector_and_no_faces_can_be_read(tmp_path: Path) -> None:
    shipped = Shipped(brightness_net(tmp_path / "gml.onnx", "gml"), "int8", GAP)
    enter_detector(tmp_path, shipped, "gml", FACTS)
    assert list(read_manifest(tmp_path).detectors) == ["gml"]


def test_calibration_is_entered_and_everything_else_stays(folder: Path) -> None:
    before = read_table(folder)
    calibration = Calibration({"gml": DetectorCalibration(2.5, -0.25, 0.75)}, 0.125, 0.875, 0.25, 120.0)
    enter_calibration(folder, calibration, {"gml": {"auc": 0.9}, "fusion": {"ece": 0.05}})
    manifest = read_manifest(folder)
    assert manifest.detectors["gml"].calibration == DetectorCalibration(2.5, -0.25, 0.75)
    assert manifest.calibration.bias == 0.125
    assert manifest.calibration.full_width_px == 120
    assert manifest.calibration.thresholds() == (0.875, 0.25)
    assert manifest.detectors["gml"].metrics["auc"] == 0.9
    assert manifest.detectors["gml"].metrics["float_gap_largest"] == 0.01235
    after = read_table(folder)
    assert after["fusion"]["ece"] == 0.05
    assert after["faces"] == before["faces"]
    assert after["detectors"]["sola"] == before["detectors"]["sola"]
    for key in (
        "file",
        "sha256",
        "bytes",
        "licence",
        "precision",
        "training_data",
        "data_licences",
        "recipe",
    ):
        assert after["detectors"]["gml"][key] == before["detectors"]["gml"][key]


def test_a_detector_that_is_shipped_again_starts_uncalibrated(folder: Path) -> None:
    enter_calibration(folder, Calibration({"gml": DetectorCalibration(2.0, 1.0, 0.0)}, 0.0, 0.6, 0.4), {})
    brightness_net(folder / "gml.onnx", "gml", gain=3.0)
    enter_detector(folder, Shipped(folder / "gml.onnx", "int8", replace(GAP, mean=0.0)), "gml", FACTS)
    weights = Weights(folder)
    assert weights.manifest.detectors["gml"].calibration == DetectorCalibration(1.0, 0.0, 1.0)
    assert weights.path("gml").exists()
    assert weights.manifest.calibration.thresholds() == (0.6, 0.4)
