"""A network is validated on every pair of the side that nobody trains on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from deepscan.training.config import TrainConfig
from deepscan.training.data.pairs import FixedOwnPairs
from deepscan.training.data.prepare import Sample
from deepscan.training.fit.validation import validate
from deepscan.training.networks import build
from tests.training.conftest import Prepared, own_pairs_of

pytestmark = pytest.mark.slow


def test_own_forgeries_are_validated_on_once_each(prepared: Prepared, owned: list[Sample]) -> None:
    pairs = FixedOwnPairs(own_pairs_of(prepared, owned, "val"))
    assert len(pairs) == 1
    assert torch.equal(pairs[0]["pixels"], pairs[0]["pixels"])
    config = TrainConfig("local_features", steps=1, corpus_fraction=0.5, clean=True)
    found = validate(build("local_features"), config, prepared.cache, owned)
    overall = {name for name in found if not name.startswith("val_auc ")}
    assert overall == {"val_auc", "val_pairs", "val_own_auc", "val_own_pairs"}
    assert found["val_own_pairs"] == 1 and 0 <= found["val_own_auc"] <= 1
    own_alone = replace(config, corpus_fraction=1.0)
    found = validate(build("local_features"), own_alone, prepared.cache, owned)
    assert set(found) == {"val_own_auc", "val_own_pairs"}
