"""How a detector is trained: the settings of ``--recipe robust`` and ``--recipe paper`` in one place.

``robust`` makes forgeries from the reals on the fly and adds the corpus' own, through shared degradation.
``paper`` is each paper's own recipe on the corpus' own forgeries; frames, crops and losses are the papers' in
both (``detectors/``). ``PAPER`` states what a paper says; what it leaves open is listed
under ``open`` and filled in with what is usual, ``FILLED_IN``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from deepscan.detectors import SPECS
from deepscan.errors import UsageError
from deepscan.training.data.prepare import SHORTEST, Sample
from deepscan.training.data.samples import usable

RECIPES = ("robust", "paper")
Optimizer = Literal["adamw", "adam", "sgd"]
Schedule = Literal["cosine", "constant"]


@dataclass(frozen=True)
class Recipe:
    """Settings that a recipe fixes; each can be overridden by its own option.

    Attributes:
        optimizer: ``adamw``, ``adam`` or ``sgd``.
        rate: highest learning rate.
        weight_decay: of the optimizer.
        momentum: of ``sgd``.
        schedule: ``cosine`` falls to zero after the warm-up; ``constant`` stays.
        warmup: steps over which the rate rises.
        pairs: of real and fake in a batch; half of the batch size.
        steps: optimizer steps in all; 0 where ``epochs`` says it.
        epochs: passes over the training samples; 0 where ``steps`` says it.
        corpus_fraction: share of batches with the corpus' own forgeries, where it has any.
        clean: no degradation.
        brightened: brightness changes alone, as the only degradation; goes with ``clean``.
        jittered: boxes are moved and mirrored at random.
        source: where the paper says so; empty where it says nothing.
        open: what the paper does not say.
    """

    optimizer: Optimizer = "adamw"
    rate: float = 2e-4
    weight_decay: float = 1e-4
    momentum: float = 0.0
    schedule: Schedule = "cosine"
    warmup: int = 100
    pairs: int = 8
    steps: int = 1000
    epochs: int = 0
    corpus_fraction: float = 0.5
    clean: bool = False
    brightened: bool = False
    jittered: bool = True
    source: str = ""
    open: tuple[str, ...] = ()

    def changed(self, **options: Any) -> Recipe:
        """The recipe with other values for some of its fields; those that are None stay."""
        return replace(self, **{name: value for name, value in options.items() if value is not None})

    def total_steps(self, samples: int) -> int:
        """Optimizer steps, for a training side of ``samples`` clips or frames of both classes."""
        return self.steps or max(1, self.epochs * samples // (2 * self.pairs))


USUAL = Recipe(
    optimizer="adam",
    rate=1e-3,
    weight_decay=0.0,
    schedule="constant",
    warmup=0,
    pairs=8,
    steps=0,
    epochs=20,
    corpus_fraction=1.0,
    clean=True,
    jittered=False,
)
"""Where a paper is silent; the papers make no forgeries of their own, and degrade and move nothing unsaid."""

FILLED_IN = {
    "gml": replace(USUAL, momentum=0.9),
    "global_local": replace(USUAL, momentum=0.9, schedule="cosine", epochs=30),
    "sola": USUAL,
    "resnet3d": replace(USUAL, rate=1e-4),
    "local_features": replace(USUAL, pairs=16),
}
"""What each paper leaves open, filled in."""

_GML = replace(
    FILLED_IN["gml"],
    optimizer="sgd",
    rate=1e-3,
    weight_decay=1e-6,
    pairs=8,
    steps=150_000,
    epochs=0,
    source="section 3",
    open=("momentum", "schedule", "augmentation (none here)"),
)

PAPER = {
    "gml": _GML,
    "global_local": replace(
        FILLED_IN["global_local"],
        optimizer="sgd",
        rate=1e-2,
        source="section 3.1",
        open=(
            "rate (1e-2 or 1e-3)",
            "momentum",
            "schedule",
            "batch size",
            "duration",
            "augmentation (none here)",
        ),
    ),
    "sola": replace(
        FILLED_IN["sola"],
        optimizer="adam",
        rate=1e-3,
        pairs=16,
        epochs=50,
        source="section 4.1",
        open=("schedule", "augmentation (none here)"),
    ),
    "resnet3d": replace(
        FILLED_IN["resnet3d"],
        optimizer="adam",
        brightened=True,
        jittered=True,
        source="section 5",
        open=("rate", "schedule", "batch size", "duration", "strength of crop and brightness changes"),
    ),
    "local_features": replace(
        FILLED_IN["local_features"],
        open=("optimizer", "rate", "schedule", "batch size", "duration", "augmentation (none here)"),
    ),
}
"""What each paper says, and where."""


def clips_seen(samples: Sequence[Sample], detector: str, *, single_frames: bool) -> int:
    """How many clips, or frames, an epoch is: every training sample once, a still's every frame."""
    spec = SPECS[detector]
    single = single_frames or spec.frames == 1
    return sum(
        SHORTEST[sample.kind] if single else 1
        for sample in samples
        if sample.split == "train" and usable(sample, spec, single_frames=single_frames)
    )


def recipe_of(name: str, detector: str) -> Recipe:
    """The settings of a recipe for a detector. Raises UsageError where there is no such recipe."""
    if name not in RECIPES:
        raise UsageError(f"there is no recipe {name!r}; choose from {', '.join(RECIPES)}.")
    return Recipe() if name == "robust" else PAPER[detector]


def described(
    name: str,
    detector: str,
    chosen: Recipe | None = None,
    *,
    single_frames: bool = False,
    manipulations: Sequence[str] = (),
) -> str:
    """What a run does, in words, one line a setting.

    Args:
        name: of the recipe.
        detector: whose run it is.
        chosen: the recipe with what the user changed; None: as it is.
        single_frames: single frames for a clip detector.
        manipulations: of forgeries; none names all.
    """
    recipe, spec = chosen or recipe_of(name, detector), SPECS[detector]
    single = single_frames or spec.frames == 1
    frames = "single frames" if single else f"{spec.frames} frames, {spec.sampling.value}"
    lines = [
        f"{spec.title}, recipe {name}" + (f" ({spec.paper})" if name == "paper" else ""),
        f"  frames      {frames}",
        f"  crop        {spec.scale:g} x {spec.crop.value}, {spec.size_px} px",
        f"  optimizer   {recipe.optimizer}, rate {recipe.rate:g}, weight decay {recipe.weight_decay:g}"
        + (f", momentum {recipe.momentum:g}" if recipe.optimizer == "sgd" else ""),
        f"  schedule    {recipe.schedule}" + (f" after {recipe.warmup} steps" if recipe.warmup else ""),
        f"  batch       {2 * recipe.pairs}, half of it real",
        f"  duration    {recipe.steps} steps" if recipe.steps else f"  duration    {recipe.epochs} epochs",
        f"  forgeries   {_forgeries(recipe, manipulations)}",
        f"  losses      as in the paper, detectors/{detector}/network.py",
    ]
    if recipe.source:
        lines.append(f"  the paper says so in {recipe.source}")
    if recipe.open:
        lines.append(f"  the paper leaves open: {', '.join(recipe.open)}")
    return "\n".join(lines)


def _forgeries(recipe: Recipe, manipulations: Sequence[str]) -> str:
    if recipe.corpus_fraction == 1:
        return "the corpus' own"
    degraded = "clean" if recipe.clean else "degraded alike"
    kinds = f" ({', '.join(manipulations)})" if manipulations else ""
    own = f"{recipe.corpus_fraction:.0%} the corpus' own where it has any"
    return f"made from the reals{kinds}, {own}; {degraded}"
