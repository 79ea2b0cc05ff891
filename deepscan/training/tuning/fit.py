"""The tuning's steps, top to bottom: crops, lower layers, batches, steps, the mean of the last weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from deepscan.detectors.gend import SPEC
from deepscan.detectors.gend.network import GenD, is_tuned
from deepscan.errors import UsageError
from deepscan.training.data.prepare import load_index
from deepscan.training.fit.step import mixed_precision, normalise
from deepscan.training.tuning.batches import Batches, CropKind
from deepscan.training.tuning.crops import Crop, CropDrawer

KEPT_LAYERS = 6
"""Lower layers of the encoder that stay as they are."""
BATCH, MADE = 24, 4
RATE, HEAD_TO_NORMS, WARMUP = 5e-4, 10, 20
DROPPED, WHOLE = 0.5, 0.2
"""Share of the patches that a step leaves out, and of the last steps that leave none out.

Half of the patches cost half of the time (He et al. and Li et al., 2022, drop them in pretraining).
"""
MEAN_OVER = 0.98
"""Decay of the running mean of the weights, which is what a tuning is."""
SPREAD = ("photo", "even")
"""Kinds of samples that are learnt from: windows show the same faces again."""
AT_ONCE, REPORT_EVERY = 32, 25
STEPS = 1
"""Part of the seed that draws the steps."""

Report = Callable[[str], None]


@dataclass(frozen=True)
class TuningConfig:
    """Settings of a tuning.

    Attributes:
        steps: optimizer steps.
        seed: of crops and batches.
        rate: highest learning rate of the layer normalisations; the head's is ten times as high.
        leave_out: fold whose samples are not learnt from; None learns from all.
        threads: of the network; 0: as many as PyTorch takes by itself.
    """

    steps: int = 200
    seed: int = 0
    rate: float = RATE
    leave_out: int | None = None
    threads: int = 0


def tune(net: GenD, cache: Path, config: TuningConfig, report: Report = lambda line: None) -> None:
    """Tune ``net`` on a cache that ``prepare`` filled.

    Args:
        net: the encoder and where its tuning starts; ends with the new one.
        cache: prepared faces; those on the validation or test side are left out.
        config: the settings.
        report: called with a line now and then.

    Raises:
        UsageError: the cache lacks genuine or forged faces.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    samples = [sample for sample in load_index(cache) if sample.split == "train" and sample.kind in SPREAD]
    if config.leave_out is not None:
        if not any(sample.fold == config.leave_out for sample in samples):
            raise UsageError(f"{cache}: no face is of fold {config.leave_out}; prepare a table with folds.")
        samples = [sample for sample in samples if sample.fold != config.leave_out]
    tokens, kinds = lower(net, CropDrawer(cache, samples, config.seed).draw(), report)
    fit(net, tokens, Batches(kinds, size=BATCH, made=MADE), config, report)


def lower(net: GenD, crops: Iterable[Crop], report: Report) -> tuple[Tensor, list[CropKind]]:
    """Run the lower layers once for every crop.

    Returns:
        Tokens ``(N, 197, 768)`` bfloat16, 0.3 MB for each crop, and what each crop is.

    Raises:
        UsageError: there is no crop.
    """
    tokens: list[Tensor] = []
    kinds: list[CropKind] = []
    stream = iter(crops)
    while some := list(itertools.islice(stream, AT_ONCE)):
        kinds += [CropKind(crop.sample, crop.forged, crop.made) for crop in some]
        pixels = torch.from_numpy(np.stack([crop.pixels for crop in some]))
        with torch.no_grad(), mixed_precision(net):
            tokens.append(net.vision_model.lower(normalise(pixels, SPEC), KEPT_LAYERS).bfloat16())
        if len(tokens) % 50 == 0:
            report(f"lower layers: {len(kinds)} crops")
    if not kinds:
        raise UsageError("tuning needs prepared faces, and there are none to learn from.")
    return torch.cat(tokens), kinds


def fit(net: GenD, tokens: Tensor, batches: Batches, config: TuningConfig, report: Report) -> None:
    """Take the steps; ``net`` ends with the running mean of its weights.

    Args:
        net: learns.
        tokens: of ``lower``.
        batches: which crops make a batch.
        config: the settings.
        report: called every 25 steps.
    """
    rng = np.random.default_rng((config.seed, STEPS))
    learning, optimizer = _learning(net, config.rate)
    mean = [value.detach().clone() for value in learning]
    losses: list[float] = []
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = group["highest"] * _share_of_rate(step, config.steps)
        numbers, labels = batches.draw(rng)
        seen = tokens[numbers].float()
        if step < config.steps * (1 - WHOLE):
            seen = seen[:, _some_patches(seen.shape[1], rng)]
        with mixed_precision(net):
            output = net.judge(seen, KEPT_LAYERS)
        loss = net.loss(output, torch.tensor(labels), None, None)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
        decay = min(MEAN_OVER, (step + 1) / (step + 10))
        with torch.no_grad():
            for kept, value in zip(mean, learning, strict=True):
                kept.lerp_(value, 1 - decay)
        if (step + 1) % REPORT_EVERY == 0:
            report(f"step {step + 1} of {config.steps}  loss {np.mean(losses[-REPORT_EVERY:]):.4f}")
    with torch.no_grad():
        for kept, value in zip(mean, learning, strict=True):
            value.copy_(kept)


def _learning(net: GenD, rate: float) -> tuple[list[nn.Parameter], torch.optim.Optimizer]:
    """The parameters that learn, and their optimizer; everything else is frozen."""
    net.train().requires_grad_(False)
    upper = [net.vision_model.layers[KEPT_LAYERS:], net.vision_model.post_layernorm]
    norms = [
        value
        for part in upper
        for name, value in part.named_parameters()
        if part is net.vision_model.post_layernorm or is_tuned(name)
    ]
    head = list(net.head.parameters())
    for value in (*norms, *head):
        value.requires_grad_(True)
    groups = [
        {"params": norms, "highest": rate, "lr": rate},
        {"params": head, "highest": HEAD_TO_NORMS * rate, "lr": HEAD_TO_NORMS * rate},
    ]
    return [*norms, *head], torch.optim.AdamW(groups, weight_decay=0.0)


def _share_of_rate(step: int, steps: int) -> float:
    """A linear rise, then a cosine to zero."""
    if step < WARMUP:
        return (step + 1) / WARMUP
    return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / max(1, steps - WARMUP)))


def _some_patches(tokens: int, rng: np.random.Generator) -> list[int]:
    """The class token and a random share of the patches."""
    kept = rng.choice(tokens - 1, int((tokens - 1) * (1 - DROPPED)), replace=False)
    return [0, *(1 + kept).tolist()]
