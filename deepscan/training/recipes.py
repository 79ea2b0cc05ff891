"""How a detector is trained: the settings of ``--recipe robust`` and ``--recipe paper`` in one place.

``robust`` makes forgeries from the reals on the fly and adds the corpus' own, through shared degradation.
``paper`` is each paper's own recipe on the corpus' own forgeries; frames, crops and losses are the papers' in
both. ``detectors/<name>/recipe.py`` states what each paper says; what it leaves open is listed under ``open``
and filled in with what is usual.
"""

from __future__ import annotations

from collections.abc import Sequence

from deepscan.detectors import SPECS
from deepscan.detectors.recipe import Recipe
from deepscan.detectors.registry import recipe_of_detector
from deepscan.errors import UsageError
from deepscan.training.data.prepare import SHORTEST, Sample
from deepscan.training.data.samples import usable

RECIPES = ("robust", "paper")


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
    if name == "robust":
        return Recipe()
    paper = recipe_of_detector(detector).paper
    if paper is None:
        raise UsageError(f"{detector} is tuned, not fitted: it has no recipe {name!r}.")
    return paper


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
