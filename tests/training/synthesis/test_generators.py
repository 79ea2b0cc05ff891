"""Generators learn to redraw faces, go on where they stopped, and keep to their side of the split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from deepscan.errors import UsageError
from deepscan.training.synthesis import generators
from deepscan.training.synthesis.generators import (
    FOLDER,
    GENERATORS,
    Generator,
    GeneratorSpec,
    enlarge,
    laid_out,
    load_generators,
    shrink,
    take_shipped,
    train_generators,
)
from tests.fixtures import make

pytestmark = pytest.mark.slow

TWO = (
    GeneratorSpec("one", "nearest", 2, 8, 8, skip=True, adversarial=True),
    GeneratorSpec("other", "shuffle", 3, 8, 8, skip=False, adversarial=False, split="val"),
)


@pytest.mark.parametrize("spec", GENERATORS, ids=lambda spec: spec.name)
def test_a_generator_keeps_the_size_of_what_it_redraws(spec: GeneratorSpec) -> None:
    generator = Generator(spec).eval()
    assert generator(torch.zeros(2, 3, 64, 96)).shape == (2, 3, 64, 96)
    regenerated = generator.regenerate(shrink(make.portrait()[:200, :150], 128))
    assert regenerated.shape == (128, 128, 3) and regenerated.dtype == np.uint8
    assert enlarge(regenerated, (200, 150)).shape == (200, 150, 3)


@pytest.mark.parametrize("spec", GENERATORS, ids=lambda spec: spec.name)
def test_a_generator_laid_out_for_speed_draws_the_same(spec: GeneratorSpec) -> None:
    torch.manual_seed(3)
    generator = Generator(spec).eval().requires_grad_(False)
    picture = shrink(make.portrait(), 128)
    before = generator.regenerate(picture).astype(int)
    assert np.abs(laid_out(generator).regenerate(picture) - before).max() <= 1


def test_each_side_has_its_own_and_training_has_every_way_to_grow() -> None:
    train = [spec for spec in GENERATORS if spec.split == "train"]
    assert {spec.grow for spec in train} == {"transposed", "nearest", "bilinear", "shuffle"}
    assert {spec.skip for spec in train} == {spec.adversarial for spec in train} == {True, False}
    assert any(spec.split == "val" for spec in GENERATORS)


def names(cache: Path, split: str) -> list[str]:
    """Of the trained generators that are loaded."""
    return [one.spec.name for one in load_generators(cache, split) if isinstance(one, Generator)]


def test_training_brings_the_error_down_and_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generators, "GENERATORS", TWO)
    faces = tmp_path / "frames.npy"
    np.save(faces, make.portrait()[None])

    def run(folder: str, steps: int) -> dict[str, float]:
        return dict(train_generators([faces], [faces], tmp_path / folder, lambda x: x, steps=steps, seed=1))

    short, long = run("short", 2), run("long", 40)
    assert set(short) == {"one", "other"}
    assert all(long[name] < 0.85 * short[name] for name in short)
    assert run("long", 40) == {}, "both are there already"
    assert names(tmp_path / "long", "train") == ["one"]
    assert names(tmp_path / "long", "val") == ["other"]
    assert names(tmp_path / "nowhere", "train") == []


def test_a_generator_of_another_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generators, "GENERATORS", TWO[:1])
    np.save(tmp_path / "frames.npy", make.portrait()[None])
    files = [tmp_path / "frames.npy"]
    list(train_generators(files, files, tmp_path, lambda x: x, steps=1, seed=0))
    other = GeneratorSpec("one", "nearest", 2, 16, 8, skip=True, adversarial=True)
    monkeypatch.setattr(generators, "GENERATORS", (other,))
    with pytest.raises(UsageError, match=rf"{FOLDER}/one.safetensors is of another version"):
        load_generators(tmp_path, "train")


def test_those_that_ship_are_taken_once_and_replace_nothing(tmp_path: Path) -> None:
    own = tmp_path / FOLDER / f"{GENERATORS[0].name}.safetensors"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    taken = take_shipped(tmp_path)
    assert taken == [spec.name for spec in GENERATORS[1:]]
    assert own.read_bytes() == b"mine"
    assert take_shipped(tmp_path) == []
    own.unlink()
    take_shipped(tmp_path)
    assert names(tmp_path, "train") + names(tmp_path, "val") == [spec.name for spec in GENERATORS]
    portrait = shrink(make.portrait()[:256, :256], 128)
    for generator in load_generators(tmp_path, "val"):
        error = np.abs(generator.regenerate(portrait).astype(float) - portrait).mean()
        assert 0.5 < error < 12, "it redraws, and a face stays the face"


def test_a_folder_of_weights_without_them_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSCAN_WEIGHTS", str(tmp_path))
    with pytest.raises(UsageError, match=rf"no generators lie below {tmp_path}: train them with --trunk"):
        take_shipped(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
