"""SOLA (Fei et al., Learning Second Order Local Anomaly for General Face Forgery Detection).

An RGB trunk and a noise trunk (ResNet-18, first three stages) meet after each stage in a DCAM and a LEM;
the SOLA module compares every 16x16 px patch of the image with its neighbours (first order), then the
comparisons with each other (second order), and the second-order maps alone decide.

Choices where the paper is silent or ambiguous:

* Axes. Eq. 7 calls ``(i, j-1)`` vertical and ``(i-1, j)`` horizontal, so i counts columns: ``v`` compares
  with the patch above (kernel 2x1), ``h`` with the patch to the left (kernel 1x2).
* Sizes. Predictors are not padded, so that losses see only real comparisons (15 or 14, then 14 or 12
  long along their direction); zeros, "no anomaly", fill the top or left before the classifier.
* DCAM: CBAM's channel attention on the noise features, sum with the RGB features, channel attention on
  the sum. A sum lets a pre-trained RGB trunk go on undisturbed. Its result, after the LEM, is what the
  RGB trunk's next stage reads; the noise trunk goes its own way.
* No pooling after the trunk: 256 px at the usual stride of 16 is the 16x16x256 that the paper wants. Hence
  the LEM's patches are 4x4, 2x2 and 1x1; in the last, softmax over one position is 1 and only g acts.
* ASRM: one 5x5 kernel per output and RGB channel (3x3 kernels); reflected borders, since zero padding would
  read as an edge; not quantised or truncated (eq. 2 describes the fixed SRM); always in float32, since
  bfloat16 cannot hold the differences of neighbouring pixels.
* Classifier: 3x3 convolution to 64 channels, ReLU, GAP, linear. Without the ReLU it would be a weighted mean.
* Weights alpha = beta = gamma = 1: no values are given. BCE and L1 are means over a map, so that maps of
  different sizes and the two ways of training weigh alike.
* Masks are binarised at 0.1 before eq. 9, whose M is in {0, 1}: a feathered edge would make every patch
  differ from its neighbour.
* Evidence: the strongest of the four second-order maps at each patch.

5,829,657 parameters, 3.8 GMAC at 256 px.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepscan.detectors.resnet_layers import ResNetTrunk
from deepscan.detectors.sola import SPEC

GRID = 16
FIRST_ORDER_KERNELS = 64
DIRECTIONS = ("v1", "v2", "h1", "h2")

ALPHA = 1.0
BETA = 1.0
GAMMA = 1.0

# Low, because masks carry the strength of the blend: a face blended in at a quarter is manipulated.
MASK_THRESHOLD = 0.1


class SolaOutput(NamedTuple):
    """Logits. ``image`` (B,); the maps in the order v1, v2, h1, h2, not padded:

    ``first`` (B, 64, 15, 16), (B, 64, 14, 16), (B, 64, 16, 15), (B, 64, 16, 14);
    ``second`` (B, 1, 14, 16), (B, 1, 12, 16), (B, 1, 16, 14), (B, 1, 16, 12).
    """

    image: Tensor
    first: tuple[Tensor, ...]
    second: tuple[Tensor, ...]


def srm_kernels() -> Tensor:
    """The three SRM high-pass filters (3, 5, 5), divided by 4, 12 and 2 so that their centre is -1."""
    ring = [[0, 0, 0, 0, 0], [0, -1, 2, -1, 0], [0, 2, -4, 2, 0], [0, -1, 2, -1, 0], [0, 0, 0, 0, 0]]
    kv = [[-1, 2, -2, 2, -1], [2, -6, 8, -6, 2], [-2, 8, -12, 8, -2], [2, -6, 8, -6, 2], [-1, 2, -2, 2, -1]]
    line = [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 1, -2, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    return torch.tensor([ring, kv, line], dtype=torch.float32) / torch.tensor([4.0, 12.0, 2.0])[:, None, None]


class Asrm(nn.Conv2d):
    """Adaptive spatial rich model: SRM filters that learn but stay high-pass (section 3.1)."""

    def __init__(self) -> None:
        super().__init__(3, 3, 5, padding=2, bias=False, padding_mode="reflect")
        with torch.no_grad():
            self.weight.copy_(srm_kernels()[:, None].expand(3, 3, 5, 5))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) pixels in [0, 1] -> (B, 3, H, W) noise residuals, float32."""
        if torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return super().forward(x.float())
        return super().forward(x)

    @torch.no_grad()
    def constrain(self) -> None:
        """Eq. 4: the centre of every kernel becomes -1, and the rest sums to 1."""
        self.weight[:, :, 2, 2] = 0.0
        total = self.weight.sum(dim=(2, 3), keepdim=True)
        # Dividing by a sum near or below zero would blow a kernel up or turn it over.
        scaled = torch.where(total > 0.1, self.weight / total, self.weight + (1.0 - total) / 24.0)
        self.weight.copy_(scaled)
        self.weight[:, :, 2, 2] = -1.0


class ChannelAttention(nn.Module):
    """Channel attention of CBAM: one MLP for the average and the maximum of each channel."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, channels // reduction, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // reduction, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W), each channel scaled by a weight in (0, 1)."""
        average = self.mlp(x.mean(dim=(2, 3), keepdim=True))
        maximum = self.mlp(x.amax(dim=(2, 3), keepdim=True))
        return x * torch.sigmoid(average + maximum)


class Dcam(nn.Module):
    """Dual channel attention module: attention before and after the fusion of the two branches."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.before = ChannelAttention(channels)
        self.after = ChannelAttention(channels)

    def forward(self, rgb: Tensor, noise: Tensor) -> Tensor:
        """Two (B, C, H, W) -> (B, C, H, W)."""
        fused: Tensor = self.after(rgb + self.before(noise))
        return fused


class Lem(nn.Module):
    """Local enhancement module: attention among the positions of one patch (eq. 5 and 6)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta = nn.Conv2d(channels, channels // 8, 1)
        self.f = nn.Conv2d(channels, channels // 8, 1)
        self.g = nn.Conv2d(channels, channels, 1)
        self.scale = nn.Parameter(torch.zeros(()))

    @staticmethod
    def patches(x: Tensor) -> Tensor:
        """(B, C, 16 p, 16 q) -> (B, 256, p * q, C)."""
        channels, height, width = x.shape[1], x.shape[2] // GRID, x.shape[3] // GRID
        split = x.reshape(-1, channels, GRID, height, GRID, width)
        return split.permute(0, 2, 4, 3, 5, 1).reshape(-1, GRID * GRID, height * width, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 16 p, 16 q) -> the same; the input alone while ``scale`` (lambda) is 0."""
        theta, f, g = (self.patches(embed(x)) for embed in (self.theta, self.f, self.g))
        weight = torch.softmax(theta @ f.transpose(2, 3), dim=-1)
        height, width = x.shape[2] // GRID, x.shape[3] // GRID
        enhanced = (weight @ g).reshape(-1, GRID, GRID, height, width, x.shape[1])
        joined = enhanced.permute(0, 5, 1, 3, 2, 4).reshape(-1, x.shape[1], GRID * height, GRID * width)
        return x + self.scale * joined


def predictor(channels: int, kernels: int, direction: str) -> nn.Conv2d:
    """Anomaly predictor of eq. 7 and 8: kernel 2x1 (v) or 1x2 (h), dilation 1 or 2, no padding."""
    size = (2, 1) if direction[0] == "v" else (1, 2)
    return nn.Conv2d(channels, kernels, size, dilation=int(direction[1]))


def pad_to_grid(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, 16, 16): zeros at the top and left, where a patch has no such neighbour."""
    return F.pad(x, (GRID - x.shape[3], 0, GRID - x.shape[2], 0))


class SolaModule(nn.Module):
    """First and second order local anomaly maps, and the classifier (section 3.3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.ModuleList(predictor(channels, FIRST_ORDER_KERNELS, d) for d in DIRECTIONS)
        self.second = nn.ModuleList(predictor(FIRST_ORDER_KERNELS, 1, d) for d in DIRECTIONS)
        self.conv = nn.Conv2d(len(DIRECTIONS), 64, 3, padding=1)
        self.fc = nn.Linear(64, 1)

    def forward(self, x: Tensor) -> SolaOutput:
        """(B, C, 16, 16) -> logits of the image and of the eight maps."""
        first = tuple(delta(x) for delta in self.first)
        second = tuple(phi(torch.sigmoid(m)) for phi, m in zip(self.second, first, strict=True))
        stacked = torch.cat([pad_to_grid(torch.sigmoid(m)) for m in second], dim=1)
        pooled = F.relu(self.conv(stacked)).mean(dim=(2, 3))
        return SolaOutput(self.fc(pooled)[:, 0], first, second)


def shifted_difference(x: Tensor, direction: str) -> Tensor:
    """Eq. 9: 1 where a value differs from its upper (v) or left (h) neighbour, over the last two axes.

    Float (..., h, w) -> float (..., h - step, w) or (..., h, w - step).
    """
    axis, step = (-2 if direction[0] == "v" else -1), int(direction[1])
    length = x.shape[axis] - step
    return (x.narrow(axis, step, length) != x.narrow(axis, 0, length)).float()


def anomaly_labels(forged: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Eq. 9a and 9b: masks (B, H, W), H and W multiples of 16 -> labels of both orders, (B, h, w) each."""
    patch = (forged.shape[1] // GRID, forged.shape[2] // GRID)
    # 0/1 masks: a mean is a count over a count, so that equal patches compare as equal.
    share = F.avg_pool2d((forged > MASK_THRESHOLD).float()[:, None], patch)[:, 0]
    first = tuple(shifted_difference(share, d) for d in DIRECTIONS)
    second = tuple(shifted_difference(a, d) for a, d in zip(first, DIRECTIONS, strict=True))
    return first, second


def supervised_loss(output: SolaOutput, forged: Tensor) -> Tensor:
    """L_A of eq. 10; the first-order labels serve all 64 maps of a direction."""
    loss = output.image.float().new_zeros(())
    first, second = anomaly_labels(forged)
    for weight, maps, labels in ((BETA, output.first, first), (GAMMA, output.second, second)):
        for logits, target in zip(maps, labels, strict=True):
            wide = target[:, None].expand_as(logits)
            loss = loss + weight * F.binary_cross_entropy_with_logits(logits.float(), wide)
    return loss


def single_side_loss(output: SolaOutput, label: Tensor) -> Tensor:
    """L_A of eq. 12: mean of the maps of real images, 0 in a batch without any."""
    real = (label == 0).float()
    count = real.sum().clamp(min=1.0)
    loss = output.image.float().new_zeros(())
    for weight, maps in ((BETA, output.first), (GAMMA, output.second)):
        for logits in maps:
            size = torch.sigmoid(logits.float()).mean(dim=(1, 2, 3))
            loss = loss + weight * (size * real).sum() / count
    return loss


class Sola(nn.Module):
    """The network of figure 2, with a ResNet-18 backbone."""

    spec = SPEC

    def __init__(self) -> None:
        super().__init__()
        self.asrm = Asrm()
        self.rgb = ResNetTrunk(18, stages=3)
        self.noise = ResNetTrunk(18, stages=3)
        widths = (64, 128, 256)
        self.dcam = nn.ModuleList(Dcam(width) for width in widths)
        self.lem = nn.ModuleList(Lem(width) for width in widths)
        self.sola = SolaModule(widths[-1])

    def forward(self, x: Tensor) -> SolaOutput:
        """(B, 3, 256, 256) in [0, 1] -> logits."""
        rgb, noise = self.rgb.stem(x), self.noise.stem(self.asrm(x))
        for i, (dcam, lem) in enumerate(zip(self.dcam, self.lem, strict=True)):
            noise = self.noise.stage(i + 1, noise)
            rgb = lem(dcam(self.rgb.stage(i + 1, rgb), noise))
        output: SolaOutput = self.sola(rgb)
        return output

    def after_step(self) -> None:
        """To be called after every optimizer step: puts the ASRM kernels back under eq. 4."""
        self.asrm.constrain()

    def load_public(self, state: Mapping[str, Tensor]) -> None:
        """Start both trunks from a torchvision ResNet-18; errors as in ``ResNetTrunk.load_torchvision``."""
        self.rgb.load_torchvision(state)
        self.noise.load_torchvision(state)

    def probability(self, output: SolaOutput) -> Tensor:
        """(B,) probability of forged."""
        return torch.sigmoid(output.image.float())

    def evidence(self, output: SolaOutput) -> dict[str, Tensor]:
        """``second_order`` (B, 16, 16): the strongest of the four second-order maps, in [0, 1]."""
        maps = [pad_to_grid(torch.sigmoid(m.float())) for m in output.second]
        return {"second_order": torch.cat(maps, dim=1).amax(dim=1)}

    def loss(self, output: SolaOutput, label: Tensor, forged: Tensor | None, face: Tensor | None) -> Tensor:
        """Eq. 11 with eq. 10 where there is a mask, with eq. 12 where there is none; float32 scalar.

        ``label`` (B,) int64, 1 = forged; ``forged`` (B, 256, 256) in [0, 1]; ``face`` is not used.
        """
        classification = F.binary_cross_entropy_with_logits(output.image.float(), label.float())
        anomaly = single_side_loss(output, label) if forged is None else supervised_loss(output, forged)
        return ALPHA * classification + anomaly
