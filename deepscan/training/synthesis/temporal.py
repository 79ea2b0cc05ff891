"""Time: frames of a real clip dropped, repeated or alternated; every single frame stays genuine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deepscan.training.synthesis.masks import Points
from deepscan.training.synthesis.self_blend import Image, Pair

KINDS = ("drop", "repeat", "alternate")


@dataclass(frozen=True)
class Timing:
    """One draw; ``apply`` replays it."""

    kind: str
    at: float
    length: int

    @staticmethod
    def draw(rng: np.random.Generator) -> Timing:
        """Two to four frames are dropped or repeated; alternation goes back and forth all along."""
        return Timing(
            kind=str(rng.choice(KINDS)), at=float(rng.uniform(0.1, 0.8)), length=int(rng.integers(2, 5))
        )

    def apply(self, frames: Image, mesh: Points) -> Pair:
        """``frames (T, H, W, 3)`` uint8, ``mesh (T, 468, 2)``; the mask is the face where frames moved."""
        order = self.order(len(frames))
        changed = order != np.arange(len(frames))
        size = (int(frames.shape[1]), int(frames.shape[2]))
        fake = np.where(changed[:, None, None, None], frames[order], frames)
        masks = [np.ones(size, np.float32) if moved else np.zeros(size, np.float32) for moved in changed]
        return Pair(frames, fake, np.stack(masks))

    def order(self, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Which frame stands at each place."""
        index = np.arange(count)
        start = 1 + int(self.at * max(1, count - 2))
        if self.kind == "repeat":
            held = (index >= start) & (index < start + self.length)
            return np.where(held, start - 1, index)
        if self.kind == "drop":
            return np.minimum(np.where(index >= start, index + self.length, index), count - 1)
        return np.clip(np.where(index % 2 == 1, index - 2, index), 0, count - 1)
