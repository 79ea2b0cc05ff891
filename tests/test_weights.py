"""The manifest, and what happens when a model file is not what it says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deepscan.detectors import SPECS
from deepscan.errors import WeightsError
from deepscan.weights import Weights, find_root
from tests.fixtures.doubles import write_weights


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_weights(tmp_path / "weights", weights={"resnet3d": 0.0})


def test_every_file_is_found_and_verified(root: Path) -> None:
    weights = Weights(root)
    for name in SPECS:
        assert weights.path(name) == root / f"{name}.onnx"
    assert weights.face_path() == root / "faces" / "retinaface_mnet025.onnx"
    assert [weights.problem(model) for model in weights.files()] == [None] * (len(SPECS) + 1)


def test_the_manifest_carries_calibration_and_hashes(root: Path) -> None:
    weights = Weights(root)
    assert weights.manifest.calibration.detectors["resnet3d"].weight == 0.0
    assert (weights.manifest.calibration.threshold_fake, weights.manifest.calibration.threshold_real) == (
        0.8,
        0.2,
    )
    assert weights.manifest.detectors["gml"].metrics == {"auc": 0.5}
    assert set(weights.hashes(["gml", "sola"])) == {"gml", "sola"}


def test_an_altered_file_is_an_error_even_after_it_was_good(root: Path) -> None:
    weights = Weights(root)
    path = weights.path("gml")
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(
        WeightsError, match=r"gml\.onnx: the model file of gml is not the one in the manifest"
    ):
        weights.path("gml")
    assert "not the one" in str(weights.problem(weights.manifest.detectors["gml"].model))


def test_a_missing_file_is_an_error(root: Path) -> None:
    (root / "sola.onnx").unlink()
    with pytest.raises(WeightsError, match=r"sola\.onnx: the model file of sola is missing; reinstall"):
        Weights(root).path("sola")


def test_a_detector_that_is_not_listed_is_an_error(root: Path) -> None:
    manifest = root / "manifest.toml"
    manifest.write_text(
        manifest.read_text()
        .replace("detectors.gml]", "detectors.other]")
        .replace("detectors.gml.", "detectors.other.")
    )
    those = "--detectors gend,other,global_local,sola,resnet3d,local_features asks those that it lists"
    with pytest.raises(WeightsError, match=f"lists no detector gml; reinstall .*; {those}"):
        Weights(root).path("gml")
    with pytest.raises(WeightsError, match="lists no detector gml"):
        Weights(root).hashes(["gml"])


def test_a_folder_without_a_manifest_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="there is no weights manifest here"):
        Weights(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[fusion]", "[fusion", "cannot be read"),
        ("[fusion]", "[other]", r"has no \[fusion\] table"),
        ("threshold_fake = 0.8", "threshold_fake = 0.1", "threshold_real <= threshold_fake"),
        ("[fusion]", "[fusion]\nfull_width_px = -1", r"\[fusion\] .*`float` >= 0.*full_width_px"),
        ("[fusion]", "[fusion]\nstill_share = 0", r"`float` > 0.*still_share"),
        (
            "temperature = 1.0",
            "temperature = 0.0",
            r"gend\] .*`float` > 0.*calibration.temperature",
        ),
        (
            "temperature = 1.0",
            'temperature = "warm"',
            r"gend\] .*`str`.*calibration.temperature",
        ),
        ('sha256 = "', 'sha256 = "X', r"matching regex.*sha256"),
        ("licence", "license", "missing required field `licence`"),
    ],
)
def test_a_manifest_that_lacks_something_says_what(root: Path, old: str, new: str, message: str) -> None:
    manifest = root / "manifest.toml"
    manifest.write_text(manifest.read_text().replace(old, new, 1))
    with pytest.raises(WeightsError, match=message):
        Weights(root)


def test_a_manifest_of_an_older_version_loads_with_its_histories(root: Path) -> None:
    manifest = root / "manifest.toml"
    text = manifest.read_text().replace('recipe = "none"', f'recipe = "{"round after round " * 700}"', 1)
    manifest.write_text(text.replace('training_data = "none"\n', "", 1))
    entry = Weights(root).manifest.detectors["gend"]
    assert len(entry.recipe) > 10_000
    assert (entry.training_data, entry.data_licences) == ("unknown", "unknown")


def test_the_folder_is_the_one_asked_for_then_the_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSCAN_WEIGHTS", os.fspath(tmp_path / "env"))
    assert find_root(tmp_path / "own") == tmp_path / "own"
    assert find_root() == tmp_path / "env"
    monkeypatch.delenv("DEEPSCAN_WEIGHTS")
    assert find_root().name in ("weights", "_weights")
