"""One detector at work: clips in, probabilities out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deepscan.clips import Clip
from deepscan.detectors.base import DetectorSpec, Sampling, Score
from deepscan.errors import ScoreError
from deepscan.runtime import Session

if TYPE_CHECKING:
    from deepscan.evidence import EvidenceKeeper


class Detector:
    """A specification and the network that goes with it."""

    def __init__(self, spec: DetectorSpec, session: Session) -> None:
        self.spec = spec
        self._session = session

    def score(self, clips: Sequence[Clip], keeper: EvidenceKeeper | None = None) -> list[Score]:
        """One score per clip, in the order given; ``keeper`` is shown every clip with its evidence maps.

        Clips run one at a time: a clip's score then never depends on its neighbours, and memory stays
        that of a single clip.

        Raises:
            ScoreError: the network returned something that is not a probability.
            WeightsError: the network does not take these clips.
        """
        return [self._score(clip, keeper) for clip in clips]

    def _score(self, clip: Clip, keeper: EvidenceKeeper | None) -> Score:
        frames = clip.pixels[0] if self.spec.sampling is Sampling.SINGLE else clip.pixels
        # A model made elsewhere may lack some maps; it still has a score.
        maps = [name for name in self.spec.evidence if keeper and name in self._session.outputs]
        outputs = self._session.run(frames[None], ["probability", *maps])
        output = outputs["probability"]
        start_s, end_s = clip.times_s[0], clip.times_s[-1]
        if output.shape != (1,):
            raise ScoreError(
                f"{self.spec.name}: returned probabilities of shape {output.shape} for one clip, not (1,)."
            )
        probability = float(output[0])
        if not (math.isfinite(probability) and 0 <= probability <= 1):
            raise ScoreError(
                f"{self.spec.name}: returned {probability} for the face of track {clip.track_id} "
                f"at {start_s:.2f} s, which is not a probability; its weights may be damaged."
            )
        score = Score(clip.track_id, start_s, end_s, probability)
        if keeper:
            keeper.offer(self.spec, clip, score, {name: outputs[name][0] for name in maps})
        return score
