"""The stream that the settings ask for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deepscan.detectors import SPECS
from deepscan.errors import UsageError
from deepscan.training.config import TrainConfig
from deepscan.training.data.loader import batches, own_pairs, spec_of
from deepscan.training.data.pairs import MASKED
from deepscan.training.data.prepare import Sample, load_index
from deepscan.training.synthesis.degradation import Degradation
from tests.training.conftest import Prepared

SPEC = SPECS["local_features"]


def test_the_paper_recipe_needs_forgeries_of_the_corpus(prepared: Prepared, owned: list[Sample]) -> None:
    config = TrainConfig("resnet3d", steps=1, pairs=1, corpus_fraction=1.0)
    with pytest.raises(UsageError, match="holds no forgeries of its own that give a clip for resnet3d"):
        batches(config, prepared.cache, load_index(prepared.cache), SPECS["resnet3d"], first=0)
    config = TrainConfig("local_features", steps=1, pairs=1, corpus_fraction=1.0, clean=True)
    assert MASKED in next(batches(config, prepared.cache, owned, SPEC, first=0))


def test_brightness_is_the_only_fault_where_the_recipe_says_so(
    prepared: Prepared, owned: list[Sample]
) -> None:
    config = TrainConfig(
        "local_features", steps=1, clean=True, brightened=True, jittered=False, corpus_fraction=1.0
    )
    side = [s for s in owned if s.split == "train"]
    pairs = own_pairs(config, prepared.cache, side, SPEC)
    drawn = pairs._degrade(np.random.default_rng(0), 448)
    assert drawn.gamma != 1 and replace(drawn, gamma=1.0) == Degradation.none()


def test_a_run_on_shorter_clips_looks_at_so_many_frames(prepared: Prepared) -> None:
    config = TrainConfig("gml", steps=1, pairs=1, clean=True, frames=3, manipulations=("self-blend",))
    stream = batches(config, prepared.cache, load_index(prepared.cache), spec_of(config), first=0)
    assert next(stream)["pixels"].shape[1] == 3


def test_clips_are_not_made_longer_than_the_detector_looks_at() -> None:
    with pytest.raises(UsageError, match="clips of gml have 8 frames at the most; --frames is for fewer"):
        spec_of(TrainConfig("gml", steps=1, frames=8))
    with pytest.raises(UsageError, match="clips of sola have 1 frames at the most"):
        spec_of(TrainConfig("sola", steps=1, frames=4))
    assert spec_of(TrainConfig("gml", steps=1)) == SPECS["gml"]
