"""Make the two example clips: a portrait filmed by a wandering camera, untouched and forged.

The portrait is scikit-image's astronaut, a NASA photograph in the public domain. The forgery replaces the
face by an altered copy of itself in every frame (a self-blend, deepscan.training.synthesis), which leaves the
traces of a face swap without showing anybody else.

    pip install 'deepscan[dev]' && python examples/make.py
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.data import astronaut

from deepscan.faces.mesh import FaceMesh
from deepscan.faces.tracker import FaceEngine
from deepscan.inference.devices import CPU
from deepscan.training.synthesis.degradation import encode_h264
from deepscan.training.synthesis.self_blend import SelfBlend, Tone
from deepscan.weights import Weights

FOLDER = Path(__file__).parent
RATE = Fraction(25)
SECONDS = 4
SIZE_PX = 512
CRF = 20

FORGERY = SelfBlend(
    region="face",
    ratio=1.0,
    tone=Tone(
        rgb_shift=np.array([10, -6, -10], np.float32),
        hue_deg=4.0,
        saturation=1.15,
        value=1.0,
        contrast=1.05,
        brightness=0.0,
        shrink=2.2,
        sharpen=0.0,
        blur_sigma=0.0,
    ),
    tone_on_source=True,
    shift=(0.02, 0.008),
    scale=1.03,
    elastic_seed=1,
    elastic_px=0.02,
    erode=0.02,
    blur=0.02,
    jitter=0.5,
)


def film() -> NDArray[np.uint8]:
    """The portrait under a wandering camera, with the grain of a sensor: ``(T, H, W, 3)`` uint8."""
    rng = np.random.default_rng(0)
    photo = astronaut()
    frames = []
    for number in range(int(SECONDS * RATE)):
        angle = 2 * np.pi * number / 100
        zoom = 1.25 + 0.05 * np.sin(angle)
        centre = np.array([225 + 12 * np.sin(angle), 186 + 5 * np.cos(angle)])
        move = cv2.getRotationMatrix2D(tuple(centre), 1.5 * float(np.sin(2 * angle)), float(zoom))
        move[:, 2] += (SIZE_PX / 2, SIZE_PX / 2.4) - centre
        size = (SIZE_PX, SIZE_PX)
        frame = cv2.warpAffine(photo, move, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        grain = rng.normal(0, 1.5, frame.shape)
        frames.append(np.clip(np.rint(frame + grain), 0, 255).astype(np.uint8))
    return np.stack(frames)


def meshes(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The face mesh of every frame, ``(T, 468, 2)`` pixels."""
    weights = Weights()
    engine = FaceEngine(weights.face_path(), providers=[CPU], threads=1)
    mesh = FaceMesh(weights.face_path("facemesh_468"))
    found = []
    for frame in frames:
        face = max(engine.detect(frame), key=lambda face: face.size_px)
        points = mesh.find(frame, face.box, face.points)
        if points is None:
            raise SystemExit("the portrait's face was not found; the clips were not made")
        found.append(points)
    return np.stack(found)


def main() -> None:
    """Write ``real.mp4`` and ``forged.mp4`` beside this script."""
    frames = film()
    pair = FORGERY.apply(frames, meshes(frames), np.random.default_rng(0))
    encode_h264(str(FOLDER / "real.mp4"), pair.real, crf=CRF, rate=RATE)
    encode_h264(str(FOLDER / "forged.mp4"), pair.fake, crf=CRF, rate=RATE)


if __name__ == "__main__":
    main()
