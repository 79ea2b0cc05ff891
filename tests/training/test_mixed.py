"""A corpus' own forgeries beside made ones."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deepscan.detectors import SPECS
from deepscan.errors import UsageError
from deepscan.training.data import Batch, ForgedPairs
from deepscan.training.forge.degrade import Degradation
from deepscan.training.loop import TrainConfig, TrainingStep, batches, own_pairs, validate
from deepscan.training.mixed import MASKED, FixedOwnPairs, MixedPairs, OwnPairs
from deepscan.training.nets import build
from deepscan.training.parallel import Place
from deepscan.training.prepare import MASKS, Sample, load_index
from tests.training.conftest import Prepared

SPEC = SPECS["local_features"]


@pytest.fixture(scope="module")
def owned(prepared: Prepared) -> list[Sample]:
    """The prepared samples with a forgery of the validated person, and two windows taken for forgeries."""
    samples = load_index(prepared.cache)
    windows = [replace(s, label="fake") for s in samples if s.kind == "window"]
    return [*samples, *windows]


def own(
    prepared: Prepared, samples: list[Sample], split: str = "train", name: str = "local_features"
) -> OwnPairs:
    side = [sample for sample in samples if sample.split == split]
    return OwnPairs(prepared.cache, side, SPECS[name], degrade=lambda rng: Degradation.none(), augment=False)


@pytest.mark.parametrize("name", ["gml", "global_local", "sola", "resnet3d", "local_features"])
def test_an_own_pair_has_the_shape_of_a_made_one(name: str, prepared: Prepared, owned: list[Sample]) -> None:
    spec = SPECS[name]
    pair = own(prepared, owned, name=name).pair(np.random.default_rng(0))
    time = (spec.frames,) if spec.frames > 1 else ()
    square = (2, *time, spec.size_px, spec.size_px)
    assert pair["pixels"].shape == (*square, 3) and pair["pixels"].dtype == torch.uint8
    assert pair["forged"].shape == pair["face"].shape == square
    assert pair["label"].tolist() == [0, 1]
    assert pair[MASKED].tolist() == [True, False], "the real has nothing forged, the forgery has no mask"
    assert pair["face"][0].max() > 0.9


def test_a_forgery_stands_beside_a_real_of_the_same_person(prepared: Prepared, owned: list[Sample]) -> None:
    pairs = own(prepared, owned)
    fake = next(s for s in pairs.fake if s.identity == "ann")
    real = next(s for s in pairs.real if s.identity == "cid")
    pair = pairs.pair(np.random.default_rng(0), fake)
    assert pair["pixels"].shape[0] == 2
    assert {s.identity for s in pairs._by_identity["ann"]} == {"ann"}
    assert real.identity not in {s.identity for s in pairs._by_identity["ann"]}


def test_a_known_mask_is_cut_with_its_frames(prepared: Prepared, owned: list[Sample], tmp_path: Path) -> None:
    source = next(s for s in owned if s.label == "fake" and s.kind == "window" and s.split == "train")
    (tmp_path / "f").mkdir()
    for name in ("frames.npy", "faces.npz"):
        (tmp_path / "f" / name).symlink_to(prepared.cache / source.folder / name)
    frames = np.load(tmp_path / "f" / "frames.npy", mmap_mode="r")
    with np.load(tmp_path / "f" / "faces.npz") as faces:
        box = faces["boxes"].mean(0).astype(int)
    masks = np.zeros(frames.shape[:3], np.uint8)
    masks[:, box[1] : box[3], box[0] : (box[0] + box[2]) // 2] = 255
    np.save(tmp_path / "f" / MASKS, masks)
    fake = replace(source, folder="f", masked=True)
    real = replace(source, folder="f", label="real")
    pairs = OwnPairs(tmp_path, [fake, real], SPEC, degrade=lambda rng: Degradation.none(), augment=False)
    pair = pairs.pair(np.random.default_rng(0))
    assert pair[MASKED].all()
    forged = pair["forged"][1].numpy()
    middle = SPEC.size_px // 2
    assert forged[middle, middle - 20] == 1 and forged[middle, middle + 20] == 0
    assert not pair["forged"][0].any()


def test_a_stream_mixes_whole_batches_and_resumes(prepared: Prepared, owned: list[Sample]) -> None:
    side = [s for s in owned if s.split == "train"]

    def stream(first: int, place: Place = Place()) -> list[Batch]:  # noqa: B008
        made = ForgedPairs(prepared.cache, side, SPEC, seed=3, degradation=Degradation.none())
        pairs = MixedPairs(
            made, own(prepared, owned), own_share=0.5, seed=3, first=first, pairs=2, place=place
        )
        return list(itertools.islice(pairs, 16 // place.count - first // place.count))

    whole = stream(0)
    sorts = [MASKED in pair for pair in whole]
    assert sorts[::2] == sorts[1::2], "a batch is of one sort"
    assert {True, False} == set(sorts)
    rest = stream(6)
    assert [MASKED in pair for pair in rest] == sorts[6:]
    assert all(torch.equal(a["pixels"], b["pixels"]) for a, b in zip(whole[6:], rest, strict=True))
    halves = [stream(0, Place(rank, 2)) for rank in (0, 1)]
    joined = [pair for both in zip(*halves, strict=True) for pair in both]
    assert all(torch.equal(a["pixels"], b["pixels"]) for a, b in zip(whole, joined, strict=True))


def test_losses_without_masks_are_asked_for_where_a_batch_has_none(
    prepared: Prepared, owned: list[Sample]
) -> None:
    net = build("sola")
    given: list[torch.Tensor | None] = []

    def loss(
        output: object, label: torch.Tensor, forged: torch.Tensor | None, face: torch.Tensor
    ) -> torch.Tensor:
        given.append(forged)
        return torch.zeros(())

    net.loss = loss  # type: ignore[method-assign,assignment]
    pair = own(prepared, owned, name="sola").pair(np.random.default_rng(0))
    step = TrainingStep(net, None)
    step(pair)
    step({**pair, MASKED: torch.tensor([True, True])})
    assert given[0] is None and torch.equal(given[1], pair["forged"])


def test_the_paper_recipe_needs_forgeries_of_the_corpus(prepared: Prepared, owned: list[Sample]) -> None:
    config = TrainConfig("resnet3d", steps=1, pairs=1, own_share=1.0)
    with pytest.raises(UsageError, match="holds no forgeries of its own that give a clip for resnet3d"):
        batches(config, prepared.cache, load_index(prepared.cache), SPECS["resnet3d"], first=0)
    config = TrainConfig("local_features", steps=1, pairs=1, own_share=1.0, clean=True)
    assert MASKED in next(batches(config, prepared.cache, owned, SPEC, first=0))


def test_brightness_is_the_only_fault_where_the_recipe_says_so(
    prepared: Prepared, owned: list[Sample]
) -> None:
    config = TrainConfig(
        "local_features", steps=1, clean=True, brightened=True, jittered=False, own_share=1.0
    )
    side = [s for s in owned if s.split == "train"]
    pairs = own_pairs(config, prepared.cache, side, SPEC)
    drawn = pairs._degrade(np.random.default_rng(0))
    assert drawn.gamma != 1 and replace(drawn, gamma=1.0) == Degradation.none()


def test_own_forgeries_are_validated_on_once_each(prepared: Prepared, owned: list[Sample]) -> None:
    pairs = FixedOwnPairs(own(prepared, owned, "val"))
    assert len(pairs) == 1
    assert torch.equal(pairs[0]["pixels"], pairs[0]["pixels"])
    config = TrainConfig("local_features", steps=1, own_share=0.5, clean=True)
    found = validate(build("local_features"), config, prepared.cache, owned)
    overall = {name for name in found if not name.startswith("val_auc ")}
    assert overall == {"val_auc", "val_pairs", "val_own_auc", "val_own_pairs"}
    assert found["val_own_pairs"] == 1 and 0 <= found["val_own_auc"] <= 1
    assert set(validate(build("local_features"), replace(config, own_share=1.0), prepared.cache, owned)) == {
        "val_own_auc", "val_own_pairs"
    }  # fmt: skip
