"""A tuning's steps, on a small encoder with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from deepscan.detectors.gend.network import GenD, alignment, is_tuned, uniformity
from deepscan.errors import UsageError
from deepscan.training.data.prepare import Sample
from deepscan.training.export.encoder import read_encoder
from deepscan.training.tuning.batches import Batches
from deepscan.training.tuning.crops import Crop
from deepscan.training.tuning.fit import TuningConfig, fit, lower, tune
from tests.fixtures.small_gend import Encoded, pictures, random_net, small
from tests.training.conftest import Prepared

pytestmark = pytest.mark.slow


def toy_crops() -> list[Crop]:
    """Forged ones are dark; the last is made of the one before it."""
    found = []
    for number, pixels in enumerate(pictures(16)):
        forged = number % 2 == 1
        sample = Sample(f"{number}", "even", "fake" if forged else "real", f"{number}", "s", "train")
        found.append(Crop(sample, pixels // 3 if forged else pixels, forged))
    own, pixels = found[0].sample, found[0].pixels
    return [*found, Crop(own, pixels, False), Crop(own, pixels // 3, True, made=True)]


def test_the_loss_falls_and_only_upper_norms_and_the_head_change() -> None:
    with small():
        net = random_net()
        before = {name: value.clone() for name, value in net.state_dict().items()}
        tokens, kinds = lower(net, toy_crops(), lambda line: None)
        assert tokens.shape[:2] == (18, 197) and tokens.dtype == torch.bfloat16
        lines: list[str] = []
        fit(
            net,
            tokens,
            Batches(kinds, size=8, made=1),
            TuningConfig(steps=75, rate=3e-3),
            lines.append,
        )
        changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
        assert changed and all(is_tuned(name) for name in changed)
        assert not any("layers.0." in name or "pre_layrnorm" in name for name in changed)
        losses = [float(line.split("loss ")[1]) for line in lines]
        assert losses[-1] < 0.8 * losses[0]


def test_leaving_out_a_fold_that_nobody_has_is_a_mistake(prepared: Prepared) -> None:
    with small(), pytest.raises(UsageError, match="no face is of fold 3"):
        tune(random_net(), prepared.cache, TuningConfig(steps=1, leave_out=3))


def test_reading_an_encoder_gives_back_what_was_rounded(encoded: Encoded) -> None:
    with small():
        again = GenD()
        state = read_encoder(encoded.encoder)
        again.load_state_dict(state, strict=False)
        assert {name for name in again.state_dict() if name not in state} == {
            name for name in again.state_dict() if is_tuned(name)
        }
        original = random_net().state_dict()
        for name, value in state.items():
            assert torch.allclose(
                value, original[name], atol=0.01 * float(original[name].abs().max()) + 1e-6
            ), name


def test_a_tuning_of_another_kind_is_refused(tmp_path: Path) -> None:
    with small():
        net = random_net()
        state = net.tuning()
        state.pop("head.bias")
        with pytest.raises(RuntimeError, match=r"head\.bias is missing or strange"):
            net.load_tuning(state)


def test_losses_on_the_sphere() -> None:
    feature = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), dim=-1)
    assert float(alignment(feature, torch.tensor([0, 0, 1]))) == pytest.approx(0)
    assert float(alignment(feature, torch.tensor([0, 1, 1]))) == pytest.approx(2)
    assert float(alignment(feature, torch.tensor([0, 1, 2]))) == 0
    near, far = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert float(uniformity(near)) == pytest.approx(0)
    assert float(uniformity(far)) == pytest.approx(-8)
    assert np.isfinite(float(uniformity(far)))
