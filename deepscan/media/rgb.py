"""Decoded FFmpeg picture -> upright RGB."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import cast

import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from deepscan.media.container import MAX_PIXELS

_OBLONG = 8.0
"""Pixels more oblong than this are a damaged header's: players show them as squares."""

# What a GPU's decoder hands out -> the same numbers as the CPU's decoders have them. FFmpeg converts the two
# to RGB in different ways: without this step, colours were seen to differ by up to 30 of 255.
PLANAR = {"nv12": "yuv420p", "p010le": "yuv420p10le"}


@dataclass(frozen=True)
class Turn:
    """What a display matrix does, as transposition and flips (in this order)."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> Turn:
        """The turn that a frame's display matrix asks for; phones and mirrors, in quarter turns."""
        data = frame.side_data.get("DISPLAYMATRIX")
        if data is None:
            return cls()
        a, b, _, c, d = struct.unpack("=5i", bytes(cast(SideData, data))[:20])
        if abs(b) > abs(a):
            return cls(True, c < 0, b < 0)
        return cls(False, a < 0, d < 0)

    @property
    def clockwise_deg(self) -> int:
        """Rotation part, 0, 90, 180 or 270; a mirror image counts as not turned."""
        if self.transpose:
            return 90 if self.flip_x else 270
        return 180 if self.flip_y else 0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Upright width and height."""
        return (height, width) if self.transpose else (width, height)

    def apply(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``(H, W, 3)`` as stored -> upright."""
        rgb = rgb.transpose(1, 0, 2) if self.transpose else rgb
        rgb = rgb[:, ::-1] if self.flip_x else rgb
        return rgb[::-1] if self.flip_y else rgb


def pixel_aspect(stream: VideoStream) -> float:
    """Width of a stored pixel over its height; 1 where nothing, or nothing sensible, is said."""
    declared = stream.sample_aspect_ratio
    aspect = float(declared) if declared else 1.0
    return aspect if 1 / _OBLONG <= aspect <= _OBLONG else 1.0


def square_size(width: int, height: int, aspect: float) -> tuple[int, int]:
    """Size of the picture with square pixels, as players show it: the shorter sides are stretched.

    Shrunk instead where stretching would go past the limit on pixels.
    """
    if aspect == 1.0:
        return width, height
    wide, high = max(1.0, aspect), max(1.0, 1 / aspect)
    if width * wide * height * high > MAX_PIXELS:
        wide, high = min(1.0, aspect), min(1.0, 1 / aspect)
    return max(1, round(width * wide)), max(1, round(height * high))


class Turns:
    """The turn of each frame of one stream; its display matrix is read again only where the rotation changes.

    PyAV's frames and their side data refer to each other once side data was read, and the garbage collector
    counts objects, not bytes: reading it from every frame left 200 MB of 1080p pictures to each file.
    """

    def __init__(self) -> None:
        self._by_rotation: dict[int, Turn] = {}

    def of(self, frame: VideoFrame) -> Turn:
        """The turn that this frame asks for."""
        rotation = frame.rotation
        if rotation not in self._by_rotation:
            self._by_rotation[rotation] = Turn.of(frame)
        return self._by_rotation[rotation]


def upright_rgb(frame: VideoFrame, turn: Turn, aspect: float = 1.0) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8, upright after ``turn``, at the frame's own size.

    ``aspect`` is that of the stored pixels (width over height): the picture comes with square ones.

    The frame's colour matrix and range are honoured; untagged frames are read as BT.601, as FFmpeg
    and OpenCV do. Transparent parts lie on white, as for photos.
    """
    if frame.format.name in PLANAR:
        frame = frame.reformat(format=PLANAR[frame.format.name])
    width, height = square_size(frame.width, frame.height, aspect)
    if any(component.is_alpha for component in frame.format.components):
        rgba = frame.to_ndarray(format="rgba", width=width, height=height, threads=1).astype(np.uint16)
        alpha = rgba[..., 3:]
        rgb = ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    else:
        square = frame.to_ndarray(format="rgb24", width=width, height=height, threads=1)
        rgb = np.asarray(square, dtype=np.uint8)
    # FFmpeg pads rows, so that the array of an odd width is a view with gaps.
    return np.ascontiguousarray(turn.apply(rgb))
