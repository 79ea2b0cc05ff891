"""The square around a face, or the whole picture, drawn anew by a generator, as most forgers do it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deepscan.training.synthesis.generators import Regenerator, enlarge, shrink
from deepscan.training.synthesis.masks import Points, picture_box
from deepscan.training.synthesis.self_blend import Image

FACE_PX = (96, 128, 192, 256, 256)
"""What generators put out for the square around a face: 96 px are Wav2Lip's."""
WHOLE_PX = (256, 384, 448, 448)
"""What they put out for a whole portrait: with 256 px the face itself has few."""
DETAIL_PX = 1.2
"""Standard deviation of the blur that parts fine detail from the rest."""
NEAR_PX = 15
"""Side of the square over which the energy of fine detail is taken."""
MOST_GAIN = 4.0
Band = NDArray[np.float32]


@dataclass(frozen=True)
class Regeneration:
    """One draw; it is replayed on every frame.

    Attributes:
        generator: number of the generator; more than there are begin at the first again.
        size_px: side of the square around a face that goes through the generator.
        whole_px: the same of a whole picture; never more than the picture has.
        reach: side of the square around the face, in units of the face's longer side.
        passes: how often it goes through.
        detail: how far its fine detail is raised towards the energy of the original's: 0 leaves it as soft as
            it is, 1 asks for that energy, more for what face restorers put out.
    """

    generator: int
    size_px: int
    whole_px: int
    reach: float
    passes: int
    detail: float

    @staticmethod
    def draw(rng: np.random.Generator, generators: int) -> Regeneration:
        """Any of the generators, once or, for one in three, twice."""
        return Regeneration(
            generator=int(rng.integers(generators)),
            size_px=int(rng.choice(FACE_PX)),
            whole_px=int(rng.choice(WHOLE_PX)),
            reach=float(rng.uniform(1.3, 2.2)),
            passes=int(rng.choice([1, 1, 2])),
            detail=float(rng.uniform(0, 1.3)) * float(rng.random() < 0.65),
        )

    def whole(self, image: Image, generators: Sequence[Regenerator]) -> Image:
        """``(H, W, 3)`` uint8 with all that its ``picture_box`` holds drawn anew."""
        box = picture_box(image)
        drawn = image.copy()
        drawn[box] = self._through(image[box], generators, self._whole_px(image[box]))
        return drawn

    def sampled(self, image: Image) -> Image:
        """The picture that ``whole`` would return if its generator were perfect: as small for a moment.

        A whole portrait comes out of a generator at that generator's size; camera footage of the same size is
        what it stands beside.
        """
        box = picture_box(image)
        small = image.copy()
        small[box] = enlarge(shrink(image[box], self._whole_px(image[box])), image[box].shape[:2])
        return small

    def _whole_px(self, inside: Image) -> int:
        own_px = max(8, int(max(inside.shape[:2])) // 8 * 8)  # generators take multiples of 8
        return min(self.whole_px, own_px)

    def face(self, frame: Image, points: Points, generators: Sequence[Regenerator]) -> Image:
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

    def _through(self, image: Image, generators: Sequence[Regenerator], size_px: int) -> Image:
        small = drawn = shrink(image, size_px)
        for _ in range(self.passes):
            drawn = generators[self.generator % len(generators)].regenerate(drawn)
        if self.detail:
            drawn = match_detail(drawn, small, self.detail)
        return enlarge(drawn, image.shape[:2])


def match_detail(drawn: Image, original: Image, strength: float) -> Image:
    """Fine detail of ``drawn`` scaled, place by place, towards the energy that ``original`` has there.

    Generators trained for minutes draw softly, those of today do not: without this, softness alone would
    tell a regenerated face.

    Args:
        drawn: ``(H, W, 3)`` uint8.
        original: the same shape.
        strength: 0 is ``drawn``, 1 the original's energy.
    """
    low, fine = _bands(drawn)
    energy, wanted = (_energy(band) for band in (fine, _bands(original)[1]))
    gain = np.clip(np.sqrt((wanted + 1) / (energy + 1)), 1 / MOST_GAIN, MOST_GAIN)
    return np.asarray(np.clip(np.rint(low + fine * (1 + strength * (gain - 1))), 0, 255), np.uint8)


def _bands(image: Image) -> tuple[Band, Band]:
    """What is coarser than a pixel or two, and the rest."""
    whole = image.astype(np.float32)
    low = np.asarray(cv2.GaussianBlur(whole, (0, 0), DETAIL_PX), np.float32)
    return low, whole - low


def _energy(fine: Band) -> Band:
    """Mean square of ``(H, W, 3)`` around every pixel, over colours: ``(H, W, 1)``."""
    over_colours = cv2.transform(np.square(fine), np.full((1, 3), 1 / 3, np.float32))
    return np.asarray(cv2.blur(over_colours, (NEAR_PX, NEAR_PX)), np.float32)[..., None]
