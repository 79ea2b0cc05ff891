"""Which kind of forgery a pair is, and what each kind needs beside the face itself.

The first three types leave seams, for some around a face that a generator drew; re-synthesis leaves a
generator's trace, with a seam or, of the whole picture, without one; animation has no seam.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from deepscan.training.synthesis.animation import Animation
from deepscan.training.synthesis.face_swap import Swap, nearest
from deepscan.training.synthesis.generators import Regenerator
from deepscan.training.synthesis.masks import Points
from deepscan.training.synthesis.reenactment import Reenactment
from deepscan.training.synthesis.regeneration import Regeneration
from deepscan.training.synthesis.resynthesis import Resynthesis
from deepscan.training.synthesis.self_blend import Image, Pair, Regenerate, SelfBlend
from deepscan.training.synthesis.temporal import Timing

MANIPULATIONS = ("self-blend", "swap", "reenactment", "resynthesis", "animation", "timing")
ODDS = {
    "self-blend": 0.30,
    "swap": 0.16,
    "reenactment": 0.17,
    "resynthesis": 0.20,
    "animation": 0.14,
    "timing": 0.03,
}
REDRAWN = {"self-blend": 0.35, "swap": 0.35, "reenactment": 0.7}
"""Share of a blended type whose face goes through a generator first, where there is one.

Swaps are done without one, too; what moves a mouth today is a generator.
"""


@dataclass(frozen=True)
class FaceClip:
    """One face over time: ``frames (T, H, W, 3)`` uint8, ``mesh (T, 468, 2)`` pixels of them."""

    frames: Image
    mesh: Points


@dataclass(frozen=True)
class SynthesisInputs:
    """What forgeries are made from.

    Attributes:
        clip: the real clip, which becomes the target.
        moments: more of the same face in the same coordinates; the clip itself where there is no more.
        others: other people, of whom one lends a face or a motion.
        generators: trained re-drawers; none where none were trained.
    """

    clip: FaceClip
    moments: FaceClip
    others: Sequence[FaceClip] = ()
    generators: list[Regenerator] = field(default_factory=list)

    def manipulations(self) -> list[str]:
        """The manipulation types that these inputs allow."""
        possible = {
            "self-blend": True,
            "swap": bool(self.others),
            "reenactment": len(self.moments.frames) > 1 or bool(self.others),
            "resynthesis": bool(self.generators),
            "animation": bool(self.others),
            "timing": len(self.clip.frames) > 4,
        }
        return [manipulation for manipulation in MANIPULATIONS if possible[manipulation]]


def draw_manipulation(inputs: SynthesisInputs, rng: np.random.Generator, wanted: Sequence[str] = ()) -> str:
    """One of the ``wanted`` types (none: all) that the inputs allow, by ``ODDS``.

    A face of which no wanted type can be made is self-blended.
    """
    possible = [
        manipulation for manipulation in inputs.manipulations() if manipulation in (wanted or MANIPULATIONS)
    ]
    possible = possible or ["self-blend"]
    odds = np.array([ODDS[manipulation] for manipulation in possible])
    return str(rng.choice(possible, p=odds / odds.sum()))


def synthesize(manipulation: str, inputs: SynthesisInputs, rng: np.random.Generator) -> Pair:
    """A forgery of ``manipulation``, drawn from ``rng``; one that ``inputs.manipulations`` names."""
    frames, mesh = inputs.clip.frames, inputs.clip.mesh
    if manipulation == "self-blend":
        return SelfBlend.draw(rng).apply(frames, mesh, rng, _regenerate(manipulation, inputs, rng))
    if manipulation == "swap":
        swap = Swap.draw(rng)
        donor = inputs.others[nearest(mesh[0], [other.mesh[0] for other in inputs.others])]
        return swap.apply(frames, mesh, donor.frames, donor.mesh, rng, _regenerate(manipulation, inputs, rng))
    if manipulation == "reenactment":
        other = inputs.others[0] if inputs.others else inputs.moments
        moments = inputs.moments
        reenactment = Reenactment.draw(rng)
        regenerate = _regenerate(manipulation, inputs, rng)
        return reenactment.apply(frames, mesh, moments.frames, moments.mesh, other.mesh[0], regenerate)
    if manipulation == "resynthesis":
        generators = inputs.generators
        return Resynthesis.draw(rng, len(generators)).apply(frames, mesh, generators)
    if manipulation == "animation":
        animation = Animation.draw(rng, len(inputs.generators))
        driver = max(inputs.others, key=lambda other: len(other.mesh))
        return animation.apply(frames, mesh, driver.mesh, inputs.generators, rng)
    return Timing.draw(rng).apply(frames, mesh)


def _regenerate(manipulation: str, inputs: SynthesisInputs, rng: np.random.Generator) -> Regenerate | None:
    """A generator for the face of a blended type, for a share of the draws."""
    if not inputs.generators or rng.random() >= REDRAWN[manipulation]:
        return None
    return partial(Regeneration.draw(rng, len(inputs.generators)).face, generators=inputs.generators)
