"""Which crops make a batch: both classes alike in number and in their mix of photos and videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepscan.errors import UsageError
from deepscan.training.data.prepare import Sample

PHOTOS = 0.3
"""Share of photos in either class."""
EVENNESS = 0.75
"""A generator, or a source, with n crops counts as n to one minus this."""

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class CropKind:
    """What a batch asks of one crop: its sample, whether it is forged, and whether it was forged here."""

    sample: Sample
    forged: bool
    made: bool


@dataclass(frozen=True)
class _Urn:
    indices: Indices
    odds: NDArray[np.float64]

    def draw(self, count: int, rng: np.random.Generator) -> list[int]:
        return [int(i) for i in rng.choice(self.indices, count, p=self.odds)]


class Batches:
    """Draws batches: half genuine, half forged; some of the forged ones made of genuine ones beside them."""

    def __init__(self, kinds: Sequence[CropKind], *, size: int, made: int) -> None:
        """Sort the crops.

        Args:
            kinds: of every crop, a made one right after what it was made of.
            size: crops in a batch, an even number.
            made: made forgeries in a batch, each beside its original.

        Raises:
            UsageError: there is no genuine crop, or no forged one.
        """
        self._half, self._made = size // 2, made
        self._forged = self._urn(kinds, lambda k: k.forged and not k.made, lambda k: k.sample.generator)
        self._genuine = self._urn(kinds, lambda k: not k.forged, lambda k: k.sample.source)
        self._pairs = self._urn(kinds, lambda k: k.made, lambda k: k.sample.source)

    def draw(self, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        """Crops of a batch and their labels, 1 = forged."""
        made = self._pairs.draw(self._made, rng)
        forged = self._forged.draw(self._half - self._made, rng) + made
        genuine = [number - 1 for number in made] + self._genuine.draw(self._half - self._made, rng)
        return forged + genuine, [1] * self._half + [0] * self._half

    @staticmethod
    def _urn(
        kinds: Sequence[CropKind], chosen: Callable[[CropKind], bool], group: Callable[[CropKind], str]
    ) -> _Urn:
        indices = [i for i, kind in enumerate(kinds) if chosen(kind)]
        if not indices:
            raise UsageError("tuning needs genuine and forged faces, and one of the two is missing.")
        groups = Counter(group(kinds[i]) for i in indices)
        odds = np.array([groups[group(kinds[i])] ** -EVENNESS for i in indices])
        photo = np.array([kinds[i].sample.kind == "photo" for i in indices], bool)
        if photo.any() and not photo.all():
            odds[photo] *= PHOTOS / odds[photo].sum()
            odds[~photo] *= (1 - PHOTOS) / odds[~photo].sum()
        return _Urn(np.array(indices), odds / odds.sum())
