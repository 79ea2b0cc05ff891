"""Detector scores -> calibrated probability -> verdict.

A track's probability is computed in logits, in three steps:

1. ``aggregate``: a detector's clips over one track become one logit, their mean. Each clip's logit is
   held to +-``CLIP_LOGIT_LIMIT`` first, so that one saturated clip counts for no more than a few
   doubtful ones. Training fits the calibration on this very function.
2. Calibration, per detector: ``logit / temperature + bias``. Of a face that is narrower than
   ``full_width_px``, or seen in one frame only, the logits count for less, see ``Calibration.at``.
3. Fusion: a weighted sum of the calibrated logits plus a bias. When a detector has no score for a
   track (too few frames, or not run), the weights of those that have one are scaled up towards the
   same total, so that a short track is not pulled towards 0.5; but to 1 at the most, which is what a
   detector says when nobody else does. Detectors of weight 0 (on validation they add nothing to the
   others) are calibrated and reported, but do not count.

A file is as fake as its most suspicious track, and a file with many faces has many chances of a false
alarm. ``weigh_tracks`` takes that out before any verdict, so that a crowd is flagged by mistake no more
often than a portrait.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from deepscan.detectors.spec import Score

Verdict = Literal["fake", "real", "uncertain"]

UNDECIDED = 0.001
"""How far below the threshold of ``fake`` a face stays that is too narrow to be called so."""
CLIP_LOGIT_LIMIT = 7.0  # probability 0.0009 .. 0.9991


@dataclass(frozen=True)
class DetectorCalibration:
    """How one detector's logits become comparable.

    Attributes:
        temperature: above 0.
        bias: added to the logit over the temperature.
        weight: in the fusion; 0 means reported but not counted.
    """

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
    ``full_width_px``: of a face whose logits count in full; 0: at any width. ``still_share``, in (0, 1]: by
    which they count where there is one frame only. ``least_width_px``: below which no face is called fake or
    real; 0: none is too narrow.
    """

    detectors: Mapping[str, DetectorCalibration]
    bias: float
    threshold_fake: float
    threshold_real: float
    full_width_px: float = 0.0
    still_share: float = 1.0
    least_width_px: float = 0.0

    def held(self, probability: float, face_width_px: float, thresholds: tuple[float, float]) -> float:
        """A track's probability, undecided where its face is too narrow for anyone to tell.

        Args:
            probability: of the track.
            face_width_px: of the face, pixels of the source; 0: unknown, taken for wide enough.
            thresholds: fake and real.
        """
        if not 0 < face_width_px < self.least_width_px:
            return probability
        fake, real = thresholds
        return min(max(probability, real), max(real, fake - UNDECIDED))

    def at(self, face_width_px: float, *, still: bool) -> Calibration:
        """The constants for one face.

        A small face is enlarged for the networks and shows them less: their logits count by its share of the
        full width. A single frame is weaker evidence than the mean of many.

        Args:
            face_width_px: of the face, pixels of the source; 0: unknown, taken for wide enough.
            still: it is seen in one frame, as in a photo.
        """
        share = self.still_share if still else 1.0
        if 0 < face_width_px < self.full_width_px:
            share *= face_width_px / self.full_width_px
        if share == 1:
            return self
        weakened = {
            name: replace(one, temperature=one.temperature / share) for name, one in self.detectors.items()
        }
        return replace(self, detectors=weakened, full_width_px=0.0, still_share=1.0)

    def of_person(self, face_widths_px: Sequence[int]) -> Calibration:
        """The constants for one person who is seen in several tracks, of these widths (pixels)."""
        return self.at(math.fsum(face_widths_px) / len(face_widths_px), still=False)

    def thresholds(self, threshold: float | None = None) -> tuple[float, float]:
        """``(threshold_fake, threshold_real)``, where a user's ``threshold`` replaces the first."""
        fake = self.threshold_fake if threshold is None else threshold
        return fake, min(fake, self.threshold_real)


@dataclass(frozen=True)
class DetectorVerdict:
    """One detector's result for one track.

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
    """The ensemble's result for one track; ``probability`` is None when no counted detector has a score.

    ``person``: number of the person that the track shows; None where that is not known. The tracks of a
    person that have a probability have the same one.
    """

    track_id: int
    probability: float | None
    detectors: tuple[DetectorVerdict, ...]
    person: int | None = None


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
    own = [calibration.detectors[name].weight for name in logits]
    present = math.fsum(own)
    if present <= 0:
        return None
    scale = max(1.0, min(total / present, 1 / max(own)))
    weighted = math.fsum(
        calibration.detectors[name].weight * calibration.detectors[name](value)
        for name, value in logits.items()
    )
    return calibration.bias + weighted * scale


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
        calibration: for this face; detectors are listed in its order.
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
    return TrackVerdict(track_id, by_itself(verdicts, calibration), tuple(verdicts))


def by_itself(detectors: Sequence[DetectorVerdict], calibration: Calibration) -> float | None:
    """Probability of a track, or of a person's tracks together, from the detectors' results.

    That is what ``weigh_tracks`` starts from. A detector's clips count alike, whichever track they are of.
    """
    pooled: dict[str, list[float]] = {}
    for d in detectors:
        pooled.setdefault(d.name, []).extend(score.probability for score in d.scores)
    fused = fuse_logits({name: aggregate(own) for name, own in pooled.items() if own}, calibration)
    return None if fused is None else sigmoid(fused)


def weigh_tracks(tracks: Sequence[TrackVerdict]) -> list[TrackVerdict]:
    """The tracks of one file, their probabilities held to what the whole file bears out.

    Tracks of the same person count once; below, a track stands for all of its person's.

    A track's odds are the evidence for a forgery against even odds: over genuine tracks they average 1, and
    so their square roots average less. Both are e-values, and the step-up rule for those (Wang and Ramdas,
    "False discovery rate control with e-values") bounds false alarms per file whatever the number of tracks
    and however they hang together. The roots are taken, because for them the bound bites at the thresholds
    that are in use. Of n tracks, the k-th most suspicious then counts with (k / n) squared of its odds, and
    every track with the best that it or a less suspicious one makes of that. One track alone is left as it
    is, and so are tracks that are all alike; one suspicious face among n needs n squared times the odds.

    A suspicion is lowered to undecided at the most: what looks forged is never called real for company.
    """
    known = [track for track in tracks if track.probability is not None]
    each = {("person", t.person) if t.person is not None else ("track", t.track_id): t for t in known}
    ranked = sorted((track.probability or 0.0 for track in each.values()), reverse=True)
    best = 0.0
    held: dict[float, float] = {}
    for rank in range(len(ranked), 0, -1):
        probability = ranked[rank - 1]
        share = probability * (rank / len(ranked)) ** 2
        best = max(best, share / (share + 1 - probability))
        held[probability] = min(probability, max(0.5, best))
    return [
        track if track.probability is None else replace(track, probability=held[track.probability])
        for track in tracks
    ]


def over_time(
    detectors: Sequence[DetectorVerdict], calibration: Calibration
) -> tuple[tuple[float, float], ...]:
    """The ensemble moment by moment: ``fuse`` of each detector's clip nearest to it.

    Args:
        detectors: their results for one track.
        calibration: of the run that scored it, for this face.

    Returns:
        ``(seconds, probability)`` in time order, one at the middle of every clip of a counted detector.
    """
    own = {d.name: d.scores for d in detectors if d.scores and calibration.detectors[d.name].weight > 0}
    starts = {name: [score.start_s for score in scores] for name, scores in own.items()}
    moments = sorted({(score.start_s + score.end_s) / 2 for scores in own.values() for score in scores})
    line = []
    for moment_s in moments:
        logits = {
            name: logit(_nearest(scores, starts[name], moment_s).probability) for name, scores in own.items()
        }
        fused = fuse_logits(logits, calibration)
        if fused is not None:
            line.append((moment_s, sigmoid(fused)))
    return tuple(line)


def _nearest(scores: Sequence[Score], starts: Sequence[float], moment_s: float) -> Score:
    """The clip that a moment lies in or next to: the last to start before it, or the one after that."""
    place = bisect_right(starts, moment_s)
    around = scores[max(0, place - 1) : place + 1]
    return min(around, key=lambda score: max(score.start_s - moment_s, moment_s - score.end_s))


def verdict(probability: float, threshold_fake: float, threshold_real: float) -> Verdict:
    """``fake`` from ``threshold_fake`` up, ``real`` below ``threshold_real``, else ``uncertain``."""
    if probability >= threshold_fake:
        return "fake"
    return "real" if probability < threshold_real else "uncertain"


def file_verdict(
    probabilities: Sequence[float | None], thresholds: tuple[float, float], *, whole: bool
) -> tuple[Verdict, float | None]:
    """A file's tracks -> its verdict and probability: those of its most suspicious track.

    ``real`` is a claim about everything in the file, so it needs a probability for every track, and a file
    that was read whole and in which nobody was left out; short of that, and with no track at all, the file
    is ``uncertain`` unless flagged.

    Args:
        probabilities: of the tracks; None for a track that no counted detector could score.
        thresholds: fake and real.
        whole: nothing of the file is missing, and no face that matters was left out.
    """
    known = [probability for probability in probabilities if probability is not None]
    if not known:
        return "uncertain", None
    outcome = verdict(max(known), *thresholds)
    whole = whole and len(known) == len(probabilities)
    return ("uncertain" if outcome == "real" and not whole else outcome), max(known)
