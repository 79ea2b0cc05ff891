"""Faces that were seen and not judged: how many, when, and whether they are large enough to matter.

A face matters that was never judged although the detectors could tell something of it: it is at least
``MIN_FACE_PX`` wide (short side of the box), and not a sliver at the frame's edge that one look saw. Who is
left out at first and judged later does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepscan.config import MIN_FACE_PX
from deepscan.faces.detector import Face
from deepscan.results import SkippedFaces

SLIVER_INSIDE = 2 / 3
SLIVER_SLIMNESS = 0.5


@dataclass(eq=False)
class Sighting:
    """What is known of one face that has not been judged so far."""

    crowded: bool = False  # left out for number, not for size, when last seen
    looks: int = 0
    whole: bool = False
    size_px: float = 0.0

    def see(self, face: Face, shape: tuple[int, ...], *, crowded: bool) -> None:
        """Note one look at the face in a frame of ``shape`` (height first)."""
        self.crowded = crowded
        self.looks += 1
        self.whole = self.whole or not is_sliver(face.box, shape)
        self.size_px = max(self.size_px, face.size_px)

    @property
    def matters(self) -> bool:
        """It is large enough to be judged, and not a sliver seen once."""
        return self.size_px >= MIN_FACE_PX and (self.whole or self.looks > 1)


def is_sliver(box: NDArray[np.float32], shape: tuple[int, ...]) -> bool:
    """Whether the frame's edge cuts so much off a face that little of it is seen.

    Args:
        box: ``(4,)`` frame pixels, xyxy.
        shape: of the frame: height, width.
    """
    limits = np.array([shape[1], shape[0]], np.float64)
    low, high = np.clip(box[:2], 0, limits), np.clip(box[2:], 0, limits)
    seen, whole = high - low, np.maximum(box[2:] - box[:2], 1e-9)
    if seen.prod() < SLIVER_INSIDE * whole.prod():
        return True
    at_edge = (low <= 1) | (high >= limits - 1)
    return bool((at_edge & (seen < SLIVER_SLIMNESS * seen[::-1])).any())


class LeftOut:
    """Counts the faces of one file that are left out.

    Args:
        min_face_px: smaller faces are.
        max_faces: more at a time are.
    """

    def __init__(self, min_face_px: int, max_faces: int) -> None:
        self._min_face_px = min_face_px
        self._max_faces = max_faces
        self._spans: dict[
            bool, tuple[int, float, float]
        ] = {}  # by crowded: most at once, first and last time
        self._large: dict[bool, int] = {False: 0, True: 0}
        self._narrowest_px = float("inf")

    def look(
        self, faces: Sequence[tuple[Sighting, Face]], shape: tuple[int, ...], time_s: float, *, crowded: bool
    ) -> None:
        """Note who is left out of one frame, for number (``crowded``) or for size."""
        for sighting, face in faces:
            sighting.see(face, shape, crowded=crowded)
        if faces:
            count, start_s, _ = self._spans.get(crowded, (0, time_s, time_s))
            self._spans[crowded] = max(count, len(faces)), start_s, time_s

    def end(self, sighting: Sighting) -> None:
        """A face is gone and was never judged."""
        if sighting.matters:
            self._large[sighting.crowded] += 1
            if not sighting.crowded:
                self._narrowest_px = min(self._narrowest_px, sighting.size_px)

    def skipped(self) -> list[SkippedFaces]:
        """What was left out, in the order in which it began to be."""
        return [self._skipped(crowded) for crowded in self._spans]

    def _skipped(self, crowded: bool) -> SkippedFaces:
        count, start_s, end_s = self._spans[crowded]
        large = min(count, self._large[crowded])
        if crowded:
            reason = f"more than {self._max_faces} at a time (--max-faces)"
            judge_with = f"--max-faces {self._max_faces + count}"
        else:
            reason = f"smaller than {self._min_face_px} px"
            judge_with = f"--min-face {int(self._narrowest_px)}" if large else ""
        return SkippedFaces(reason, count, start_s, end_s, large, judge_with if large else None)
