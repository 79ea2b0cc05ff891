"""Batches of made forgeries and of the corpus' own, in one seeded stream.

A batch holds one sort of pair: made ones have masks of the forged pixels, a corpus' own often have none, and
the losses that need a mask ask per batch. Which sort a batch holds is drawn from its number, so that a
resumed run and every process of a parallel one agree.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from deepscan.detectors.spec import DetectorSpec, Sampling
from deepscan.training.data.framing import Reach, reach_of, within
from deepscan.training.data.prepare import MASKS, Sample
from deepscan.training.data.samples import Batch, ForgedPairs, choose_frames, sampling_odds, usable
from deepscan.training.data.views import Faces, View, clip_affines, cut_degraded, cut_masks, load_faces
from deepscan.training.distributed import ProcessRank
from deepscan.training.synthesis.degradation import Degradation
from deepscan.training.synthesis.masks import hull_mask, picture_box

MASKED = "masked"
"""Key of a batch whose forgeries may lack masks: bool ``(2,)`` per pair."""
SORT, OWN = 1, 2
"""Parts of the seeds that draw a batch's sort and an own pair."""


class OwnPairs:
    """Real samples and a corpus' own forgeries, paired: of the same person where both are there.

    Both show as much around the face as the one that shows less: a portrait that ends at the chin is no
    forgery for that, and beside an ample photograph its black border would say that it is.

    ``degrade`` takes the longer side of the smaller frames, as ``Degradation.draw`` does.
    """

    def __init__(
        self,
        cache: Path,
        samples: Sequence[Sample],
        spec: DetectorSpec,
        *,
        single_frames: bool = False,
        degrade: Callable[[np.random.Generator, int], Degradation],
        augment: bool = True,
    ) -> None:
        self._cache, self._spec, self._single_frames = cache, spec, single_frames
        self._degrade, self._augment = degrade, augment
        there = [sample for sample in samples if usable(sample, spec, single_frames=single_frames)]
        self.real = [sample for sample in there if sample.label == "real"]
        self.fake = [sample for sample in there if sample.label == "fake"]
        self._odds = sampling_odds(self.fake)
        self._by_identity: dict[str, list[Sample]] = {}
        for sample in self.real:
            self._by_identity.setdefault(sample.identity, []).append(sample)

    def __bool__(self) -> bool:
        return bool(self.real and self.fake)

    def pair(self, rng: np.random.Generator, fake: Sample | None = None) -> Batch:
        """One real and one forged clip, as of ``samples.synthesize_pair``, and whether they have masks.

        Args:
            rng: draws samples, frames, degradation and view.
            fake: the forgery; None draws one.
        """
        if fake is None:
            fake = self.fake[int(rng.choice(len(self.fake), p=self._odds))]
        reals = self._by_identity.get(fake.identity, self.real)
        real = reals[int(rng.integers(len(reals)))]
        view = View.draw(rng) if self._augment else View()
        chosen = [self._choose(sample, rng) for sample in (real, fake)]
        shared = self._degrade(rng, min(max(faces.frames.shape[1:3]) for _, faces in chosen))
        seen = np.stack([surroundings(faces) for _, faces in chosen])
        common = np.concatenate([seen[:, :2].max(0), seen[:, 2:].min(0)])
        halves = [
            self._cut(sample, frames, framed(faces, common), shared, view)
            for sample, (frames, faces) in zip((real, fake), chosen, strict=True)
        ]
        return {
            **{name: torch.from_numpy(np.stack([half[name] for half in halves])) for name in halves[0]},
            "label": torch.tensor([0, 1]),
        }

    def _choose(self, sample: Sample, rng: np.random.Generator) -> tuple[NDArray[np.int64], Faces]:
        """Which frames form the clip, and the clip."""
        whole = load_faces(self._cache / sample.folder)
        chosen = choose_frames(len(whole.frames), self._spec, rng, single_frames=self._single_frames)
        return chosen, whole.take(chosen)

    def _cut(
        self, sample: Sample, chosen: NDArray[np.int64], faces: Faces, shared: Degradation, view: View
    ) -> dict[str, NDArray[Any]]:
        folder = self._cache / sample.folder
        size = (faces.frames.shape[1], faces.frames.shape[2])
        affines = clip_affines(faces, self._spec, view)
        hulls = np.stack([hull_mask(points, "face", size) for points in faces.mesh])
        forged, masked = _forged(sample, folder, faces, chosen)
        cut: dict[str, NDArray[Any]] = {
            "pixels": cut_degraded(shared, faces.frames, affines, self._spec, view),
            "forged": cut_masks(forged, affines, self._spec.size_px, view.mirror),
            "face": cut_masks(hulls, affines, self._spec.size_px, view.mirror),
        }
        if self._spec.sampling is Sampling.SINGLE:
            cut = {name: value[0] for name, value in cut.items()}
        return {**cut, MASKED: np.array(masked)}


class MixedPairs(IterableDataset[Batch]):
    """An endless, seeded stream: whole batches of made pairs and whole batches of own ones.

    ``pairs`` in a batch, of which this process takes its part. ``first`` is the number of the first pair.
    """

    def __init__(
        self,
        made: ForgedPairs | None,
        own: OwnPairs,
        *,
        corpus_fraction: float,
        seed: int,
        first: int,
        pairs: int,
        place: ProcessRank,
    ) -> None:
        self._made, self._own, self._seed = made, own, seed
        self._corpus_fraction = corpus_fraction if own else 0.0
        self._first, self._pairs, self._place = first, pairs, place

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        step = worker.num_workers if worker else 1
        mine = self._pairs // self._place.count
        for block in itertools.count(worker.id if worker else 0, step):
            start = self._first + block * self._pairs
            own = self._is_own(start)
            start += self._place.rank * mine
            for number in range(start, start + mine):
                yield self.own_pair(number) if own else self.made_pair(number)

    def made_pair(self, number: int) -> Batch:
        """Made pair ``number`` of the stream."""
        assert self._made is not None
        return self._made.pair(number)

    def own_pair(self, number: int) -> Batch:
        """Own pair ``number`` of the stream."""
        return self._own.pair(np.random.default_rng((self._seed, number, OWN)))

    def _is_own(self, first: int) -> bool:
        if self._made is None:
            return True
        return float(np.random.default_rng((self._seed, first, SORT)).random()) < self._corpus_fraction


class FixedOwnPairs(Dataset[Batch]):
    """Every own forgery of a side once, beside a real clip: the same in every run."""

    def __init__(self, own: OwnPairs, seed: int = 0) -> None:
        self._own, self._seed = own, seed

    def __len__(self) -> int:
        return len(self._own.fake) if self._own else 0

    def __getitem__(self, number: int) -> Batch:
        rng = np.random.default_rng((self._seed, number, OWN))
        return self._own.pair(rng, self._own.fake[number])


def surroundings(faces: Faces) -> Reach:
    """How far the picture of the first frame reaches around its face."""
    rows, columns = picture_box(faces.frames[0])
    return reach_of((columns.start, rows.start, columns.stop, rows.stop), faces.boxes[0])


def framed(faces: Faces, reach: Reach) -> Faces:
    """The same faces, black beyond ``reach`` of the first frame's."""
    rows, columns = within(reach, faces.boxes[0], (faces.frames.shape[1], faces.frames.shape[2]))
    frames = np.zeros_like(faces.frames)
    frames[:, rows, columns] = faces.frames[:, rows, columns]
    return replace(faces, frames=frames)


def _forged(
    sample: Sample, folder: Path, faces: Faces, chosen: NDArray[np.int64]
) -> tuple[NDArray[np.float32], bool]:
    """Mask of the forged pixels ``(T, H, W)`` in [0, 1], and whether it is known, as it is of every real."""
    nothing = np.zeros(faces.frames.shape[:3], np.float32)
    if sample.label == "real":
        return nothing, True
    if not sample.masked:
        return nothing, False
    masks = np.load(folder / MASKS, mmap_mode="r")
    return masks[chosen].astype(np.float32) / 255, True
