"""ResNet-18/34 trunks with the key names of torchvision's checkpoints.

He et al., Deep Residual Learning for Image Recognition. Only the feature stages are here: the detectors
that stand on them bring their own heads. The names ``conv1, bn1, layer1 .. layer4, downsample`` let a
torchvision checkpoint load by name (its ``fc.*`` keys have no counterpart).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, 1x1 where size or width changes."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + shortcut)


class ResNetTrunk(nn.Module):
    """The convolutional stages of ResNet-18 or ResNet-34.

    Args:
        depth: 18 or 34.
        stages: how many of ``layer1 .. layer4`` are built; three end at stride 16 and 256 channels,
            four at stride 32 and 512 channels.
    """

    def __init__(self, depth: int, stages: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.stages = stages
        channels = 64
        for i, (count, width) in enumerate(zip(BLOCKS[depth][:stages], WIDTHS[:stages], strict=True)):
            blocks: list[nn.Module] = []
            for j in range(count):
                blocks.append(BasicBlock(channels, width, stride=2 if i > 0 and j == 0 else 1))
                channels = width
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.channels = channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stem(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 64, H / 4, W / 4)."""
        y: Tensor = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        return y

    def stage(self, number: int, x: Tensor) -> Tensor:
        """Runs ``layer<number>``, counted from 1."""
        y: Tensor = self.get_submodule(f"layer{number}")(x)
        return y

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, channels, H / 2^(stages+1), W / 2^(stages+1))."""
        x = self.stem(x)
        for number in range(1, self.stages + 1):
            x = self.stage(number, x)
        return x

    def load_torchvision(self, state: Mapping[str, Tensor]) -> None:
        """Loads a torchvision checkpoint by name; its ``fc`` and stages that are not built are left out.

        Raises:
            KeyError: the checkpoint lacks a tensor that this trunk has.
            ValueError: a tensor has another shape.
        """
        own = self.state_dict()
        for name, tensor in own.items():
            if name not in state:
                if name.endswith("num_batches_tracked"):
                    continue
                raise KeyError(f"the checkpoint has no tensor {name}")
            if state[name].shape != tensor.shape:
                shapes = f"{tuple(state[name].shape)} in the checkpoint, {tuple(tensor.shape)} here"
                raise ValueError(f"{name}: {shapes}")
            tensor.copy_(state[name])
