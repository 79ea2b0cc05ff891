"""One frame -> the faces in it, through InsightFace's own loader.

The detector that ships is RetinaFace-mobilenet0.25 in SCRFD's output form; any SCRFD of a user's
InsightFace pack (``det_10g.onnx`` and its like) runs the same way. Nothing is ever downloaded: the file
must exist before InsightFace gets its name.

Scale: the frame is shrunk so that its long side is 640 px (smaller frames stay as they are). Faces down
to about 20 px are found at that scale, so a frame of more than 1920 px is looked at once more at 0.4 of
its size, for the small ones. A face that fills most of the frame, or a frame without a face, is looked
at again at 320 px, where large faces fall into the range the anchors were made for. The results are
merged by non-maximum suppression. A face that the shipped detector is not sure of is looked at again at
half the scale, and the lower confidence counts: a real face is found at both.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deepscan.errors import FaceModelError
from deepscan.onnx_options import session_options

LONG_SIDE_PX = 640
LARGE_FACE_SIDE_PX = 320
LARGE_FACE_SHARE = 0.6
SMALL_FACE_ZOOM = 0.4
SMALL_FACE_ABOVE_PX = 1920
SMALL_FACE_LONG_SIDE_PX = 2048
# InsightFace's own threshold for SCRFD.
CONFIDENCE = 0.5
# Our RetinaFace is surer of itself: real faces score 0.95 and more, blurred ones 0.85; textures and car
# lamps reach 0.75, blurred plants 0.95, but not at half the scale.
RETINAFACE_CONFIDENCE = 0.8
RETINAFACE_SURE = 0.98
SECOND_LOOK_MIN_PX = 48
NMS_IOU = 0.4
CELL_PX = 32


@dataclass(frozen=True, eq=False)
class Face:
    """One face in one frame.

    Attributes:
        box: ``(4,)`` float32, frame pixels, xyxy; may reach beyond the frame.
            Of a turned face, centred on it and as large as that of the upright face; on its side where the
            face is.
        points: ``(5, 2)`` float32, frame pixels: eyes, nose, mouth corners (first the one that is left in
            the image of the upright face).
        confidence: the detector's, in [0, 1].
        turn_deg: degrees clockwise by which the face is turned, in [0, 360); 0 for heads that are merely
            tilted.
    """

    box: NDArray[np.float32]
    points: NDArray[np.float32]
    confidence: float
    turn_deg: float = 0.0

    @property
    def sideways(self) -> bool:
        """It lies on its side, nearer than it stands or is upside down."""
        return lies_sideways(self.turn_deg)

    @property
    def width_px(self) -> float:
        """Of the upright face."""
        return float(self.box[3] - self.box[1] if self.sideways else self.box[2] - self.box[0])

    @property
    def height_px(self) -> float:
        """Of the upright face."""
        return float(self.box[2] - self.box[0] if self.sideways else self.box[3] - self.box[1])

    @property
    def size_px(self) -> float:
        """The short side of the box, pixels: what the minimum face size is measured on."""
        return float(min(self.box[2] - self.box[0], self.box[3] - self.box[1]))


def lies_sideways(turn_deg: float) -> bool:
    """Whether a turn of so many degrees, in [0, 360), lays a face on one of its sides."""
    return 45 < turn_deg % 180 < 135


class FaceEngine:
    """A face detector.

    Args:
        model: an ``.onnx`` detector, or a directory (an InsightFace pack) that holds one.
        providers: ONNX Runtime providers, best first.
        threads: intra-op threads.

    Raises:
        FaceModelError: there is no such file, or it is not a face detector with five points.
    """

    def __init__(self, model: Path, *, providers: Sequence[str], threads: int) -> None:
        self.model = find_detector(model)
        self._scrfd = _load(self.model, list(providers), threads)
        static = getattr(self._scrfd, "static_input_size", None)
        self._static: tuple[int, int] | None = None if static is None else (int(static[0]), int(static[1]))
        source = self._scrfd.session.get_modelmeta().custom_metadata_map.get("source", "")
        self._ours = "retinaface" in source
        #: Confidence from which a detection counts as a face.
        self.confidence = RETINAFACE_CONFIDENCE if self._ours else CONFIDENCE

    def detect(self, rgb: NDArray[np.uint8], *, confidence: float | None = None) -> list[Face]:
        """Every face in one upright frame, most confident first.

        Args:
            rgb: ``(H, W, 3)`` uint8.
            confidence: faces below it are left out; ``self.confidence`` where not given.
        """
        least = self.confidence if confidence is None else confidence
        faces = self._look(rgb, LONG_SIDE_PX, least)
        if self._static is not None:
            return faces
        if self._ours:
            faces = self._second_look(rgb, faces, least)
        long_side = max(rgb.shape[:2])
        none = not any(f.confidence >= self.confidence for f in faces)
        fills = any(_share(f, rgb) > LARGE_FACE_SHARE for f in faces)
        if (none or fills) and long_side > LARGE_FACE_SIDE_PX:
            closer = self._look(rgb, LARGE_FACE_SIDE_PX, least)
            # The coarse look is trusted with what the 640 px look is weak at, and with nothing else.
            large = [f for f in closer if none or _share(f, rgb) > LARGE_FACE_SHARE / 2]
            faces = suppress([*large, *faces])
        if long_side > SMALL_FACE_ABOVE_PX:
            fine_px = min(round(long_side * SMALL_FACE_ZOOM), SMALL_FACE_LONG_SIDE_PX)
            fine = self._look(rgb, fine_px, least)
            faces = suppress([*faces, *(f for f in fine if _share(f, rgb) < LARGE_FACE_SHARE / 4)])
        return faces

    def _second_look(self, rgb: NDArray[np.uint8], faces: list[Face], least: float) -> list[Face]:
        """Lower the confidence of doubtful faces to their confidence at half the scale.

        Faces that would be too small there keep theirs, and so do those that are no faces anyway.
        """
        zoom = min(1.0, LONG_SIDE_PX / max(rgb.shape[:2]))
        doubtful = [
            self.confidence <= f.confidence < RETINAFACE_SURE and f.size_px * zoom >= SECOND_LOOK_MIN_PX
            for f in faces
        ]
        if not any(doubtful):
            return faces
        again = self._look(rgb, round(max(rgb.shape[:2]) * zoom / 2), least / 2)
        checked = [
            replace(f, confidence=min(f.confidence, _confidence_at(f, again))) if doubt else f
            for f, doubt in zip(faces, doubtful, strict=True)
        ]
        return [f for f in checked if f.confidence >= least]

    def _look(self, rgb: NDArray[np.uint8], long_side_px: int, confidence: float) -> list[Face]:
        """Detect at one scale."""
        h, w = rgb.shape[:2]
        if self._static is None:
            zoom = min(1.0, long_side_px / max(h, w))
            small_w, small_h = max(1, round(w * zoom)), max(1, round(h * zoom))
            canvas_w, canvas_h = (math.ceil(side / CELL_PX) * CELL_PX for side in (small_w, small_h))
        else:
            canvas_w, canvas_h = self._static
            zoom = min(canvas_w / w, canvas_h / h)
            small_w, small_h = max(1, round(w * zoom)), max(1, round(h * zoom))
        canvas = np.zeros((canvas_h, canvas_w, 3), np.uint8)
        way = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
        small = (
            rgb if (small_w, small_h) == (w, h) else cv2.resize(rgb, (small_w, small_h), interpolation=way)
        )
        canvas[:small_h, :small_w] = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
        # Suppression is quadratic in what passes, so InsightFace must drop the faint ones itself.
        self._scrfd.det_thresh = confidence
        boxes, points = self._scrfd.detect(canvas, input_size=(canvas_w, canvas_h))
        back = np.array([w / small_w, h / small_h], np.float32)
        return [
            Face(
                box=(box[:4].reshape(2, 2) * back).reshape(4).astype(np.float32),
                points=(five * back).astype(np.float32),
                confidence=float(box[4]),
            )
            for box, five in zip(boxes, points, strict=True)
            if box[2] > box[0] and box[3] > box[1]
        ]


def _share(face: Face, rgb: NDArray[np.uint8]) -> float:
    """How much of the frame's width or height, whichever is more, the face takes."""
    w, h = face.box[2:] - face.box[:2]
    share: float = max(w / rgb.shape[1], h / rgb.shape[0])
    return share


def _confidence_at(face: Face, others: Sequence[Face]) -> float:
    """The best confidence among the faces at the same place; 0 where there is none."""
    same = [o.confidence for o in others if float(iou(face.box[None], o.box[None])[0, 0]) > NMS_IOU]
    return max(same, default=0.0)


def iou(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of every pair: ``(N, 4)`` and ``(M, 4)`` xyxy -> ``(N, M)`` in [0, 1]."""
    near = np.maximum(boxes[:, None, :2], others[None, :, :2])
    far = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.clip(far - near, 0, None).prod(-1)
    area, other_area = ((b[:, 2:] - b[:, :2]).prod(-1) for b in (boxes, others))
    overlap: NDArray[np.float32] = common / np.maximum(area[:, None] + other_area[None] - common, 1e-9)
    return overlap


def suppress(faces: Sequence[Face]) -> list[Face]:
    """Of faces that overlap, the most confident stays; of equally confident ones, the first in the list."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda f: -round(f.confidence, 2)):
        if not kept or iou(face.box[None], np.stack([k.box for k in kept])).max() <= NMS_IOU:
            kept.append(face)
    return kept


def find_detector(model: Path) -> Path:
    """The detection model that ``model`` names: itself, or the one in an InsightFace pack.

    A pack holds recognition and landmark models as well; its detectors are called ``det_*`` or
    ``scrfd*`` (``retinaface*`` for ours), and the largest wins, as the packs hold one each.

    Raises:
        FaceModelError: there is none.
    """
    if model.is_dir():
        found = [
            path
            for path in sorted(model.glob("*.onnx"))
            if path.name.lower().startswith(("det_", "scrfd", "retinaface"))
        ]
        if not found:
            raise FaceModelError(
                f"face model {model}: no detection model (det_*.onnx, scrfd*.onnx) in this directory."
            )
        return max(found, key=lambda path: path.stat().st_size)
    if not model.is_file():
        raise FaceModelError(f"face model {model}: no such file or directory; nothing is downloaded.")
    if model.suffix != ".onnx":
        raise FaceModelError(f"face model {model}: not an .onnx file.")
    return model


def _load(path: Path, providers: list[str], threads: int) -> Any:
    """InsightFace's SCRFD around the file; its import is slow, so it waits until a face is looked for."""
    with _hushed(), _without_requests():
        from insightface.model_zoo import get_model

        try:
            # Exact-shape sessions would cost one session per frame size of a folder.
            model = get_model(
                os.path.abspath(path),
                providers=providers,
                sess_options=session_options(threads),
                static_shape_sessions=False,
            )
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise FaceModelError(f"face model {path}: cannot be loaded: {reason[0]}") from error
    if getattr(model, "taskname", None) != "detection":
        raise FaceModelError(f"face model {path}: not a face detector (SCRFD or RetinaFace is needed).")
    if not getattr(model, "use_kps", False):
        raise FaceModelError(
            f"face model {path}: it finds boxes only; a detector with five points is needed."
        )
    model.nms_thresh = NMS_IOU
    return model


@contextlib.contextmanager
def _without_requests() -> Iterator[None]:
    """An empty module stands in for ``requests`` where that is not loaded yet.

    InsightFace's downloader, which nothing here uses, imports it, and it opens a socket to learn of IPv6.
    """
    stand_in = ModuleType("requests")
    sys.modules.setdefault("requests", stand_in)
    try:
        yield
    finally:
        if sys.modules.get("requests") is stand_in:
            del sys.modules["requests"]


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Keep what InsightFace prints and warns of away from a report on stdout."""
    logger = logging.getLogger("insightface")
    level = logger.level
    with (
        warnings.catch_warnings(),
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
    ):
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
