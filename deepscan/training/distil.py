"""Distillation: a trunk that starts from nothing learns to predict the maps of a GML.

No ImageNet weights for the ResNet trunks are at hand, and one label per image is little to learn from; the
teacher gives hundreds of features at every place of the map. It may be a trained GML or one that knows
ImageNet alone. The projection that compares the two belongs to training alone.

A GML that was trained on the student's own crops (``--crops-of``) knows more of what the student sees than a
label does: how visible each forgery is. Its verdict can be learnt, too (Hinton et al., "Distilling the
Knowledge in a Neural Network", 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepscan.detectors.gml import SPEC as TEACHER_SPEC
from deepscan.errors import UsageError
from deepscan.training.nets.gml import Gml
from deepscan.training.start import start_from

SATURATED = 1e-6
"""Probabilities nearer to 0 or 1 than this have no gradient where they become logits or logarithms."""


@dataclass(frozen=True)
class Tap:
    """Where student and teacher are compared: maps of the same height and width.

    Attributes:
        module: the student's module whose output is compared.
        channels: of that output.
        teacher_block: the teacher's block, from 1.
        teacher_channels: of that block's output.
    """

    module: str
    channels: int
    teacher_block: int
    teacher_channels: int


TAPS = {
    "global_local": Tap("trunk", 512, teacher_block=12, teacher_channels=1024),
    "sola": Tap("lem.2", 256, teacher_block=11, teacher_channels=728),
    "resnet3d": Tap("layer3", 1024, teacher_block=11, teacher_channels=728),
}


class Distillation(nn.Module):
    """Compares one map of the student, and its verdict, with those of a frozen GML."""

    def __init__(self, checkpoint: Path, name: str, student: nn.Module, verdicts: float = 0.0) -> None:
        """Load the teacher and listen to the student.

        Args:
            checkpoint: of a ``gml``, see ``load_teacher``.
            name: the student's detector.
            student: its network.
            verdicts: weight of the verdict in the loss; 0: maps alone.

        Raises:
            UsageError: the student has no map that fits the teacher's, or the file holds no ``gml``.
        """
        super().__init__()
        check_student(name)
        self._tap, self._verdicts = TAPS[name], verdicts
        self._teacher = load_teacher(checkpoint)
        self._teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.project = nn.Conv2d(self._tap.channels, self._tap.teacher_channels, 1)
        self._seen: Tensor | None = None
        self._overheard: Tensor | None = None
        student.get_submodule(self._tap.module).register_forward_hook(self._listen)
        self._teacher.blocks[self._tap.teacher_block - 1].register_forward_hook(self._overhear)

    def loss(self, pixels: Tensor, probability: Tensor) -> Tensor:
        """One minus the mean cosine between projected student and teacher maps, of the last forward pass, and
        the weighted cross entropy of the student's verdict against the teacher's.

        A map over time is compared at each of its moments with the frame that the strides centre it on; the
        teacher's verdict of a clip is its mean over those frames.

        Args:
            pixels: uint8 ``(B, [T,] S, S, 3)``, what the student has just seen.
            probability: ``(B,)``, of forged, what it says of that.
        """
        assert self._seen is not None
        seen = self._seen
        if seen.dim() == 5:  # (B, C, t, h, w)
            pixels = pixels[:, :: pixels.shape[1] // seen.shape[2]]
            seen = seen.transpose(1, 2).flatten(0, 1)
        wanted, verdict = self._ask(pixels.reshape(-1, *pixels.shape[-3:]))
        loss = 1 - F.cosine_similarity(self.project(seen).float(), wanted.float(), dim=1).mean()
        if self._verdicts:
            of_clips = verdict.reshape(len(probability), -1).mean(1)
            loss = loss + self._verdicts * _against(of_clips, probability)
        return loss

    @torch.no_grad()
    def _ask(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 ``(N, S, S, 3)`` -> the teacher's maps ``(N, C, h, w)`` and its probabilities ``(N,)``."""
        x = (frames.float() / 255 - TEACHER_SPEC.mean[0]) / TEACHER_SPEC.std[0]
        verdict = self._teacher.probability(self._teacher(x.permute(0, 3, 1, 2)[:, None]))
        assert self._overheard is not None
        return self._overheard, verdict

    def _listen(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self._seen = output

    def _overhear(self, block: nn.Module, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        self._overheard = output[0]


def _against(wanted: Tensor, probability: Tensor) -> Tensor:
    """Mean cross entropy of probabilities against wanted ones, outside of mixed precision."""
    with torch.autocast(probability.device.type, enabled=False):
        near = probability.float().clamp(SATURATED, 1 - SATURATED)
        return F.binary_cross_entropy(near, wanted.float())


def check_student(name: str) -> None:
    """Raises UsageError where a detector has no map that a teacher's can be compared with."""
    if name not in TAPS:
        raise UsageError(f"{name} cannot learn from a teacher; {', '.join(TAPS)} can.")


def load_teacher(checkpoint: Path) -> Gml:
    """A GML that learns nothing more, from whatever ``start_from`` takes: a run, the shipped one, ImageNet.

    Raises:
        UsageError: there is no such file, or it holds no ``gml``.
    """
    if not checkpoint.is_file():
        raise UsageError(
            f"{checkpoint} does not exist; name the checkpoint of a trained gml, or say `shipped`."
        )
    teacher = Gml()
    start_from(teacher, checkpoint)
    return teacher.eval().requires_grad_(False)
