"""3D ResNet (Ghosh, DeepFake Detection for Synthetic Videos by Exploiting Spatio-Temporal Information).

ResNet-50 and ResNet-101 with every convolution inflated to time, over 16 consecutive frames; two classes,
cross-entropy. Parameter names are those of the public PyTorch 3D-ResNet checkpoints (Kinetics), which
``load_public`` loads by name.

Choices where the paper is silent:

* 112 px, the size at which those checkpoints were trained; the paper's table halves 224 px in the same way.
* conv1 is 7x7x7 with stride (1, 2, 2); the pool and ``layer2`` to ``layer4`` halve time as well, so that
  16 frames of 112 px become 16x56x56, 8x28x28, 4x14x14, 2x7x7 and, before the average, 1x4x4.
* A network from nothing begins as a 2-D one: kernels are zero but for the taps of the same moment. So it can
  learn from single frames first (T = 1, photos among them), and from clips what time adds.
* The stride sits on the 3x3x3 convolution of a bottleneck; shortcuts are 1x1x1 convolutions with batch norm.
* "Fine tune the upper layers": ``freeze_lower`` leaves ``layer4`` and ``fc`` to learn; ``load_public`` does
  so by default. Frozen batch norms keep their running statistics too.
* Evidence: the class activation map, i.e. what each place adds to (logit forged - logit real) before the
  average over places, without the bias. It has the resolution of the last map, (B, 1, 4, 4) for our clips.

46,203,074 parameters (depth 50) and 85,249,218 (depth 101); 10.1 and 13.9 GMAC a clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepscan.detectors.resnet3d import SPEC

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4
LOWER = ("conv1", "bn1", "layer1", "layer2", "layer3")


class ResNet3dOutput(NamedTuple):
    """``logits`` (B, 2), class 1 = forged; ``activation`` (B, t, h, w), its sources over time and place."""

    logits: Tensor
    activation: Tensor


class Bottleneck(nn.Module):
    """1x1x1, 3x3x3 (with the stride) and 1x1x1 convolutions, and a shortcut."""

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        channels = width * EXPANSION
        self.conv1 = nn.Conv3d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(channels)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(
                nn.Conv3d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm3d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, T, H, W) -> (B, 4 width, T / stride, H / stride, W / stride)."""
        shortcut = x
        if self.downsample is not None:
            conv, bn = self.downsample
            shortcut = bn(convolve(conv, x))
        y = F.relu(self.bn1(convolve(self.conv1, x)))
        y = F.relu(self.bn2(convolve(self.conv2, y)))
        return F.relu(self.bn3(convolve(self.conv3, y)) + shortcut)


def convolve(conv: nn.Module, x: Tensor) -> Tensor:
    """A ``Conv3d`` of (B, C, T, H, W); of a single moment by its middle taps, in two dimensions.

    The other taps meet padding alone there. In ONNX, where a batch norm behind another shape is not folded
    into the convolution, it keeps its three dimensions, and taps that are zero are left out as well.
    """
    assert isinstance(conv, nn.Conv3d)
    exporting = torch.onnx.is_in_onnx_export()
    if x.shape[2] > 1 and not (exporting and sees_one_frame(conv)):
        y: Tensor = conv(x)
        return y
    middle = middle_taps(conv)
    if exporting:
        return F.conv3d(x, middle.unsqueeze(2), None, conv.stride, (0, *_padding(conv)))
    flat = x.squeeze(2).contiguous(memory_format=torch.channels_last)
    return F.conv2d(flat, middle, None, conv.stride[1:], _padding(conv)).unsqueeze(2)


def middle_taps(conv: nn.Conv3d) -> Tensor:
    """The kernel's weights of the same moment, (C, C_in, h, w)."""
    return conv.weight[:, :, conv.kernel_size[0] // 2]


def sees_one_frame(conv: nn.Conv3d) -> bool:
    """Trained on single frames only: all taps but the middle ones are zero."""
    return int(conv.weight.count_nonzero()) == int(middle_taps(conv).count_nonzero())


def _padding(conv: nn.Conv3d) -> tuple[int, ...]:
    """Of height and width, pixels."""
    assert not isinstance(conv.padding, str)
    return conv.padding[1:]


def stage(channels_in: int, width: int, count: int, stride: int) -> nn.Sequential:
    """``count`` bottlenecks, the first of which changes size and width."""
    first = Bottleneck(channels_in, width, stride)
    return nn.Sequential(first, *(Bottleneck(width * EXPANSION, width, 1) for _ in range(count - 1)))


def _start_as_2d(kernel: Tensor) -> None:
    """He initialisation of the middle taps (C, C_in, t, h, w); those that reach to other moments are zero."""
    middle = kernel.detach()[:, :, kernel.shape[2] // 2]
    nn.init.zeros_(kernel)
    nn.init.kaiming_normal_(middle, mode="fan_out", nonlinearity="relu")


def last_batch_norms(net: nn.Module) -> list[nn.BatchNorm3d]:
    """The batch norm that ends each residual branch."""
    return [module.bn3 for module in net.modules() if isinstance(module, Bottleneck)]


class ResNet3d(nn.Module):
    """Figure 5 in three dimensions.

    Args:
        depth: 50 (the one we ship) or 101.
    """

    spec = SPEC

    def __init__(self, depth: int = 50) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, 7, (1, 2, 2), 3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        self.maxpool = nn.MaxPool3d(3, 2, 1)
        counts = BLOCKS[depth]
        self.layer1 = stage(64, WIDTHS[0], counts[0], 1)
        self.layer2 = stage(WIDTHS[0] * EXPANSION, WIDTHS[1], counts[1], 2)
        self.layer3 = stage(WIDTHS[1] * EXPANSION, WIDTHS[2], counts[2], 2)
        self.layer4 = stage(WIDTHS[2] * EXPANSION, WIDTHS[3], counts[3], 2)
        self.fc = nn.Linear(WIDTHS[3] * EXPANSION, 2)
        self.frozen: tuple[str, ...] = ()
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                _start_as_2d(module.weight)
        # Blocks that start as their shortcut: from scratch, on few clips, the net would not move otherwise.
        for norm in last_batch_norms(self):
            nn.init.zeros_(norm.weight)

    def _stem(self, x: Tensor) -> Tensor:
        """conv1, bn1 and ReLU. In ONNX conv1 is 2-D, over 7 neighbouring frames side by side (one,
        where the taps for the others are zero): the same sum.

        ONNX Runtime gathers the inputs of a 3-D convolution three bytes at a time: as such, conv1 alone took
        four fifths of the rounded network's time.
        """
        if not torch.onnx.is_in_onnx_export():
            return F.relu(self.bn1(convolve(self.conv1, x)))
        conv, frames, bn = self.conv1, int(x.shape[2]), self.bn1
        weight = middle_taps(conv).unsqueeze(2) if sees_one_frame(conv) else conv.weight
        reach = weight.shape[2]
        padded = F.pad(x, (0, 0, 0, 0, reach // 2, reach // 2)).transpose(1, 2)  # (B, T + 6, 3, H, W)
        beside = torch.cat([padded[:, i : i + frames] for i in range(reach)], 2).flatten(0, 1)
        flat = weight.transpose(1, 2).flatten(1, 2)  # (64, 7 * 3, 7, 7), time before colour as in ``beside``
        y = F.conv2d(beside, flat, stride=conv.stride[1:], padding=_padding(conv))
        y = F.relu(F.batch_norm(y, bn.running_mean, bn.running_var, bn.weight, bn.bias, eps=bn.eps))
        # By way of channels last, where int8 tensors are: there this costs nothing.
        y = y.permute(0, 2, 3, 1)
        return y.reshape(-1, frames, *y.shape[1:]).permute(0, 4, 1, 2, 3)

    def features(self, x: Tensor) -> Tensor:
        """(B, 3, T, H, W) -> (B, 2048, T / 16, H / 32, W / 32), rounded up."""
        x = self.maxpool(self._stem(x))
        y: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return y

    def forward(self, x: Tensor) -> ResNet3dOutput:
        """(B, T, 3, 112, 112), normalised, T = 16 or 1 -> logits and activation map (B, 1, 4, 4)."""
        features = self.features(x.transpose(1, 2))
        logits = self.fc(features.mean(dim=(2, 3, 4)))
        forged_minus_real = self.fc.weight[1] - self.fc.weight[0]
        activation = torch.einsum("bcthw,c->bthw", features, forged_minus_real)
        return ResNet3dOutput(logits, activation)

    def load_public(self, state: Mapping[str, Tensor], *, freeze: bool = True) -> None:
        """Start from a public 3D-ResNet by name, all but its classifier.

        Args:
            state: its tensors, without a prefix.
            freeze: call ``freeze_lower`` afterwards, as the paper does.

        Raises:
            KeyError: the checkpoint lacks a tensor of this network.
            ValueError: a tensor has another shape, as with another depth.
        """
        for name, own in self.state_dict().items():
            if name.startswith("fc.") or (name.endswith("num_batches_tracked") and name not in state):
                continue
            if name not in state:
                raise KeyError(f"the checkpoint has no tensor {name}")
            if state[name].shape != own.shape:
                found, wanted = tuple(state[name].shape), tuple(own.shape)
                raise ValueError(f"{name} is {found}, this network needs {wanted}")
            own.copy_(state[name])
        if freeze:
            self.freeze_lower()

    def freeze_lower(self, names: tuple[str, ...] = LOWER) -> None:
        """Stops the learning of the named modules, their batch statistics included; ``()`` frees all."""
        self.frozen = names
        for name, module in self.named_children():
            module.requires_grad_(name not in names)
        self.train(self.training)

    def train(self, mode: bool = True) -> ResNet3d:
        """As usual, except that frozen modules stay in evaluation mode."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    def probability(self, output: ResNet3dOutput) -> Tensor:
        """(B,) probability of forged."""
        return output.logits.float().softmax(dim=1)[:, 1]

    def evidence(self, output: ResNet3dOutput) -> dict[str, Tensor]:
        """``activation`` (B, t, h, w) float32, unbounded: above 0 speaks for forged, below for real."""
        return {"activation": output.activation.float()}

    def loss(
        self, output: ResNet3dOutput, label: Tensor, forged: Tensor | None, face: Tensor | None
    ) -> Tensor:
        """Cross-entropy, float32 scalar. ``label`` (B,) int64, 1 = forged; masks are not used."""
        return F.cross_entropy(output.logits.float(), label)
