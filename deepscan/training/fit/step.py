"""One optimizer step: precision, loss, gradient, rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import cast

import torch
from torch import Tensor, nn

from deepscan.detectors.spec import DetectorSpec
from deepscan.errors import UsageError
from deepscan.training.config import TrainConfig
from deepscan.training.data.pairs import MASKED
from deepscan.training.data.samples import Batch
from deepscan.training.fit.distillation import Distillation
from deepscan.training.networks import Net

LARGEST_GRADIENT = 5.0
SATURATED = 1e-6
"""Probabilities nearer to 0 or 1 than this have no gradient in ``score_variance_loss``."""


class TrainingStep(nn.Module):
    """A batch in, its loss out: what is run alike in every process."""

    def __init__(self, net: Net, distillation: Distillation | None, score_variance: float = 0.0) -> None:
        super().__init__()
        self.net = cast(nn.Module, net)
        self.distillation = distillation
        self.score_variance = score_variance

    def forward(self, batch: Batch) -> Tensor:
        """Scalar loss; the forward pass in ``mixed_precision``, losses in float32."""
        net = cast(Net, self.net)
        forged = batch["forged"] if MASKED not in batch or bool(batch[MASKED].all()) else None
        with mixed_precision(self.net):
            output = net(normalise(batch["pixels"], net.spec))
            loss = net.loss(output, batch["label"], forged, batch["face"])
            if self.distillation is not None:
                loss = loss + self.distillation.loss(batch["pixels"])
            if self.score_variance:
                loss = loss + self.score_variance * score_variance_loss(
                    net.probability(output), batch["label"]
                )
        return loss


def score_variance_loss(probability: Tensor, label: Tensor) -> Tensor:
    """Variance of the logits of a batch's genuine clips: how far the network's idea of genuine differs from
    face to face. In the manner of single-center loss (Li et al., "Frequency-aware Discriminative Feature
    Learning", CVPR 2021), which draws genuine faces together and leaves forged ones alone. Each of several
    processes takes it over its own part of a batch, whose spread is a little less than the whole one's.

    Args:
        probability: ``(B,)``, of forged.
        label: ``(B,)`` int64, 1 = forged.
    """
    logits = torch.logit(probability.float(), eps=SATURATED)[label == 0]
    return logits.var(unbiased=False) if len(logits) else logits.sum()


def optimize(
    net: Net,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    distillation: Distillation | None = None,
    parallel: nn.Module | None = None,
    sam_rho: float = 0.0,
) -> float:
    """One step. Returns the loss.

    Args:
        net: the network.
        optimizer: of its parameters.
        batch: on any device.
        distillation: adds its loss.
        parallel: the ``TrainingStep`` of both, where several processes share it; None makes one.
        sam_rho: L2 radius of sharpness-aware minimization (Foret et al., 2021, rho of eq. 2): the step takes
            the gradient at the weights moved by so much along their own gradient. 0: a plain step.

    Raises:
        UsageError: the gradient is not finite.
    """
    module = cast(nn.Module, net)
    forward = TrainingStep(net, distillation) if parallel is None else parallel
    device = next(module.parameters()).device
    batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}

    def backward() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss: Tensor = forward(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    loss = backward()
    if sam_rho:
        with perturbed(module, sam_rho), same_statistics(module):
            backward()
    norm = nn.utils.clip_grad_norm_(module.parameters(), LARGEST_GRADIENT)
    if not torch.isfinite(norm):
        raise UsageError("the gradient is not finite: go on from the last checkpoint with a lower --rate.")
    optimizer.step()
    constrain = getattr(net, "after_step", None)
    if constrain is not None:
        constrain()
    return float(loss.detach())


@contextmanager
def perturbed(module: nn.Module, distance: float) -> Iterator[None]:
    """While open, the parameters are moved by ``distance`` (in the norm of them all) along their gradient."""
    moved = [
        (value, value.detach().clone(), value.grad) for value in module.parameters() if value.grad is not None
    ]
    norm = torch.linalg.vector_norm(torch.stack([grad.norm() for _, _, grad in moved]))
    with torch.no_grad():
        for value, _, grad in moved:
            value.add_(grad * (distance / (norm + 1e-12)))
    try:
        yield
    finally:
        with torch.no_grad():
            for value, before, _ in moved:
                value.copy_(before)


@contextmanager
def same_statistics(module: nn.Module) -> Iterator[None]:
    """While open, batch norms leave their running statistics alone."""
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    momenta = [part.momentum for part in norms]
    for part in norms:
        part.momentum = 0.0
    try:
        yield
    finally:
        for part, momentum in zip(norms, momenta, strict=True):
            part.momentum = momentum


def optimizer_of(config: TrainConfig, parameters: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer that the settings name. Raises UsageError for another name."""
    rate, decay = config.rate, config.weight_decay
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=decay)
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=rate, weight_decay=decay, momentum=config.momentum)
    raise UsageError(f"there is no optimizer {config.optimizer!r}; choose from adamw, adam, sgd.")


def rate_at(step: int, config: TrainConfig) -> float:
    """Linear rise over ``warmup`` steps, then the schedule: a cosine to zero, or no change."""
    if step < config.warmup:
        return config.rate * (step + 1) / config.warmup
    if config.schedule == "constant":
        return config.rate
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def set_trainable(module: nn.Module, frozen: Sequence[str], learning: Sequence[str] = ()) -> None:
    """Put a network into training mode, all but its frozen submodules.

    Args:
        module: the network.
        frozen: names of submodules that stay as they are, batch statistics included.
        learning: globs for names of parameters, such as ``*.mcb.up.*``; where there are any, whatever none of
            them matches stays as it is, too.

    Raises:
        UsageError: it has no such submodule, or no parameter that a glob matches.
    """
    module.train()
    if learning:
        _train_only(module, learning)
    for name in frozen:
        try:
            part = module.get_submodule(name)
        except AttributeError:
            parts = ", ".join(child for child, _ in module.named_children())
            raise UsageError(
                f"the network has no submodule {name!r} to freeze; it consists of {parts}."
            ) from None
        part.requires_grad_(False).eval()


def _train_only(module: nn.Module, learning: Sequence[str]) -> None:
    names = [name for name, _ in module.named_parameters()]
    for glob in learning:
        if not any(fnmatchcase(name, glob) for name in names):
            raise UsageError(f"the network has no parameter {glob!r}; {names[0]!r} is one of its own.")
    for name, value in module.named_parameters():
        value.requires_grad_(any(fnmatchcase(name, glob) for glob in learning))
    for part in module.modules():
        if not any(value.requires_grad for value in part.parameters()):
            part.eval()


def to_channels_last(module: nn.Module) -> None:
    """Channels last, which a CPU convolves faster; networks of 3D convolutions stay as they are."""
    if not is_3d(module):
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def is_3d(module: nn.Module) -> bool:
    """Whether the network convolves over time."""
    return any(isinstance(part, nn.Conv3d) for part in module.modules())


def mixed_precision(module: nn.Module) -> torch.autocast:
    """bfloat16 where it is safe; 3D networks run in float32: in bfloat16 a run on a CPU ended in NaN.

    Processors and GPUs without bfloat16 compute in float32 as well: one with AVX2 took ten times as long for
    a step in emulated bfloat16.
    """
    kind = next(module.parameters()).device.type
    able = has_bfloat16() if kind == "cpu" else torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(kind, torch.bfloat16, enabled=able and not is_3d(module))


def has_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16."""
    return bool(torch.cpu._is_avx512_bf16_supported())


def normalise(pixels: Tensor, spec: DetectorSpec) -> Tensor:
    """uint8 ``(B, [T,] S, S, 3)`` to normalised float ``(B, [T,] 3, S, S)``."""
    mean, std = (torch.tensor(value, device=pixels.device) for value in (spec.mean, spec.std))
    return ((pixels.float() / 255 - mean) / std).movedim(-1, -3)
