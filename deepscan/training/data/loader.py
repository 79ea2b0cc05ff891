"""What a run learns from: the stream of batches that its settings ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch.utils.data import DataLoader

from deepscan.detectors import SPECS
from deepscan.detectors.spec import DetectorSpec, Sampling
from deepscan.errors import UsageError
from deepscan.training.config import TrainConfig
from deepscan.training.data.pairs import MixedPairs, OwnPairs
from deepscan.training.data.prepare import Sample
from deepscan.training.data.samples import Batch, ForgedPairs, join_pairs
from deepscan.training.distributed import ProcessRank
from deepscan.training.synthesis.degradation import Degradation

ALONE = ProcessRank()


def batches(
    config: TrainConfig,
    cache: Path,
    samples: Sequence[Sample],
    spec: DetectorSpec,
    *,
    first: int,
    place: ProcessRank = ALONE,
) -> Iterator[Batch]:
    """Joined batches from the training side, without end: made forgeries, and the corpus' own.

    Raises:
        UsageError: the side has no real sample, or no forgery where only the corpus' own are wanted.
    """
    train_side = [sample for sample in samples if sample.split == "train"]
    own = own_pairs(config, cache, train_side, spec)
    if config.corpus_fraction == 1 and not own:
        raise UsageError(f"{cache} holds no forgeries of its own that give a clip for {spec.name}.")
    made = None
    if config.corpus_fraction < 1:
        made = ForgedPairs(
            cache,
            train_side,
            spec,
            seed=config.seed,
            degradation=degradation_of(config),
            manipulations=config.manipulations,
            single_frames=config.single_frames,
            first=first,
            batch=config.pairs,
        )
    pairs = MixedPairs(
        made,
        own,
        corpus_fraction=config.corpus_fraction,
        seed=config.seed,
        first=first,
        pairs=config.pairs,
        place=place,
    )
    mine = config.pairs // place.count
    loader = DataLoader(pairs, batch_size=mine, collate_fn=join_pairs, num_workers=config.workers)
    return iter(loader)


def spec_of(config: TrainConfig) -> DetectorSpec:
    """What the run's network looks at, in clips of as many frames as its settings say.

    Raises:
        UsageError: the spec has no more frames than they say.
    """
    spec = SPECS[config.detector]
    if not config.frames:
        return spec
    if config.frames >= spec.frames:
        raise UsageError(
            f"clips of {spec.name} have {spec.frames} frames at the most; --frames is for fewer."
        )
    return replace(spec, frames=config.frames)


def own_pairs(
    config: TrainConfig, cache: Path, samples: Sequence[Sample], spec: DetectorSpec, *, augment: bool = True
) -> OwnPairs:
    """The pairs that the corpus' own forgeries give."""
    return OwnPairs(
        cache,
        samples,
        spec,
        single_frames=config.single_frames,
        degrade=faults_of(config, still=config.single_frames or spec.sampling is Sampling.SINGLE),
        augment=augment and config.jittered,
    )


def degradation_of(config: TrainConfig) -> Degradation | None:
    """What every made pair of the run goes through; None lets each pair draw its own."""
    return Degradation.none() if config.clean else None


def faults_of(config: TrainConfig, *, still: bool) -> Callable[[np.random.Generator, int], Degradation]:
    """What draws the degradation of an own pair."""

    def draw(rng: np.random.Generator, side_px: int) -> Degradation:
        if config.brightened:
            return replace(Degradation.none(), gamma=float(np.exp(rng.uniform(-0.22, 0.22))))
        return Degradation.none() if config.clean else Degradation.draw(rng, still=still, side_px=side_px)

    return draw
