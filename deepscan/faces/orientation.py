"""Which way up the faces of a file lie: on their side, on their head, at a slant.

The face model was made for upright faces. It finds turned ones as well, but with boxes and points that
lie beside them, so a turned face is looked for again in a picture that was turned until the face stands.
``misfit`` computes from a face's five points how well it stands there.

A file is looked at upright. Where a face is in doubt there, or none is found, the other three quarter turns
are looked at, too; from then on the file is looked at in the turns that its faces stood in, one look each.
A face that stands aslant by more than ``LEVEL_DEG`` in its best quarter turn gets a turn of its own. A face
that stays in doubt whichever way it is turned (a profile, a blurred one) keeps the turn it was found in and
is not searched again for ``PATIENCE`` looks. So an upright file costs a search or two, not four looks at
every frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from deepscan.faces.detector import Face, FaceEngine, iou

QUARTERS = (0.0, 90.0, 180.0, 270.0)
LEVEL_DEG = 25.0
"""Heads tilt by this much of their own accord (of 180 people none by more), and are cut as they are."""
DOUBTFUL = 0.35
"""Misfit: 13 % of upright faces have more (of the same 180), and all but 1 % of faces on side or head."""
STANDS = 0.7
"""Misfit: no face is turned into a stand worse than this."""
BETTER = 0.15
"""By how much less a face must misfit to be turned: none of those 180 is turned for nothing."""
PATIENCE = 16
"""Looks until a face that stayed in doubt is searched again, and the longest wait between two searches."""
WAIT_AFTER_CUT = 3
SAME_PLACE_IOU = 0.3
# A face that lies aslant by about 45 degrees shows its angle to within 10; a second look mends that.
SLANTS = 2
SLANT_STEP_DEG = 5.0

USUAL_WIDTH_TO_HEIGHT = 0.8
ROLL_OF_ONE_DEG = 60.0
LEAST_SURE = 4.0

_UPRIGHT = {90.0: cv2.ROTATE_90_COUNTERCLOCKWISE, 180.0: cv2.ROTATE_180, 270.0: cv2.ROTATE_90_CLOCKWISE}
# Eyes, nose and mouth corners of an upright face seen from the front, x + iy: InsightFace's template.
_TEMPLATE = np.array([38.29 + 51.7j, 73.53 + 51.5j, 56.03 + 71.74j, 41.55 + 92.37j, 70.73 + 92.2j])
_FRONT = (_TEMPLATE - _TEMPLATE.mean()) / np.std(_TEMPLATE)


def roll_and_strain(face: Face) -> tuple[float, float]:
    """How the five points lie, in the turn that the face was found in.

    Returns:
        Roll: degrees clockwise that the points are turned, in [-180, 180]. Strain: root mean square distance
        from a front view so turned, in units of the view's own size; 0.1 is usual, 0.5 a profile.
    """
    points = face.points.astype(np.float64) @ np.array([1, 1j])
    points = points - points.mean()
    laid = np.vdot(_FRONT, points) / len(_FRONT)  # size and turn of the front view that comes nearest
    off = float(np.sqrt((np.abs(points - laid * _FRONT) ** 2).mean()))
    roll = float(np.degrees(np.angle(laid))) - face.turn_deg
    return (roll + 180) % 360 - 180, off / max(float(np.abs(laid)), 1e-9)


def misfit(face: Face, least_confidence: float) -> float:
    """How badly a face stands in the turn it was found in; 0.2 is usual for one that stands.

    The sum of what speaks against it: strained points (up to 1), their roll (1 for every 60 degrees), want of
    confidence (4 at ``least_confidence``) and a box that is wider than that of a standing face.
    """
    roll, strain = roll_and_strain(face)
    unsure = LEAST_SURE * (1 - face.confidence) / (1 - least_confidence)
    wide = max(0.0, face.width_px / max(face.height_px, 1e-9) - USUAL_WIDTH_TO_HEIGHT)
    return min(strain, 1.0) + abs(roll) / ROLL_OF_ONE_DEG + unsure + wide


def stood(rgb: NDArray[np.uint8], turn_deg: float) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A picture turned so that what is turned by ``turn_deg`` in it stands.

    Args:
        rgb: ``(H, W, 3)`` uint8.
        turn_deg: degrees clockwise.

    Returns:
        The turned picture, none of it cut off, black around it; and the ``(2, 3)`` affine from pixels of
        ``rgb`` to its pixels. Quarter turns move pixels and change none.
    """
    h, w = rgb.shape[:2]
    angle = np.deg2rad(turn_deg)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    reach = np.abs(turn) @ np.array([w, h])
    size = np.ceil(reach - 1e-6).astype(int)
    shift = (size - 1) / 2 - turn @ (np.array([w, h]) - 1) / 2
    affine = np.column_stack([turn, shift])
    if turn_deg in _UPRIGHT:
        return np.asarray(cv2.rotate(rgb, _UPRIGHT[turn_deg]), np.uint8), affine
    turned = cv2.warpAffine(rgb, affine, (int(size[0]), int(size[1])), flags=cv2.INTER_LINEAR)
    return np.asarray(turned, np.uint8), affine


class Looks:
    """Finds the faces of one file, frame by frame, whichever way up they lie.

    Args:
        engine: finds upright faces.
        min_face_px: smaller faces are found, and not worth a search.
        confidence: faces below it are left out.
    """

    def __init__(self, engine: FaceEngine, *, min_face_px: float, confidence: float) -> None:
        self._engine = engine
        self._min_face_px = min_face_px
        self._confidence = confidence
        self._turns: tuple[float, ...] = (0.0,)
        self._settled: list[Face] = []  # in doubt, however turned
        self._since_search = PATIENCE
        self._wait = 0

    def detect(self, rgb: NDArray[np.uint8]) -> list[Face]:
        """Every face in one frame, most confident first.

        Args:
            rgb: ``(H, W, 3)`` uint8.
        """
        looks = _Turns(self._engine, rgb, self._confidence)
        found = looks.at(self._turns[0])
        if len(self._turns) > 1:
            found = _surest_first(self._best(face for turn in self._turns for face in looks.at(turn)))
        self._since_search += 1
        searched = self._in_doubt(found)
        if searched:
            found = self._search(looks, found)
        doubtful = [face for face in found if self._misfit(face) > DOUBTFUL]
        self._settled = [face for face in doubtful if searched or _any_at(face, self._settled)]
        return found

    def cut(self) -> None:
        """Another shot begins: its faces may lie otherwise."""
        self._settled = []
        self._wait = min(self._wait, WAIT_AFTER_CUT)
        self._turns = self._turns[:1]

    def _in_doubt(self, found: Sequence[Face]) -> bool:
        """Whether this frame is to be looked at in all turns."""
        if self._since_search <= self._wait:
            return False
        judged = [face for face in found if self._counts(face)]
        doubtful = [face for face in judged if self._misfit(face) > DOUBTFUL]
        strange = any(not _any_at(face, self._settled) for face in doubtful)
        return strange or not judged or (bool(doubtful) and self._since_search > PATIENCE)

    def _search(self, looks: _Turns, found: list[Face]) -> list[Face]:
        """Look in all turns; go on in those in which faces stand. Each search in vain makes the next wait."""
        turns = dict.fromkeys((*self._turns, *QUARTERS))
        best = [
            self._without_slant(looks, face) for face in self._best(f for t in turns for f in looks.at(t))
        ]
        stand = [f for f in best if f.turn_deg in self._turns or self._misfit(f) <= STANDS]
        best = [*stand, *(face for face in found if not _any_at(face, stand))]
        needed = tuple(sorted({face.turn_deg for face in best if self._counts(face)}))
        self._since_search = 0
        if not needed or needed == self._turns:
            self._wait = min(PATIENCE, 2 * self._wait + 1)
            return found
        self._wait, self._turns = 0, needed
        return _surest_first(best)

    def _without_slant(self, looks: _Turns, face: Face) -> Face:
        """The same face in a turn of its own, if it is aslant where it was found and stands better there."""
        for _ in range(SLANTS):
            roll, _strain = roll_and_strain(face)
            if not self._counts(face) or abs(roll) <= LEVEL_DEG:
                break
            slant = round((face.turn_deg + roll) / SLANT_STEP_DEG) * SLANT_STEP_DEG % 360
            here = [other for other in looks.at(slant) if _any_at(other, [face])]
            best = min(here, key=self._misfit, default=face)
            if self._misfit(best) + BETTER > self._misfit(face):
                break
            face = best
        return face

    def _best(self, faces: Iterable[Face]) -> list[Face]:
        """Of faces that several turns show at one place, the one that stands best.

        Those in the turns in use come first, unless another is better by ``BETTER``.
        """
        kept: list[Face] = []
        for face in sorted(faces, key=lambda f: self._misfit(f) + BETTER * (f.turn_deg not in self._turns)):
            if not _any_at(face, [other for other in kept if other.turn_deg != face.turn_deg]):
                kept.append(face)
        return kept

    def _counts(self, face: Face) -> bool:
        return face.confidence >= self._engine.confidence and face.size_px >= self._min_face_px

    def _misfit(self, face: Face) -> float:
        return misfit(face, self._engine.confidence)


class _Turns:
    """One frame, looked at in any turn, in none twice."""

    def __init__(self, engine: FaceEngine, rgb: NDArray[np.uint8], confidence: float) -> None:
        self._engine = engine
        self._rgb = rgb
        self._confidence = confidence
        self._seen: dict[float, list[Face]] = {}

    def at(self, turn_deg: float) -> list[Face]:
        """The faces that are found in one turn, where they lie in the frame."""
        if turn_deg not in self._seen:
            self._seen[turn_deg] = self._look(turn_deg)
        return self._seen[turn_deg]

    def _look(self, turn_deg: float) -> list[Face]:
        if turn_deg == 0:
            return self._engine.detect(self._rgb, confidence=self._confidence)
        picture, affine = stood(self._rgb, turn_deg)
        faces = self._engine.detect(picture, confidence=self._confidence)
        return [_laid_back(face, affine, turn_deg) for face in faces]


def _surest_first(faces: Iterable[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: -face.confidence)


def _any_at(face: Face, others: Sequence[Face]) -> bool:
    """Whether one of the others is at the same place."""
    if not others:
        return False
    return bool(iou(face.box[None], np.stack([other.box for other in others])).max() > SAME_PLACE_IOU)


def _laid_back(face: Face, affine: NDArray[np.float64], turn_deg: float) -> Face:
    """A face that was found in a turned picture, in the frame; ``affine`` as ``stood`` gives it."""
    back = affine[:, :2].T  # of a rotation
    centre = back @ ((face.box[:2] + face.box[2:]) / 2 - affine[:, 2])
    size = face.box[2:] - face.box[:2]
    laid = replace(face, points=((face.points - affine[:, 2]) @ back.T).astype(np.float32), turn_deg=turn_deg)
    half = (size[::-1] if laid.sideways else size) / 2
    return replace(laid, box=np.concatenate([centre - half, centre + half]).astype(np.float32))
