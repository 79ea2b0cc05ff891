"""Which crops make a batch of a tuning."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from deepscan.errors import UsageError
from deepscan.training.data.prepare import Sample
from deepscan.training.tuning.batches import PHOTOS, Batches, CropKind


def sample(
    name: str, *, kind: str = "even", label: str = "real", generator: str = "", source: str = "s"
) -> Sample:
    return Sample(name, kind, label, name, source, "train", generator=generator)


def kinds() -> list[CropKind]:
    """Many crops of one generator and few of another, photos in both classes, two pairs made here."""
    forged = [sample(f"a{i}", label="fake", generator="common") for i in range(60)]
    forged += [sample(f"b{i}", label="fake", generator="rare") for i in range(4)]
    forged += [sample(f"p{i}", label="fake", generator="drawn", kind="photo") for i in range(30)]
    genuine = [sample(f"g{i}", source=f"s{i % 3}") for i in range(40)]
    genuine += [sample(f"q{i}", kind="photo") for i in range(200)]
    found = [CropKind(one, True, False) for one in forged] + [CropKind(one, False, False) for one in genuine]
    for i in range(2):
        own = sample(f"m{i}")
        found += [CropKind(own, False, False), CropKind(own, True, True)]
    return found


def test_a_batch_is_half_genuine_and_holds_made_ones_beside_their_originals() -> None:
    all_kinds, rng = kinds(), np.random.default_rng(0)
    numbers, labels = Batches(all_kinds, size=24, made=4).draw(rng)
    assert labels == [1] * 12 + [0] * 12
    assert [all_kinds[n].forged for n in numbers] == [True] * 12 + [False] * 12
    made = [n for n in numbers if all_kinds[n].made]
    assert len(made) == 4 and all(n - 1 in numbers for n in made)


def test_rare_generators_count_for_more_and_photos_alike_in_both_classes() -> None:
    all_kinds, rng = kinds(), np.random.default_rng(1)
    batches = Batches(all_kinds, size=24, made=0)
    drawn = [all_kinds[n] for _ in range(200) for n in batches.draw(rng)[0]]
    generators = Counter(
        kind.sample.generator for kind in drawn if kind.forged and kind.sample.kind != "photo"
    )
    assert 1 < generators["common"] / generators["rare"] < 4, "they are 60 and 4"
    for forged in (True, False):
        share = np.mean([kind.sample.kind == "photo" for kind in drawn if kind.forged is forged])
        assert share == pytest.approx(PHOTOS, abs=0.04)


def test_a_class_that_is_missing_is_named() -> None:
    with pytest.raises(UsageError, match="genuine and forged"):
        Batches([CropKind(sample("g"), False, False)], size=4, made=0)
