"""3D ResNet: figure 5 in three dimensions, checkpoints by name, frozen lower stages, activation maps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from deepscan.detectors.resnet3d import network
from deepscan.detectors.resnet3d.network import BLOCKS, ResNet3d
from deepscan.training.fit.initial_weights import plain_state

pytestmark = pytest.mark.slow


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> ResNet3d:
    """The same network with one bottleneck a stage and an eighth of the width after the stem."""
    monkeypatch.setitem(BLOCKS, 14, (1, 1, 1, 1))
    monkeypatch.setattr(network, "WIDTHS", (8, 16, 32, 64))
    torch.manual_seed(0)
    return ResNet3d(depth=14)


@pytest.mark.parametrize(("depth", "parameters"), [(50, 46_203_074), (101, 85_249_218)])
def test_parameter_count(depth: int, parameters: int) -> None:
    with torch.device("meta"):
        net = ResNet3d(depth)
    assert sum(p.numel() for p in net.parameters()) == parameters
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv3d)]
    assert len(convolutions) + 1 == depth + 4  # four shortcuts, and the linear layer counts as one


def test_layer_shapes() -> None:
    shapes: dict[str, tuple[int, ...]] = {}
    with torch.device("meta"):
        net = ResNet3d(50).eval()
        for name, module in net.named_children():
            module.register_forward_hook(
                lambda _module, _x, y, name=name: shapes.__setitem__(name, tuple(y.shape[1:]))
            )
        output = net(torch.empty(2, 16, 3, 112, 112))
    assert shapes == {
        "conv1": (64, 16, 56, 56),
        "bn1": (64, 16, 56, 56),
        "maxpool": (64, 8, 28, 28),
        "layer1": (256, 8, 28, 28),
        "layer2": (512, 4, 14, 14),
        "layer3": (1024, 2, 7, 7),
        "layer4": (2048, 1, 4, 4),
        "fc": (2,),
    }
    assert output.activation.shape == (2, 1, 4, 4)
    assert net.layer2[0].conv2.stride == (2, 2, 2) and net.layer2[0].conv1.stride == (1, 1, 1)


def test_begins_as_a_2d_network() -> None:
    net = ResNet3d(50)
    for conv in (net.conv1, net.layer1[0].conv2):
        middle = conv.kernel_size[0] // 2
        others = [i for i in range(conv.kernel_size[0]) if i != middle]
        assert not conv.weight[:, :, others].any()
        channels, *taps = conv.weight[:, 0, middle].shape
        he = (2 / (channels * taps[0] * taps[1])) ** 0.5
        assert conv.weight[:, :, middle].std().item() == pytest.approx(he, rel=0.03)


@pytest.mark.parametrize("frames", [1, 16])
def test_a_single_moment_is_convolved_as_if_padded(small: ResNet3d, frames: int) -> None:
    net = small.double().eval()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.2)
    clip = torch.randn(2, frames, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        quick = net(clip).logits
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(network, "convolve", lambda conv, x: conv(x))
            whole = net(clip).logits
    assert quick.abs().min() > 1e-3
    assert torch.allclose(quick, whole, rtol=1e-9)


def test_names_are_those_of_the_public_checkpoints() -> None:
    with torch.device("meta"):
        names = set(ResNet3d(50).state_dict())
    for name in ("conv1.weight", "layer1.0.downsample.0.weight", "layer3.5.bn3.running_var", "fc.bias"):
        assert name in names


def test_activation_map_adds_up_to_the_logits(small: ResNet3d) -> None:
    small.eval()
    with torch.no_grad():
        output = small(torch.randn(2, 32, 3, 64, 64))
    activation = small.evidence(output)["activation"]
    assert tuple(small.evidence(output)) == small.spec.evidence
    assert activation.shape == (2, 2, 2, 2)
    bias = small.fc.bias[1] - small.fc.bias[0]
    margin = output.logits[:, 1] - output.logits[:, 0]
    assert torch.allclose(activation.mean(dim=(1, 2, 3)) + bias, margin, atol=1e-5)
    assert torch.allclose(small.probability(output), torch.sigmoid(margin))


def public_checkpoint(net: ResNet3d) -> dict[str, Tensor]:
    """What such a checkpoint holds: DataParallel's prefix and a classifier of 400 actions."""
    made = {f"module.{k}": torch.rand_like(v) for k, v in net.state_dict().items() if v.is_floating_point()}
    return made | {"module.fc.weight": torch.rand(400, 256), "module.fc.bias": torch.rand(400)}


@pytest.mark.parametrize("nested", [True, False])
def test_init_loads_by_name_and_freezes_the_lower_stages(small: ResNet3d, nested: bool) -> None:
    state, classifier = public_checkpoint(small), small.fc.weight.clone()
    small.load_public(plain_state({"state_dict": state, "epoch": 200} if nested else state))
    own = small.state_dict()
    assert torch.equal(own["layer4.0.conv2.weight"], state["module.layer4.0.conv2.weight"])
    assert torch.equal(own["bn1.running_mean"], state["module.bn1.running_mean"])
    assert torch.equal(small.fc.weight, classifier)
    learning = {name.split(".")[0] for name, p in small.named_parameters() if p.requires_grad}
    assert learning == {"layer4", "fc"}


def test_frozen_statistics_stay_in_training(small: ResNet3d) -> None:
    small.freeze_lower()
    small.train()
    small(torch.randn(2, 16, 3, 32, 64))
    assert small.bn1.num_batches_tracked == 0 and small.layer4[0].bn1.num_batches_tracked == 1
    small.freeze_lower(())
    assert small.layer1.training and all(p.requires_grad for p in small.parameters())


def test_a_checkpoint_of_another_network_is_refused(small: ResNet3d) -> None:
    state = public_checkpoint(small)
    other = {**state, "module.conv1.weight": torch.rand(64, 3, 3, 7, 7)}
    with pytest.raises(ValueError, match=r"conv1\.weight is \(64, 3, 3, 7, 7\)"):
        small.load_public(plain_state(other))
    del state["module.layer3.0.conv1.weight"]
    with pytest.raises(KeyError, match=r"no tensor layer3\.0\.conv1\.weight"):
        small.load_public(plain_state(state))


def test_bf16_autocast_trains(small: ResNet3d) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        output = small(torch.randn(2, 16, 3, 32, 64))
        loss = small.loss(output, torch.tensor([0, 1]), None, None)
    assert loss.dtype == torch.float32
    loss.backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in small.parameters())
