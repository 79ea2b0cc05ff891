"""Whole videos forged by self-blending: what calibration and the examples are measured on.

Each is written twice, untouched and forged, through the same decoder, size and encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deepscan import media
from deepscan.errors import UnsupportedMedia
from deepscan.faces import Face, FaceEngine, FaceTracker
from deepscan.training.forge.blend import Pair, SelfBlend
from deepscan.training.forge.degrade import encode_h264
from deepscan.training.mesh import FaceMesh

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class FaceVideo:
    """The start of a video with the mesh of its main face.

    Attributes:
        frames: ``(T, H, W, 3)`` uint8.
        mesh: ``(T, 468, 2)`` float32, pixels.
        rate: frames per second.
    """

    frames: Image
    mesh: NDArray[np.float32]
    rate: Fraction


def read_face_video(
    path: Path, engine: FaceEngine, mesh: FaceMesh, *, seconds: float, long_side_px: int
) -> FaceVideo:
    """Read the first ``seconds`` of a video, shrunk to ``long_side_px`` where it is larger.

    Raises:
        UnreadableMedia, UnsupportedMedia: as ``media.probe``.
        UnsupportedMedia: no face goes through these seconds.
    """
    info = media.probe(path)
    coverage = media.Coverage(info.duration_s)
    zoom = min(1.0, long_side_px / max(info.width, info.height))
    size = (round(info.width * zoom) // 2 * 2, round(info.height * zoom) // 2 * 2)
    plan = media.SamplingPlan(window_starts_s=(), even_s=(), everything=True)
    tracker = FaceTracker(engine, min_face_px=40, max_faces=4)
    frames: list[Image] = []
    faces: list[dict[int, Face]] = []
    for frame, tracked in tracker.follow(media.frames(path, info, plan, coverage)):
        if frame.pts_s > seconds:
            break
        frames.append(np.asarray(cv2.resize(frame.rgb, size, interpolation=cv2.INTER_AREA), np.uint8))
        faces.append({face.track_id: face.face for face in tracked})
    present = [key for per_frame in faces for key in per_frame]
    if not present:
        raise UnsupportedMedia(f"{path}: no face was found in its first {seconds:g} seconds.")
    main = max(set(present), key=present.count)
    meshes = _meshes(frames, [per_frame.get(main) for per_frame in faces], mesh, zoom)
    kept = [i for i, found in enumerate(meshes) if found is not None]
    if not kept:
        raise UnsupportedMedia(f"{path}: no face in its first {seconds:g} seconds can be forged.")
    rate = Fraction(info.frame_rate or 25.0).limit_denominator(1001)
    return FaceVideo(
        frames=np.stack([frames[i] for i in kept]),
        mesh=np.stack([found for found in meshes if found is not None]),
        rate=rate,
    )


def forge_video(video: FaceVideo, seed: int) -> Pair:
    """Forge every frame with one self-blend, replayed or jittered as the seed draws it."""
    rng = np.random.default_rng(seed)
    return SelfBlend.draw(rng).apply(video.frames, video.mesh, rng)


def write_video(path: Path, frames: Image, rate: Fraction, crf: int) -> None:
    """Write ``(T, H, W, 3)`` as H.264."""
    encode_h264(str(path), frames, crf=crf, rate=rate)


def _meshes(
    frames: Sequence[Image], faces: Sequence[Face | None], mesh: FaceMesh, zoom: float
) -> list[NDArray[np.float32] | None]:
    return [
        None
        if face is None
        else mesh.find(frame, face.box * np.float32(zoom), face.points * np.float32(zoom))
        for frame, face in zip(frames, faces, strict=True)
    ]
