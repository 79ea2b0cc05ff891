"""Whole videos, forged: what calibration is measured on.

Each is written twice, untouched and forged, through the same decoder, size and encoder.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deepscan import media
from deepscan.errors import UnsupportedMedia
from deepscan.faces import tracker as tracking
from deepscan.faces.mesh import FaceMesh
from deepscan.faces.tracker import FaceEngine, FaceTracker
from deepscan.training.synthesis.degradation import encode_h264
from deepscan.training.synthesis.generators import Regenerator
from deepscan.training.synthesis.manipulations import FaceClip, SynthesisInputs, synthesize
from deepscan.training.synthesis.masks import hull_mask
from deepscan.training.synthesis.resynthesis import Resynthesis
from deepscan.training.synthesis.self_blend import Pair
from deepscan.training.synthesis.visibility import most_visible, trace

Image = NDArray[np.uint8]
WHOLE = ("regeneration", "animation")
"""Families that leave no seam: the whole picture is the forger's."""
PORTRAIT_SCALE = 2.4
SEEN_PX = 100.0
"""Width of a face at which a forgery must be seen: about what GML's crop leaves of it."""


@dataclass(frozen=True)
class FaceVideo:
    """A segment of a video with the mesh of its main face.

    Attributes:
        frames: ``(T, H, W, 3)`` uint8.
        mesh: ``(T, 468, 2)`` float32, pixels.
        rate: frames per second.
    """

    frames: Image
    mesh: NDArray[np.float32]
    rate: Fraction


def segments(info: media.MediaInfo, seconds: float, count: int) -> list[float]:
    """Where segments of ``seconds`` begin: up to ``count``, spread over the video, none over another."""
    length_s = info.duration_s or 0.0
    fit = max(1, min(count, int(length_s / seconds)))
    return [float(start_s) for start_s in np.linspace(0, length_s - seconds, fit)] if fit > 1 else [0.0]


def read_face_video(
    path: Path, engine: FaceEngine, mesh: FaceMesh, *, seconds: float, long_side_px: int, start_s: float = 0.0
) -> FaceVideo:
    """Read ``seconds`` of a video from ``start_s`` on, shrunk to ``long_side_px`` where it is larger.

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
    faces: list[dict[int, tracking.Face]] = []
    passing = media.frames(path, info, plan, coverage)
    wanted = itertools.dropwhile(lambda frame: frame.pts_s < start_s, passing)
    for frame, tracked in tracker.follow(wanted):
        if frame.pts_s > start_s + seconds:
            break
        frames.append(np.asarray(cv2.resize(frame.rgb, size, interpolation=cv2.INTER_AREA), np.uint8))
        faces.append({face.track_id: face.face for face in tracked})
    present = [key for per_frame in faces for key in per_frame]
    if not present:
        raise UnsupportedMedia(f"{path}: no face was found in {seconds:g} seconds from {start_s:g} s on.")
    main = max(set(present), key=present.count)
    meshes = _meshes(frames, [per_frame.get(main) for per_frame in faces], mesh, zoom)
    kept = [i for i, found in enumerate(meshes) if found is not None]
    if not kept:
        raise UnsupportedMedia(f"{path}: no face in {seconds:g} seconds from {start_s:g} s on can be forged.")
    rate = Fraction(info.frame_rate or 25.0).limit_denominator(1001)
    return FaceVideo(
        frames=np.stack([frames[i] for i in kept]),
        mesh=np.stack([found for found in meshes if found is not None]),
        rate=rate,
    )


def possible(manipulation: str, others: Sequence[FaceClip], generators: Sequence[Regenerator]) -> bool:
    """Whether a whole video can be forged by a type of ``manipulations`` or by ``regeneration``."""
    needs_generator = manipulation in ("resynthesis", "regeneration")
    needs_person = manipulation in ("swap", "animation")
    return bool(generators or not needs_generator) and bool(others or not needs_person)


def synthesize_video(
    video: FaceVideo,
    manipulation: str,
    seed: int,
    others: Sequence[FaceClip] = (),
    generators: Sequence[Regenerator] = (),
) -> Pair:
    """Forge every frame with one draw of a type that is ``possible``, one that can be seen.

    ``resynthesis`` redraws the face here, ``regeneration`` the whole picture.
    """
    rng = np.random.default_rng(seed)
    clip = FaceClip(video.frames, video.mesh)
    inputs = SynthesisInputs(clip, clip, list(others), list(generators))

    def draw() -> Pair:
        if manipulation not in ("regeneration", "resynthesis"):
            return synthesize(manipulation, inputs, rng)
        drawn = replace(Resynthesis.draw(rng, len(generators)), whole=manipulation == "regeneration")
        return drawn.apply(video.frames, video.mesh, inputs.generators)

    return most_visible(manipulation, draw, lambda pair: _seen(pair, video.mesh))


def _seen(pair: Pair, mesh: NDArray[np.float32]) -> float:
    """The ``trace`` of the middle frame, its face no wider than detectors see one."""
    at = len(mesh) // 2
    zoom = min(1.0, SEEN_PX / max(1.0, float(np.ptp(mesh[at, :, 0]))))
    real, fake = (
        np.asarray(cv2.resize(frames[at], None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA), np.uint8)
        for frames in (pair.real, pair.fake)
    )
    face = hull_mask(np.asarray(mesh[at] * zoom, np.float32), "face", (real.shape[0], real.shape[1]))
    return trace(real[None], fake[None], face[None])


def portrait(video: FaceVideo) -> FaceVideo:
    """The square around the face that prepared faces show: what portrait generators are given."""
    low, high = video.mesh.min((0, 1)), video.mesh.max((0, 1))
    h, w = video.frames.shape[1:3]
    half = PORTRAIT_SCALE * float((high - low).max()) / 2
    x, y = (low + high) / 2
    left, right = int(max(0, x - half)), int(min(w, x + half))
    top, bottom = int(max(0, y - half)), int(min(h, y + half))
    frames = np.ascontiguousarray(video.frames[:, top:bottom, left:right])
    return FaceVideo(frames, video.mesh - np.array([left, top], np.float32), video.rate)


def write_video(path: Path, frames: Image, rate: Fraction, crf: int) -> None:
    """Write ``(T, H, W, 3)`` as H.264."""
    encode_h264(str(path), frames, crf=crf, rate=rate)


def _meshes(
    frames: Sequence[Image], faces: Sequence[tracking.Face | None], mesh: FaceMesh, zoom: float
) -> list[NDArray[np.float32] | None]:
    return [
        None
        if face is None
        else mesh.find(frame, face.box * np.float32(zoom), face.points * np.float32(zoom))
        for frame, face in zip(frames, faces, strict=True)
    ]
