"""Cached faces -> pairs of a real sample and a forgery of it, cut as each detector's spec asks.

The forgery is made on the cached square, both go through one draw of the degradation, and both are cut
with the same jittered box, so that nothing but the forgery tells them apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from deepscan.detectors.spec import DetectorSpec, Sampling
from deepscan.errors import UsageError
from deepscan.training.data.prepare import Sample
from deepscan.training.data.views import (
    Faces,
    View,
    clip_affines,
    cut_degraded,
    cut_frames,
    cut_masks,
    load_faces,
    mirrored,
)
from deepscan.training.synthesis.degradation import Degradation
from deepscan.training.synthesis.generators import Regenerator, load_generators
from deepscan.training.synthesis.manipulations import (
    MANIPULATIONS,
    FaceClip,
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
        moments = FaceClip(whole.frames, whole.mesh)
        return SynthesisInputs(FaceClip(clip.frames, clip.mesh), moments, others, self._generators)

    def _drawn_or(self, donor: Sample, rng: np.random.Generator) -> Sample:
        return self._drawn[int(rng.integers(len(self._drawn)))] if rng.random() < DRAWN_DONORS else donor

    def _donated(self, sample: Sample, count: int, rng: np.random.Generator) -> FaceClip:
        faces = load_faces(self._cache / sample.folder)
        start = int(rng.integers(max(1, len(faces.frames) - count + 1)))
        length = max(count, 8)
        return FaceClip(faces.frames[start : start + length], faces.mesh[start : start + length])


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
        self._donors = DonorPool(cache, samples, load_generators(cache, "train"))
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
        inputs = self._donors.inputs(sample, clip, whole, rng)
        manipulation = draw_manipulation(inputs, rng, self._manipulations)
        return synthesize_pair(
            clip, inputs, self._spec, rng, manipulation=manipulation, degradation=self._degradation
        )


class FixedPairs(Dataset[Batch]):
    """The validation pairs: every sample once, the same forgeries and crops in every run.

    The manipulation types take turns, so that each is measured on as many pairs as the next.
    ``generators``: instead of the validation side's own.
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
        self._donors = DonorPool(cache, samples, own)
        self._degradation = degradation
        self.samples = [
            s for s in samples if s.label == "real" and usable(s, spec, single_frames=single_frames)
        ]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> Batch:
        return self.named(number)[1]

    def named(self, number: int) -> tuple[str, Batch]:
        """Pair ``number`` and the manipulation type of its forgery."""
        rng = np.random.default_rng((self._seed, number))
        sample = self.samples[number]
        whole = load_faces(self._cache / sample.folder)
        clip = whole.take(
            choose_frames(len(whole.frames), self._spec, rng, single_frames=self._single_frames)
        )
        inputs = self._donors.inputs(sample, clip, whole, rng)
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
