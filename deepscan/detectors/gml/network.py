"""GML: an Xception whose depthwise convolutions see motion, and an anomaly branch beside it.

Zhang et al., Learning Expressive and Generalizable Motion Features for Face Forgery Detection.

Trunk: Xception (Chollet 2017). Each depthwise 3x3 of its separable convolutions is a motion consistency
block (MCB): CSTM (channel-wise 3x1x1, then channel-wise 1x3x3) plus MCM (eq. 1 and 2). The anomaly
detection block (AD) reads the output of block 5. The score is the mean of both classifiers.

Where the paper is silent:

- The temporal kernel of CSTM and K^PM start at identity and the way back from C/16 to C starts at zero:
  the network begins as plain Xception, and F^M begins as the plain difference of neighbouring frames.
- F^M and F^MM have a 1x1x1 way back each, held in one convolution over both.
- F^M and F^MM are zero at the first frame, which has no predecessor; F^MM of the second is its F^M.
- AD's nine residual blocks are bottlenecks (728-182-728) with ReLU after each sum, so F* >= 0. Full-width
  3x3 convolutions would be 86 M parameters.
- Eq. 3's norm is taken as a mean over the elements of F*, so that it is of the order of the other two losses.
- Max pools and convolutions are padded as in the PyTorch Xception that face forgery papers use: pool
  windows are centred where the strided shortcut samples (Keras' ``same`` is one pixel off at even sizes).

Clips may have any number of frames T >= 1; with T = 1 there is no motion and MCM is skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from deepscan.detectors.gml import SPEC

BN_EPS = 1e-3
REDUCTION = 16
"""MCM works on C / 16 channels."""
ANOMALY_BLOCKS = 9
EVIDENCE_BLOCK = 5
"""The motion consistency map is F^MM of the last MCB of this block, at AD's resolution (14x14 for 224 px)."""
MIDDLE = 728
BLOCKS = 12


class GmlOutput(NamedTuple):
    """What both branches say.

    Attributes:
        logits: (B, 2) of the trunk, real then forged.
        anomaly_logits: (B, 2) of AD, real then forged.
        clues: F*, (B, T, 728, h, w).
        motion: F^MM, (B, T, 45, h, w).
    """

    logits: Tensor
    anomaly_logits: Tensor
    clues: Tensor
    motion: Tensor


def temporal_conv(x: Tensor, kernel: Tensor, frames: int) -> Tensor:
    """Channel-wise 3x1x1 convolution over time, zero-padded.

    Args:
        x: (B * T, C, H, W).
        kernel: (C, 1, 3, 1); the three taps are t-1, t, t+1.
        frames: T.

    Returns:
        (B * T, C, H, W).
    """
    channels, height, width = (int(n) for n in x.shape[1:])
    # In channels_last memory (B*T, C, H, W) and (B, C, T, H*W) are the same bytes, so this is one 2-D
    # depthwise convolution without a copy. ONNX Runtime keeps int8 tensors so as well and drops the permutes:
    # a rounded clip measured 0.40 s this way, 0.45 s as a 3-D convolution, 0.61 s as shifted products.
    rows = x.permute(0, 2, 3, 1).reshape(-1, frames, height * width, channels).permute(0, 3, 1, 2)
    mixed = F.conv2d(rows, kernel, padding=(1, 0), groups=channels)
    return mixed.permute(0, 2, 3, 1).reshape(-1, height, width, channels).permute(0, 3, 1, 2)


def temporal_difference(x: Tensor, modelled: Tensor, frames: int) -> Tensor:
    """``x[t] - modelled[t-1]``, zero at t = 0. Both (B * T, C, H, W)."""
    difference = _per_clip(x, frames)[:, 1:] - _per_clip(modelled, frames)[:, :-1]
    return F.pad(difference, (0, 0, 0, 0, 0, 0, 1, 0)).reshape(-1, *(int(n) for n in x.shape[1:]))


def _per_clip(x: Tensor, frames: int) -> Tensor:
    """(B * T, ...) -> (B, T, ...)."""
    return x.reshape(-1, frames, *(int(n) for n in x.shape[1:]))


class Mcb(nn.Module):
    """Motion consistency block: takes the place of one depthwise 3x3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        reduced = channels // REDUCTION
        self.temporal = nn.Parameter(torch.zeros(channels, 1, 3, 1))
        self.spatial = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False)
        self.down = nn.Conv2d(channels, reduced, 1, bias=False)
        self.motion = nn.Conv2d(reduced, reduced, 3, 1, 1, groups=reduced, bias=False)
        self.up = nn.Conv2d(2 * reduced, channels, 1, bias=False)
        with torch.no_grad():
            self.temporal[:, :, 1] = 1
            self.motion.weight.zero_()
            self.motion.weight[:, :, 1, 1] = 1
            self.up.weight.zero_()

    def motion_features(self, x: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """F^M (eq. 1) and F^MM (eq. 2) of (B * T, C, H, W); each (B * T, C / 16, H, W)."""
        reduced = self.down(x)
        first = temporal_difference(reduced, self.motion(reduced), frames)
        second = temporal_difference(first, self.motion(first), frames)
        return first, second

    def forward(self, x: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """(B * T, C, H, W) -> F^S + F^M + F^MM of the same shape, and F^MM before its way back."""
        if frames == 1:
            return self._still(x), x.new_zeros(len(x), self.down.out_channels, *x.shape[2:])
        first, second = self.motion_features(x, frames)
        exact = torch.onnx.is_in_onnx_export() or not self.learns()
        if exact and not (self.up.weight.any() or self.temporal[:, :, ::2].any()):
            # Trained on still frames only: what is exactly zero would still be computed at every scan.
            return self._still(x), second
        y = self.spatial(temporal_conv(x, self.temporal, frames))
        return y + self.up(torch.cat([first, second], dim=1)), second

    def learns(self) -> bool:
        """Whether the next step may change what the block sees of motion."""
        return torch.is_grad_enabled() and (self.up.weight.requires_grad or self.temporal.requires_grad)

    def _still(self, x: Tensor) -> Tensor:
        """What is left of the block where nothing moves between frames: one depthwise convolution."""
        alone = self.spatial.weight * self.temporal[:, :, 1:2]
        return F.conv2d(x, alone, padding=1, groups=self.channels)


class SeparableConv(nn.Module):
    """MCB, pointwise convolution, batch norm; ReLU in front except at the very first."""

    def __init__(self, channels_in: int, channels: int, relu: bool) -> None:
        super().__init__()
        self.relu = relu
        self.mcb = Mcb(channels_in)
        self.pointwise = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=BN_EPS)

    def forward(self, x: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """(B * T, C_in, H, W) -> (B * T, C, H, W), and the block's F^MM."""
        y, consistency = self.mcb(F.relu(x) if self.relu else x, frames)
        return self.bn(self.pointwise(y)), consistency


class Block(nn.Module):
    """Separable convolutions with a shortcut; a stride-2 block ends in a max pool."""

    def __init__(self, widths: tuple[int, ...], stride: int, relu_first: bool = True) -> None:
        super().__init__()
        self.units = nn.ModuleList(
            SeparableConv(a, b, relu=relu_first or i > 0) for i, (a, b) in enumerate(pairwise(widths))
        )
        self.pool = nn.MaxPool2d(3, 2, 1) if stride == 2 else nn.Identity()
        self.skip: nn.Sequential | None = None
        if stride != 1:
            self.skip = nn.Sequential(
                nn.Conv2d(widths[0], widths[-1], 1, stride, bias=False),
                nn.BatchNorm2d(widths[-1], eps=BN_EPS),
            )

    def forward(self, x: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """(B * T, C_in, H, W) -> (B * T, C, H / stride, W / stride), and F^MM of the last unit."""
        y, consistency = x, x
        for unit in self.units:
            y, consistency = unit(y, frames)
        shortcut = x if self.skip is None else self.skip(x)
        return self.pool(y) + shortcut, consistency


class AnomalyBlock(nn.Module):
    """One residual convolution block of AD."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        # Nine blocks on features of unknown scale: beginning as identities keeps F* in that scale.
        nn.init.zeros_(self.bn3.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + x)


def _block(number: int) -> Block:
    """One of Xception's twelve blocks, from 1."""
    if number == 1:
        return Block((64, 128, 128), 2, relu_first=False)
    if number == 2:
        return Block((128, 256, 256), 2)
    if number == 3:
        return Block((256, MIDDLE, MIDDLE), 2)
    return Block((MIDDLE, MIDDLE, 1024), 2) if number == 12 else Block((MIDDLE,) * 4, 1)


def compactness(clues: Tensor, label: Tensor) -> Tensor:
    """L^l1 (eq. 3): mean size of F* over the genuine clips of a batch, in float32.

    Args:
        clues: F*, (B, T, C, h, w).
        label: (B,) int64, 1 = forged.
    """
    real = (label == 0).float()
    size = clues.float().abs().mean((1, 2, 3, 4))
    return (size * real).sum() / real.sum().clamp(min=1)


class Gml(nn.Module):
    """The generalizable motion learning network."""

    spec = SPEC

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(32, eps=BN_EPS)
        self.conv2 = nn.Conv2d(32, 64, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(64, eps=BN_EPS)
        self.blocks = nn.ModuleList(_block(number) for number in range(1, BLOCKS + 1))
        self.anomaly = nn.Sequential(*(AnomalyBlock(MIDDLE, MIDDLE // 4) for _ in range(ANOMALY_BLOCKS)))
        self.anomaly_fc = nn.Linear(MIDDLE, 2)
        self.conv3 = SeparableConv(1024, 1536, relu=False)
        self.conv4 = SeparableConv(1536, 2048, relu=False)
        self.fc = nn.Linear(2048, 2)

    def stem(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, 64, H / 2 - 3, W / 2 - 3)."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)))

    def forward(self, x: Tensor) -> GmlOutput:
        """(B, T, 3, H, W), T >= 1, in [-1, 1] -> GmlOutput; h = H / 16 for the maps."""
        frames = x.shape[1]  # no int(): the exported network takes any number
        y = self.stem(x.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        middle, consistency = y, y
        for number, block in enumerate(self.blocks, start=1):
            y, motion = block(y, frames)
            if number == EVIDENCE_BLOCK:
                middle, consistency = y, motion
        y = F.relu(self.conv3(y, frames)[0])
        y = F.relu(self.conv4(y, frames)[0])
        clues = self.anomaly(middle)
        return GmlOutput(
            logits=self.fc(_per_clip(y.mean((2, 3)), frames).mean(1)),
            anomaly_logits=self.anomaly_fc(_per_clip(clues.mean((2, 3)), frames).mean(1)),
            clues=_per_clip(clues, frames),
            motion=_per_clip(consistency, frames),
        )

    def probability(self, output: GmlOutput) -> Tensor:
        """(B,): mean of both classifiers' probability of forged."""
        both = output.logits.float().softmax(1) + output.anomaly_logits.float().softmax(1)
        return both[:, 1] / 2

    def evidence(self, output: GmlOutput) -> dict[str, Tensor]:
        """``anomaly``: mean over channels of |F*|; ``motion_consistency``: of |F^MM|. Both (B, T, h, w)."""
        return {
            "anomaly": output.clues.float().abs().mean(2),
            "motion_consistency": output.motion.float().abs().mean(2),
        }

    def loss(self, output: GmlOutput, label: Tensor, forged: Tensor | None, face: Tensor | None) -> Tensor:
        """L^cls1 + L^l1 + L^cls2, in float32. Masks are not used.

        Args:
            output: of ``forward``.
            label: (B,) int64, 1 = forged.
            forged: ignored.
            face: ignored.
        """
        classification = F.cross_entropy(output.logits.float(), label)
        anomaly = F.cross_entropy(output.anomaly_logits.float(), label)
        return classification + compactness(output.clues, label) + anomaly

    def load_imagenet(self, path: Path) -> None:
        """Starts the trunk from ImageNet weights; AD, MCM and the classifiers keep their own start.

        Args:
            path: safetensors with the keys of the PyTorch Xception (``conv1``, ``block1.rep.0`` ...).

        Raises:
            KeyError: the file lacks a tensor.
            RuntimeError: a tensor has another shape.
        """
        state = load_file(path)
        for prefix, module in self.imagenet_places():
            own = {name: state[f"{prefix}.{name}"].float() for name in module.state_dict()}
            module.load_state_dict(own)

    def imagenet_places(self) -> list[tuple[str, nn.Module]]:
        """Which module takes which prefix of the ImageNet file."""
        places: list[tuple[str, nn.Module]] = []
        for name in ("conv1", "bn1", "conv2", "bn2"):
            places.append((name, self.get_submodule(name)))
        for number, block in enumerate(self.blocks, start=1):
            assert isinstance(block, Block)
            offset = 0 if number == 1 else 1  # block 1 has no ReLU in front
            for i, unit in enumerate(block.units):
                assert isinstance(unit, SeparableConv)
                at = offset + 3 * i
                places += unit_places(f"block{number}.rep.{at}", f"block{number}.rep.{at + 1}", unit)
            if block.skip is not None:
                places += [(f"block{number}.skip", block.skip[0]), (f"block{number}.skipbn", block.skip[1])]
        exits = unit_places("conv3", "bn3", self.conv3) + unit_places("conv4", "bn4", self.conv4)
        return places + exits


def stem_features(path: Path) -> Callable[[Tensor], Tensor]:
    """What an ImageNet Xception sees first: (N, 3, H, W) in [-1, 1] -> (N, 64, H / 2 - 3, W / 2 - 3).

    Args:
        path: as of ``Gml.load_imagenet``.
    """
    net = Gml().eval().requires_grad_(False)
    net.load_imagenet(path)
    return net.stem


def unit_places(conv: str, bn: str, unit: SeparableConv) -> list[tuple[str, nn.Module]]:
    return [(f"{conv}.conv1", unit.mcb.spatial), (f"{conv}.pointwise", unit.pointwise), (bn, unit.bn)]
