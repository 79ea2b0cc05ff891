"""What uploads do to a picture, drawn alike for genuine and forged: half of the crops stay clean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deepscan.training.synthesis.degradation import h264_round_trip, jpeg_round_trip, webp_round_trip
from deepscan.training.synthesis.retouching import steepen

Image = NDArray[np.uint8]
CLEAN, TWICE = 0.5, 0.3
"""Shares of the crops that stay clean, and of the others that go through two uploads instead of one."""
BRIGHTENED, SHRUNK, SHARPENED = 0.3, 0.5, 0.15
"""Shares of the uploads (of the crops, for brightness) with each fault."""
H264, JPEG = 0.6, 0.25
"""Shares of the uploads coded as H.264 and as JPEG; the others are WebP."""
SMALLEST_PX = 150
"""Side of a cached square, 2.8 faces wide, below which no upload shrinks it."""


def _h264(frame: Image, crf: int) -> Image:
    return np.asarray(h264_round_trip(frame[None], crf)[0], np.uint8)


CODERS: dict[str, Callable[[Image, int], Image]] = {
    "h264": _h264,
    "jpeg": jpeg_round_trip,
    "webp": webp_round_trip,
}


@dataclass(frozen=True)
class Upload:
    """One upload: shrunk so many times, sharpened by ``retouch.steepen``, coded."""

    shrink: float
    sharpening: tuple[float, float] | None
    codec: str
    quality: int

    @staticmethod
    def draw(rng: np.random.Generator) -> Upload:
        """H.264 crf 18-35, JPEG 45-97 or WebP 45-94; half of them shrunk up to 2.2 times."""
        shrink = float(rng.uniform(1.1, 2.2)) if rng.random() < SHRUNK else 1.0
        sharp = rng.random() < SHARPENED
        sharpening = (float(rng.uniform(0.6, 1.4)), float(rng.uniform(0.3, 1.0))) if sharp else None
        kind = rng.random()
        if kind < H264:
            return Upload(shrink, sharpening, "h264", int(rng.integers(18, 36)))
        if kind < H264 + JPEG:
            return Upload(shrink, sharpening, "jpeg", int(rng.integers(45, 98)))
        return Upload(shrink, sharpening, "webp", int(rng.integers(45, 95)))

    def apply(self, frame: Image) -> Image:
        """``(H, W, 3)`` uint8 to the same, or smaller."""
        height, width = frame.shape[:2]
        shrink = max(1.0, min(self.shrink, width / SMALLEST_PX))
        size = (int(width / shrink) // 2 * 2, int(height / shrink) // 2 * 2)
        if shrink > 1:
            frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
        if self.sharpening is not None:
            frame = steepen(frame, *self.sharpening)
        return CODERS[self.codec](np.ascontiguousarray(frame), self.quality)


@dataclass(frozen=True)
class Faults:
    """One draw, replayed on a genuine crop and on the forgery made of it."""

    gamma: float = 1.0
    uploads: tuple[Upload, ...] = ()

    @staticmethod
    def draw(rng: np.random.Generator) -> Faults:
        """Half of the draws leave the picture as it is; the others upload it once or twice."""
        if rng.random() < CLEAN:
            return Faults()
        gamma = float(np.exp(rng.uniform(-0.2, 0.2))) if rng.random() < BRIGHTENED else 1.0
        count = 2 if rng.random() < TWICE else 1
        return Faults(gamma, tuple(Upload.draw(rng) for _ in range(count)))

    def apply(self, frame: Image) -> Image:
        """``(H, W, 3)`` uint8 to the same, or smaller."""
        if self.gamma != 1:
            levels = (np.arange(256) / 255.0) ** self.gamma * 255
            frame = np.asarray(cv2.LUT(frame, np.rint(levels).astype(np.uint8)), np.uint8)
        for upload in self.uploads:
            frame = upload.apply(frame)
        return np.ascontiguousarray(frame)
