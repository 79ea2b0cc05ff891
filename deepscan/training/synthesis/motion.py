"""Dense motion from moved mesh points: how a picture is warped from one face shape to another.

Faces move triangle by triangle; whole portraits by a smooth field, computed on a coarse grid and enlarged.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay, QhullError

from deepscan.training.synthesis.masks import Points

Image = NDArray[np.uint8]
Field = NDArray[np.float32]
GRID_PX = 8
FACE_REACH = 0.04
"""Standard deviation, in face widths, over which a single point's own motion fades."""
BODY_REACH = 0.45
"""The same for the motion of the head as a whole: shoulders follow, the far background rests."""

LEAST_AREA_PX = 5e-4
"""Triangles with less are lines, which say nothing of the motion across them."""


def warp_triangles(image: Image, source: Points, target: Points) -> Image:
    """Move a face to another shape, triangle by triangle; pixels outside its hull stay.

    Args:
        image: ``(H, W, 3)`` uint8.
        source: mesh ``(N, 2)`` in the image.
        target: mesh ``(N, 2)`` where its points shall be.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    try:
        triangles = Delaunay(target).simplices
    except QhullError:
        return image
    triangles = triangles[np.abs(np.linalg.det(_homogeneous(target[triangles]))) >= 2 * LEAST_AREA_PX]
    h, w = image.shape[:2]
    left, top = np.clip(np.floor(target.min(0)).astype(int), 0, (w - 1, h - 1))
    right, bottom = np.clip(np.ceil(target.max(0)).astype(int) + 1, (left + 1, top + 1), (w, h))
    owner = np.full((bottom - top, right - left), -1, np.int32)
    corners = np.round(target[triangles] - (left, top)).astype(np.int32)
    for number, corner in enumerate(corners):
        cv2.fillConvexPoly(owner, corner, number)
    affines = _affines(target[triangles], source[triangles])[owner]
    x, y = np.meshgrid(np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32))
    map_x = affines[..., 0, 0] * x + affines[..., 0, 1] * y + affines[..., 0, 2]
    map_y = affines[..., 1, 0] * x + affines[..., 1, 1] * y + affines[..., 1, 2]
    moved = image.copy()
    face = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    inside = (owner >= 0)[..., None]
    moved[top:bottom, left:right] = np.where(inside, face, image[top:bottom, left:right])
    return moved


def _affines(target: Points, source: Points) -> NDArray[np.float32]:
    """The affine ``(N, 2, 3)`` that takes each triangle ``(N, 3, 2)`` of ``target`` to that of ``source``."""
    moved = np.linalg.solve(_homogeneous(target), source.astype(np.float64))
    return np.asarray(moved.transpose(0, 2, 1), np.float32)


def _homogeneous(triangles: Points) -> NDArray[np.float64]:
    """``(N, 3, 2)`` to ``(N, 3, 3)``, a one behind every corner; the determinant is twice the area."""
    return np.concatenate([triangles.astype(np.float64), np.ones((*triangles.shape[:2], 1))], -1)


def sweep(source: Points, target: Points, size_px: tuple[int, int]) -> Field:
    """The motion of a whole portrait: every point of the face moves, the shoulders follow, the rest stays.

    Args:
        source: mesh ``(N, 2)`` in the still picture.
        target: mesh ``(N, 2)`` where its points shall be.
        size_px: height and width.

    Returns:
        ``(H, W, 2)``: from a target pixel to its source, x then y.
    """
    rows, columns = _coarse(size_px)
    grid = np.stack([columns.ravel(), rows.ravel()], -1)
    width = float(np.ptp(target[:, 0])) + 1.0
    rigid = _similarity(target, source)
    whole = grid @ rigid[:, :2].T + rigid[:, 2] - grid
    own = np.asarray(source - (target @ rigid[:, :2].T + rigid[:, 2]), np.float32)
    fine = _spread(grid, target[::3], own[::3], FACE_REACH * width)
    low, high = target.min(0), target.max(0)
    outside = np.linalg.norm(np.maximum(0, np.maximum(low - grid, grid - high)), axis=1)
    fade = np.exp(-((outside / (BODY_REACH * width)) ** 2) / 2)
    shift = (whole + fine) * fade[:, None]
    return _enlarge(shift.reshape(*rows.shape, 2), size_px)


def _spread(grid: NDArray[Any], points: Points, motion: Points, sigma: float) -> NDArray[np.float32]:
    """The points' motion ``(N, 2)`` on ``grid (M, 2)``, averaged by nearness, fading to zero far from all."""
    a, b = grid.astype(np.float32), points.astype(np.float32)
    squares = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)
    weights = np.exp(-np.maximum(squares, 0) / np.float32(2 * sigma**2))
    near: NDArray[np.float32] = weights @ motion.astype(np.float32) / (weights.sum(1, keepdims=True) + 0.3)
    return near


def remap(image: Image, field: Field) -> Image:
    """``out[y, x] = image[y + dy, x + dx]``, reflected at the border."""
    h, w = field.shape[:2]
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    moved = cv2.remap(
        image, x + field[..., 0], y + field[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(moved, np.uint8)


def through_size(image: Image, zoom: float) -> Image:
    """Shrunk by ``zoom`` and grown again; as it is from 1 on."""
    if zoom >= 1:
        return image
    h, w = image.shape[:2]
    small = cv2.resize(image, (max(2, int(w * zoom)), max(2, int(h * zoom))), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (w, h), interpolation=cv2.INTER_CUBIC), np.uint8)


def through_generator(face: Image, points: Points, output_px: int) -> Image:
    """A picture of a face through the height at which a generator puts faces out."""
    return through_size(face, output_px / max(1.0, float(np.ptp(points[:, 1]))))


def align(source: Points, target: Points, anchors: tuple[int, ...]) -> Points:
    """``source`` turned, scaled and moved so that its ``anchors`` lie on those of ``target``."""
    rigid = _similarity(source[list(anchors)], target[list(anchors)])
    return np.asarray(source @ rigid[:, :2].T + rigid[:, 2], np.float32)


def _similarity(source: Points, target: Points) -> NDArray[np.float64]:
    """Least-squares similarity ``(2, 3)`` from source to target (Umeyama 1991, without reflection)."""
    a, b = source.astype(np.float64), target.astype(np.float64)
    centre_a, centre_b = a.mean(0), b.mean(0)
    za = (a[:, 0] - centre_a[0]) + 1j * (a[:, 1] - centre_a[1])
    zb = (b[:, 0] - centre_b[0]) + 1j * (b[:, 1] - centre_b[1])
    turn = np.vdot(za, zb) / max(np.vdot(za, za).real, 1e-9)
    matrix = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.concatenate([matrix, (centre_b - matrix @ centre_a)[:, None]], axis=1)


def _coarse(size_px: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns of the centres that the enlarged grid's cells stand for."""
    h, w = size_px
    counts = max(2, h // GRID_PX), max(2, w // GRID_PX)
    rows = (np.arange(counts[0]) + 0.5) * h / counts[0] - 0.5
    columns = (np.arange(counts[1]) + 0.5) * w / counts[1] - 0.5
    grid = np.meshgrid(rows, columns, indexing="ij")
    return grid[0], grid[1]


def _enlarge(shift: NDArray[np.float64], size_px: tuple[int, int]) -> Field:
    size = (size_px[1], size_px[0])
    return np.asarray(cv2.resize(shift.astype(np.float32), size, interpolation=cv2.INTER_LINEAR), np.float32)
