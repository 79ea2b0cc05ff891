"""Detector scores -> calibrated probability -> verdict.

Everything happens in logits, in three steps:

1. ``aggregate``: a detector's clips over one track become one logit, their mean. Each clip's logit is
   held to +-``CLIP_LOGIT_LIMIT`` first, so that one saturated clip counts for no more than a few
   doubtful ones. Training fits the calibration on this very function.
2. Calibration, per detector: ``logit / temperature + bias``.
3. Fusion: a weighted sum of the calibrated logits plus a bias. When a detector has no score for a
   track (too few frames, or not asked for), the weights of those that have one are scaled up to the
   same total, so that a short track is not pulled towards 0.5. Detectors of weight 0 (no better than
   chance on validation) are calibrated and reported, but have no say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from deepscan.detectors.base import Score

Verdict = Literal["fake", "real", "uncertain"]

CLIP_LOGIT_LIMIT = 7.0  # probability 0.0009 .. 0.9991


@dataclass(frozen=True)
class DetectorCalibration:
    """How one detector's logits become comparable; ``weight`` 0 means reported but not counted."""

    temperature: float
    bias: float
    weight: float

    def __call__(self, logit: float) -> float:
        """Calibrated logit."""
        return logit / self.temperature + self.bias


@dataclass(frozen=True)
class Calibration:
    """The whole ensemble's constants, fitted on validation clips and kept in the manifest.

    ``threshold_fake`` and ``threshold_real`` are probabilities, ``threshold_real <= threshold_fake``.
    """

    detectors: Mapping[str, DetectorCalibration]
    bias: float
    threshold_fake: float
    threshold_real: float

    def thresholds(self, threshold: float | None = None) -> tuple[float, float]:
        """``(threshold_fake, threshold_real)``, where a user's ``threshold`` replaces the first."""
        fake = self.threshold_fake if threshold is None else threshold
        return fake, min(fake, self.threshold_real)


@dataclass(frozen=True)
class DetectorVerdict:
    """What one detector says of one track.

    Attributes:
        name: key of the detector.
        probability: calibrated, over the whole track, in [0, 1]; None when it has no score.
        scores: every clip's score, in time order, as the network gave it.
        peak: the most suspicious clip; None when it has no score.
        reason: why there is no score; None when there is one.
    """

    name: str
    probability: float | None
    scores: tuple[Score, ...]
    peak: Score | None
    reason: str | None


@dataclass(frozen=True)
class TrackVerdict:
    """What the ensemble says of one track; ``probability`` is None when no counted detector has a score."""

    track_id: int
    probability: float | None
    detectors: tuple[DetectorVerdict, ...]


def logit(probability: float) -> float:
    """``log(p / (1 - p))``, held to +-``CLIP_LOGIT_LIMIT``."""
    if probability <= 0.0:
        return -CLIP_LOGIT_LIMIT
    if probability >= 1.0:
        return CLIP_LOGIT_LIMIT
    value = math.log(probability) - math.log1p(-probability)
    return max(-CLIP_LOGIT_LIMIT, min(CLIP_LOGIT_LIMIT, value))


def sigmoid(value: float) -> float:
    """Probability of a logit; never overflows."""
    if value >= 0:
        return 1 / (1 + math.exp(-value))
    odds = math.exp(value)
    return odds / (1 + odds)


def aggregate(probabilities: Sequence[float]) -> float:
    """One detector's clips over one track -> one logit: the mean of their limited logits.

    Args:
        probabilities: network outputs in [0, 1], at least one, any order.
    """
    if not probabilities:
        raise ValueError("aggregate needs at least one score")
    return math.fsum(logit(p) for p in probabilities) / len(probabilities)


def fuse_logits(logits: Mapping[str, float], calibration: Calibration) -> float | None:
    """Aggregated, uncalibrated logits per detector -> the ensemble's logit.

    Returns:
        None when no detector that counts (weight above 0) is among ``logits``.
    """
    total = math.fsum(entry.weight for entry in calibration.detectors.values())
    present = math.fsum(calibration.detectors[name].weight for name in logits)
    if present <= 0:
        return None
    weighted = math.fsum(
        calibration.detectors[name].weight * calibration.detectors[name](value)
        for name, value in logits.items()
    )
    return calibration.bias + weighted * (total / present)


def fuse(
    track_id: int,
    scores: Mapping[str, Sequence[Score]],
    reasons: Mapping[str, str],
    calibration: Calibration,
) -> TrackVerdict:
    """All scores of one track -> its verdict.

    Args:
        track_id: the track.
        scores: per detector, its clips' scores; a detector that took part and has none is in ``reasons``.
        reasons: per detector without a score, why.
        calibration: from the manifest; detectors are listed in its order.
    """
    logits = {name: aggregate([s.probability for s in own]) for name, own in scores.items() if own}
    verdicts = []
    for name in calibration.detectors:
        if name in logits:
            own = tuple(sorted(scores[name], key=lambda s: (s.start_s, s.end_s)))
            probability = sigmoid(calibration.detectors[name](logits[name]))
            peak = max(own, key=lambda s: s.probability)
            verdicts.append(DetectorVerdict(name, probability, own, peak, None))
        elif name in reasons:
            verdicts.append(DetectorVerdict(name, None, (), None, reasons[name]))
    fused = fuse_logits(logits, calibration)
    return TrackVerdict(track_id, None if fused is None else sigmoid(fused), tuple(verdicts))


def verdict(probability: float, threshold_fake: float, threshold_real: float) -> Verdict:
    """``fake`` from ``threshold_fake`` up, ``real`` below ``threshold_real``, else ``uncertain``."""
    if probability >= threshold_fake:
        return "fake"
    return "real" if probability < threshold_real else "uncertain"


def file_verdict(
    probabilities: Sequence[float | None], thresholds: tuple[float, float], *, whole: bool
) -> tuple[Verdict, float | None]:
    """A file's tracks -> its verdict and probability: those of its most suspicious track.

    ``real`` is a claim about everything in the file, so it needs a probability for every track and a file
    that was read whole; short of that, and with no track at all, the file is ``uncertain`` unless flagged.

    Args:
        probabilities: of the tracks; None for a track that no counted detector could score.
        thresholds: fake and real.
        whole: nothing of the file is missing.
    """
    known = [probability for probability in probabilities if probability is not None]
    if not known:
        return "uncertain", None
    said = verdict(max(known), *thresholds)
    whole = whole and len(known) == len(probabilities)
    return ("uncertain" if said == "real" and not whole else said), max(known)
