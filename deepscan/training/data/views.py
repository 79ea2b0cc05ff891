"""Cached faces, and how a sample of them is cut: one view of box, tilt and mirror for all frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deepscan.detectors.spec import DetectorSpec
from deepscan.faces.crops import Affine, crop_affine, cut_square
from deepscan.training.synthesis.degradation import Degradation


@dataclass(frozen=True)
class Faces:
    """One cached sample: ``frames (T, S, S, 3)`` uint8 and its boxes, points and mesh, pixels."""

    frames: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    points: NDArray[np.float32]
    mesh: NDArray[np.float32]

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> Faces:
        """The frames named by ``indices``, copied into memory."""
        i = np.asarray(indices)
        return Faces(np.ascontiguousarray(self.frames[i]), self.boxes[i], self.points[i], self.mesh[i])


@lru_cache(maxsize=4096)
def load_faces(folder: Path) -> Faces:
    """Open a cached sample; its frames stay on disk until they are used."""
    with np.load(folder / "faces.npz") as arrays:
        geometry = {name: arrays[name] for name in ("boxes", "points", "mesh")}
    return Faces(np.load(folder / "frames.npy", mmap_mode="r"), **geometry)


@dataclass(frozen=True)
class View:
    """How a pair is cut. One draw for all frames.

    Attributes:
        shift: of the box, in box sizes.
        scale: of the box.
        mirror: left and right change sides.
        turn_deg: of the cut picture about its centre.
        stretch: width against height of the cut picture.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    mirror: bool = False
    turn_deg: float = 0.0
    stretch: float = 1.0

    @staticmethod
    def draw(rng: np.random.Generator) -> View:
        """Boxes differ by a few per cent between face detectors: moved +-4 %, scaled .9-1.12.

        Heads tilt by +-8 degrees and faces are narrower or wider by up to 6 %, so that fewer people look
        like more.
        """
        dx, dy = rng.uniform(-0.04, 0.04, 2)
        return View(
            shift=(float(dx), float(dy)),
            scale=float(rng.uniform(0.9, 1.12)),
            mirror=bool(rng.random() < 0.5),
            turn_deg=float(rng.uniform(-8, 8)),
            stretch=float(np.exp(rng.uniform(-0.06, 0.06))),
        )

    def box(self, box: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(4,)`` xyxy, moved and scaled about its centre."""
        centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        centre = centre + np.asarray(self.shift, np.float32) * size
        half = size * self.scale / 2
        return np.concatenate([centre - half, centre + half]).astype(np.float32)

    def turned(self, affine: Affine, size_px: int) -> Affine:
        """``affine`` ``(2, 3)`` to a square of ``size_px``, then turned and stretched about its centre."""
        if self.turn_deg == 0 and self.stretch == 1:
            return affine
        angle, root = np.deg2rad(self.turn_deg), np.sqrt(self.stretch)
        cos, sin = np.cos(angle), np.sin(angle)
        change = np.diag([root, 1 / root]) @ np.array([[cos, sin], [-sin, cos]])
        centre = np.full(2, (size_px - 1) / 2)
        return np.column_stack([change @ affine[:, :2], change @ (affine[:, 2] - centre) + centre])


def clip_affines(faces: Faces, spec: DetectorSpec, view: View) -> list[Affine]:
    """The affine of every frame, as a scan lays it: ``hold_first`` keeps the first frame's."""
    places = list(zip(faces.boxes, faces.points, strict=True))[: 1 if spec.hold_first else None]
    affines = [view.turned(crop_affine(spec, view.box(box), points), spec.size_px) for box, points in places]
    return affines * len(faces.frames) if spec.hold_first else affines


def cut_frames(
    frames: NDArray[np.uint8], affines: Sequence[Affine], size_px: int, mirror: bool
) -> NDArray[np.uint8]:
    """``(T, H, W, 3)`` uint8 to ``(T, size, size, 3)``."""
    clip = np.stack(
        [cut_square(frame, affine, size_px) for frame, affine in zip(frames, affines, strict=True)]
    )
    return mirrored(clip) if mirror else clip


def cut_degraded(
    degradation: Degradation,
    frames: NDArray[np.uint8],
    affines: Sequence[Affine],
    spec: DetectorSpec,
    view: View,
) -> NDArray[np.uint8]:
    """``(T, H, W, 3)`` uint8, degraded, then cut to ``(T, size, size, 3)``."""
    recorded = degradation.record(frames)
    own = shrunk_affines(affines, (frames.shape[1], frames.shape[2]), (recorded.shape[1], recorded.shape[2]))
    return cut_frames(recorded, own, spec.size_px, view.mirror)


def shrunk_affines(affines: Sequence[Affine], size: tuple[int, int], shrunk: tuple[int, int]) -> list[Affine]:
    """Affines from frames of ``size`` (height, width), for the same frames resized to ``shrunk``."""
    zoom = np.array([size[1] / shrunk[1], size[0] / shrunk[0]])
    # pixel centres: frame = zoom * (shrunk + 1/2) - 1/2
    return [
        np.column_stack([affine[:, :2] * zoom, affine[:, :2] @ (zoom / 2 - 0.5) + affine[:, 2]])
        for affine in affines
    ]


def cut_masks(
    masks: NDArray[np.float32], affines: Sequence[Affine], size_px: int, mirror: bool
) -> NDArray[np.float32]:
    """``(T, H, W)`` float32 to ``(T, size, size)``."""
    size = (size_px, size_px)
    cut = [cv2.warpAffine(mask, affine, size) for mask, affine in zip(masks, affines, strict=True)]
    result = np.asarray(cut, np.float32)
    return mirrored(result) if mirror else result


def mirrored(frames: NDArray[Any]) -> NDArray[Any]:
    """``(T, H, W)`` or ``(T, H, W, 3)`` with left and right changed."""
    return np.stack([cv2.flip(frame, 1) for frame in frames])
