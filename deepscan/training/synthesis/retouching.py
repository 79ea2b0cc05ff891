"""Retouching as a generator: skin smoothed, edges steepened, as face restorers and diffusion decoders do.

A network that never met such faces takes them for the most genuine of all: blended and regenerated faces come
out a little soft, and so sharpness alone would speak for a face. Beauty modes retouch genuine faces, too: the
degradation that real and fake share does it to whole pictures, so that it does not speak against one either.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
WINDOW_PX = 5
"""Of one pass of smoothing: several narrow passes are five times as quick as a wide one."""


@dataclass(frozen=True)
class Retoucher:
    """One way of retouching.

    Attributes:
        levels: contrast up to which detail counts as texture and is smoothed, of 255.
        reach_px: standard deviation of the smoothing.
        passes: how often it is smoothed.
        edge_px: standard deviation of the blur that edges are told by.
        gain: how much they are steepened.
    """

    levels: float
    reach_px: float
    passes: int
    edge_px: float
    gain: float

    def regenerate(self, image: Image) -> Image:
        """``(H, W, 3)`` uint8 to the same."""
        smooth = image
        for _ in range(self.passes):
            smooth = np.asarray(cv2.bilateralFilter(smooth, WINDOW_PX, self.levels, self.reach_px), np.uint8)
        return steepen(smooth, self.edge_px, self.gain)


RETOUCHERS = (
    Retoucher(levels=18, reach_px=2.0, passes=1, edge_px=0.9, gain=0.7),
    Retoucher(levels=25, reach_px=2.5, passes=2, edge_px=1.2, gain=1.1),
    Retoucher(levels=30, reach_px=2.5, passes=3, edge_px=1.5, gain=1.4),
    Retoucher(levels=45, reach_px=2.0, passes=3, edge_px=2.0, gain=0.8),
)


def steepen(image: Image, edge_px: float, gain: float) -> Image:
    """``(H, W, 3)`` uint8 with ``gain`` times its detail finer than ``edge_px`` added (unsharp masking)."""
    soft = cv2.GaussianBlur(image, (0, 0), edge_px)
    return np.asarray(cv2.addWeighted(image, 1 + gain, soft, -gain, 0), np.uint8)
