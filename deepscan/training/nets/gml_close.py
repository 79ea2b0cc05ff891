"""GML close-up: GML's anomaly branch alone, on single frames cut as close as Global-local's.

GML's own crop (2 sqrt(w h)) shows a face some 95 px wide, this one (1.3 x the box, aligned) some 125. What is
left of GML are the first five blocks of Xception and the anomaly detection block (AD) that reads them, with
AD's classifier and losses (L^cls2, and L^l1 of eq. 3), without the blocks after the fifth, their classifier
and motion. No paper has this network: it is a second look by a part of one that has.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from deepscan.detectors.gml_close import SPEC
from deepscan.training.nets.gml import EVIDENCE_BLOCK, GmlTrunk, compactness


class GmlCloseOutput(NamedTuple):
    """What AD says.

    Attributes:
        logits: (B, 2), real then forged.
        clues: F*, (B, 728, h, w).
    """

    logits: Tensor
    clues: Tensor


class GmlClose(GmlTrunk):
    """The anomaly branch of a GML and what it stands on; tensors have the names they have there."""

    spec = SPEC

    def __init__(self) -> None:
        super().__init__(blocks=EVIDENCE_BLOCK)

    def forward(self, x: Tensor) -> GmlCloseOutput:
        """(B, 3, H, W) in [-1, 1] -> GmlCloseOutput; h = H / 16."""
        y = self.stem(x)
        for block in self.blocks:
            y, _ = block(y, 1)
        clues = self.anomaly(y)
        return GmlCloseOutput(self.anomaly_fc(clues.mean((2, 3))), clues)

    def probability(self, output: GmlCloseOutput) -> Tensor:
        """(B,): probability of forged."""
        return output.logits.float().softmax(1)[:, 1]

    def evidence(self, output: GmlCloseOutput) -> dict[str, Tensor]:
        """``anomaly``: mean over channels of |F*|, (B, h, w)."""
        return {"anomaly": output.clues.float().abs().mean(1)}

    def loss(
        self, output: GmlCloseOutput, label: Tensor, forged: Tensor | None, face: Tensor | None
    ) -> Tensor:
        """L^l1 + L^cls2, in float32. Masks are not used.

        Args:
            output: of ``forward``.
            label: (B,) int64, 1 = forged.
            forged: ignored.
            face: ignored.
        """
        return compactness(output.clues[:, None], label) + F.cross_entropy(output.logits.float(), label)

    def load_imagenet(self, path: Path) -> None:
        """Starts from ImageNet weights, as ``Gml`` does, or from the same parts of a GML.

        Args:
            path: safetensors of either.

        Raises:
            KeyError: the file lacks a tensor.
            RuntimeError: a tensor has another shape.
        """
        state = load_file(path)
        if "anomaly_fc.weight" in state:
            self.load_state_dict({name: state[name] for name in self.state_dict()})
        else:
            super().load_imagenet(path)
