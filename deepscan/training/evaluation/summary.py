"""Figures of a validation run, by detector, source and forger, with intervals over identities.

Two levels are told apart: a *file* has one score per detector, over its largest face's track; a *frame* is
what a detector says in one go, a single frame or a short clip of them.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from deepscan.ensemble import Calibration, fuse_logits, logit, sigmoid, verdict
from deepscan.training.evaluation.calibration import Fit
from deepscan.training.evaluation.metrics import (
    Labels,
    Scores,
    accuracy,
    auc,
    bootstrap_interval,
    calibration_error_at_even_odds,
    calibration_error_by_chance,
    equal_error_rate,
    false_positive_rate,
    true_positive_rate,
    true_positive_rate_at,
)
from deepscan.training.evaluation.paper_results import Comparison, compare
from deepscan.training.evaluation.scoring import ScoredFile

Figures = dict[str, float]
ENSEMBLE = "ensemble"
FILE_FIGURES: Mapping[str, Callable[[Labels, Scores], float]] = {
    "auc": auc,
    "accuracy": accuracy,
    "eer": equal_error_rate,
    "tpr_at_1_fpr": true_positive_rate_at,
    "ece": calibration_error_at_even_odds,
}
AUC_ALONE: Mapping[str, Callable[[Labels, Scores], float]] = {"auc": auc}
WIDTHS_PX = (64, 96, 128, 192)
"""Where widths of faces are told apart."""
FRAME_ROUNDS = 200
"""Bootstrap rounds of frame figures: a corpus has a hundred times more frames than files."""


@dataclass(frozen=True)
class Judged:
    """Calibrated probabilities of one detector, or of the ensemble, on the samples that it scored.

    ``labels``, ``scores`` and ``identities`` are ``(N,)``; labels are 1 for forged.
    """

    labels: Labels
    scores: Scores
    identities: NDArray[np.str_]

    def figures(
        self, wanted: Mapping[str, Callable[[Labels, Scores], float]] = FILE_FIGURES, *, rounds: int = 1000
    ) -> Figures:
        """Each figure with ``_low`` and ``_high`` (95 %, bootstrap over identities), and the counts."""
        found: Figures = {}
        for name, figure in wanted.items():
            low, high = bootstrap_interval(self.labels, self.scores, self.identities, figure, rounds=rounds)
            found |= {
                name: round(figure(self.labels, self.scores), 4),
                f"{name}_low": round(low, 4),
                f"{name}_high": round(high, 4),
            }
        return {**found, "real": int((self.labels == 0).sum()), "fake": int((self.labels == 1).sum())}


@dataclass(frozen=True)
class Evaluation:
    """What ``deepscan evaluate`` reports.

    Attributes:
        groups: file figures per detector and of the ensemble.
        frames: frame figures, likewise.
        sources: AUC per source and detector; a class that a source lacks is taken from all others.
        forgers: AUC per forger and detector, each against all real files.
        manipulations: likewise per type of manipulation, of videos and of photos apart; empty where no file
            has one.
        widths: likewise per width of the face.
        shuffled: per temporal detector, its AUC with frames in order and in random order; empty without.
        published: the papers' figures beside those measured, where the corpus is one of theirs.
        verdicts: how many real and forged files were called what.
        thresholds: fake and real.
    """

    groups: dict[str, Figures]
    frames: dict[str, Figures]
    sources: dict[str, dict[str, Figures]]
    forgers: dict[str, dict[str, Figures]]
    manipulations: dict[str, dict[str, Figures]]
    widths: dict[str, dict[str, Figures]]
    shuffled: dict[str, Figures]
    published: tuple[Comparison, ...]
    verdicts: dict[str, int]
    thresholds: dict[str, float] = field(default_factory=dict)


def evaluation(
    files: Sequence[ScoredFile], calibration: Calibration, thresholds: tuple[float, float]
) -> Evaluation:
    """Everything that ``deepscan evaluate`` reports.

    Args:
        files: scanned, labelled files.
        calibration: of the weights that they were scanned with.
        thresholds: fake and real, of the scan.
    """
    return Evaluation(
        groups={name: judged.figures() for name, judged in by_detector(files, calibration).items()},
        frames={
            name: judged.figures(rounds=FRAME_ROUNDS)
            for name, judged in frames_by_detector(files, calibration).items()
        },
        sources={
            source: _aucs(_against_all(files, source), calibration)
            for source in sorted({file.source for file in files})
        },
        forgers={
            kind: _aucs([file for file in files if file.label == 0 or file.kind == kind], calibration)
            for kind in sorted({file.kind for file in files if file.label == 1})
        },
        manipulations=manipulation_figures(files, calibration),
        widths=width_figures(files, calibration),
        shuffled=shuffled_figures(files),
        published=compare(files, calibration),
        verdicts=count_verdicts(files, thresholds),
        thresholds={"fake": thresholds[0], "real": thresholds[1]},
    )


def manipulation_figures(
    files: Sequence[ScoredFile], calibration: Calibration
) -> dict[str, dict[str, Figures]]:
    """AUC per type of manipulation and detector, videos against genuine videos and photos against photos."""
    found = {}
    for still, medium in ((False, "videos"), (True, "photos")):
        own = [file for file in files if file.logits and file.still is still]
        genuine = [file for file in own if file.label == 0]
        forged = [file for file in own if file.label == 1 and file.manipulation]
        for manipulation in sorted({file.manipulation for file in forged}):
            chosen = [file for file in forged if file.manipulation == manipulation]
            found[f"{manipulation}, {medium}"] = _aucs([*genuine, *chosen], calibration)
    return found


def width_figures(files: Sequence[ScoredFile], calibration: Calibration) -> dict[str, dict[str, Figures]]:
    """AUC per width of the face and detector."""
    known = [file for file in files if file.face_width_px]
    found = {}
    for low, high in itertools.pairwise((0, *WIDTHS_PX, sys.maxsize)):
        there = [file for file in known if low <= file.face_width_px < high]
        if len({file.label for file in there}) == 2:
            found[f"from {low} px" if high == sys.maxsize else f"{low} to {high - 1} px"] = _aucs(
                there, calibration
            )
    return found


def by_detector(files: Sequence[ScoredFile], calibration: Calibration) -> dict[str, Judged]:
    """Per detector and for the ensemble, the files that it scored, with calibrated probabilities."""
    found = {}
    for name in sorted({name for file in files for name in file.logits}):
        seen = [file for file in files if name in file.logits]
        found[name] = _judged(seen, [calibrated(name, file.logits[name], file, calibration) for file in seen])
    seen = [file for file in files if file.probability is not None]
    found[ENSEMBLE] = _judged(seen, [file.probability or 0.0 for file in seen])
    return found


def frames_by_detector(files: Sequence[ScoredFile], calibration: Calibration) -> dict[str, Judged]:
    """Per detector and for the ensemble, every frame or clip of every file, with its file's label."""
    found = {}
    for name in sorted({name for file in files for name in file.clips}):
        owners = [file for file in files for _ in file.clips.get(name, ())]
        scores = [
            calibrated(name, logit(probability), file, calibration)
            for file in files
            for _, _, probability in file.clips.get(name, ())
        ]
        found[name] = _judged(owners, scores)
    if found:
        moments = [(file, p) for file in files for p in ensemble_moments(file, calibration)]
        found[ENSEMBLE] = _judged([file for file, _ in moments], [p for _, p in moments])
    return found


def ensemble_moments(file: ScoredFile, calibration: Calibration) -> list[float]:
    """The ensemble's probability at every moment at which its busiest detector speaks.

    Every detector is heard with the clip whose middle is nearest to that moment.
    """
    calibration = calibration.at(file.face_width_px, still=file.still)
    counted = {name: c for name, c in file.clips.items() if c and name in calibration.detectors}
    if not counted:
        return []
    middles = {name: [(start + end) / 2 for start, end, _ in clips] for name, clips in counted.items()}
    found = []
    for moment in max(middles.values(), key=len):
        logits = {
            name: logit(clips[int(np.argmin(np.abs(np.array(middles[name]) - moment)))][2])
            for name, clips in counted.items()
        }
        fused = fuse_logits(logits, calibration)
        if fused is not None:
            found.append(sigmoid(fused))
    return found


def calibrated(name: str, value: float, file: ScoredFile, calibration: Calibration) -> float:
    """Probability of one detector's logit of a file's largest face.

    Uncalibrated where the calibration does not know the detector.
    """
    entry = calibration.at(file.face_width_px, still=file.still).detectors.get(name)
    return sigmoid(value if entry is None else entry(value))


def shuffled_figures(files: Sequence[ScoredFile]) -> dict[str, Figures]:
    """Per temporal detector ``auc``, ``auc_shuffled`` and ``difference`` with its interval."""
    found = {}
    for name in sorted({name for file in files for name in file.shuffled}):
        seen = [file for file in files if name in file.shuffled and name in file.logits]
        labels = np.array([file.label for file in seen])
        plain = np.array([file.logits[name] for file in seen])
        mixed = np.array([file.shuffled[name] for file in seen])
        identities = np.array([file.identity for file in seen])
        places = np.arange(len(seen), dtype=np.float64)

        def difference(drawn: Labels, where: Scores, plain: Scores = plain, mixed: Scores = mixed) -> float:
            chosen = where.astype(int)
            return auc(drawn, plain[chosen]) - auc(drawn, mixed[chosen])

        low, high = bootstrap_interval(labels, places, identities, difference)
        found[name] = {
            "auc": round(auc(labels, plain), 4),
            "auc_shuffled": round(auc(labels, mixed), 4),
            "difference": round(difference(labels, places), 4),
            "difference_low": round(low, 4),
            "difference_high": round(high, 4),
            "score_change": round(float(np.abs(_probabilities(plain) - _probabilities(mixed)).mean()), 4),
        }
    return found


def count_verdicts(files: Sequence[ScoredFile], thresholds: tuple[float, float]) -> dict[str, int]:
    """``"real files called fake"`` and the like, each with its count."""
    verdicts: dict[str, int] = {}
    for file in files:
        if file.probability is None:
            outcome = f"without a score ({file.status})"
        else:
            outcome = f"called {verdict(file.probability, *thresholds)}"
        key = f"{'fake' if file.label else 'real'} files {outcome}"
        verdicts[key] = verdicts.get(key, 0) + 1
    return verdicts


def worst(files: Sequence[ScoredFile], count: int) -> list[ScoredFile]:
    """The ``count`` real files of the highest probabilities, then the forged ones of the lowest."""
    seen = sorted((file for file in files if file.probability is not None), key=lambda f: f.probability or 0)
    real, forged = ([file for file in seen if file.label == label] for label in (0, 1))
    return real[::-1][:count] + forged[:count]


def auc_with_interval(files: Sequence[ScoredFile], scores: Scores) -> Figures:
    """``auc``, ``auc_low``, ``auc_high`` (95 %, bootstrap over identities), and both classes' counts."""
    return _judged(files, scores.tolist()).figures(AUC_ALONE)


def detector_figures(files: Sequence[ScoredFile]) -> dict[str, Figures]:
    """AUC per detector, on the files it scored: on the videos, where there are some."""
    files = [file for file in files if not file.still] or files
    names = sorted({name for file in files for name in file.logits})
    found = {}
    for name in names:
        seen = [file for file in files if name in file.logits]
        found[name] = auc_with_interval(seen, np.array([file.logits[name] for file in seen]))
    return found


def fusion_figures(fitted: Fit) -> Figures:
    """Of the ensemble, cross-validated over identities, at the shipped thresholds.

    ``ece_by_chance`` and ``ece_by_chance_high``: what ``ece`` would be on these files, on average and in
    nineteen of twenty cases at the most, if the ensemble were calibrated perfectly. Where there are videos
    and photos, the figures are of the videos, and those of the photos are beside them as ``photo_...``.
    """
    videos, photos = apart(fitted)
    if not videos.files:
        return _fusion_figures(photos)
    figures = _fusion_figures(videos)
    if photos.files:
        figures |= {f"photo_{name}": value for name, value in _fusion_figures(photos).items()}
    return figures


def apart(fitted: Fit) -> tuple[Fit, Fit]:
    """The same for the files with several frames, and for those with one."""
    still = np.array([file.still for file in fitted.files], bool)
    parts = [
        replace(
            fitted,
            files=tuple(file for file, chosen in zip(fitted.files, part, strict=True) if chosen),
            probabilities=fitted.probabilities[part],
        )
        for part in (~still, still)
    ]
    return parts[0], parts[1]


def _fusion_figures(fitted: Fit) -> Figures:
    labels = np.array([file.label for file in fitted.files])
    p = fitted.probabilities
    calibration = fitted.calibration
    chance, chance_high = calibration_error_by_chance(labels, p)
    return {
        **auc_with_interval(fitted.files, p),
        "ece": round(calibration_error_at_even_odds(labels, p), 4),
        "ece_by_chance": round(chance, 4),
        "ece_by_chance_high": round(chance_high, 4),
        "false_positive_rate": round(false_positive_rate(labels, p, calibration.threshold_fake), 4),
        "true_positive_rate": round(true_positive_rate(labels, p, calibration.threshold_fake), 4),
        "fake_below_real_threshold": round(1 - true_positive_rate(labels, p, calibration.threshold_real), 4),
    }


def cross_validated(fitted: Fit) -> Judged:
    """The ensemble on every file, judged by constants fitted without its identity."""
    return _judged(fitted.files, fitted.probabilities.tolist())


def _judged(files: Sequence[ScoredFile], scores: Sequence[float]) -> Judged:
    return Judged(
        labels=np.array([file.label for file in files], np.int64),
        scores=np.array(scores, np.float64),
        identities=np.array([file.drawn_with for file in files], np.str_),
    )


def _aucs(files: Sequence[ScoredFile], calibration: Calibration) -> dict[str, Figures]:
    return {name: judged.figures(AUC_ALONE) for name, judged in by_detector(files, calibration).items()}


def _against_all(files: Sequence[ScoredFile], source: str) -> list[ScoredFile]:
    """The files of a source; where they lack a class, that class of all files."""
    own = [file for file in files if file.source == source]
    present = {file.label for file in own}
    return own + [file for file in files if file.label not in present]


def _probabilities(logits: Scores) -> Scores:
    return np.asarray(1 / (1 + np.exp(-logits)), np.float64)
