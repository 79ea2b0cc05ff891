"""GML: its blocks against plain loops, and how it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from deepscan.detectors.gml.network import Gml, GmlOutput, Mcb

pytestmark = pytest.mark.slow

FRAMES = 4
Array = NDArray[np.float64]


def random_block(channels: int) -> Mcb:
    torch.manual_seed(0)
    block = Mcb(channels).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    return block


@pytest.fixture(scope="module")
def net() -> Gml:
    torch.manual_seed(0)
    return Gml().eval()


def at(x: Array, t: int, h: int, w: int) -> Array:
    """Channels of one place, zero outside the clip."""
    inside = 0 <= t < x.shape[1] and 0 <= h < x.shape[2] and 0 <= w < x.shape[3]
    return x[:, t, h, w] if inside else np.zeros(len(x))


def spatial_by_loops(x: Array, kernel: Array) -> Array:
    """x (C, T, H, W), kernel (C, 3, 3)."""
    out = np.zeros_like(x)
    for t, h, w in np.ndindex(x.shape[1:]):
        for i in (-1, 0, 1):
            for j in (-1, 0, 1):
                out[:, t, h, w] += kernel[:, i + 1, j + 1] * at(x, t, h + i, w + j)
    return out


def temporal_by_loops(x: Array, kernel: Array) -> Array:
    """x (C, T, H, W), kernel (C, 3)."""
    out = np.zeros_like(x)
    for t, h, w in np.ndindex(x.shape[1:]):
        for k in (-1, 0, 1):
            out[:, t, h, w] += kernel[:, k + 1] * at(x, t + k, h, w)
    return out


def difference_by_loops(x: Array, kernel: Array) -> Array:
    """Eq. 1 (or 2): x at t minus modelled x at t-1; zero at t = 0."""
    modelled, out = spatial_by_loops(x, kernel), np.zeros_like(x)
    for t in range(1, x.shape[1]):
        out[:, t] = x[:, t] - modelled[:, t - 1]
    return out


def as_clip(x: Tensor) -> Array:
    """(T, C, H, W) -> (C, T, H, W)."""
    array: Array = x.detach().numpy().transpose(1, 0, 2, 3)
    return array


def weight(x: Tensor) -> Array:
    array: Array = x.detach().numpy()
    return array


def test_motion_features_are_equations_1_and_2() -> None:
    block = random_block(32)
    x = torch.randn(FRAMES, 32, 5, 6, dtype=torch.float64)
    first, second = block.motion_features(x, FRAMES)
    reduced = np.einsum("dc,cthw->dthw", weight(block.down.weight)[:, :, 0, 0], as_clip(x))
    kernel = weight(block.motion.weight)[:, 0]
    expected = difference_by_loops(reduced, kernel)
    np.testing.assert_allclose(as_clip(first), expected, atol=1e-10)
    np.testing.assert_allclose(as_clip(second), difference_by_loops(expected, kernel), atol=1e-10)
    assert not first[0].any()
    assert not second[0].any()


def test_block_is_cstm_plus_both_motion_features() -> None:
    block = random_block(32)
    x = torch.randn(FRAMES, 32, 5, 6, dtype=torch.float64)
    y, _ = block(x, FRAMES)
    mixed = temporal_by_loops(as_clip(x), weight(block.temporal)[:, 0, :, 0])
    cstm = spatial_by_loops(mixed, weight(block.spatial.weight)[:, 0])
    features = np.concatenate([as_clip(f) for f in block.motion_features(x, FRAMES)])
    back = np.einsum("cd,dthw->cthw", weight(block.up.weight)[:, :, 0, 0], features)
    np.testing.assert_allclose(as_clip(y), cstm + back, atol=1e-9)


def test_clips_of_one_batch_do_not_mix() -> None:
    block = random_block(16)
    x = torch.randn(2 * FRAMES, 16, 4, 4, dtype=torch.float64)
    together, _ = block(x, FRAMES)
    apart = torch.cat([block(half, FRAMES)[0] for half in x.chunk(2)])
    torch.testing.assert_close(together, apart)


def test_one_frame_is_the_middle_of_the_temporal_kernel() -> None:
    block = random_block(16)
    x = torch.randn(3, 16, 4, 4, dtype=torch.float64)
    y, consistency = block(x, 1)
    expected = block.spatial(x * block.temporal[:, 0, 1, 0].reshape(1, -1, 1, 1))
    torch.testing.assert_close(y, expected)
    assert not consistency.any()


def test_a_fresh_block_is_its_spatial_convolution() -> None:
    block = Mcb(32)
    x = torch.randn(FRAMES, 32, 5, 5)
    torch.testing.assert_close(block(x, FRAMES)[0], block.spatial(x), rtol=0, atol=0)


def plain_xception(net: Any, x: Tensor) -> Tensor:
    """The same weights as an ordinary Xception over single frames (N, 3, H, W) -> (N, 2048)."""

    def separable(unit: Any, y: Tensor) -> Tensor:
        kernel = unit.mcb.spatial.weight
        y = F.conv2d(y, kernel, padding=1, groups=len(kernel))
        z: Tensor = unit.bn(unit.pointwise(y))
        return z

    y = F.relu(net.bn1(net.conv1(x)))
    y = F.relu(net.bn2(net.conv2(y)))
    for number, block in enumerate(net.blocks):
        z = y
        for i, unit in enumerate(block.units):
            z = separable(unit, z if number == 0 and i == 0 else F.relu(z))
        if block.skip is not None:
            z, y = F.max_pool2d(z, 3, 2, 1), block.skip(y)
        y = z + y
    y = F.relu(separable(net.conv4, F.relu(separable(net.conv3, y))))
    return y.mean((2, 3))


@pytest.mark.parametrize("learning", [True, False], ids=["while it learns", "where nothing moves is skipped"])
def test_begins_as_plain_xception(net: Gml, learning: bool) -> None:
    x = torch.rand(1, 3, 3, 64, 64) * 2 - 1
    expected = net.fc(plain_xception(net, x[0]).mean(0, keepdim=True))
    with torch.set_grad_enabled(learning):
        torch.testing.assert_close(net(x).logits, expected, atol=1e-5, rtol=1e-4)


def test_a_block_that_has_learnt_motion_sees_it_without_a_gradient_too() -> None:
    block = random_block(32)
    x = torch.randn(FRAMES, 32, 5, 5, dtype=torch.float64)
    with torch.no_grad():
        without = block(x, FRAMES)[0]
    torch.testing.assert_close(without, block(x, FRAMES)[0].detach(), rtol=0, atol=0)
    assert not torch.equal(without, block._still(x))


@torch.no_grad()
def test_a_still_clip_scores_as_its_frame_at_the_start(net: Gml) -> None:
    frame = torch.rand(2, 1, 3, 64, 64)
    one, many = net(frame), net(frame.expand(2, 3, 3, 64, 64))
    torch.testing.assert_close(net.probability(one), net.probability(many), atol=1e-5, rtol=1e-4)
    assert not net.evidence(many)["motion_consistency"].any()


@torch.no_grad()
def test_probability_and_evidence_shapes(net: Gml) -> None:
    output = net(torch.rand(2, 3, 3, 64, 64))
    probability = net.probability(output)
    assert probability.shape == (2,)
    expected = (output.logits.softmax(1) + output.anomaly_logits.softmax(1))[:, 1] / 2
    torch.testing.assert_close(probability, expected)
    maps = net.evidence(output)
    assert tuple(maps) == net.spec.evidence
    assert all(m.shape == (2, 3, 4, 4) and bool((m >= 0).all()) for m in maps.values())


def made_output(clues: Tensor) -> GmlOutput:
    batch = len(clues)
    return GmlOutput(torch.zeros(batch, 2), torch.zeros(batch, 2), clues, torch.zeros(batch, 2, 1, 1, 1))


def test_loss_asks_only_real_clips_for_silence(net: Gml) -> None:
    clues = torch.stack([torch.full((2, 3, 4, 4), 0.5), torch.full((2, 3, 4, 4), 7.0)])
    both_heads = 2 * float(np.log(2))
    loss = net.loss(made_output(clues), torch.tensor([0, 1]), None, None)
    assert float(loss) == pytest.approx(both_heads + 0.5)
    loss = net.loss(made_output(clues), torch.tensor([1, 1]), None, None)
    assert float(loss) == pytest.approx(both_heads)


def test_every_part_learns_and_bfloat16_is_safe() -> None:
    torch.manual_seed(0)
    net: Any = Gml().train()
    for unit in (m for m in net.modules() if isinstance(m, Mcb)):
        torch.nn.init.normal_(unit.up.weight, std=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        output = net(torch.rand(2, 2, 3, 64, 64))
        loss = net.loss(output, torch.tensor([0, 1]), None, None)
    assert loss.dtype == torch.float32
    loss.backward()
    silent = [n for n, p in net.named_parameters() if p.grad is None or not bool(p.grad.isfinite().all())]
    assert not silent
    unit = net.blocks[4].units[2].mcb
    assert all(bool(p.grad.any()) for p in (unit.temporal, unit.motion.weight, unit.down.weight))


def test_imagenet_weights_land_by_name(net: Gml, tmp_path: Path) -> None:
    state: dict[str, Tensor] = {}
    for prefix, module in net.imagenet_places():
        for name, tensor in module.state_dict().items():
            state[f"{prefix}.{name}"] = torch.full_like(tensor, float(len(state)))
    expected = {"conv1.weight", "block1.rep.0.conv1.weight", "block1.rep.4.bias", "block4.rep.8.running_var"}
    expected |= {"block2.skip.weight", "block12.rep.4.pointwise.weight", "block12.skipbn.bias"}
    expected |= {"conv4.conv1.weight"}
    assert expected <= state.keys()
    assert "block4.skip.weight" not in state
    path = tmp_path / "imagenet.safetensors"
    save_file(state, path)
    fresh: Any = Gml()
    fresh.load_imagenet(path)
    assert bool((fresh.blocks[3].units[2].bn.running_var == state["block4.rep.8.running_var"]).all())
    assert bool((fresh.conv4.mcb.spatial.weight == state["conv4.conv1.weight"]).all())


def test_size(net: Gml) -> None:
    anomaly = sum(p.numel() for p in net.anomaly.parameters())
    assert sum(p.numel() for p in net.parameters()) == 29_306_147
    assert anomaly == 5_087_628
