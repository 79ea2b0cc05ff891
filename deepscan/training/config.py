"""Settings of one training run, as its checkpoint keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deepscan.detectors.recipe import Recipe


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run.

    Attributes:
        detector: which network.
        steps: optimizer steps in all.
        pairs: pairs of real and fake in a batch, of all processes together.
        rate: highest learning rate.
        warmup: steps over which the rate rises.
        weight_decay: of the optimizer.
        single_frames: train a clip network on single frames (T = 1), photos included.
        frames: of a clip, for a network that takes fewer than its spec says; 0: those of the spec.
        clean: no degradation, in training and validation: a first stage for a network from nothing.
        brightened: brightness changes alone for the corpus' own forgeries.
        jittered: boxes of the corpus' own forgeries are moved and mirrored at random.
        corpus_fraction: share of batches with the corpus' own forgeries, where it has any; 1: nothing else.
        optimizer: ``adamw``, ``adam`` or ``sgd``.
        momentum: of ``sgd``.
        sam_rho: radius of sharpness-aware minimization (SAM), see ``step.optimize``; 0: plain steps.
        score_variance: weight of ``step.score_variance_loss`` in the loss.
        schedule: ``cosine`` falls to zero after the warm-up, ``constant`` stays.
        manipulations: types of the made forgeries; none names all of ``MANIPULATIONS``.
        frozen: submodules that stay as they are, batch statistics included.
        learning: globs for parameters outside of which everything stays as it is; none: all learn.
        seed: of the pairs, their forgeries and the network's start.
        validate_every: steps between validations; 0 validates at the end alone.
        keep_every: steps between copies of the weights, for ``average``; 0 keeps none.
        workers: processes that make pairs; 0 makes them in the training process.
        threads: torch's intra-op threads; 0 leaves them alone.
        device: ``auto`` (CUDA where it is there), ``cpu`` or ``cuda``.
    """

    detector: str
    steps: int
    pairs: int = 8
    rate: float = 2e-4
    warmup: int = 100
    weight_decay: float = 1e-4
    single_frames: bool = False
    frames: int = 0
    clean: bool = False
    brightened: bool = False
    jittered: bool = True
    corpus_fraction: float = 0.0
    optimizer: str = "adamw"
    momentum: float = 0.0
    sam_rho: float = 0.0
    score_variance: float = 0.0
    schedule: str = "cosine"
    manipulations: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    learning: tuple[str, ...] = ()
    seed: int = 0
    validate_every: int = 0
    keep_every: int = 0
    workers: int = 0
    threads: int = 0
    device: str = "auto"


def train_config(detector: str, recipe: Recipe, *, clips: int = 0, **options: Any) -> TrainConfig:
    """Settings of a run by a recipe: the only place that fills in a ``TrainConfig``.

    Args:
        detector: which network.
        recipe: optimizer, schedule, batch, duration and data; see ``Recipe.changed`` for changes to it.
        clips: clips or frames in an epoch, of both classes; needed where the recipe counts epochs.
        options: fields of ``TrainConfig`` that no recipe sets, such as ``seed`` or ``device``.
    """
    return TrainConfig(
        detector=detector,
        steps=recipe.total_steps(clips),
        pairs=recipe.pairs,
        rate=recipe.rate,
        warmup=recipe.warmup,
        weight_decay=recipe.weight_decay,
        clean=recipe.clean,
        brightened=recipe.brightened,
        jittered=recipe.jittered,
        corpus_fraction=recipe.corpus_fraction,
        optimizer=recipe.optimizer,
        momentum=recipe.momentum,
        schedule=recipe.schedule,
        **options,
    )


FORMER_NAMES = {
    "own_share": "corpus_fraction",
    "stills": "single_frames",
    "sharpness": "sam_rho",
    "evenness": "score_variance",
    "families": "manipulations",
}
"""Settings by the names under which older checkpoints keep them."""


def present_names(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that a checkpoint keeps, by their present names."""
    return {FORMER_NAMES.get(name, name): value for name, value in saved.items()}
