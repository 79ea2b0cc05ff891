"""Animation: a still picture of a person, moved by the face of another clip. No seam anywhere.

Today's talking-head generators in miniature: background frozen or carried along, texture that does not
wrinkle, a mouth whose inside is made up, motion too smooth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from deepscan.training.synthesis.generators import Regenerator
from deepscan.training.synthesis.masks import Points, feather, picture_box
from deepscan.training.synthesis.motion import remap, sweep
from deepscan.training.synthesis.regeneration import Regeneration
from deepscan.training.synthesis.self_blend import Image, Pair

INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)


@dataclass(frozen=True)
class Animation:
    """One draw; ``apply`` replays it on a clip."""

    strength: float
    smoothing: int
    regeneration: Regeneration | None
    teeth: float

    @staticmethod
    def draw(rng: np.random.Generator, generators: int) -> Animation:
        """Redrawn by a generator as a whole, where there is one."""
        return Animation(
            strength=float(rng.uniform(0.6, 1.2)),
            smoothing=int(rng.integers(0, 4)),
            regeneration=Regeneration.draw(rng, generators) if generators else None,
            teeth=float(rng.uniform(0.0, 0.6)),
        )

    def apply(
        self,
        frames: Image,
        mesh: Points,
        driver: Points,
        generators: Sequence[Regenerator],
        rng: np.random.Generator,
    ) -> Pair:
        """Animate one frame of a clip in the clip's place.

        Args:
            frames: ``(T, H, W, 3)`` uint8; the still is one of them.
            mesh: ``(T, 468, 2)`` pixels.
            driver: mesh ``(S, 468, 2)`` of another clip, of any scale; one mesh for a lone photo.
            generators: what regenerates the result.
            rng: chooses the still, and the moment of a driver for a single frame.
        """
        at = int(rng.integers(len(frames)))
        box = picture_box(frames[at])
        still = np.ascontiguousarray(frames[at][box])
        rest = np.asarray(mesh[at] - (box[1].start, box[0].start), np.float32)
        size = (int(still.shape[0]), int(still.shape[1]))
        moves = self._moves(driver, rest, len(frames), rng)
        fakes = np.zeros_like(frames)
        for fake, move in zip(fakes, moves, strict=True):
            points = (rest + move).astype(np.float32)
            drawn = remap(still, sweep(rest, points, size))
            drawn = self._mouth(drawn, rest, points)
            if self.regeneration:
                drawn = self.regeneration.whole(drawn, generators)
            fake[box] = drawn
        reals = frames
        if self.regeneration:
            reals = np.stack([self.regeneration.sampled(frame) for frame in frames])
        return Pair(reals, fakes, np.ones(frames.shape[:3], np.float32))

    def _moves(self, driver: Points, rest: Points, count: int, rng: np.random.Generator) -> Points:
        """Displacements ``(count, 468, 2)`` from rest, in the still's pixels, smoothed over time."""
        zoom = float(np.ptp(rest[:, 0])) / max(1.0, float(np.ptp(driver[0, :, 0])))
        path = (driver - driver[:1]) * zoom * self.strength
        if len(path) == 1:
            centred = driver[0] - driver[0].mean(0)
            path = (centred * zoom - (rest - rest.mean(0)))[None] * self.strength * 0.3
        elif count == 1:
            path = path[rng.integers(1, len(path))][None]
        there_and_back = np.concatenate([path, path[-2:0:-1]]) if len(path) > 2 else path
        path = there_and_back[np.arange(count) % len(there_and_back)]
        for _ in range(self.smoothing if len(path) > 2 else 0):
            path = np.concatenate([path[:1], (path[:-2] + 2 * path[1:-1] + path[2:]) / 4, path[-1:]])
        return np.asarray(path, np.float32)

    def _mouth(self, image: Image, rest: Points, points: Points) -> Image:
        """Where the mouth opens beyond the still's, its inside is made up: dark, with a hint of teeth."""
        inner = list(INNER_LIPS)
        opened = np.ptp(points[inner, 1]) - np.ptp(rest[inner, 1])
        if opened < 2:
            return image
        mask = np.zeros(image.shape[:2], np.float32)
        cv2.fillPoly(mask, [np.round(points[inner]).astype(np.int32)], 1.0)
        if not mask.any():
            return image
        mask = feather(mask, 0, 2)[..., None]
        rows = np.arange(image.shape[0], dtype=np.float32)[:, None, None]
        top, height = points[inner, 1].min(), max(1.0, float(np.ptp(points[inner, 1])))
        shade = 40 + 180 * self.teeth * np.clip(1 - np.abs((rows - top) / height - 0.3) * 3, 0, 1)
        filled = shade * np.array([1.0, 0.85, 0.8], np.float32)
        return np.asarray(np.rint(image * (1 - mask) + filled * mask), np.uint8)
