"""How much a picture shows around a face, and the same extent around another one.

Generators put out portraits that end close to the head; beside ample photographs that alone would tell them
apart. A reach is ``(4,)``: left, top, right and bottom edge from the face's centre, in roots of the area of
its box; left and top are negative.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Reach = NDArray[np.float64]


def reach_of(edges_px: tuple[int, int, int, int], box: NDArray[np.float32]) -> Reach:
    """The reach of a picture: its edges (left, top, right, bottom) and its face's box (xyxy) in pixels."""
    centre, unit = _centre_and_unit(box)
    reach: Reach = (np.asarray(edges_px, np.float64) - np.tile(centre, 2)) / unit
    return reach


def within(reach: Reach, box: NDArray[np.float32], size_px: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a picture of ``size_px`` (height, width) within ``reach`` of a face's box."""
    centre, unit = _centre_and_unit(box)
    edges = np.rint(reach * unit + np.tile(centre, 2)).astype(int)
    left, top, right, bottom = np.clip(edges, 0, np.tile(size_px[::-1], 2))
    return slice(int(top), int(bottom)), slice(int(left), int(right))


def _centre_and_unit(box: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    low, high = box[:2].astype(np.float64), box[2:].astype(np.float64)
    return (low + high) / 2, float(np.sqrt(np.prod(high - low)))
