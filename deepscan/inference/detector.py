"""One detector at work: clips in, probabilities out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepscan.detectors.spec import DetectorSpec, Sampling, Score
from deepscan.errors import ScoreError
from deepscan.faces.clips import Clip
from deepscan.inference.session import Network

EMBEDDING = "embedding"


@dataclass(frozen=True, eq=False)
class ClipOutput:
    """What a network put out for one clip; ``maps``: its evidence by name, without the batch axis.

    ``embedding``: ``(D,)`` float32 of length 1, alike for crops of one person; None where it has none.
    """

    clip: Clip
    score: Score
    maps: Mapping[str, NDArray[Any]]
    embedding: NDArray[np.float32] | None = None


class Detector:
    """A specification and the network that goes with it."""

    def __init__(self, spec: DetectorSpec, network: Network) -> None:
        self.spec = spec
        #: Clips that are worth waiting for before they are scored together.
        self.batch = network.batch
        self.any_length = network.any_length
        self._network = network

    def score(self, clips: Sequence[Clip]) -> list[Score]:
        """The scores of ``run``."""
        return [output.score for output in self.run(clips)]

    def run(self, clips: Sequence[Clip], *, maps: bool = False) -> list[ClipOutput]:
        """One output per clip, in the order given, with the network's evidence maps where they are wanted.

        On a CPU clips run one at a time: a clip's score then never depends on its neighbours, and memory
        stays that of a single clip. A GPU is given as many at once as the network takes.

        Raises:
            ScoreError: the network returned something that is not a probability.
            WeightsError: the network does not take these clips.
        """
        found = []
        for _, group in groupby(clips, key=lambda clip: clip.pixels.shape):
            alike = list(group)
            for first in range(0, len(alike), self.batch):
                found += self._run_batch(alike[first : first + self.batch], maps)
        return found

    def _run_batch(self, clips: Sequence[Clip], with_maps: bool) -> list[ClipOutput]:
        single = self.spec.sampling is Sampling.SINGLE
        pixels = np.stack([clip.pixels[0] if single else clip.pixels for clip in clips])
        # A model made elsewhere may lack some maps; it still has a score.
        maps = [name for name in self.spec.evidence if with_maps and name in self._network.outputs]
        more = [EMBEDDING] if EMBEDDING in self._network.outputs else []
        outputs = self._network.run(pixels, ["probability", *maps, *more])
        shape = outputs["probability"].shape
        if shape != (len(clips),):
            raise ScoreError(
                f"{self.spec.name}: returned probabilities of shape {shape} for {len(clips)} clips, "
                f"not ({len(clips)},)."
            )
        return [
            ClipOutput(
                clip,
                self._score(clip, float(outputs["probability"][place])),
                {name: outputs[name][place] for name in maps},
                np.asarray(outputs[EMBEDDING][place], np.float32) if more else None,
            )
            for place, clip in enumerate(clips)
        ]

    def _score(self, clip: Clip, probability: float) -> Score:
        """The network's score of one clip, checked."""
        start_s, end_s = clip.times_s[0], clip.times_s[-1]
        if not (math.isfinite(probability) and 0 <= probability <= 1):
            raise ScoreError(
                f"{self.spec.name}: returned {probability} for the face of track {clip.track_id} "
                f"at {start_s:.2f} s, which is not a probability; its weights may be damaged."
            )
        return Score(clip.track_id, start_s, end_s, probability)
