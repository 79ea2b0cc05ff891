"""Which part of the face a forgery replaces, from the 468 points of the face mesh.

Masks are float32 in [0, 1] from the start: on a uint8 mask the erosion that feathers the edge is a
no-op, and the seam that detectors learn would always be hard.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.float32]
Points = NDArray[np.float32]

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
FOREHEAD = (10, 338, 297, 332, 284, 251, 162, 21, 54, 103, 67, 109)
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
CHIN_AND_CHEEKS = (205, 425, 36, 266, 152, 148, 377, 176, 400, 149, 378, 150, 379)
BROWS = (46, 53, 52, 65, 55, 70, 63, 105, 66, 107, 276, 283, 282, 295, 285, 300, 293, 334, 296, 336)
EYES = (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 263, 249, 390, 373, 374, 380, 381, 382, 362, 466)
NOSE = (168, 6, 197, 195, 5, 4, 1, 19, 94, 2, 98, 327, 64, 294, 48, 278)

REGIONS: dict[str, tuple[int, ...]] = {
    "face": OVAL,
    "no forehead": tuple(i for i in OVAL if i not in FOREHEAD) + BROWS,
    "mouth": LIPS,
    "lower face": LIPS + CHIN_AND_CHEEKS,
    "eyes and nose": BROWS + EYES + NOSE,
}


def picture_box(square: NDArray[np.uint8]) -> tuple[slice, slice]:
    """Rows and columns that the picture covers in a cached square ``(H, W, 3)``, which is black beyond it.

    Whole pictures are forged inside this box alone: their edges stay as sharp and straight as real ones'.
    """
    flat = square.reshape(len(square), -1)  # reducing short axes one by one is slow
    rows = np.flatnonzero(flat.any(1))
    columns = np.flatnonzero(flat.any(0).reshape(-1, 3).any(1))
    if not len(rows):
        return slice(0, square.shape[0]), slice(0, square.shape[1])
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def draw_region(rng: np.random.Generator, odds: Mapping[str, float]) -> str:
    """One of the regions that ``odds`` names."""
    return str(rng.choice(list(odds), p=list(odds.values())))


def hull_mask(points: Points, region: str, size_px: tuple[int, int]) -> Mask:
    """The convex hull of one region of the face.

    Args:
        points: mesh ``(468, 2)``, pixels of the picture.
        region: key of ``REGIONS``.
        size_px: height and width of the picture.

    Returns:
        ``(H, W)`` float32, 0 or 1.
    """
    hull = cv2.convexHull(np.round(points[list(REGIONS[region])]).astype(np.int32))
    mask = np.zeros(size_px, np.float32)
    cv2.fillConvexPoly(mask, hull, 1.0)
    return mask


def elastic_field(rng: np.random.Generator, size_px: tuple[int, int], reach_px: float) -> NDArray[np.float32]:
    """A smooth random displacement ``(H, W, 2)`` of up to about ``reach_px`` pixels."""
    coarse = rng.uniform(-1, 1, (6, 6, 2)).astype(np.float32) * reach_px
    return np.asarray(cv2.resize(coarse, size_px[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def warp(mask: Mask, field: NDArray[np.float32]) -> Mask:
    """Move every pixel of ``mask`` by ``field`` (pixels)."""
    h, w = field.shape[:2]
    grid_x, grid_y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    moved = cv2.remap(mask, grid_x + field[..., 0], grid_y + field[..., 1], cv2.INTER_LINEAR)
    return np.asarray(moved, np.float32)


def feather(mask: Mask, erode_px: int, blur_px: int) -> Mask:
    """Shrink a mask, soften its edge and bring its peak back to 1.

    Args:
        mask: ``(H, W)`` float32 in [0, 1].
        erode_px: how far the edge moves inwards first.
        blur_px: half of the side of the Gaussian window that softens it.
    """
    inside = mask
    if erode_px > 0:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * erode_px + 1, 2 * erode_px + 1))
        inside = np.asarray(cv2.erode(mask, kernel), np.float32)
    k = 2 * blur_px + 1
    soft = np.asarray(cv2.GaussianBlur(inside, (k, k), 0), np.float32)
    peak = float(soft.max())
    return np.minimum(soft / peak, 1.0).astype(np.float32) if peak > 0 else soft


def soft_edge(mask: Mask, erode: float, blur: float, width_px: float) -> Mask:
    """``feather`` by shares of a face's width; the edge is softened by a pixel at least."""
    return feather(mask, round(erode * width_px), max(1, round(blur * width_px)))
