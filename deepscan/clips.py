"""Face track -> the clip tensor that each detector's spec asks for.

Every crop is cut straight from the source-resolution frame with one affine warp. Training cuts its
samples with the same functions.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deepscan.detectors.base import CropRule, DetectorSpec

Affine = NDArray[np.float64]


def crop_affine(spec: DetectorSpec, box: NDArray[np.float32], points: NDArray[np.float32]) -> Affine:
    """The affine that maps frame pixels to pixels of the square that ``spec`` asks for.

    Args:
        spec: crop rule, scale and size.
        box: face box ``(4,)``, frame pixels, xyxy.
        points: ``(5, 2)`` frame pixels: left eye, right eye, nose, mouth corners (image left first).

    Returns:
        ``(2, 3)`` float64.
    """
    x0, y0, x1, y1 = (float(v) for v in box)
    w, h = x1 - x0, y1 - y0
    long_side = max(w, h)
    side = spec.scale * (np.sqrt(w * h) if spec.crop is CropRule.SQRT_AREA else long_side)
    angle = 0.0
    if spec.crop is CropRule.ALIGNED:
        dx, dy = (points[1] - points[0]).astype(np.float64)
        angle = float(np.arctan2(dy, dx))
    zoom = spec.size_px / side
    cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    turn = np.array([[cos, sin], [-sin, cos]])
    shift = (spec.size_px - 1) / 2 - turn @ centre
    return np.column_stack([turn, shift])


def cut_square(rgb: NDArray[np.uint8], affine: Affine, size_px: int) -> NDArray[np.uint8]:
    """Cut one square out of a frame; outside the frame is black.

    Shrinking averages over the pixels that fall together (the frame is first halved with area
    averaging as often as the affine shrinks by two), so that a large face does not alias.

    Args:
        rgb: ``(H, W, 3)`` uint8.
        affine: ``(2, 3)``, frame pixels to square pixels.
        size_px: side of the square, pixels.

    Returns:
        ``(size_px, size_px, 3)`` uint8.
    """
    zoom = float(np.hypot(affine[0, 0], affine[1, 0]))
    corners = np.array([[0, 0], [size_px, 0], [0, size_px], [size_px, size_px]], np.float64)
    turn, shift = affine[:, :2], affine[:, 2]
    source = (corners - shift) @ np.linalg.inv(turn).T
    factor = 1 << max(0, int(np.floor(np.log2(1 / zoom) + 1e-6)))
    if factor > 1:
        x0, y0 = np.maximum(np.floor(source.min(0)).astype(int) - 2, 0)
        x1, y1 = np.ceil(source.max(0)).astype(int) + 2 + factor
        part = rgb[y0:y1, x0:x1]
        h, w = part.shape[0] // factor * factor, part.shape[1] // factor * factor
        if h and w:
            rgb = cv2.resize(part[:h, :w], (w // factor, h // factor), interpolation=cv2.INTER_AREA)
            # pixel centres: frame = factor * small + (factor - 1) / 2 + (x0, y0)
            offset = np.array([x0, y0]) + (factor - 1) / 2
            affine = np.column_stack([turn * factor, turn @ offset + shift])
    return cv2.warpAffine(rgb, affine, (size_px, size_px), flags=cv2.INTER_LINEAR)
