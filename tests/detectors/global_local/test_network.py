"""Global-local: patches, attention, SRU and the guiding loss against plain references."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepscan.detectors.global_local.network import (
    GlobalLocal,
    GlobalLocalOutput,
    PatchAttention,
    Sru,
    cut_patches,
    gsg_loss,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def net() -> GlobalLocal:
    torch.manual_seed(0)
    return GlobalLocal().eval()


def test_sixteen_patches_start_at_0_2_3_5() -> None:
    x = torch.arange(2 * 3 * 49.0).reshape(2, 3, 7, 7)
    patches = cut_patches(x)
    assert patches.shape == (2, 16, 3, 2, 2)
    covered = torch.zeros(7, 7)
    for number in range(16):
        row, column = (0, 2, 3, 5)[number // 4], (0, 2, 3, 5)[number % 4]
        assert torch.equal(patches[:, number], x[:, :, row : row + 2, column : column + 2])
        covered[row : row + 2, column : column + 2] += 1
    assert bool((covered > 0).all())


def local_feature_by_loops(attention: PatchAttention, x: Tensor) -> tuple[Tensor, list[set[int]]]:
    """Equation 2, one frame and patch at a time."""
    features, chosen = [], []
    for frame in cut_patches(x):
        scores = [float(attention.fc2(torch.relu(attention.fc1(patch.flatten())))) for patch in frame]
        best = sorted(range(16), key=lambda n: -scores[n])[:5]
        features.append(sum(frame[n].mean((1, 2)) for n in best) / 5)
        chosen.append(set(best))
    return torch.stack(features), chosen


@torch.no_grad()
def test_local_feature_is_the_mean_of_the_five_best_patches() -> None:
    torch.manual_seed(0)
    attention = PatchAttention(8)
    x = torch.randn(3, 8, 7, 7)
    feature, chosen = attention(x)
    expected, best = local_feature_by_loops(attention, x)
    torch.testing.assert_close(feature, expected)
    assert [set(row.tolist()) for row in chosen] == best


def test_attention_gets_a_gradient_through_the_selection() -> None:
    torch.manual_seed(0)
    attention = PatchAttention(8)
    x = torch.randn(2, 8, 7, 7, requires_grad=True)
    attention(x)[0].square().sum().backward()
    assert all(p.grad is not None for p in attention.parameters())
    assert attention.fc1.weight.grad is not None and bool(attention.fc1.weight.grad.any())
    assert attention.fc2.weight.grad is not None and bool(attention.fc2.weight.grad.any())
    assert x.grad is not None and bool(x.grad.any())


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-x)))


@pytest.mark.parametrize("width", [6, 4])
def test_sru_step_by_step(width: int) -> None:
    torch.manual_seed(0)
    layer: Any = Sru(width, 4).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(2, 5, width, dtype=torch.float64)
    w, w_f, w_r = layer.gates.weight.detach().numpy().reshape(3, 4, width)
    b_f, b_r = layer.forget_bias.detach().numpy(), layer.reset_bias.detach().numpy()
    projection = np.eye(4) if width == 4 else layer.highway.weight.detach().numpy()
    for clip, got in zip(x.numpy(), layer(x).detach().numpy(), strict=True):
        c = np.zeros(4)
        for t in range(5):
            f, r = sigmoid(w_f @ clip[t] + b_f), sigmoid(w_r @ clip[t] + b_r)
            c = f * c + (1 - f) * (w @ clip[t])
            np.testing.assert_allclose(got[t], r * c + (1 - r) * (projection @ clip[t]), atol=1e-10)


def test_guiding_loss() -> None:
    even = torch.zeros(1, 2)
    sure_of_forged = torch.tensor([[0.0, 20.0]])
    forged, real = torch.tensor([1]), torch.tensor([0])
    assert float(gsg_loss(even, even, forged)) == pytest.approx(0.1)
    assert float(gsg_loss(even, sure_of_forged, forged)) == 0
    assert float(gsg_loss(even, sure_of_forged, real)) == pytest.approx(0.6, abs=1e-6)
    assert float(gsg_loss(sure_of_forged, even, forged)) == pytest.approx(0.6, abs=1e-6)
    batch = gsg_loss(torch.cat([even, even]), torch.cat([even, sure_of_forged]), torch.tensor([1, 1]))
    assert float(batch) == pytest.approx(0.05)


@torch.no_grad()
def test_score_is_the_mean_of_both_streams(net: GlobalLocal) -> None:
    output = net(torch.randn(2, 2, 3, 224, 224))
    expected = (output.global_logits.softmax(1) + output.fused_logits.softmax(1))[:, 1] / 2
    torch.testing.assert_close(net.probability(output), expected)
    patches = net.evidence(output)["patches"]
    assert patches.shape == (2, 2, 5)
    assert patches.dtype == torch.int64
    assert all(len(set(row.tolist())) == 5 for row in patches.flatten(0, 1))
    assert set(patches.flatten().tolist()) <= set(range(16))


def test_other_sizes_are_refused(net: GlobalLocal) -> None:
    with pytest.raises(ValueError, match="224 px"):
        net(torch.zeros(1, 1, 3, 64, 64))


def test_loss_has_all_three_terms(net: GlobalLocal) -> None:
    output = GlobalLocalOutput(torch.zeros(2, 2), torch.zeros(2, 2), torch.zeros(2, 1, 5, dtype=torch.int64))
    loss = net.loss(output, torch.tensor([0, 1]), None, None)
    assert float(loss) == pytest.approx(2 * float(np.log(2)) + 0.1)


def test_a_torchvision_checkpoint_loads_by_name(net: GlobalLocal) -> None:
    state = {name: torch.full_like(t, 2) for name, t in net.trunk.state_dict().items()}
    state |= {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    fresh = GlobalLocal()
    fresh.load_public(state)
    assert bool((fresh.trunk.state_dict()["layer3.5.conv2.weight"] == 2).all())
    del state["layer4.2.bn2.weight"]
    with pytest.raises(KeyError, match=r"layer4\.2\.bn2\.weight"):
        fresh.load_public(state)


def test_size(net: GlobalLocal) -> None:
    assert sum(p.numel() for p in net.trunk.parameters()) == 21_284_672
    assert sum(p.numel() for p in net.parameters()) == 27_584_581
