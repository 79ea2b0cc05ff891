"""How well a network tells the validation side's forgeries from its reals, in the middle of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import nn

from deepscan.training.config import TrainConfig
from deepscan.training.data.loader import degradation_of, own_pairs
from deepscan.training.data.pairs import FixedOwnPairs
from deepscan.training.data.prepare import Sample
from deepscan.training.data.samples import Batch, FixedPairs
from deepscan.training.evaluation.metrics import auc
from deepscan.training.fit.step import mixed_precision, normalise
from deepscan.training.networks import Net


@torch.inference_mode()
def validate(net: Net, config: TrainConfig, cache: Path, samples: Sequence[Sample]) -> dict[str, float]:
    """AUC on pairs of the validation side; each pair has a draw of the degradation of its own.

    ``val_auc``: every real sample once, with a made forgery; then every real sample against each manipulation
    type.
    ``val_own_auc``: every forgery of the corpus' own, once, with a real sample.
    """
    val_side, spec = [sample for sample in samples if sample.split == "val"], net.spec
    found: dict[str, float] = {}
    cast(nn.Module, net).eval()
    if config.corpus_fraction < 1:
        made = FixedPairs(
            cache,
            val_side,
            spec,
            degradation=degradation_of(config),
            manipulations=config.manipulations,
            single_frames=config.single_frames,
        )
        real, manipulations = scores_of(net, (made.named(number) for number in range(len(made))))
        found |= _figures("val", real, manipulations)
        found |= {
            f"val_auc {manipulation}": separation(real, scores)
            for manipulation, scores in manipulations.items()
        }
    if config.corpus_fraction > 0:
        own = FixedOwnPairs(own_pairs(config, cache, val_side, spec, augment=False))
        found |= _figures("val_own", *scores_of(net, (("own", own[number]) for number in range(len(own)))))
    return found


def scores_of(net: Net, pairs: Iterable[tuple[str, Batch]]) -> tuple[list[float], dict[str, list[float]]]:
    """A network's probabilities for the real halves of named pairs, and for the forged ones by name."""
    module = cast(nn.Module, net)
    device = next(module.parameters()).device
    real: list[float] = []
    fake: dict[str, list[float]] = {}
    for name, batch in pairs:
        with mixed_precision(module):
            probability = net.probability(net(normalise(batch["pixels"].to(device), net.spec))).float().cpu()
        for score, label in zip(probability.tolist(), batch["label"].tolist(), strict=True):
            (fake.setdefault(name, []) if label else real).append(score)
    return real, fake


def separation(real: Sequence[float], fake: Sequence[float]) -> float:
    """AUC of fake scores against real ones."""
    labels = np.repeat([0, 1], [len(real), len(fake)])
    return auc(labels, np.array([*real, *fake]))


def _figures(prefix: str, real: Sequence[float], fake: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """AUC over all pairs, and how many there are; nothing where there is none."""
    everything = [score for scores in fake.values() for score in scores]
    if not everything:
        return {}
    return {f"{prefix}_auc": separation(real, everything), f"{prefix}_pairs": float(len(everything))}
