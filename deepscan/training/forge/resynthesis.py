"""Re-synthesis: the face or the whole picture drawn anew by a generator.

With the whole picture there is no seam anywhere; what remains is the generator's own trace.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepscan.training.forge.blend import Image, Pair, mix
from deepscan.training.forge.generators import Generator
from deepscan.training.forge.masks import Points, feather, hull_mask

SIZES_PX = (128, 192, 256, 256)
"""What generators put out for the square around the face."""


@dataclass(frozen=True)
class Resynthesis:
    """One draw; ``apply`` replays it on every frame."""

    whole: bool
    region: str
    generator: int
    size_px: int
    reach: float
    passes: int
    erode: float
    blur: float

    @staticmethod
    def draw(rng: np.random.Generator, generators: int) -> Resynthesis:
        """Half of the draws redraw the whole picture."""
        return Resynthesis(
            whole=bool(rng.random() < 0.5),
            region=str(rng.choice(["face", "no forehead", "lower face"], p=[0.5, 0.25, 0.25])),
            generator=int(rng.integers(generators)),
            size_px=int(rng.choice(SIZES_PX)),
            reach=float(rng.uniform(1.3, 2.2)),
            passes=int(rng.choice([1, 1, 2])),
            erode=float(rng.uniform(0, 0.05)),
            blur=float(rng.uniform(0.01, 0.08)),
        )

    def apply(self, frames: Image, mesh: Points, generators: list[Generator]) -> Pair:
        """Redraw a clip: ``frames (T, H, W, 3)`` uint8, ``mesh (T, 468, 2)`` pixels."""
        generator = generators[self.generator % len(generators)]
        fakes, masks = [], []
        for frame, points in zip(frames, mesh, strict=True):
            if self.whole:
                fakes.append(self._redraw(frame, generator))
                masks.append(np.ones(frame.shape[:2], np.float32))
                continue
            drawn = self._around_face(frame, points, generator)
            width = float(np.ptp(points[:, 0]))
            mask = hull_mask(points, self.region, (frame.shape[0], frame.shape[1]))
            mask = feather(mask, round(self.erode * width), max(1, round(self.blur * width)))
            fakes.append(mix(drawn, frame, mask))
            masks.append(mask)
        return Pair(frames, np.stack(fakes), np.stack(masks))

    def _redraw(self, image: Image, generator: Generator) -> Image:
        for _ in range(self.passes):
            image = generator.redraw(image, self.size_px)
        return image

    def _around_face(self, frame: Image, points: Points, generator: Generator) -> Image:
        """Only the square around the face goes through, as face generators have it."""
        low, high = points.min(0), points.max(0)
        half = self.reach * float((high - low).max()) / 2
        centre = (low + high) / 2
        h, w = frame.shape[:2]
        left, top = (int(np.clip(v, 0, n - 8)) for v, n in zip(centre - half, (w, h), strict=True))
        right, bottom = (
            int(np.clip(v, at + 8, n)) for v, at, n in zip(centre + half, (left, top), (w, h), strict=True)
        )
        drawn = frame.copy()
        drawn[top:bottom, left:right] = self._redraw(frame[top:bottom, left:right], generator)
        return drawn
