"""Re-synthesis: the face or the whole picture drawn anew by a generator.

With the whole picture there is no seam anywhere; what remains is the generator's own trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deepscan.training.synthesis.generators import Regenerator
from deepscan.training.synthesis.masks import Points, hull_mask, picture_box, soft_edge
from deepscan.training.synthesis.regeneration import Regeneration
from deepscan.training.synthesis.self_blend import Image, Pair, mix


@dataclass(frozen=True)
class Resynthesis:
    """One draw; ``apply`` replays it on every frame."""

    whole: bool
    region: str
    regeneration: Regeneration
    erode: float
    blur: float

    @staticmethod
    def draw(rng: np.random.Generator, generators: int) -> Resynthesis:
        """Half of the draws regenerate the whole picture."""
        return Resynthesis(
            whole=bool(rng.random() < 0.5),
            region=str(rng.choice(["face", "no forehead", "lower face"], p=[0.5, 0.25, 0.25])),
            regeneration=Regeneration.draw(rng, generators),
            erode=float(rng.uniform(0, 0.05)),
            blur=float(rng.uniform(0.01, 0.08)),
        )

    def apply(self, frames: Image, mesh: Points, generators: Sequence[Regenerator]) -> Pair:
        """Redraw a clip: ``frames (T, H, W, 3)`` uint8, ``mesh (T, 468, 2)`` pixels."""
        return self._whole(frames, generators) if self.whole else self._face(frames, mesh, generators)

    def _whole(self, frames: Image, generators: Sequence[Regenerator]) -> Pair:
        """The real half has the size of the generator's pictures, too."""
        reals = np.stack([self.regeneration.sampled(frame) for frame in frames])
        fakes = np.stack([self.regeneration.whole(frame, generators) for frame in frames])
        masks = np.zeros(frames.shape[:3], np.float32)
        for frame, mask in zip(frames, masks, strict=True):
            mask[picture_box(frame)] = 1
        return Pair(reals, fakes, masks)

    def _face(self, frames: Image, mesh: Points, generators: Sequence[Regenerator]) -> Pair:
        fakes, masks = [], []
        for frame, points in zip(frames, mesh, strict=True):
            drawn = self.regeneration.face(frame, points, generators)
            width = float(np.ptp(points[:, 0]))
            mask = hull_mask(points, self.region, (frame.shape[0], frame.shape[1]))
            mask = soft_edge(mask, self.erode, self.blur, width)
            fakes.append(mix(drawn, frame, mask))
            masks.append(mask)
        return Pair(frames, np.stack(fakes), np.stack(masks))
