"""Swaps: another person's face, moved to the target's shape, matched in colour and blended in.

The donor is the one of a few candidates whose landmarks lie nearest (as in face X-ray, Li et al. 2020). Each
triangle of its mesh is warped onto the target's, frame by frame; tone is matched by mean and deviation in
Lab; the edge is feathered, or the gradients are blended (Perez et al. 2003).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from deepscan.training.synthesis.masks import (
    Mask,
    Points,
    draw_region,
    elastic_field,
    hull_mask,
    soft_edge,
    warp,
)
from deepscan.training.synthesis.motion import align, through_generator, warp_triangles
from deepscan.training.synthesis.self_blend import LEVELS, Image, Pair, Regenerate, mix, smooth, table

REGION_ODDS = {"face": 0.5, "no forehead": 0.38, "eyes and nose": 0.12}
ANCHORS = (33, 263, 1, 61, 291, 152)
"""Eye corners, nose, mouth corners and chin: the points by which two faces are compared."""


def nearest(target: Points, candidates: Sequence[Points]) -> int:
    """Which candidate mesh ``(468, 2)`` is nearest to the target's, size and turn aside."""
    gaps = [float(np.square(align(mesh, target, ANCHORS) - target).mean()) for mesh in candidates]
    return int(np.argmin(gaps))


@dataclass(frozen=True)
class Swap:
    """One draw of a swap; ``apply`` replays it on every frame."""

    region: str
    match: float
    poisson: bool
    output_px: int
    elastic_seed: int
    elastic: float
    erode: float
    blur: float
    jitter_px: float

    @staticmethod
    def draw(rng: np.random.Generator) -> Swap:
        """Output sizes are those of face swappers: 64 to 256 px for the face."""
        return Swap(
            region=draw_region(rng, REGION_ODDS),
            match=float(rng.uniform(0.5, 1.0)),
            poisson=bool(rng.random() < 0.2),
            output_px=int(rng.choice([64, 96, 128, 160, 224, 256])),
            elastic_seed=int(rng.integers(2**31)),
            elastic=float(rng.uniform(0, 0.04)),
            erode=float(rng.uniform(0, 0.05)),
            blur=float(rng.uniform(0.01, 0.08)),
            jitter_px=float(rng.uniform(0, 0.6)) * float(rng.random() < 0.5),
        )

    def apply(
        self,
        frames: Image,
        mesh: Points,
        donor: Image,
        donor_mesh: Points,
        rng: np.random.Generator,
        regenerate: Regenerate | None = None,
    ) -> Pair:
        """Put the donor's face on a clip.

        Args:
            frames: ``(T, H, W, 3)`` uint8.
            mesh: ``(T, 468, 2)`` pixels.
            donor: ``(S, h, w, 3)`` uint8; its frames repeat where the clip is longer.
            donor_mesh: ``(S, 468, 2)`` pixels of the donor's frames.
            rng: feeds the jitter between frames alone.
            regenerate: what draws the face anew before it is blended.
        """
        size = (int(frames.shape[1]), int(frames.shape[2]))
        width = float(np.ptp(mesh[0, :, 0]))
        field = elastic_field(np.random.default_rng(self.elastic_seed), size, self.elastic * width)
        fakes, masks = [], []
        for number, (frame, points) in enumerate(zip(frames, smooth(mesh), strict=True)):
            index = number % len(donor)
            moved = (points + rng.normal(0, 1, 2) * self.jitter_px).astype(np.float32)
            face = self._resized(
                fit(donor[index], size), fit_mesh(donor_mesh[index], donor[index], size), moved
            )
            face = regenerate(face, moved) if regenerate else face
            mask = warp(hull_mask(points, self.region, size), field)
            mask = soft_edge(mask, self.erode + 0.02, self.blur, width)
            mask = mask * hull_mask(points, "face", size)
            fakes.append(self._blend(face, frame, mask))
            masks.append(mask)
        return Pair(frames, np.stack(fakes), np.stack(masks))

    def _resized(self, donor: Image, donor_mesh: Points, points: Points) -> Image:
        """The donor in the target's shape, through the size that a generator puts out."""
        face = warp_triangles(donor, donor_mesh, points)
        return through_generator(face, points, self.output_px)

    def _blend(self, face: Image, frame: Image, mask: Mask) -> Image:
        matched = match_tone(face, frame, mask, self.match)
        if self.poisson:
            cloned = _poisson(matched, frame, mask)
            if cloned is not None:
                return np.where(mask[..., None] > 0, cloned, frame)
        return mix(matched, frame, mask)


def match_tone(face: Image, frame: Image, mask: Mask, strength: float) -> Image:
    """Each Lab channel of ``face`` moved and scaled towards the frame (Reinhard et al. 2001)."""
    inside = (mask > 0.5).astype(np.uint8)
    if not inside.any():
        return face
    a, b = (cv2.cvtColor(image, cv2.COLOR_RGB2LAB) for image in (face, frame))
    (mean_a, deviation_a), (mean_b, deviation_b) = (cv2.meanStdDev(lab, mask=inside) for lab in (a, b))
    gain = np.clip((deviation_b + 1) / (deviation_a + 1), 0.6, 1.6)
    moved = (LEVELS - mean_a) * (1 + strength * (gain - 1)) + mean_a + strength * (mean_b - mean_a)
    return np.asarray(cv2.cvtColor(cv2.LUT(a, table(moved.T)), cv2.COLOR_LAB2RGB), np.uint8)


def _poisson(face: Image, frame: Image, mask: Mask) -> Image | None:
    """Gradient-domain blend; None where the mask is empty or touches the border."""
    binary = (mask > 0.1).astype(np.uint8) * 255
    binary[[0, 1, -2, -1]] = 0
    binary[:, [0, 1, -2, -1]] = 0
    x, y, w, h = cv2.boundingRect(binary)
    if w < 8 or h < 8:
        return None
    return np.asarray(
        cv2.seamlessClone(face, frame, binary, (x + w // 2, y + h // 2), cv2.NORMAL_CLONE), np.uint8
    )


def fit(image: Image, size_px: tuple[int, int]) -> Image:
    """Resized to ``size_px`` (height, width); cached squares differ in size."""
    if image.shape[:2] == size_px:
        return image
    shrink = image.shape[0] > size_px[0]
    return np.asarray(
        cv2.resize(image, size_px[::-1], interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC),
        np.uint8,
    )


def fit_mesh(mesh: Points, image: Image, size_px: tuple[int, int]) -> Points:
    """Mesh points of ``image`` after ``fit``."""
    zoom = np.asarray(size_px[::-1]) / np.asarray(image.shape[1::-1])
    return np.asarray(mesh * zoom, np.float32)
