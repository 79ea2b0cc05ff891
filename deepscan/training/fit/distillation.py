"""Distillation: a trunk that starts from nothing learns to predict the maps of a GML.

No ImageNet weights for the ResNet trunks are at hand, and one label per image is little to learn from; the
teacher gives hundreds of features at every place of the map. It may be a trained GML or one that knows
ImageNet alone. The projection that compares the two belongs to training alone.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepscan.detectors import SPECS
from deepscan.detectors.gml import SPEC as TEACHER_SPEC
from deepscan.detectors.gml.network import Gml
from deepscan.detectors.registry import recipe_of_detector
from deepscan.errors import UsageError
from deepscan.training.fit.initial_weights import start_from


class Distillation(nn.Module):
    """Compares one map of the student with one of a frozen GML."""

    def __init__(self, checkpoint: Path, name: str, student: nn.Module) -> None:
        """Load the teacher and listen to the student.

        Args:
            checkpoint: of a ``gml``, see ``load_teacher``.
            name: the student's detector.
            student: its network.

        Raises:
            UsageError: the student has no map that fits the teacher's, or the file holds no ``gml``.
        """
        super().__init__()
        tap = recipe_of_detector(name).tap
        if tap is None:
            able = ", ".join(one for one in SPECS if recipe_of_detector(one).tap)
            raise UsageError(f"{name} cannot learn from a teacher; {able} can.")
        self._tap = tap
        self._teacher = load_teacher(checkpoint)
        self._teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.project = nn.Conv2d(self._tap.channels, self._tap.teacher_channels, 1)
        self._seen: Tensor | None = None
        student.get_submodule(self._tap.module).register_forward_hook(self._listen)

    def loss(self, pixels: Tensor) -> Tensor:
        """One minus the mean cosine between projected student and teacher maps, of the last forward pass.

        A map over time is compared at each of its moments with the frame that the strides centre it on.

        Args:
            pixels: uint8 ``(B, [T,] S, S, 3)``, what the student has just seen.
        """
        assert self._seen is not None
        seen = self._seen
        if seen.dim() == 5:  # (B, C, t, h, w)
            pixels = pixels[:, :: pixels.shape[1] // seen.shape[2]]
            seen = seen.transpose(1, 2).flatten(0, 1)
        wanted = self._maps(pixels.reshape(-1, *pixels.shape[-3:]))
        return 1 - F.cosine_similarity(self.project(seen).float(), wanted.float(), dim=1).mean()

    @torch.no_grad()
    def _maps(self, frames: Tensor) -> Tensor:
        """uint8 ``(N, S, S, 3)`` -> ``(N, C, h, w)``."""
        teacher = self._teacher
        x = (frames.float() / 255 - TEACHER_SPEC.mean[0]) / TEACHER_SPEC.std[0]
        y = teacher.stem(x.permute(0, 3, 1, 2))
        for block in list(teacher.blocks)[: self._tap.teacher_block]:
            y, _ = block(y, 1)
        return y

    def _listen(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self._seen = output


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
