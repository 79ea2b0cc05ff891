"""The 468-point face mesh, run on a face box and its five points.

Model: MediaPipe face mesh (Apache-2.0), ``weights/faces/facemesh_468.onnx``: input ``(1, 192, 192, 3)``
RGB in [0, 1], an upright crop 1.5 times the box with the eyes level; outputs points in crop pixels and a
presence logit.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

CROP_PX = 192
CROP_SCALE = 1.5
PRESENCE_LOGIT = 8.0


class FaceMesh:
    """Finds the mesh of one face in a picture."""

    def __init__(self, model: Path, *, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def find(
        self, rgb: NDArray[np.uint8], box: NDArray[np.float32], points: NDArray[np.float32]
    ) -> NDArray[np.float32] | None:
        """Mesh points ``(468, 2)`` in picture pixels, or None where no face is present.

        Args:
            rgb: ``(H, W, 3)`` uint8.
            box: ``(4,)`` pixels, xyxy.
            points: ``(5, 2)`` pixels, the eyes first.
        """
        affine = self._affine(box, points)
        crop = cv2.warpAffine(rgb, affine, (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR)
        mesh, presence = self._run(np.asarray(crop, np.uint8))
        if presence < PRESENCE_LOGIT:
            return None
        back = cv2.invertAffineTransform(affine)
        result: NDArray[np.float32] = (mesh @ back[:, :2].T + back[:, 2]).astype(np.float32)
        return result

    def _run(self, crop: NDArray[np.uint8]) -> tuple[NDArray[np.float32], float]:
        outputs = self._session.run(None, {self._input: crop[None].astype(np.float32) / 255})
        mesh = next(o for o in outputs if o.size == 468 * 3).reshape(468, 3)[:, :2]
        presence = next(o for o in outputs if o.size == 1).reshape(-1)[0]
        return mesh, float(presence)

    @staticmethod
    def _affine(box: NDArray[np.float32], points: NDArray[np.float32]) -> NDArray[np.float64]:
        dx, dy = (points[1] - points[0]).astype(np.float64)
        angle = np.degrees(np.arctan2(dy, dx))
        side = CROP_SCALE * max(box[2] - box[0], box[3] - box[1])
        centre = (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)
        affine = np.asarray(cv2.getRotationMatrix2D(centre, float(angle), float(CROP_PX / side)), np.float64)
        affine[:, 2] += CROP_PX / 2 - np.asarray(centre)
        return affine
