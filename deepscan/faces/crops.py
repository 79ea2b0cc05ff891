"""Squares around faces, cut straight from the source-resolution frame with one affine warp.

Training cuts its samples with the same functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from deepscan.detectors import local_features
from deepscan.detectors.spec import CropRule, DetectorSpec

if TYPE_CHECKING:
    from deepscan.faces.tracker import Face, TrackedFace
    from deepscan.media import Frame

Affine = NDArray[np.float64]

THUMBNAIL = replace(local_features.SPEC, name="thumbnail", size_px=48)


def crop_affine(
    spec: DetectorSpec, box: NDArray[np.float32], points: NDArray[np.float32], turn_deg: float = 0.0
) -> Affine:
    """The affine that maps frame pixels to pixels of the square that ``spec`` describes.

    A turned face is stood up: its square shows what that of the upright face would.

    Args:
        spec: crop rule, scale and size.
        box: face box ``(4,)``, frame pixels, xyxy.
        points: ``(5, 2)`` frame pixels: left eye, right eye, nose, mouth corners (image left first).
        turn_deg: degrees clockwise by which the face is turned, as ``Face`` has it.

    Returns:
        ``(2, 3)`` float64.
    """
    x0, y0, x1, y1 = (float(v) for v in box)
    w, h = x1 - x0, y1 - y0
    long_side = max(w, h)
    side = spec.scale * (np.sqrt(w * h) if spec.crop is CropRule.SQRT_AREA else long_side)
    angle = float(np.deg2rad(turn_deg))
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
        margin = max(2, factor // 2)  # else the outermost pixels would mix with what lies outside
        x0, y0 = np.maximum(np.floor(source.min(0)).astype(int) - margin, 0)
        x1, y1 = np.ceil(source.max(0)).astype(int) + margin + factor
        part = rgb[y0:y1, x0:x1]
        h, w = part.shape[0] // factor * factor, part.shape[1] // factor * factor
        if h and w:
            small = cv2.resize(part[:h, :w], (w // factor, h // factor), interpolation=cv2.INTER_AREA)
            rgb = np.asarray(small, np.uint8)
            # pixel centres: frame = factor * small + (factor - 1) / 2 + (x0, y0)
            offset = np.array([x0, y0]) + (factor - 1) / 2
            affine = np.column_stack([turn * factor, turn @ offset + shift])
    square = cv2.warpAffine(rgb, affine, (size_px, size_px), flags=cv2.INTER_LINEAR)
    return np.asarray(square, np.uint8)


def face_affine(spec: DetectorSpec, face: Face) -> Affine:
    return crop_affine(spec, face.box, face.points, face.turn_deg)


class Thumbnails:
    """One small picture per track, from the frame where the face is largest and surest."""

    def __init__(self) -> None:
        self._best: dict[int, tuple[float, NDArray[np.uint8]]] = {}

    def add(self, frame: Frame, faces: Sequence[TrackedFace]) -> None:
        """Look at one frame; a picture is replaced only by one that is clearly better."""
        for tracked in faces:
            x0, y0, x1, y1 = (float(v) for v in tracked.face.box)
            merit = (x1 - x0) * (y1 - y0) * tracked.face.confidence
            best = self._best.get(tracked.track_id)
            if best is None or merit > 1.1 * best[0]:
                picture = cut_square(frame.rgb, face_affine(THUMBNAIL, tracked.face), THUMBNAIL.size_px)
                self._best[tracked.track_id] = (merit, picture)

    def get(self, track_id: int) -> NDArray[np.uint8] | None:
        """``(48, 48, 3)`` uint8 RGB; None for a track that was never seen."""
        best = self._best.get(track_id)
        return None if best is None else best[1]
