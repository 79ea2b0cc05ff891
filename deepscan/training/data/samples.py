"""Cached faces -> pairs of a real sample and a forgery of it, cut as each detector's spec asks.

The forgery is made on the cached square, both go through one draw of the degradation, and both are cut
with the same jittered box, so that nothing but the forgery tells them apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from deepscan.detectors.spec import DetectorSpec, Sampling
from deepscan.errors import UsageError
from deepscan.faces.clips import Affine, crop_affine, cut_square
from deepscan.training.data.prepare import Sample
from deepscan.training.synthesis.degradation import Degradation
from deepscan.training.synthesis.generators import Regenerator, load_generators
from deepscan.training.synthesis.manipulations import (
    MANIPULATIONS,
    Face,
    SynthesisInputs,
    draw_manipulation,
    synthesize,
)
from deepscan.training.synthesis.masks import hull_mask
from deepscan.training.synthesis.self_blend import Pair
from deepscan.training.synthesis.visibility import most_visible, trace

Batch = dict[str, torch.Tensor]
CANDIDATES = 4
"""People of whom the nearest lends a face for a swap."""
DRAWN_DONORS = 0.3
"""Share of them that are the corpus' own forged photos, such as portraits of nobody, where it has any."""


@dataclass(frozen=True)
class Faces:
    """One cached sample: ``frames (T, S, S, 3)`` uint8 and its boxes, points and mesh, pixels."""

    frames: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    points: NDArray[np.float32]
    mesh: NDArray[np.float32]

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> Faces:
        """The frames named by ``indices``, copied into memory."""
        i = np.asarray(indices)
        return Faces(np.ascontiguousarray(self.frames[i]), self.boxes[i], self.points[i], self.mesh[i])


@lru_cache(maxsize=4096)
def load_faces(folder: Path) -> Faces:
    """Open a cached sample; its frames stay on disk until they are used."""
    with np.load(folder / "faces.npz") as arrays:
        geometry = {name: arrays[name] for name in ("boxes", "points", "mesh")}
    return Faces(np.load(folder / "frames.npy", mmap_mode="r"), **geometry)


def usable(sample: Sample, spec: DetectorSpec, *, single_frames: bool) -> bool:
    """Whether ``sample`` can give a clip for ``spec`` (``single_frames``: a single frame of it is enough)."""
    if single_frames or spec.sampling is Sampling.SINGLE:
        return True
    return sample.kind == "window" or (sample.kind == "even" and spec.sampling is Sampling.EVEN)


def choose_frames(
    count: int, spec: DetectorSpec, rng: np.random.Generator, *, single_frames: bool
) -> NDArray[np.int64]:
    """Which of ``count`` cached frames form the clip: ascending indices, ``spec.frames`` of them or one.

    A clip in a row begins at any frame that leaves room for it.
    """
    if single_frames or spec.sampling is Sampling.SINGLE:
        return rng.integers(count, size=1)
    if spec.sampling is not Sampling.EVEN:
        step = 2 if spec.sampling is Sampling.EVERY_SECOND else 1
        room = count - step * spec.frames
        first = int(rng.integers(room + 1)) if room > 0 else 0
        return first + np.arange(0, step * spec.frames, step)
    return np.linspace(0, count - 1, spec.frames).round().astype(np.int64)


@dataclass(frozen=True)
class View:
    """How a pair is cut. One draw for all frames.

    Attributes:
        shift: of the box, in box sizes.
        scale: of the box.
        mirror: left and right change sides.
        turn_deg: of the cut picture about its centre.
        stretch: width against height of the cut picture.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    mirror: bool = False
    turn_deg: float = 0.0
    stretch: float = 1.0

    @staticmethod
    def draw(rng: np.random.Generator) -> View:
        """Boxes differ by a few per cent between face detectors: moved +-4 %, scaled .9-1.12.

        Heads tilt by +-8 degrees and faces are narrower or wider by up to 6 %, so that fewer people look
        like more.
        """
        dx, dy = rng.uniform(-0.04, 0.04, 2)
        return View(
            shift=(float(dx), float(dy)),
            scale=float(rng.uniform(0.9, 1.12)),
            mirror=bool(rng.random() < 0.5),
            turn_deg=float(rng.uniform(-8, 8)),
            stretch=float(np.exp(rng.uniform(-0.06, 0.06))),
        )

    def box(self, box: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(4,)`` xyxy, moved and scaled about its centre."""
        centre, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        centre = centre + np.asarray(self.shift, np.float32) * size
        half = size * self.scale / 2
        return np.concatenate([centre - half, centre + half]).astype(np.float32)

    def turned(self, affine: Affine, size_px: int) -> Affine:
        """``affine`` ``(2, 3)`` to a square of ``size_px``, then turned and stretched about its centre."""
        if self.turn_deg == 0 and self.stretch == 1:
            return affine
        angle, root = np.deg2rad(self.turn_deg), np.sqrt(self.stretch)
        cos, sin = np.cos(angle), np.sin(angle)
        change = np.diag([root, 1 / root]) @ np.array([[cos, sin], [-sin, cos]])
        centre = np.full(2, (size_px - 1) / 2)
        return np.column_stack([change @ affine[:, :2], change @ (affine[:, 2] - centre) + centre])


def clip_affines(faces: Faces, spec: DetectorSpec, view: View) -> list[Affine]:
    """The affine of every frame, as a scan lays it: ``hold_first`` keeps the first frame's."""
    places = list(zip(faces.boxes, faces.points, strict=True))[: 1 if spec.hold_first else None]
    affines = [view.turned(crop_affine(spec, view.box(box), points), spec.size_px) for box, points in places]
    return affines * len(faces.frames) if spec.hold_first else affines


def cut_frames(
    frames: NDArray[np.uint8], affines: Sequence[Affine], size_px: int, mirror: bool
) -> NDArray[np.uint8]:
    """``(T, H, W, 3)`` uint8 to ``(T, size, size, 3)``."""
    clip = np.stack(
        [cut_square(frame, affine, size_px) for frame, affine in zip(frames, affines, strict=True)]
    )
    return mirrored(clip) if mirror else clip


def cut_degraded(
    degradation: Degradation,
    frames: NDArray[np.uint8],
    affines: Sequence[Affine],
    spec: DetectorSpec,
    view: View,
) -> NDArray[np.uint8]:
    """``(T, H, W, 3)`` uint8, degraded, then cut to ``(T, size, size, 3)``."""
    recorded = degradation.record(frames)
    own = shrunk_affines(affines, (frames.shape[1], frames.shape[2]), (recorded.shape[1], recorded.shape[2]))
    return cut_frames(recorded, own, spec.size_px, view.mirror)


def shrunk_affines(affines: Sequence[Affine], size: tuple[int, int], shrunk: tuple[int, int]) -> list[Affine]:
    """Affines from frames of ``size`` (height, width), for the same frames resized to ``shrunk``."""
    zoom = np.array([size[1] / shrunk[1], size[0] / shrunk[0]])
    # pixel centres: frame = zoom * (shrunk + 1/2) - 1/2
    return [
        np.column_stack([affine[:, :2] * zoom, affine[:, :2] @ (zoom / 2 - 0.5) + affine[:, 2]])
        for affine in affines
    ]


def cut_masks(
    masks: NDArray[np.float32], affines: Sequence[Affine], size_px: int, mirror: bool
) -> NDArray[np.float32]:
    """``(T, H, W)`` float32 to ``(T, size, size)``."""
    size = (size_px, size_px)
    cut = [cv2.warpAffine(mask, affine, size) for mask, affine in zip(masks, affines, strict=True)]
    result = np.asarray(cut, np.float32)
    return mirrored(result) if mirror else result


def mirrored(frames: NDArray[Any]) -> NDArray[Any]:
    """``(T, H, W)`` or ``(T, H, W, 3)`` with left and right changed."""
    return np.stack([cv2.flip(frame, 1) for frame in frames])


class DonorPool:
    """The people of one side of the split: who lends a face or a motion, and that side's generators."""

    def __init__(self, cache: Path, samples: Sequence[Sample], generators: Sequence[Regenerator]) -> None:
        self._cache = cache
        self._real = [sample for sample in samples if sample.label == "real"]
        self._drawn = [sample for sample in samples if sample.label == "fake" and sample.kind == "photo"]
        self._generators = list(generators)

    def inputs(self, sample: Sample, clip: Faces, whole: Faces, rng: np.random.Generator) -> SynthesisInputs:
        """What ``clip``, cut from ``whole``, a face of ``sample``, can be forged from."""
        donors = [self._real[int(i)] for i in rng.choice(len(self._real), CANDIDATES)]
        if self._drawn:
            donors = [self._drawn_or(donor, rng) for donor in donors]
        others = [
            self._donated(donor, len(clip.frames), rng)
            for donor in donors
            if donor.identity != sample.identity
        ]
        moments = Face(whole.frames, whole.mesh)
        return SynthesisInputs(Face(clip.frames, clip.mesh), moments, others, self._generators)

    def _drawn_or(self, donor: Sample, rng: np.random.Generator) -> Sample:
        return self._drawn[int(rng.integers(len(self._drawn)))] if rng.random() < DRAWN_DONORS else donor

    def _donated(self, sample: Sample, count: int, rng: np.random.Generator) -> Face:
        faces = load_faces(self._cache / sample.folder)
        start = int(rng.integers(max(1, len(faces.frames) - count + 1)))
        length = max(count, 8)
        return Face(faces.frames[start : start + length], faces.mesh[start : start + length])


def synthesize_pair(
    faces: Faces,
    inputs: SynthesisInputs,
    spec: DetectorSpec,
    rng: np.random.Generator,
    *,
    manipulation: str,
    degradation: Degradation | None = None,
    augment: bool = True,
) -> Batch:
    """One real clip and one forgery of it.

    Args:
        faces: the frames of the clip.
        inputs: the same clip, and what it can be forged from.
        spec: how both are cut.
        rng: of every draw.
        manipulation: of the forgery.
        degradation: what both go through; None draws one.
        augment: jitter the box and mirror by a coin.

    Returns:
        ``pixels (2, T, S, S, 3)`` uint8, ``forged`` and ``face (2, T, S, S)`` float32, ``label (2,)``
        int64; the real clip first. Single-frame specs have no T axis.
    """
    view = View.draw(rng) if augment else View()
    size = (faces.frames.shape[1], faces.frames.shape[2])
    hulls = np.stack([hull_mask(points, "face", size) for points in faces.mesh])
    affines = clip_affines(faces, spec, view)
    unturned = (affines, spec.size_px, False)
    face = cut_masks(hulls, *unturned)

    def seen(pair: Pair) -> float:
        return trace(cut_frames(pair.real, *unturned), cut_frames(pair.fake, *unturned), face)

    pair = most_visible(manipulation, lambda: synthesize(manipulation, inputs, rng), seen)
    shared = degradation or Degradation.draw(rng, still=len(faces.frames) == 1, side_px=max(size))
    forged = cut_masks(pair.mask, affines, spec.size_px, view.mirror)
    face = mirrored(face) if view.mirror else face
    item: dict[str, NDArray[Any]] = {
        "pixels": np.stack(
            [cut_degraded(shared, frames, affines, spec, view) for frames in (pair.real, pair.fake)]
        ),
        "forged": np.stack([np.zeros_like(forged), forged]),
        "face": np.stack([face, face]),
    }
    if spec.sampling is Sampling.SINGLE:
        item = {name: value[:, 0] for name, value in item.items()}
    return {**{name: torch.from_numpy(v) for name, v in item.items()}, "label": torch.tensor([0, 1])}


class ForgedPairs(IterableDataset[Batch]):
    """An endless, seeded stream of pairs from real samples.

    ``seed`` and the number of the first pair fix the stream, so that a resumed run goes on with the
    pairs that it would have seen. ``batch`` pairs in a row come from one worker, as the loader hands them
    out: the stream is the same with any number of workers.
    """

    def __init__(
        self,
        cache: Path,
        samples: Sequence[Sample],
        spec: DetectorSpec,
        *,
        seed: int,
        degradation: Degradation | None = None,
        manipulations: Sequence[str] = (),
        single_frames: bool = False,
        first: int = 0,
        batch: int = 1,
    ) -> None:
        self._cache, self._spec, self._seed, self._single_frames = cache, spec, seed, single_frames
        self._manipulations = tuple(manipulations)
        self._cast = DonorPool(cache, samples, load_generators(cache, "train"))
        self._degradation = degradation
        self._first, self._batch = first, batch
        self._samples = [
            s for s in samples if s.label == "real" and usable(s, spec, single_frames=single_frames)
        ]
        if not self._samples:
            raise UsageError(f"{cache} holds no real training faces that give a clip for {spec.name}.")
        self._odds = sampling_odds(self._samples)

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        step = worker.num_workers if worker else 1
        for block in itertools.count(worker.id if worker else 0, step):
            start = self._first + block * self._batch
            yield from map(self.pair, range(start, start + self._batch))

    def pair(self, number: int) -> Batch:
        """Pair ``number`` of the stream."""
        rng = np.random.default_rng((self._seed, number))
        sample = self._samples[int(rng.choice(len(self._samples), p=self._odds))]
        whole = load_faces(self._cache / sample.folder)
        clip = whole.take(
            choose_frames(len(whole.frames), self._spec, rng, single_frames=self._single_frames)
        )
        inputs = self._cast.inputs(sample, clip, whole, rng)
        manipulation = draw_manipulation(inputs, rng, self._manipulations)
        return synthesize_pair(
            clip, inputs, self._spec, rng, manipulation=manipulation, degradation=self._degradation
        )


class FixedPairs(Dataset[Batch]):
    """The validation pairs: every sample once, the same forgeries and crops in every run.

    The families take turns, so that each is measured on as many pairs as the next. ``generators``: instead of
    the validation side's own.
    """

    def __init__(
        self,
        cache: Path,
        samples: Sequence[Sample],
        spec: DetectorSpec,
        *,
        degradation: Degradation | None = None,
        manipulations: Sequence[str] = (),
        single_frames: bool = False,
        seed: int = 0,
        generators: Sequence[Regenerator] | None = None,
    ) -> None:
        self._cache, self._spec, self._single_frames, self._seed = cache, spec, single_frames, seed
        self._manipulations = tuple(manipulations)
        own = load_generators(cache, "val") if generators is None else generators
        self._cast = DonorPool(cache, samples, own)
        self._degradation = degradation
        self.samples = [
            s for s in samples if s.label == "real" and usable(s, spec, single_frames=single_frames)
        ]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> Batch:
        return self.named(number)[1]

    def named(self, number: int) -> tuple[str, Batch]:
        """Pair ``number`` and the family of its forgery."""
        rng = np.random.default_rng((self._seed, number))
        sample = self.samples[number]
        whole = load_faces(self._cache / sample.folder)
        clip = whole.take(
            choose_frames(len(whole.frames), self._spec, rng, single_frames=self._single_frames)
        )
        inputs = self._cast.inputs(sample, clip, whole, rng)
        possible = [name for name in inputs.manipulations() if name in (self._manipulations or MANIPULATIONS)]
        manipulation = possible[number % len(possible)]
        pair = synthesize_pair(
            clip,
            inputs,
            self._spec,
            rng,
            manipulation=manipulation,
            degradation=self._degradation,
            augment=False,
        )
        return manipulation, pair


def sampling_odds(samples: Sequence[Sample]) -> NDArray[np.float64]:
    """Odds of each sample: half for photos and half for videos, as what is scanned is mostly video.

    Identities count by the square root of their samples, so that nobody dominates.
    """
    counts: dict[str, int] = {}
    for sample in samples:
        counts[sample.identity] = counts.get(sample.identity, 0) + 1
    odds = np.array([counts[sample.identity] ** -0.5 for sample in samples])
    photo = np.array([sample.kind == "photo" for sample in samples], bool)
    for kind in (photo, ~photo):
        odds[kind] /= odds[kind].sum() or 1.0
    result: NDArray[np.float64] = odds / odds.sum()
    return result


def join_pairs(pairs: Sequence[Batch]) -> Batch:
    """Pairs to one batch: ``(pairs * 2, ...)``, real and fake alternating."""
    return {name: torch.cat([pair[name] for pair in pairs]) for name in pairs[0]}
