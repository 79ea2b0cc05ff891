"""Self-blends: a face blended with an altered copy of itself, as image or as clip.

Source: Shiohara and Yamasaki, "Detecting Deepfakes with Self-Blended Images" (CVPR 2022), and the
ranges of this project's design: colour and frequency shift on source or target by a coin, source moved
by x +-3 %, y +-1.5 %, scaled .95-1.05, ratio from {.25, .5, .75, 1, 1, 1}. The real sample is the target.

For clips everything is drawn once and replayed on every frame; the jittered kind redraws small parts
per frame, which is what forgers that work frame by frame leave behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deepscan.training.synthesis.masks import (
    Mask,
    Points,
    draw_region,
    elastic_field,
    hull_mask,
    soft_edge,
    warp,
)

Image = NDArray[np.uint8]
Regenerate = Callable[[Image, Points], Image]
"""What a generator makes of the face with the mesh ``(468, 2)`` in a picture ``(H, W, 3)``."""
LEVELS = np.arange(256, dtype=np.float32)
RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
REGION_ODDS = {"face": 0.4, "no forehead": 0.22, "mouth": 0.1, "lower face": 0.16, "eyes and nose": 0.12}


@dataclass(frozen=True)
class Pair:
    """A real clip and the forgery made of it.

    Attributes:
        real: ``(T, H, W, 3)`` uint8.
        fake: ``(T, H, W, 3)`` uint8; equals ``real`` wherever ``mask`` is 0.
        mask: ``(T, H, W)`` float32 in [0, 1], the share of forged content in each pixel.
    """

    real: Image
    fake: Image
    mask: NDArray[np.float32]


@dataclass(frozen=True)
class Tone:
    """One draw of colour and frequency shift."""

    rgb_shift: NDArray[np.float32]
    hue_deg: float
    saturation: float
    value: float
    contrast: float
    brightness: float
    shrink: float
    sharpen: float
    blur_sigma: float

    @staticmethod
    def draw(rng: np.random.Generator) -> Tone:
        """RGB +-20 levels; saturation and value scaled by 1 +-.3; hue +-.3 of the 30 degrees between
        neighbouring hues; contrast 1 +-.1; brightness +-.1 of full scale; then shrunk 2-4 times and
        grown again, sharpened, or blurred."""
        colour = rng.random() < 0.75
        light = rng.random() < 0.5
        frequency = rng.integers(4)
        return Tone(
            rgb_shift=(rng.uniform(-20, 20, 3) * colour).astype(np.float32),
            hue_deg=float(rng.uniform(-9, 9) * colour),
            saturation=float(1 + rng.uniform(-0.3, 0.3) * colour),
            value=float(1 + rng.uniform(-0.3, 0.3) * 0.5 * colour),
            contrast=float(1 + rng.uniform(-0.1, 0.1) * light),
            brightness=float(rng.uniform(-0.1, 0.1) * 255 * light),
            shrink=float(rng.uniform(2, 4)) if frequency == 0 else 1.0,
            sharpen=float(rng.uniform(0.2, 1.0)) if frequency == 1 else 0.0,
            blur_sigma=float(rng.uniform(0.4, 1.6)) if frequency == 2 else 0.0,
        )

    def apply(self, image: Image) -> Image:
        """``(H, W, 3)`` uint8 to the same."""
        out = image
        if self.hue_deg or self.saturation != 1 or self.value != 1:
            hue = (LEVELS + self.hue_deg / 2) % 180
            moved = np.stack([hue, LEVELS * self.saturation, LEVELS * self.value], -1)
            hsv = cv2.LUT(cv2.cvtColor(out, cv2.COLOR_RGB2HSV), table(moved))
            out = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)
        shifted = LEVELS[:, None] * self.contrast + (self.rgb_shift + self.brightness)
        return self._refocus(np.asarray(cv2.LUT(out, table(shifted)), np.uint8))

    def _refocus(self, image: Image) -> Image:
        out: NDArray[Any] = image
        h, w = image.shape[:2]
        if self.shrink > 1:
            size = (int(w / self.shrink), int(h / self.shrink))
            small = cv2.resize(out, size, interpolation=cv2.INTER_AREA)
            out = cv2.resize(small, (w, h), interpolation=cv2.INTER_CUBIC)
        if self.sharpen:
            soft = cv2.GaussianBlur(out, (0, 0), 2.0)
            out = cv2.addWeighted(out, 1 + self.sharpen, soft, -self.sharpen, 0)
        if self.blur_sigma:
            out = cv2.GaussianBlur(out, (0, 0), self.blur_sigma)
        return np.asarray(out, np.uint8)


@dataclass(frozen=True)
class SelfBlend:
    """One draw of everything that a self-blend needs; ``apply`` replays it."""

    region: str
    ratio: float
    tone: Tone
    tone_on_source: bool
    shift: tuple[float, float]
    scale: float
    elastic_seed: int
    elastic_px: float
    erode: float
    blur: float
    jitter: float

    @staticmethod
    def draw(rng: np.random.Generator, *, jitter_odds: float = 0.5) -> SelfBlend:
        """Draw a self-blend; ``jitter_odds`` is the share of clips forged anew frame by frame."""
        return SelfBlend(
            region=draw_region(rng, REGION_ODDS),
            ratio=float(rng.choice(RATIOS)),
            tone=Tone.draw(rng),
            tone_on_source=bool(rng.random() < 0.5),
            shift=(float(rng.uniform(-0.03, 0.03)), float(rng.uniform(-0.015, 0.015))),
            scale=float(rng.uniform(0.95, 1.05)),
            elastic_seed=int(rng.integers(2**31)),
            elastic_px=float(rng.uniform(0.0, 0.05)),
            erode=float(rng.uniform(0.0, 0.06)),
            blur=float(rng.uniform(0.01, 0.08)),
            jitter=float(rng.uniform(0.3, 1.0)) if rng.random() < jitter_odds else 0.0,
        )

    def apply(
        self, frames: Image, mesh: Points, rng: np.random.Generator, regenerate: Regenerate | None = None
    ) -> Pair:
        """Forge a clip (or, with T = 1, an image).

        Args:
            frames: ``(T, H, W, 3)`` uint8, a real face.
            mesh: ``(T, 468, 2)`` pixels.
            rng: feeds the jitter of the jittered kind alone.
            regenerate: what draws the face anew before it is blended.
        """
        mesh = smooth(mesh) if not self.jitter else mesh
        size = frames.shape[1:3]
        width = float(np.ptp(mesh[0, :, 0]))
        field = elastic_field(np.random.default_rng(self.elastic_seed), size, self.elastic_px * width)
        reals, fakes, masks = [], [], []
        for frame, points in zip(frames, mesh, strict=True):
            wobble = rng.normal(0, self.jitter, 4) if self.jitter else np.zeros(4)
            real, fake, mask = self._frame(frame, points, field, width, wobble, regenerate)
            reals.append(real)
            fakes.append(fake)
            masks.append(mask)
        return Pair(np.stack(reals), np.stack(fakes), np.stack(masks))

    def _frame(
        self,
        frame: Image,
        points: Points,
        field: NDArray[np.float32],
        width: float,
        wobble: NDArray[np.float64],
        regenerate: Regenerate | None,
    ) -> tuple[Image, Image, Mask]:
        toned = self.tone.apply(frame)
        source, target = (toned, frame) if self.tone_on_source else (frame, toned)
        source = regenerate(source, points) if regenerate else source
        mask = hull_mask(points, self.region, (frame.shape[0], frame.shape[1]))
        mask = soft_edge(warp(mask, field), self.erode, self.blur, width)
        move = self._move(points, width, wobble)
        size = (frame.shape[1], frame.shape[0])
        moved = cv2.warpAffine(source, move, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        mask = np.clip(mask * self.ratio * (1 + 0.1 * wobble[3]), 0, 1).astype(np.float32)
        return target, mix(np.asarray(moved, np.uint8), target, mask), mask

    def _move(self, points: Points, width: float, wobble: NDArray[np.float64]) -> NDArray[np.float64]:
        scale = self.scale * (1 + 0.004 * wobble[2])
        centre = points.mean(0)
        shift = (np.asarray(self.shift) + 0.004 * wobble[:2]) * width
        offset = centre - scale * centre + shift
        return np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])


def mix(source: Image, target: Image, mask: Mask) -> Image:
    """``mask * source + (1 - mask) * target``; exactly ``target`` where the mask is 0."""
    left, top, width, height = cv2.boundingRect((mask > 0).view(np.uint8))
    part = slice(top, top + height), slice(left, left + width)
    mixed = target.copy()
    blended = target[part] + mask[part][..., None] * (source[part].astype(np.float32) - target[part])
    mixed[part] = np.rint(blended)
    return mixed


def table(levels: NDArray[Any]) -> Image:
    """What ``cv2.LUT`` takes: for each of 256 levels and three channels ``(256, 3)`` another one."""
    return np.asarray(np.clip(levels, 0, 255), np.uint8)[None]


def smooth(mesh: Points) -> Points:
    """Mesh points ``(T, 468, 2)`` averaged with their neighbours in time (1/4, 1/2, 1/4)."""
    if len(mesh) < 3:
        return mesh
    padded = np.concatenate([mesh[:1], mesh, mesh[-1:]])
    result: Points = (padded[:-2] / 4 + padded[1:-1] / 2 + padded[2:] / 4).astype(np.float32)
    return result
