"""One detector at work: clips in, probabilities out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepscan.clips import Clip
from deepscan.detectors.base import DetectorSpec, Sampling, Score
from deepscan.errors import ScoreError
from deepscan.runtime import Network

if TYPE_CHECKING:
    from deepscan.evidence import EvidenceKeeper


class Detector:
    """A specification and the network that goes with it."""

    def __init__(self, spec: DetectorSpec, network: Network) -> None:
        self.spec = spec
        #: Clips that are worth waiting for before they are scored together.
        self.batch = network.batch
        self._network = network

    def score(self, clips: Sequence[Clip], keeper: EvidenceKeeper | None = None) -> list[Score]:
        """One score per clip, in the order given; ``keeper`` is shown every clip with its evidence maps.

        On a CPU clips run one at a time: a clip's score then never depends on its neighbours, and memory
        stays that of a single clip. A GPU is given as many at once as the network takes.

        Raises:
            ScoreError: the network returned something that is not a probability.
            WeightsError: the network does not take these clips.
        """
        scores = []
        for first in range(0, len(clips), self.batch):
            scores += self._score(clips[first : first + self.batch], keeper)
        return scores

    def _score(self, clips: Sequence[Clip], keeper: EvidenceKeeper | None) -> list[Score]:
        single = self.spec.sampling is Sampling.SINGLE
        pixels = np.stack([clip.pixels[0] if single else clip.pixels for clip in clips])
        # A model made elsewhere may lack some maps; it still has a score.
        maps = [name for name in self.spec.evidence if keeper and name in self._network.outputs]
        outputs = self._network.run(pixels, ["probability", *maps])
        shape = outputs["probability"].shape
        if shape != (len(clips),):
            raise ScoreError(
                f"{self.spec.name}: returned probabilities of shape {shape} for {len(clips)} clips, "
                f"not ({len(clips)},)."
            )
        return [
            self._read(clip, {name: values[place] for name, values in outputs.items()}, maps, keeper)
            for place, clip in enumerate(clips)
        ]

    def _read(
        self,
        clip: Clip,
        outputs: Mapping[str, NDArray[Any]],
        maps: Sequence[str],
        keeper: EvidenceKeeper | None,
    ) -> Score:
        """What the network said of one clip, checked."""
        start_s, end_s = clip.times_s[0], clip.times_s[-1]
        probability = float(outputs["probability"])
        if not (math.isfinite(probability) and 0 <= probability <= 1):
            raise ScoreError(
                f"{self.spec.name}: returned {probability} for the face of track {clip.track_id} "
                f"at {start_s:.2f} s, which is not a probability; its weights may be damaged."
            )
        score = Score(clip.track_id, start_s, end_s, probability)
        if keeper:
            keeper.offer(self.spec, clip, score, {name: outputs[name] for name in maps})
        return score
