"""Cached faces -> the fixed crops that a tuning learns from, each drawn once.

Genuine and forged media go through one draw of faults and jitter. A share of the genuine crops is kept with a
forgery made of that very frame (a self-blend, a swap with somebody of the same fold, a re-enactment): such
pairs stand next to each other and teach seams, which clips of today's generators have none of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deepscan.detectors.gend import SPEC
from deepscan.training.data.prepare import Sample
from deepscan.training.data.views import Faces, View, clip_affines, cut_frames, load_faces, shrunk_affines
from deepscan.training.synthesis.face_swap import Swap, nearest
from deepscan.training.synthesis.masks import hull_mask
from deepscan.training.synthesis.reenactment import Reenactment
from deepscan.training.synthesis.self_blend import Pair, SelfBlend
from deepscan.training.synthesis.visibility import most_visible, trace
from deepscan.training.tuning.faults import Faults

OF_VIDEO, OF_FORGED_PHOTO, OF_PHOTO = 8, 4, 2
"""Crops of each sample."""
PAIRED_VIDEO, PAIRED_PHOTO = 0.45, 0.35
"""Shares of the genuine crops that come with a forgery made of them."""
SELF_BLENDS, SWAPS = 0.55, 0.25
"""Shares of the made forgeries; the others are re-enactments."""
DONORS = 6

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Crop:
    """One crop.

    Attributes:
        sample: what it was cut from.
        pixels: ``(224, 224, 3)`` uint8.
        forged: whether it is, by the sample's generator or by what was made of it here.
        made: it was forged here, of the crop before it.
    """

    sample: Sample
    pixels: Image
    forged: bool
    made: bool = False


class CropDrawer:
    """Draws the crops of a cache's samples; who lends a face for a swap is one of them."""

    def __init__(self, cache: Path, samples: Sequence[Sample], seed: int) -> None:
        self._cache, self._samples, self._seed = cache, samples, seed
        self._genuine = [sample for sample in samples if sample.label == "real"]

    def draw(self) -> Iterator[Crop]:
        """The crops of every sample, in order; the same for the same seed."""
        for number, sample in enumerate(self._samples):
            yield from self._of(sample, np.random.default_rng((self._seed, number)))

    def _of(self, sample: Sample, rng: np.random.Generator) -> Iterator[Crop]:
        whole = load_faces(self._cache / sample.folder)
        photo, forged = sample.kind == "photo", sample.label == "fake"
        count = OF_VIDEO if not photo else OF_FORGED_PHOTO if forged else OF_PHOTO
        for _ in range(count):
            face = whole.take([int(rng.integers(len(whole.frames)))])
            faults, view = Faults.draw(rng), View.draw(rng)
            paired = not forged and rng.random() < (PAIRED_PHOTO if photo else PAIRED_VIDEO)
            if not paired:
                yield Crop(sample, cut(face.frames[0], face, view, faults), forged)
                continue
            pair = self._forged(sample, face, whole, rng)
            yield Crop(sample, cut(pair.real[0], face, view, faults), False)
            yield Crop(sample, cut(pair.fake[0], face, view, faults), True, made=True)

    def _forged(self, sample: Sample, face: Faces, whole: Faces, rng: np.random.Generator) -> Pair:
        """A forgery of a frame that can be seen."""
        kind, draw = self._drawing(sample, face, whole, rng)
        affines = clip_affines(face, SPEC, View())
        size = (face.frames.shape[1], face.frames.shape[2])
        hull = hull_mask(face.mesh[0], "face", size)
        seen = np.asarray(cv2.warpAffine(hull, affines[0], (SPEC.size_px, SPEC.size_px)), np.float32)[None]

        def visible(pair: Pair) -> float:
            real, fake = (cut_frames(part, affines, SPEC.size_px, False) for part in (pair.real, pair.fake))
            return trace(real, fake, seen)

        return most_visible(kind, draw, visible)

    def _drawing(
        self, sample: Sample, face: Faces, whole: Faces, rng: np.random.Generator
    ) -> tuple[str, Callable[[], Pair]]:
        """The kind of a forgery, and what draws one."""
        kind = rng.random()
        donor = self._donor(sample, face, rng) if SELF_BLENDS <= kind < SELF_BLENDS + SWAPS else None
        if donor is not None:
            donated = donor
            return "swap", lambda: Swap.draw(rng).apply(
                face.frames, face.mesh, donated.frames, donated.mesh, rng
            )
        if kind >= SELF_BLENDS + SWAPS and len(whole.frames) > 1:
            moved = whole.mesh[int(rng.integers(len(whole.mesh)))]
            return "reenactment", lambda: Reenactment.draw(rng).apply(
                face.frames, face.mesh, whole.frames, whole.mesh, moved, None
            )
        return "self-blend", lambda: SelfBlend.draw(rng).apply(face.frames, face.mesh, rng)

    def _donor(self, sample: Sample, face: Faces, rng: np.random.Generator) -> Faces | None:
        """A frame of another person of the sample's fold, or of none: nobody crosses folds."""
        drawn = [self._genuine[int(i)] for i in rng.choice(len(self._genuine), DONORS)]
        others = [one for one in drawn if one.identity != sample.identity and one.fold in (sample.fold, None)]
        if not others:
            return None
        faces = [load_faces(self._cache / one.folder) for one in others]
        near = faces[nearest(face.mesh[0], [one.mesh[0] for one in faces])]
        return near.take([int(rng.integers(len(near.frames)))])


def cut(frame: Image, face: Faces, view: View, faults: Faults) -> Image:
    """A frame ``(H, W, 3)`` through its faults, then cut as GenD looks at it: ``(224, 224, 3)``."""
    recorded = faults.apply(np.ascontiguousarray(frame))
    sizes = [(picture.shape[0], picture.shape[1]) for picture in (frame, recorded)]
    affines = shrunk_affines(clip_affines(face, SPEC, view), *sizes)
    return np.asarray(cut_frames(recorded[None], affines, SPEC.size_px, view.mirror)[0], np.uint8)
