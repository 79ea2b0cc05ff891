"""The square around a face, or the whole picture, drawn anew by a generator, as most forgers do it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepscan.training.forge.blend import Image
from deepscan.training.forge.generators import Generator
from deepscan.training.forge.masks import Points, picture_box

FACE_PX = (96, 128, 192, 256, 256)
"""What generators put out for the square around a face: 96 px are Wav2Lip's."""
WHOLE_PX = (256, 384, 448, 448)
"""What they put out for a whole portrait: with 256 px the face itself has few."""


@dataclass(frozen=True)
class Redrawing:
    """One draw; it is replayed on every frame.

    Attributes:
        generator: number of the generator; more than there are begin at the first again.
        size_px: side of the square around a face that goes through the generator.
        whole_px: the same of a whole picture; never more than the picture has.
        reach: side of the square around the face, in units of the face's longer side.
        passes: how often it goes through.
    """

    generator: int
    size_px: int
    whole_px: int
    reach: float
    passes: int

    @staticmethod
    def draw(rng: np.random.Generator, generators: int) -> Redrawing:
        """Any of the generators, once or, for one in three, twice."""
        return Redrawing(
            generator=int(rng.integers(generators)),
            size_px=int(rng.choice(FACE_PX)),
            whole_px=int(rng.choice(WHOLE_PX)),
            reach=float(rng.uniform(1.3, 2.2)),
            passes=int(rng.choice([1, 1, 2])),
        )

    def whole(self, image: Image, generators: list[Generator]) -> Image:
        """``(H, W, 3)`` uint8 with all that its ``picture_box`` holds drawn anew."""
        box = picture_box(image)
        drawn = image.copy()
        inside = image[box]
        own_px = max(8, max(inside.shape[:2]) // 8 * 8)  # generators take multiples of 8
        drawn[box] = self._through(inside, generators, min(self.whole_px, own_px))
        return drawn

    def face(self, frame: Image, points: Points, generators: list[Generator]) -> Image:
        """``(H, W, 3)`` uint8 with the square around the mesh ``(468, 2)``, pixels, drawn anew."""
        low, high = points.min(0), points.max(0)
        half = self.reach * float((high - low).max()) / 2
        centre = (low + high) / 2
        h, w = frame.shape[:2]
        left, top = (int(np.clip(v, 0, n - 8)) for v, n in zip(centre - half, (w, h), strict=True))
        right, bottom = (
            int(np.clip(v, at + 8, n)) for v, at, n in zip(centre + half, (left, top), (w, h), strict=True)
        )
        drawn = frame.copy()
        drawn[top:bottom, left:right] = self._through(frame[top:bottom, left:right], generators, self.size_px)
        return drawn

    def _through(self, image: Image, generators: list[Generator], size_px: int) -> Image:
        for _ in range(self.passes):
            image = generators[self.generator % len(generators)].redraw(image, size_px)
        return image
