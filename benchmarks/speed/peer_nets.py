"""The networks of the two peer pipelines, in torch, at random: only their time counts.

RetinaFace (Deng et al. 2020) on a ResNet-50 or a MobileNet-0.25 trunk, as its common PyTorch port builds it,
and EfficientNet-B4 (Tan and Le 2019). Written out here because torchvision's binaries follow torch's builds:
installed beside the CPU build of torch they often do not load.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_bn(
    channels_in: int, channels: int, size: int, stride: int = 1, groups: int = 1, act: nn.Module | None = None
) -> nn.Sequential:
    """Convolution that keeps the size at stride 1, batch norm, activation (none where not given)."""
    layers: list[nn.Module] = [
        nn.Conv2d(channels_in, channels, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels),
    ]
    return nn.Sequential(*layers, *([act] if act is not None else []))


class Bottleneck(nn.Module):
    """ResNet's 1x1, 3x3, 1x1 with a shortcut."""

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(channels_in, width, 1, act=nn.ReLU(True)),
            conv_bn(width, width, 3, stride, act=nn.ReLU(True)),
            conv_bn(width, 4 * width, 1),
        )
        changes = stride != 1 or channels_in != 4 * width
        self.skip = conv_bn(channels_in, 4 * width, 1, stride) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.skip(x))


class ResNet50(nn.Module):
    """Trunk; gives the maps at strides 8, 16 and 32 (512, 1024 and 2048 channels)."""

    widths = (512, 1024, 2048)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn(3, 64, 7, 2, act=nn.ReLU(True)), nn.MaxPool2d(3, 2, 1))
        channels, stages = 64, []
        for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            blocks = []
            for number in range(count):
                blocks.append(Bottleneck(channels, width, stride if number == 0 else 1))
                channels = 4 * width
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> three maps."""
        x, maps = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps[1:]


class MobileNetQuarter(nn.Module):
    """MobileNet-0.25 trunk; gives the maps at strides 8, 16 and 32 (64, 128 and 256 channels)."""

    widths = (64, 128, 256)

    def __init__(self) -> None:
        super().__init__()
        plan = ((8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)), ((64, 128, 2),) + (
            (128, 128, 1),
        ) * 5, ((128, 256, 2), (256, 256, 1))  # fmt: skip
        self.stem = conv_bn(3, 8, 3, 2, act=nn.LeakyReLU(0.1, True))
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    nn.Sequential(
                        conv_bn(a, a, 3, stride, groups=a, act=nn.LeakyReLU(0.1, True)),
                        conv_bn(a, b, 1, act=nn.LeakyReLU(0.1, True)),
                    )
                    for a, b, stride in stage
                )
            )
            for stage in plan
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> three maps."""
        x, maps = self.stem(x), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class Context(nn.Module):
    """SSH context module: 3x3, 5x5 and 7x7 fields beside each other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.conv3 = conv_bn(channels, half, 3)
        self.first = conv_bn(channels, quarter, 3, act=nn.ReLU(True))
        self.conv5 = conv_bn(quarter, quarter, 3)
        self.conv7 = nn.Sequential(
            conv_bn(quarter, quarter, 3, act=nn.ReLU(True)), conv_bn(quarter, quarter, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        return F.relu(torch.cat([self.conv3(x), self.conv5(first), self.conv7(first)], 1))


class RetinaFace(nn.Module):
    """Trunk, feature pyramid, context modules, heads for two anchors a place."""

    def __init__(self, trunk: ResNet50 | MobileNetQuarter, channels: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.lateral = nn.ModuleList(conv_bn(width, channels, 1, act=nn.ReLU(True)) for width in trunk.widths)
        self.merge = nn.ModuleList(conv_bn(channels, channels, 3, act=nn.ReLU(True)) for _ in range(2))
        self.context = nn.ModuleList(Context(channels) for _ in range(3))
        self.heads = nn.ModuleList(nn.Conv2d(channels, 2 * (2 + 4 + 10), 1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, anchors, 16): class, box and five points, not decoded."""
        low, middle, high = (conv(y) for conv, y in zip(self.lateral, self.trunk(x), strict=True))
        middle = self.merge[0](middle + F.interpolate(high, size=middle.shape[2:]))
        low = self.merge[1](low + F.interpolate(middle, size=low.shape[2:]))
        found = [
            head(context(y)).permute(0, 2, 3, 1).reshape(len(x), -1, 16)
            for head, context, y in zip(self.heads, self.context, (low, middle, high), strict=True)
        ]
        return torch.cat(found, 1)


class MbConv(nn.Module):
    """EfficientNet's inverted bottleneck with squeeze and excitation."""

    def __init__(self, channels_in: int, channels: int, expand: int, size: int, stride: int) -> None:
        super().__init__()
        inner = channels_in * expand
        self.widen = conv_bn(channels_in, inner, 1, act=nn.SiLU(True)) if expand > 1 else nn.Identity()
        self.depthwise = conv_bn(inner, inner, size, stride, groups=inner, act=nn.SiLU(True))
        squeezed = max(1, channels_in // 4)
        self.excite = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(inner, squeezed, 1), nn.SiLU(True),
            nn.Conv2d(squeezed, inner, 1), nn.Sigmoid(),
        )  # fmt: skip
        self.narrow = conv_bn(inner, channels, 1)
        self.residual = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.widen(x))
        y = self.narrow(y * self.excite(y))
        return x + y if self.residual else y


class EfficientNetB4(nn.Module):
    """Width 1.4, depth 1.8; made for 380 px. 19.3 million parameters with 1000 classes."""

    # expansion, channels, blocks, stride, kernel: B0's table, scaled
    STAGES: Sequence[tuple[int, int, int, int, int]] = (
        (1, 24, 2, 1, 3), (6, 32, 4, 2, 3), (6, 56, 4, 2, 5), (6, 112, 6, 2, 3),
        (6, 160, 6, 1, 5), (6, 272, 8, 2, 5), (6, 448, 2, 1, 3),
    )  # fmt: skip

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        blocks: list[nn.Module] = [conv_bn(3, 48, 3, 2, act=nn.SiLU(True))]
        channels = 48
        for expand, width, count, stride, size in self.STAGES:
            for number in range(count):
                blocks.append(MbConv(channels, width, expand, size, stride if number == 0 else 1))
                channels = width
        blocks.append(conv_bn(channels, 1792, 1, act=nn.SiLU(True)))
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Linear(1792, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 380, 380) -> (B, classes)."""
        return self.classifier(self.features(x).mean((2, 3)))
