"""Networks that enlarge pictures, as generators: a face is shrunk, the network invents its detail.

Many forgers end in such a network (a face restorer, a super-resolver), and its detail is nobody's skin. Any
ONNX file will do that takes ``(1, 3, h, w)`` float32 RGB in [0, 1] and gives ``(1, 3, s h, s w)`` of the same
range, s one of 2, 4 and 8. ``train generators --super-resolver FILE`` copies it into the cache, where
``generators.load_generators`` finds it; ``tools/ncnn_onnx.py`` makes one of a file for ncnn.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from deepscan.errors import UsageError
from deepscan.inference.devices import CPU

Image = NDArray[np.uint8]
SCALES = (2, 4, 8)
PROBE_PX = 16
GENTLE_PX = 128
"""Pictures up to this size are halved before; larger ones are shrunk by the whole scale, which is quicker."""


class SuperResolver:
    """One such network, on one thread.

    Raises:
        UsageError: the file is no such network.
    """

    def __init__(self, path: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(path), options, providers=[CPU])
            self._input = self._session.get_inputs()[0].name
            grown = self._run(np.zeros((PROBE_PX, PROBE_PX, 3), np.uint8))
        except Exception as error:  # whatever ONNX Runtime says of a file that is not what we ask for
            reason = str(error).splitlines()[0]
            raise UsageError(f"{path} is no network that enlarges pictures: {reason}") from None
        self.scale = grown.shape[0] // PROBE_PX
        if self.scale not in SCALES or grown.shape != (self.scale * PROBE_PX, self.scale * PROBE_PX, 3):
            raise UsageError(
                f"{path} makes {grown.shape} of a picture of {PROBE_PX} px; 2, 4 or 8 times that is wanted."
            )

    def regenerate(self, image: Image) -> Image:
        """``(H, W, 3)`` uint8, shrunk and enlarged again; H and W divisible by 8."""
        h, w = image.shape[:2]
        by = 2 if max(h, w) <= GENTLE_PX else self.scale
        small = cv2.resize(image, (w // by, h // by), interpolation=cv2.INTER_AREA)
        grown = self._run(np.asarray(small, np.uint8))
        return np.asarray(cv2.resize(grown, (w, h), interpolation=cv2.INTER_AREA), np.uint8)

    def _run(self, small: Image) -> Image:
        x = np.ascontiguousarray(small.transpose(2, 0, 1)[None], np.float32) / 255
        y = self._session.run(None, {self._input: x})[0][0].transpose(1, 2, 0)
        return np.ascontiguousarray(np.clip(np.rint(y * 255), 0, 255), np.uint8)


def add_super_resolver(path: Path, folder: Path) -> None:
    """Copy a file into ``folder`` after a look whether it can be used.

    Raises:
        UsageError: it is no network that enlarges pictures.
    """
    SuperResolver(path)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{path.stem}.onnx"
    partial = target.with_suffix(".partial")
    shutil.copy(path, partial)
    partial.replace(target)


def load_super_resolvers(folder: Path) -> list[SuperResolver]:
    """Those in ``folder``, by name."""
    return [SuperResolver(path) for path in sorted(folder.glob("*.onnx"))]
