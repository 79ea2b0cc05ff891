"""One step: what goes in, what the optimizer does, and how fast."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from deepscan.detectors import SPECS
from deepscan.errors import UsageError
from deepscan.training.config import TrainConfig
from deepscan.training.data.pairs import MASKED
from deepscan.training.data.prepare import Sample
from deepscan.training.fit import step
from deepscan.training.fit.step import (
    TrainingStep,
    normalise,
    optimize,
    optimizer_of,
    rate_at,
    score_variance_loss,
)
from deepscan.training.networks import build
from tests.training.conftest import CONFIG, Prepared, own_pairs_of

pytestmark = pytest.mark.slow


def test_the_rate_rises_and_falls_along_a_cosine() -> None:
    config = TrainConfig("gml", steps=110, rate=2.0, warmup=10)
    rates = [rate_at(step, config) for step in range(111)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == rates[10] == pytest.approx(2.0)
    assert rates[60] == pytest.approx(1.0)
    assert rates[110] == pytest.approx(0.0)
    assert rates[:10] == sorted(rates[:10]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert rate_at(0, replace(config, warmup=0)) == pytest.approx(2.0)


def test_a_constant_rate_stays_after_the_warm_up() -> None:
    config = TrainConfig("gml", steps=100, rate=2.0, warmup=4, schedule="constant")
    assert [rate_at(step, config) for step in (0, 3, 4, 50, 99)] == [0.5, 2.0, 2.0, 2.0, 2.0]


def test_pixels_are_normalised_channel_by_channel() -> None:
    spec = SPECS["resnet3d"]
    pixels = torch.randint(0, 256, (2, 3, 4, 5, 3), dtype=torch.uint8)
    x = normalise(pixels, spec)
    assert x.shape == (2, 3, 3, 4, 5)
    for c in range(3):
        expected = (pixels[..., c] / 255 - spec.mean[c]) / spec.std[c]
        torch.testing.assert_close(x[:, :, c], expected)


def test_a_constraint_is_put_back_after_every_step() -> None:
    net: Any = build("local_features")
    done: list[int] = []
    net.after_step = lambda: done.append(1)
    size = net.spec.size_px
    batch = {
        "pixels": torch.zeros(2, size, size, 3, dtype=torch.uint8),
        "label": torch.tensor([0, 1]),
        "forged": torch.zeros(2, size, size),
        "face": torch.ones(2, size, size),
    }
    loss = optimize(net, torch.optim.AdamW(net.parameters(), lr=1e-3), batch)
    assert math.isfinite(loss) and done == [1]


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)])
def test_the_optimizer_is_the_one_named(name: str, kind: type, prepared: Prepared) -> None:
    net: Any = build("local_features")
    config = replace(CONFIG, optimizer=name, momentum=0.9, rate=0.01, weight_decay=0.001)
    made = optimizer_of(config, net.parameters())
    assert type(made) is kind
    assert (made.param_groups[0]["lr"], made.param_groups[0]["weight_decay"]) == (0.01, 0.001)
    assert made.param_groups[0].get("momentum", 0.9) == 0.9
    with pytest.raises(UsageError, match="no optimizer 'lamb'"):
        optimizer_of(replace(config, optimizer="lamb"), net.parameters())


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
    pair = own_pairs_of(prepared, owned, name="sola").pair(np.random.default_rng(0))
    step = TrainingStep(net, None)
    step(pair)
    step({**pair, MASKED: torch.tensor([True, True])})
    assert given[0] is None and torch.equal(given[1], pair["forged"])


@pytest.mark.parametrize("able", [True, False])
def test_bfloat16_only_where_the_processor_has_it(able: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "has_bfloat16", lambda: able)
    layer = torch.nn.Linear(4, 4)
    with step.mixed_precision(layer):
        out = layer(torch.ones(1, 4))
    assert out.dtype == (torch.bfloat16 if able else torch.float32)


class Bowl(torch.nn.Module):
    """A loss of two parameters, ``(3 x^2 + y^2) / 2``, and a batch norm, as a training step expects them."""

    spec = SPECS["local_features"]

    def __init__(self) -> None:
        super().__init__()
        self.at = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
        self.norm = torch.nn.BatchNorm2d(3)
        self.asked: list[list[float]] = []

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.norm(pixels)
        self.asked.append(self.at.tolist())
        return (torch.tensor([3.0, 1.0]) * self.at**2).sum() / 2

    def loss(self, output: torch.Tensor, *_: object) -> torch.Tensor:
        return output


def bowl_batch() -> dict[str, torch.Tensor]:
    pixels = torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)
    masks = torch.zeros(2, 8, 8)
    return {"pixels": pixels, "label": torch.tensor([0, 1]), "forged": masks, "face": masks}


def test_a_sharpness_aware_step_follows_the_gradient_of_the_perturbed_weights() -> None:
    bowl: Any = Bowl()
    gradient = torch.tensor([3.0, 2.0])
    perturbed = torch.tensor([1.0, 2.0]) + 0.5 * gradient / gradient.norm()
    loss = optimize(bowl, torch.optim.SGD([bowl.at], lr=0.1), bowl_batch(), sam_rho=0.5)
    assert loss == pytest.approx(3.5)
    assert bowl.asked[0] == [1.0, 2.0] and bowl.asked[1] == pytest.approx(perturbed.tolist())
    expected = torch.tensor([1.0, 2.0]) - 0.1 * torch.tensor([3.0, 1.0]) * perturbed
    torch.testing.assert_close(bowl.at.detach(), expected)


def test_both_passes_of_a_sharpness_aware_step_count_once_in_batch_norms() -> None:
    means = []
    for sam_rho in (0.0, 0.5):
        torch.manual_seed(0)
        bowl: Any = Bowl()
        optimize(
            bowl,
            torch.optim.SGD([bowl.at], lr=0.1),
            bowl_batch(),
            sam_rho=sam_rho,
        )
        means.append(bowl.norm.running_mean)
        assert bowl.norm.momentum == 0.1
    torch.testing.assert_close(means[0], means[1])


def test_the_score_variance_loss_is_the_spread_of_genuine_scores_alone() -> None:
    label = torch.tensor([0, 0, 1, 1])
    probability = torch.sigmoid(torch.tensor([-1.0, 3.0, 7.0, -9.0])).requires_grad_()
    found = score_variance_loss(probability, label)
    assert float(found.detach()) == pytest.approx(4.0, rel=1e-4)
    found.backward()
    assert probability.grad is not None
    assert probability.grad[0] < 0 < probability.grad[1], "downhill they meet"
    assert probability.grad[2:].abs().max() == 0
    assert float(score_variance_loss(probability[2:].detach(), label[2:])) == 0


class Scores(torch.nn.Module):
    """Scores a picture by its mean; its own loss is 1."""

    spec = SPECS["local_features"]

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.mean((1, 2, 3)) * self.gain

    def probability(self, output: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(output)

    def loss(self, output: torch.Tensor, *_: object) -> torch.Tensor:
        return torch.ones(())


def test_score_variance_weighs_the_spread_of_genuine_scores() -> None:
    net: Any = Scores()
    shades = torch.tensor([0, 200, 255], dtype=torch.uint8)
    batch = {
        "pixels": shades[:, None, None, None].expand(3, 8, 8, 3),
        "label": torch.tensor([0, 0, 1]),
        "forged": torch.zeros(3, 8, 8),
        "face": torch.zeros(3, 8, 8),
    }
    low, high, _ = net(normalise(batch["pixels"], net.spec)).tolist()
    assert float(TrainingStep(net, None)(batch)) == 1
    found = float(TrainingStep(net, None, score_variance=0.5)(batch).detach())
    assert found == pytest.approx(1 + 0.5 * ((high - low) / 2) ** 2, rel=0.02)
