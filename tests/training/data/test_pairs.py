"""A corpus' own forgeries beside made ones."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deepscan.detectors import SPECS
from deepscan.training.data.pairs import MASKED, MixedPairs, OwnPairs
from deepscan.training.data.prepare import MASKS, Sample
from deepscan.training.data.samples import Batch, ForgedPairs
from deepscan.training.distributed import ProcessRank
from deepscan.training.synthesis.degradation import Degradation
from tests.training.conftest import Prepared, own_pairs_of

SPEC = SPECS["local_features"]


@pytest.mark.parametrize("name", ["gml", "global_local", "sola", "resnet3d", "local_features"])
def test_an_own_pair_has_the_shape_of_a_made_one(name: str, prepared: Prepared, owned: list[Sample]) -> None:
    spec = SPECS[name]
    pair = own_pairs_of(prepared, owned, name=name).pair(np.random.default_rng(0))
    time = (spec.frames,) if spec.frames > 1 else ()
    square = (2, *time, spec.size_px, spec.size_px)
    assert pair["pixels"].shape == (*square, 3) and pair["pixels"].dtype == torch.uint8
    assert pair["forged"].shape == pair["face"].shape == square
    assert pair["label"].tolist() == [0, 1]
    assert pair[MASKED].tolist() == [True, False], "the real has nothing forged, the forgery has no mask"
    assert pair["face"][0].max() > 0.9


def test_a_forgery_stands_beside_a_real_of_the_same_person(prepared: Prepared, owned: list[Sample]) -> None:
    pairs = own_pairs_of(prepared, owned)
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
    pairs = OwnPairs(
        tmp_path, [fake, real], SPEC, degrade=lambda rng, side_px: Degradation.none(), augment=False
    )
    pair = pairs.pair(np.random.default_rng(0))
    assert pair[MASKED].all()
    forged = pair["forged"][1].numpy()
    middle = SPEC.size_px // 2
    assert forged[middle, middle - 20] == 1 and forged[middle, middle + 20] == 0
    assert not pair["forged"][0].any()


def test_both_show_as_much_around_the_face(prepared: Prepared, owned: list[Sample], tmp_path: Path) -> None:
    source = next(s for s in owned if (s.kind, s.label) == ("photo", "real"))
    for name in ("ample", "tight"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "faces.npz").symlink_to(prepared.cache / source.folder / "faces.npz")
    frames = np.maximum(np.load(prepared.cache / source.folder / "frames.npy"), 1)
    np.save(tmp_path / "ample" / "frames.npy", frames)
    with np.load(tmp_path / "tight" / "faces.npz") as faces:
        left, top, right, bottom = faces["boxes"][0].astype(int)
    tight = np.zeros_like(frames)
    shown = (slice(None), slice(top - 8, bottom + 3), slice(left - 5, right + 9))
    tight[shown] = frames[shown]
    np.save(tmp_path / "tight" / "frames.npy", tight)
    samples = [replace(source, folder="ample"), replace(source, folder="tight", label="fake")]
    pairs = OwnPairs(
        tmp_path,
        samples,
        SPECS["gml"],
        single_frames=True,
        degrade=lambda rng, side_px: Degradation.none(),
        augment=False,
    )
    real, fake = pairs.pair(np.random.default_rng(0))["pixels"].numpy()
    np.testing.assert_array_equal(real, fake)
    assert (fake == 0).mean() > 0.2 and fake.any(), "the picture ends inside the crop"


def test_the_shared_degradation_is_drawn_for_the_smaller_frames(
    prepared: Prepared, owned: list[Sample], tmp_path: Path
) -> None:
    source = next(s for s in owned if (s.kind, s.label) == ("photo", "real"))
    frames = np.load(prepared.cache / source.folder / "frames.npy")
    for name, margin in (("small", 0), ("large", 40)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "faces.npz").symlink_to(prepared.cache / source.folder / "faces.npz")
        padding = ((0, 0), (0, margin), (0, margin), (0, 0))
        np.save(tmp_path / name / "frames.npy", np.pad(np.maximum(frames, 1), padding, mode="edge"))
    sides: list[int] = []

    def degrade(rng: np.random.Generator, side_px: int) -> Degradation:
        sides.append(side_px)
        return Degradation.none()

    for real, fake in (("small", "large"), ("large", "small"), ("large", "large")):
        samples = [replace(source, folder=real), replace(source, folder=fake, label="fake")]
        OwnPairs(tmp_path, samples, SPECS["gml"], single_frames=True, degrade=degrade).pair(
            np.random.default_rng(0)
        )
    small = max(frames.shape[1:3])
    assert sides == [small, small, small + 40]


def test_a_stream_mixes_whole_batches_and_resumes(prepared: Prepared, owned: list[Sample]) -> None:
    side = [s for s in owned if s.split == "train"]

    def stream(first: int, place: ProcessRank = ProcessRank()) -> list[Batch]:  # noqa: B008
        made = ForgedPairs(prepared.cache, side, SPEC, seed=3, degradation=Degradation.none())
        pairs = MixedPairs(
            made,
            own_pairs_of(prepared, owned),
            corpus_fraction=0.5,
            seed=3,
            first=first,
            pairs=2,
            place=place,
        )
        return list(itertools.islice(pairs, 16 // place.count - first // place.count))

    whole = stream(0)
    sorts = [MASKED in pair for pair in whole]
    assert sorts[::2] == sorts[1::2], "a batch is of one sort"
    assert {True, False} == set(sorts)
    rest = stream(6)
    assert [MASKED in pair for pair in rest] == sorts[6:]
    assert all(torch.equal(a["pixels"], b["pixels"]) for a, b in zip(whole[6:], rest, strict=True))
    halves = [stream(0, ProcessRank(rank, 2)) for rank in (0, 1)]
    joined = [pair for both in zip(*halves, strict=True) for pair in both]
    assert all(torch.equal(a["pixels"], b["pixels"]) for a, b in zip(whole, joined, strict=True))
