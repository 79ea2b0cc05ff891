"""Global-local: the whole face and its five most telling patches, followed through time.

Zhao et al., Exploring Complementarity of Global and Local Spatiotemporal Information for Fake Face Video
Detection.

Each frame passes a ResNet-34 to a 7x7x512 map. Global stream: its average (eq. 1). Local stream: sixteen
2x2 patches, an attention score each, the mean of the best five (eq. 2). Fused: both concatenated (eq. 3).
A temporal module of three SRU layers (Lei et al. 2018), a linear layer and an average over time judges the
global stream, a second one of the same design the fused stream; the score is the mean of the two.

Where the paper is silent:

- The sixteen patches start at 0, 2, 3 and 5 in both directions: 2x2 patches then cover every row and
  column of the 7x7 map without padding (4 steps of 2 would need an 8x8 map).
- Eq. 2 hands the attention layers no gradient, since picking the best five does not depend smoothly on the
  scores. Each chosen patch is multiplied by ``1 + w - stop_gradient(w)``, which is 1 going forward.
- The attention layers read a patch as its 2048 activations, through ReLU between the two layers.
- Two temporal modules, since the streams differ in width (512 and 1024); SRU layers are 512 wide, one-way.
- Eq. 4's P is the probability of the true class, averaged over the batch after the hinge; no side of it is
  held constant. A stream's logits are averaged over time before the softmax, the order of section 2.3.

Sixteen patches are numbered row by row; patch n starts at row ``STARTS[n // 4]``, column ``STARTS[n % 4]``.
Clips may have any number of frames T >= 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepscan.detectors.global_local import SPEC
from deepscan.detectors.resnet_layers import ResNetTrunk

STARTS = (0, 2, 3, 5)
PATCH = 2
MAP = 7
CHOSEN = 5
"""N, the patches that are kept per frame."""
ATTENTION_WIDTH = 128
SRU_LAYERS = 3
SRU_WIDTH = 512
MARGIN = 0.1


class GlobalLocalOutput(NamedTuple):
    """What both streams say.

    Attributes:
        global_logits: (B, 2), real then forged.
        fused_logits: (B, 2), real then forged.
        patches: (B, T, 5) int64 in 0..15, the chosen patches, most telling first.
    """

    global_logits: Tensor
    fused_logits: Tensor
    patches: Tensor


def cut_patches(x: Tensor) -> Tensor:
    """(N, C, 7, 7) -> (N, 16, C, 2, 2).

    Cut with four slices per direction, which export as plain slices.
    """
    rows = torch.cat([x[:, :, a : a + PATCH] for a in STARTS], dim=2)
    cells = torch.cat([rows[:, :, :, a : a + PATCH] for a in STARTS], dim=3)
    channels = int(x.shape[1])
    grid = cells.reshape(-1, channels, len(STARTS), PATCH, len(STARTS), PATCH)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(-1, len(STARTS) ** 2, channels, PATCH, PATCH)


class PatchAttention(nn.Module):
    """Scores sixteen patches and averages the best five."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels * PATCH * PATCH, ATTENTION_WIDTH)
        self.fc2 = nn.Linear(ATTENTION_WIDTH, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, 7, 7) -> local feature F^L (N, C) and the chosen patches (N, 5) int64."""
        patches = cut_patches(x)
        scores = self.fc2(F.relu(self.fc1(patches.flatten(2)))).squeeze(2)
        weights = scores.float().softmax(1)
        chosen = weights.topk(CHOSEN, dim=1).indices
        pooled = patches.mean((3, 4))
        best = pooled.gather(1, chosen.unsqueeze(2).expand(-1, -1, int(pooled.shape[2])))
        weight = weights.gather(1, chosen).to(best.dtype)
        passing = 1 + weight - weight.detach()
        return (best * passing.unsqueeze(2)).mean(1), chosen


class Sru(nn.Module):
    """One layer of simple recurrent units.

    f = sigmoid(W_f x + b_f), r = sigmoid(W_r x + b_r), c_t = f c_{t-1} + (1 - f) W x,
    h = r c_t + (1 - r) x. ``x`` is projected in the last term where widths differ.
    """

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.gates = nn.Linear(channels_in, 3 * channels, bias=False)
        """Rows: W, W_f, W_r."""
        self.forget_bias = nn.Parameter(torch.zeros(channels))
        self.reset_bias = nn.Parameter(torch.zeros(channels))
        same = channels_in == channels
        self.highway: nn.Module = nn.Identity() if same else nn.Linear(channels_in, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C_in) -> (B, T, C)."""
        candidate, forget, reset = self.gates(x).chunk(3, dim=2)
        forget = torch.sigmoid(forget + self.forget_bias)
        reset = torch.sigmoid(reset + self.reset_bias)
        kept = (1 - forget) * candidate
        state = kept[:, 0]  # c_0 = 0
        states = [state]
        for t in range(1, int(x.shape[1])):
            state = forget[:, t] * state + kept[:, t]
            states.append(state)
        skip: Tensor = self.highway(x)
        return reset * torch.stack(states, dim=1) + (1 - reset) * skip


class TemporalModule(nn.Module):
    """Three SRU layers, a linear layer, an average over time."""

    def __init__(self, channels_in: int) -> None:
        super().__init__()
        widths = (channels_in,) + (SRU_WIDTH,) * (SRU_LAYERS - 1)
        self.layers = nn.Sequential(*(Sru(width, SRU_WIDTH) for width in widths))
        self.fc = nn.Linear(SRU_WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C_in) -> logits (B, 2)."""
        logits: Tensor = self.fc(self.layers(x)).mean(1)
        return logits


class GlobalLocal(nn.Module):
    """The two-stream network."""

    spec = SPEC

    def __init__(self) -> None:
        super().__init__()
        self.trunk = ResNetTrunk(34)
        channels = self.trunk.channels
        self.attention = PatchAttention(channels)
        self.global_time = TemporalModule(channels)
        self.fused_time = TemporalModule(2 * channels)

    def forward(self, x: Tensor) -> GlobalLocalOutput:
        """(B, T, 3, 224, 224) -> GlobalLocalOutput.

        Raises:
            ValueError: the trunk's map is not 7x7, so the sixteen patches would not cover it.
        """
        frames = int(x.shape[1])
        features = self.trunk(x.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        if tuple(int(n) for n in features.shape[2:]) != (MAP, MAP):
            raise ValueError(f"{SPEC.name} takes {SPEC.size_px} px frames, not {tuple(x.shape[3:])} px")
        whole = features.mean((2, 3))
        local, chosen = self.attention(features)
        whole = torch.unflatten(whole, 0, (-1, frames))
        fused = torch.cat([whole, torch.unflatten(local, 0, (-1, frames))], dim=2)
        return GlobalLocalOutput(
            global_logits=self.global_time(whole),
            fused_logits=self.fused_time(fused),
            patches=torch.unflatten(chosen, 0, (-1, frames)),
        )

    def probability(self, output: GlobalLocalOutput) -> Tensor:
        """(B,): mean of both streams' probability of forged."""
        both = output.global_logits.float().softmax(1) + output.fused_logits.float().softmax(1)
        return both[:, 1] / 2

    def evidence(self, output: GlobalLocalOutput) -> dict[str, Tensor]:
        """``patches``: (B, T, 5) int64."""
        return {"patches": output.patches}

    def loss(
        self, output: GlobalLocalOutput, label: Tensor, forged: Tensor | None, face: Tensor | None
    ) -> Tensor:
        """L_CE of both streams + L_GSG (eq. 4 and 5), in float32. Masks are not used.

        Args:
            output: of ``forward``.
            label: (B,) int64, 1 = forged.
            forged: ignored.
            face: ignored.
        """
        whole, fused = output.global_logits.float(), output.fused_logits.float()
        classification = F.cross_entropy(whole, label) + F.cross_entropy(fused, label)
        return classification + gsg_loss(whole, fused, label)

    def load_public(self, state: Mapping[str, Tensor]) -> None:
        """Start the trunk from a torchvision ResNet-34 checkpoint; errors as in ``ResNetTrunk``."""
        self.trunk.load_torchvision(state)


def gsg_loss(global_logits: Tensor, fused_logits: Tensor, label: Tensor) -> Tensor:
    """Eq. 4: the fused stream shall be surer of the true class than the global one, by the margin.

    Args:
        global_logits: (B, 2).
        fused_logits: (B, 2).
        label: (B,) int64.
    """
    rows = label.unsqueeze(1)
    p_global = global_logits.softmax(1).gather(1, rows)
    p_fused = fused_logits.softmax(1).gather(1, rows)
    return F.relu(p_global - p_fused + MARGIN).mean()
