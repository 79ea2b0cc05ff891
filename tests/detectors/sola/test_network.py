"""SOLA against its paper: equations 4 to 12 next to plain loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from deepscan.detectors.sola.network import (
    DIRECTIONS,
    Asrm,
    Lem,
    Sola,
    SolaModule,
    SolaOutput,
    anomaly_labels,
    pad_to_grid,
)

pytestmark = pytest.mark.slow

# (rows up, columns left) of the neighbour that each direction compares with
NEIGHBOUR = {"v1": (1, 0), "v2": (2, 0), "h1": (0, 1), "h2": (0, 2)}


@pytest.fixture(scope="module")
def net() -> Sola:
    torch.manual_seed(0)
    return Sola().eval()


@pytest.fixture(scope="module")
def output(net: Sola) -> SolaOutput:
    with torch.no_grad():
        result: SolaOutput = net(torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(1)))
    return result


def test_asrm_starts_as_three_high_pass_filters() -> None:
    asrm = Asrm()
    kernels = asrm.weight.detach()
    assert torch.equal(kernels[:, 0], kernels[:, 1]) and torch.equal(kernels[:, 0], kernels[:, 2])
    assert (kernels[0, 0, 2] * 4).tolist() == [0, 2, -4, 2, 0]
    assert torch.allclose(kernels[1, 0, 1] * 12, torch.tensor([2.0, -6, 8, -6, 2]))
    assert torch.allclose(kernels[1, 0], kernels[1, 0].flip(0)) and kernels[1, 0, 2, 2] == -1
    assert (kernels[2, 0, 2] * 2).tolist() == [0, 1, -2, 1, 0]
    ramp = torch.linspace(0, 1, 12).expand(1, 3, 12, 12)
    assert asrm(ramp)[..., 2:-2, 2:-2].abs().max() < 1e-6


def test_asrm_keeps_its_constraint_after_an_optimizer_step() -> None:
    net = Sola()
    before = net.asrm.weight.detach().clone()
    optimizer = torch.optim.Adam(net.asrm.parameters(), lr=1e-2)
    net.asrm(torch.rand(1, 3, 16, 16)).square().sum().backward()
    optimizer.step()
    net.after_step()
    kernels = net.asrm.weight.detach()
    assert (kernels - before).abs().max() > 1e-3
    assert bool((kernels[:, :, 2, 2] == -1).all())
    assert torch.allclose(kernels.sum(dim=(2, 3)), torch.zeros(3, 3), atol=1e-5)


def test_asrm_survives_kernels_whose_rest_sums_to_nothing() -> None:
    asrm = Asrm()
    with torch.no_grad():
        asrm.weight.zero_()
    asrm.constrain()
    assert torch.allclose(asrm.weight.sum(dim=(2, 3)), torch.zeros(3, 3), atol=1e-5)


def test_asrm_stays_in_float32_under_autocast() -> None:
    asrm, x = Asrm(), torch.rand(1, 3, 16, 16)
    expected = asrm(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(asrm(x), expected)


def slow_lem(lem: Lem, x: Tensor) -> Tensor:
    """Eq. 5 and 6, patch by patch."""
    result = x.clone()
    height, width = x.shape[2] // 16, x.shape[3] // 16
    maps = [embed(x) for embed in (lem.theta, lem.f, lem.g)]
    for b in range(x.shape[0]):
        for row in range(16):
            for column in range(16):
                place = (slice(row * height, (row + 1) * height), slice(column * width, (column + 1) * width))
                theta, f, g = (m[b, :, place[0], place[1]].flatten(1) for m in maps)
                weight = torch.softmax(theta.T @ f, dim=1)
                enhanced = (weight @ g.T).T.reshape(x.shape[1], height, width)
                result[b, :, place[0], place[1]] += lem.scale * enhanced
    return result


@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 48), (16, 16)])
def test_lem_equals_a_loop_over_the_patches(height: int, width: int) -> None:
    torch.manual_seed(4)
    lem, x = Lem(16), torch.randn(2, 16, height, width)
    with torch.no_grad():
        assert torch.equal(lem(x), x)
        lem.scale.fill_(0.7)
        assert torch.allclose(lem(x), slow_lem(lem, x), atol=1e-5)


def test_maps_compare_each_patch_with_the_right_neighbour() -> None:
    torch.manual_seed(5)
    module = SolaModule(8)
    x = torch.randn(1, 8, 16, 16)
    with torch.no_grad():
        result = module(x)
    for k, direction in enumerate(DIRECTIONS):
        up, left = NEIGHBOUR[direction]
        before, here = module.first[k].weight.flatten(2).unbind(2)
        first = torch.zeros(64, 16, 16)
        for i in range(up, 16):
            for j in range(left, 16):
                pair = before @ x[0, :, i - up, j - left] + here @ x[0, :, i, j]
                first[:, i, j] = torch.sigmoid(pair + module.first[k].bias)
        assert torch.allclose(pad_to_grid(torch.sigmoid(result.first[k]))[0], first, atol=1e-5)
        before, here = module.second[k].weight.flatten(2).unbind(2)
        second = torch.zeros(16, 16)
        for i in range(2 * up, 16):
            for j in range(2 * left, 16):
                pair = before @ first[:, i - up, j - left] + here @ first[:, i, j]
                second[i, j] = torch.sigmoid(pair + module.second[k].bias)
        assert torch.allclose(pad_to_grid(torch.sigmoid(result.second[k]))[0, 0], second, atol=1e-5)


def test_shapes(net: Sola, output: SolaOutput) -> None:
    assert [tuple(m.shape[1:]) for m in output.first] == [
        (64, 15, 16), (64, 14, 16), (64, 16, 15), (64, 16, 14),
    ]  # fmt: skip
    assert [tuple(m.shape[1:]) for m in output.second] == [(1, 14, 16), (1, 12, 16), (1, 16, 14), (1, 16, 12)]
    evidence = net.evidence(output)
    assert tuple(evidence) == net.spec.evidence and evidence["second_order"].shape == (2, 16, 16)
    assert net.probability(output).shape == (2,)
    assert sum(p.numel() for p in net.parameters()) == 5_829_657


def test_evidence_is_the_strongest_of_the_four_maps(net: Sola, output: SolaOutput) -> None:
    top, left = output.second[0].sigmoid()[0, 0, 1, 0], output.second[1].sigmoid()[0, 0, 0, 0]
    # row 3, column 0 exists only in v1; row 4, column 0 in both vertical maps
    assert net.evidence(output)["second_order"][0, 3, 0] == top
    top = output.second[0].sigmoid()[0, 0, 2, 0]
    assert net.evidence(output)["second_order"][0, 4, 0] == torch.maximum(top, left)


def made_masks() -> Tensor:
    """One untouched image and one with a soft-edged forged square that cuts through patches."""
    masks = torch.zeros(2, 256, 256)
    masks[1, 60:180, 70:200] = 0.05  # feather: below what counts as forged
    masks[1, 70:170, 80:190] = 1.0
    return masks


def slow_labels(mask: Tensor, direction: str) -> tuple[list[list[int]], list[list[int]]]:
    """Eq. 9a and 9b for one mask of 256x256."""
    up, left = NEIGHBOUR[direction]
    share = [
        [int((mask[16 * i : 16 * i + 16, 16 * j : 16 * j + 16] > 0.1).sum()) for j in range(16)]
        for i in range(16)
    ]
    first = [[int(share[i][j] != share[i - up][j - left]) for j in range(left, 16)] for i in range(up, 16)]
    rows, columns = len(first), len(first[0])
    second = [
        [int(first[i][j] != first[i - up][j - left]) for j in range(left, columns)] for i in range(up, rows)
    ]
    return first, second


def test_anomaly_labels_equal_the_loops() -> None:
    masks = made_masks()
    first, second = anomaly_labels(masks)
    for k, direction in enumerate(DIRECTIONS):
        for b in range(2):
            slow_first, slow_second = slow_labels(masks[b], direction)
            assert first[k][b].tolist() == slow_first
            assert second[k][b].tolist() == slow_second
        assert first[k][0].sum() == 0 and first[k][1].sum() > 0 and second[k][1].sum() > 0


def slow_bce(logits: Tensor, labels: Tensor) -> float:
    p = logits.double().sigmoid()
    return float(-(labels * p.log() + (1 - labels) * (1 - p).log()).mean())


def test_supervised_loss(net: Sola, output: SolaOutput) -> None:
    masks, label = made_masks(), torch.tensor([0, 1])
    expected = slow_bce(output.image, label)
    for k, direction in enumerate(DIRECTIONS):
        both = [slow_labels(mask, direction) for mask in masks]
        first, second = (torch.tensor([pair[order] for pair in both]) for order in (0, 1))
        expected += slow_bce(output.first[k], first[:, None].expand_as(output.first[k]))
        expected += slow_bce(output.second[k], second[:, None])
    assert net.loss(output, label, masks, None).item() == pytest.approx(expected, rel=1e-5)


def test_single_side_loss_looks_at_real_images_only(net: Sola, output: SolaOutput) -> None:
    label = torch.tensor([0, 1])
    expected = slow_bce(output.image, label)
    expected += sum(float(m[0].sigmoid().mean()) for m in output.first + output.second)
    assert net.loss(output, label, None, None).item() == pytest.approx(expected, rel=1e-5)
    forged_only = net.loss(output, torch.tensor([1, 1]), None, None).item()
    assert forged_only == pytest.approx(slow_bce(output.image, torch.ones(2)), rel=1e-5)
    assert math.isfinite(forged_only)


def test_bf16_autocast_trains() -> None:
    torch.manual_seed(0)
    net = Sola().train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = net.loss(net(torch.rand(2, 3, 256, 256)), torch.tensor([0, 1]), made_masks(), None)
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())
