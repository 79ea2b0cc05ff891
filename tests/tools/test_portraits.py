"""Portraits of nobody become a corpus of forged photos that training reads."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deepscan.training.data.corpora import read_corpora
from tools import portraits
from tools.portraits import FACE_PX, FACE_SHARE, MAPPING, SYNTHESIS, PortraitParameters, main


class Model:
    """Stands for one of the networks: the style is the noise, the portrait a red that the style sets."""

    def __init__(self, path: Path) -> None:
        self.name, self.shape = path.name, [1, 512]

    def reshape(self, shape: list[int]) -> None:
        self.shape = shape

    def compiled(self, given: list[np.ndarray]) -> list[np.ndarray]:
        (value,) = given
        if self.name == MAPPING:
            assert list(value.shape) == self.shape
            return [value + 1]
        red = np.full((1, 1024, 1024), np.tanh(value.std() - 1))
        return [np.concatenate([red, -np.ones((2, 1024, 1024))])[None].astype(np.float32)]


class Core:
    def read_model(self, path: Path) -> Model:
        return Model(path)

    def compile_model(self, model: Model, device: str) -> Any:
        fixed = Model(Path(model.name))
        fixed.shape = list(model.shape)
        return fixed.compiled


@pytest.fixture
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=Core))
    for name in (MAPPING, SYNTHESIS):
        (tmp_path / name).touch()
    return tmp_path


def test_a_portrait_is_as_wide_as_its_face_asks_and_a_jpeg() -> None:
    sitting = PortraitParameters.draw(np.random.default_rng(0))
    drawn = np.zeros((1024, 1024, 3), np.uint8)
    drawn[..., 1] = 200
    picture = Image.open(io.BytesIO(sitting.developed(drawn)))
    assert picture.format == "JPEG"
    assert picture.width == picture.height == round(sitting.face_px / FACE_SHARE)
    assert FACE_PX[0] <= sitting.face_px <= FACE_PX[1]
    np.testing.assert_allclose(np.asarray(picture).mean((0, 1)), (0, 200, 0), atol=2)


def test_the_corpus_is_read_as_forged_photos_of_as_many_people(networks: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus"
    assert main([str(networks), str(out), "--count", "3", "--seed", "4"]) == 0
    rows = read_corpora([out / "portraits.csv"], ())
    assert [row.label for row in rows] == ["fake"] * 3
    assert len({row.identity for row in rows}) == 3
    red, green, blue = np.asarray(Image.open(rows[0].file)).reshape(-1, 3).mean(0)
    assert red > green + 50
    assert blue < 10


def test_a_portrait_is_fixed_by_the_seed_and_its_number(networks: Path) -> None:
    three, one = list(portraits.portraits(networks, 3, 7)), list(portraits.portraits(networks, 1, 7))
    assert three[:1] == one
    assert len(set(three)) == 3
    assert list(portraits.portraits(networks, 1, 8)) != one


def test_without_openvino_it_says_what_to_install(
    networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert main([str(networks), str(tmp_path / "out")]) == 2
    assert "pip install openvino" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_without_the_networks_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), str(tmp_path / "out")]) == 2
    assert MAPPING in capsys.readouterr().err
