"""Re-enactment: the mouth or the eyes of the same face from another moment, blended back.

Mouth-only forgeries (lip-sync) are half of today's fakes. Where a face has several moments the region comes
from another one, laid onto this frame's pose by the points that do not move in speech; a lone photo has its
own region warped by another person's expression. The patch goes through the small size that lip-sync
generators put out (Wav2Lip: 96 px for the whole face).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from deepscan.training.synthesis.masks import Points, draw_region, hull_mask, soft_edge
from deepscan.training.synthesis.motion import align, through_generator, warp_triangles
from deepscan.training.synthesis.self_blend import Image, Pair, Regenerate, Tone, mix, smooth

REGION_ODDS = {"mouth": 0.35, "lower face": 0.45, "eyes and nose": 0.2}
RIGID = (33, 133, 362, 263, 168, 6, 197, 1, 127, 356)
"""Eye corners, the bridge and tip of the nose and the temples: they move with the head alone."""
MOUTH_REACH = 0.8


@dataclass(frozen=True)
class Reenactment:
    """One draw of a re-enactment; ``apply`` replays it on every frame."""

    region: str
    lag: int
    expression: float
    output_px: int
    tone: Tone
    toned: bool
    erode: float
    blur: float

    @staticmethod
    def draw(rng: np.random.Generator) -> Reenactment:
        """The patch is 48-192 px high for a whole face; toned for one in seven, as another camera's is."""
        return Reenactment(
            region=draw_region(rng, REGION_ODDS),
            lag=int(rng.integers(3, 12)),
            expression=float(rng.uniform(0.5, 1.2)),
            output_px=int(rng.choice([48, 64, 96, 96, 128, 192])),
            tone=Tone.draw(rng),
            toned=bool(rng.random() < 0.15),
            erode=float(rng.uniform(0, 0.04)),
            blur=float(rng.uniform(0.01, 0.07)),
        )

    def apply(
        self,
        frames: Image,
        mesh: Points,
        moments: Image,
        moments_mesh: Points,
        expression: Points,
        regenerate: Regenerate | None = None,
    ) -> Pair:
        """Re-enact a clip.

        Args:
            frames: ``(T, H, W, 3)`` uint8.
            mesh: ``(T, 468, 2)`` pixels.
            moments: ``(S, H, W, 3)``, other frames of the same face in the same coordinates.
            moments_mesh: ``(S, 468, 2)``.
            expression: mesh ``(468, 2)`` of somebody else, for a face with one moment alone.
            regenerate: what draws the face anew before it is blended.
        """
        size = (int(frames.shape[1]), int(frames.shape[2]))
        width = float(np.ptp(mesh[0, :, 0]))
        fakes, masks = [], []
        for number, (frame, points) in enumerate(zip(frames, smooth(mesh), strict=True)):
            patch = self._patch(frame, points, number, moments, moments_mesh, expression)
            patch = regenerate(patch, points) if regenerate else patch
            mask = hull_mask(points, self.region, size)
            grow = max(1, round((0.05 if self.region == "mouth" else 0.0) * width))
            mask = np.asarray(cv2.dilate(mask, np.ones((grow, grow), np.uint8)), np.float32)
            mask = soft_edge(mask, self.erode, self.blur, width)
            fakes.append(mix(patch, frame, mask))
            masks.append(mask)
        return Pair(frames, np.stack(fakes), np.stack(masks))

    def _patch(
        self,
        frame: Image,
        points: Points,
        number: int,
        moments: Image,
        moments_mesh: Points,
        expression: Points,
    ) -> Image:
        if len(moments) > 1:
            at = (number + self.lag) % len(moments)
            shape = align(moments_mesh[at], points, RIGID)
            patch = warp_triangles(np.ascontiguousarray(moments[at]), moments_mesh[at], shape)
        else:
            other = align(expression, points, RIGID)
            moved = (points + self.expression * MOUTH_REACH * _own(other, points)).astype(np.float32)
            patch = warp_triangles(frame, points, moved)
        patch = self.tone.apply(patch) if self.toned else patch
        return through_generator(patch, points, self.output_px)


def _own(other: Points, points: Points) -> Points:
    """How far another face's points lie from these, but for what two faces' anatomy explains (its mean)."""
    gap = other - points
    return np.asarray(gap - gap.mean(0), np.float32)
