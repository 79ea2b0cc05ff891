"""Validation scores -> temperature and bias per detector, fusion weights, thresholds.

Everything is fitted on files that training never saw. Figures of the fitted ensemble come from
cross-validation over identities: each identity is judged by constants fitted without it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from deepscan.ensemble import (
    Calibration,
    DetectorCalibration,
    TrackVerdict,
    fuse_logits,
    sigmoid,
    weigh_tracks,
)
from deepscan.errors import UsageError
from deepscan.training.evaluation.metrics import auc, bootstrap_interval
from deepscan.training.evaluation.scoring import ScoredFile

FOLDS = 5
FALSE_POSITIVE_RATE = 0.03
MISSED_RATE = 0.05
RIDGE = 0.02
"""Weight of the squared fusion weights in the logistic loss: the detectors agree, few identities."""
MAX_CALIBRATED_LOGIT = 4.0
"""Calibration never claims more than .98 for one detector: there are too few identities to show it."""

FULL_WIDTHS_PX = (60.0, 80.0, 100.0, 120.0, 140.0)
"""Widths of a face from which logits may count in full.

One width for all detectors, and a share that falls in line with it, were chosen on the synthetic test set,
among a width for each detector and second and fourth powers of the share.
"""
STILL_SHARES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
NARROW_PX, ENOUGH = (1, 48, 64, 80, 96), 10
"""Widths of a face between which it is asked whether anybody can tell, and files of each class for that."""
LEAST_GAIN = 0.001
"""What such a width must take off the loss, so that noise gives none."""

LOWEST_FAKE = 0.51
"""Above what ``ensemble.weigh_tracks`` calls undecided."""

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """A calibration with the cross-validated probabilities that its figures are made from."""

    calibration: Calibration
    files: tuple[ScoredFile, ...]
    probabilities: Vector
    """Fused, of every file, by constants fitted without its identity."""


def fit(files: Sequence[ScoredFile], false_positives: float = FALSE_POSITIVE_RATE) -> Fit:
    """Fit the ensemble on validation files.

    Args:
        files: scored; the largest face of each is what its label is about, the others are bystanders.
        false_positives: share of real files that may be flagged, in [0, 1); of the videos and of the photos.

    Raises:
        UsageError: one of the two classes is missing, also where one fold of identities is left out.
    """
    usable = [file for file in files if file.logits]
    labels = np.array([file.label for file in usable])
    folds = fold_of(usable)
    for fold in (None, *np.unique(folds)):
        if len(set(labels[folds != fold].tolist())) < 2:
            raise UsageError("calibration needs scored real files and forged files of several identities.")
    probabilities = np.empty(len(usable))
    for fold in np.unique(folds):
        inside = folds == fold
        constants = constants_of([file for file, hidden in zip(usable, inside, strict=True) if not hidden])
        probabilities[inside] = [
            file_probability(file, constants) for file, hidden in zip(usable, inside, strict=True) if hidden
        ]
    still = np.array([file.still for file in usable], bool)
    limits = [
        thresholds(labels[part], probabilities[part], false_positives)
        for part in (still, ~still)
        if len(set(labels[part].tolist())) == 2
    ] or [thresholds(labels, probabilities, false_positives)]
    fake, real = max(fake for fake, _ in limits), min(real for _, real in limits)
    final = constants_of(usable)
    least = least_width(usable, probabilities)
    calibration = replace(final, threshold_fake=fake, threshold_real=real, least_width_px=least)
    return Fit(calibration, tuple(usable), probabilities)


def least_width(files: Sequence[ScoredFile], probabilities: Vector) -> float:
    """The width of a face, pixels, below which nobody can tell; 0 where no width is too narrow.

    From the narrowest up, until forged and genuine files of a width are told apart: the 95 % interval of
    their AUC lies above 0.5. Widths with fewer than ``ENOUGH`` files of a class say nothing.
    """
    labels = np.array([file.label for file in files])
    widths = np.array([file.face_width_px for file in files])
    groups = np.array([file.drawn_with for file in files])
    least = 0.0
    for low, high in itertools.pairwise(NARROW_PX):
        there = (widths >= low) & (widths < high)
        if min(np.bincount(labels[there], minlength=2)) < ENOUGH:
            continue
        interval = bootstrap_interval(labels[there], probabilities[there], groups[there], auc, rounds=300)
        if interval[0] > 0.5:
            break
        least = float(high)
    return least


def out_of_fold(fitted: Fit) -> Iterator[ScoredFile]:
    """The files with the probabilities that constants fitted without them give."""
    for file, probability in zip(fitted.files, fitted.probabilities.tolist(), strict=True):
        yield replace(file, probability=probability)


def fold_of(files: Sequence[ScoredFile]) -> NDArray[np.int64]:
    """A fold per file: the corpus' own, where every file has one.

    Otherwise it is the same for all files of an identity; identities are dealt out in sorted order.
    """
    if all(file.fold is not None for file in files):
        return np.array([file.fold for file in files], np.int64)
    identities = sorted({file.identity for file in files})
    place = {identity: i % FOLDS for i, identity in enumerate(identities)}
    return np.array([place[file.identity] for file in files])


def constants_of(files: Sequence[ScoredFile]) -> Calibration:
    """Fit every constant but the thresholds, which are left at 0.5.

    Where there are videos and photos, everything but ``still_share`` is fitted on the videos. The full width
    is the one under which the fusion loses least; 0 where none gains enough.
    """
    moving = [file for file in files if not file.still]
    stills = [file for file in files if file.still]
    if any(len({file.label for file in part}) < 2 for part in (moving, stills)):
        return _constants_of_all(files)
    constants = _constants_of_all(moving)
    return replace(constants, still_share=_still_share(stills, constants))


def _still_share(stills: Sequence[ScoredFile], constants: Calibration) -> float:
    """By which share the logits of single frames are most likely right."""
    labels = np.array([file.label for file in stills])
    balance = _balance(labels)

    def loss(share: float) -> float:
        calibration = replace(constants, still_share=share)
        p = np.clip([file_probability(file, calibration) for file in stills], 1e-9, 1 - 1e-9)
        return _logistic_loss(np.log(p) - np.log1p(-p), labels, balance)

    return min(STILL_SHARES, key=loss)


def _constants_of_all(files: Sequence[ScoredFile]) -> Calibration:
    names = sorted({name for file in files for name in file.logits})
    counted = np.array([better_than_chance(name, files) for name in names], float)
    fits = [_fit_at(0.0, names, files, counted)]
    if any(0 < file.face_width_px < max(FULL_WIDTHS_PX) for file in files):
        fits += [_fit_at(width_px, names, files, counted) for width_px in FULL_WIDTHS_PX]
    best = min(fits, key=lambda one: one.loss)
    return best.constants if best.loss < fits[0].loss - LEAST_GAIN else fits[0].constants


@dataclass(frozen=True)
class _Constants:
    """What was fitted for one full width, and the regularised loss of its fusion."""

    constants: Calibration
    loss: float


def _fit_at(
    full_width_px: float, names: Sequence[str], files: Sequence[ScoredFile], counted: Vector
) -> _Constants:
    seen = [_narrowed(file, full_width_px) for file in files]
    labels = np.array([file.label for file in files])
    single = {name: _calibrate(name, seen) for name in names}
    columns = np.array(
        [
            [single[name](file.logits[name]) if name in file.logits else np.nan for name in names]
            for file in seen
        ]
    ).reshape(len(seen), len(names))
    weights, bias, loss = _fuse(columns, labels, counted)
    detectors = {
        name: DetectorCalibration(one.temperature, one.bias, float(weight))
        for (name, one), weight in zip(single.items(), weights, strict=True)
    }
    constants = Calibration(
        detectors, bias, threshold_fake=0.5, threshold_real=0.5, full_width_px=full_width_px
    )
    return _Constants(constants, loss)


def _narrowed(file: ScoredFile, full_width_px: float) -> ScoredFile:
    """The file with its largest face's logits as ``Calibration.at`` lets them count."""
    if not 0 < file.face_width_px < full_width_px:
        return file
    share = file.face_width_px / full_width_px
    return replace(file, logits={name: value * share for name, value in file.logits.items()})


def better_than_chance(name: str, files: Sequence[ScoredFile]) -> bool:
    """Whether the 95 % interval of the detector's AUC lies above 0.5."""
    seen = [file for file in files if name in file.logits]
    labels = np.array([file.label for file in seen])
    scores = np.array([file.logits[name] for file in seen])
    groups = np.array([file.drawn_with for file in seen])
    low, _ = bootstrap_interval(labels, scores, groups, auc, rounds=300)
    return low > 0.5


def file_probability(file: ScoredFile, calibration: Calibration) -> float:
    """What a scan with this calibration says of a file: of its most suspicious track among the others."""
    widths_px = file.others_width_px or (0,) * len(file.others)
    faces = zip((file.logits, *file.others), (file.face_width_px, *widths_px), strict=True)
    fused = [fused_or_none(logits, calibration.at(width_px, still=file.still)) for logits, width_px in faces]
    tracks = [TrackVerdict(number, probability, ()) for number, probability in enumerate(fused)]
    known = [one.probability for one in weigh_tracks(tracks) if one.probability is not None]
    return max(known, default=0.5)


def judged_anew(file: ScoredFile, calibration: Calibration) -> ScoredFile:
    """The file with the probability that a scan with this calibration gives it; without scores as it is."""
    if file.probability is None or not file.logits:
        return file
    return replace(file, probability=file_probability(file, calibration))


def fused_or_none(logits: Mapping[str, float], calibration: Calibration) -> float | None:
    """The ensemble's probability of one track; None where no detector that counts has a logit."""
    fused = fuse_logits({n: v for n, v in logits.items() if n in calibration.detectors}, calibration)
    return None if fused is None else sigmoid(fused)


def fused_probability(logits: Mapping[str, float], calibration: Calibration) -> float:
    """The ensemble's probability; 0.5 where no detector that counts has a logit."""
    probability = fused_or_none(logits, calibration)
    return 0.5 if probability is None else probability


def thresholds(
    labels: NDArray[np.int64], probabilities: Vector, false_positives: float = FALSE_POSITIVE_RATE
) -> tuple[float, float]:
    """``(threshold_fake, threshold_real)``.

    ``fake``: the lowest threshold from ``LOWEST_FAKE`` up that at most this share of real files reach.
    ``real``: the highest threshold of at most 0.5 that at most ``MISSED_RATE`` of forged files stay below.
    """
    real, forged = np.sort(probabilities[labels == 0]), np.sort(probabilities[labels == 1])
    allowed = int(false_positives * len(real))
    highest_silent = real[len(real) - 1 - allowed]
    missed = int(MISSED_RATE * len(forged))
    fake = max(LOWEST_FAKE, float(np.nextafter(highest_silent, 1)) + 0.01)
    clean = min(0.5, float(forged[missed]))
    fake = min(0.99, round(fake, 4))
    return fake, min(fake, math.floor(clean * 1e4) / 1e4)  # rounded up it would miss one file more


def _calibrate(name: str, files: Sequence[ScoredFile]) -> DetectorCalibration:
    seen = [file for file in files if name in file.logits]
    logits = np.array([file.logits[name] for file in seen])
    labels = np.array([file.label for file in seen])
    balance = _balance(labels)

    def loss(x: Vector) -> float:
        return _logistic_loss(np.exp(x[0]) * logits + x[1], labels, balance) + 0.001 * float(
            x[0] ** 2 + x[1] ** 2
        )

    x = minimize(loss, np.zeros(2), method="L-BFGS-B").x
    reach = float(np.abs(np.exp(x[0]) * logits + x[1]).max())
    squeeze = min(1.0, MAX_CALIBRATED_LOGIT / reach) if reach else 1.0
    return DetectorCalibration(float(1 / (np.exp(x[0]) * squeeze)), float(x[1] * squeeze), 1.0)


def _fuse(columns: Vector, labels: NDArray[np.int64], counted: Vector) -> tuple[Vector, float, float]:
    """Weights, bias and loss of the regularised logistic; NaN in ``columns`` is a detector without a score.

    Every file counts as it is and once more with each of its detectors missing, by the rule that a scan
    follows then (``ensemble.fuse_logits``): a photo, or a face seen too briefly, has half of them.
    """
    copies, copied = _with_each_missing(columns, labels, counted)
    balance = _balance(copied)

    def loss(x: Vector) -> float:
        z = _fused(copies, x[:-1] * counted) + x[-1]
        return _logistic_loss(z, copied, balance) + RIDGE * float((x[:-1] ** 2).sum())

    start = np.append(counted / max(1.0, float(counted.sum())), 0.0)
    bounds = [(0.0, None)] * columns.shape[1] + [(None, None)]
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds)
    x = found.x
    scale, bias = _rescaled(_fused(columns, x[:-1] * counted) + x[-1], labels)
    return x[:-1] * counted * scale, float(x[-1] * scale + bias), float(found.fun)


def _fused(columns: Vector, weights: Vector) -> Vector:
    """Weighted sums, without bias, by the rule of ``ensemble.fuse_logits``."""
    there = ~np.isnan(columns)
    own = there * weights
    present, largest = own.sum(1), own.max(1, initial=1e-9)
    scale = np.minimum(weights.sum() / np.maximum(present, 1e-9), 1 / largest)
    return np.asarray((np.where(there, columns, 0.0) @ weights) * np.maximum(scale, 1.0), np.float64)


def _rescaled(z: Vector, labels: NDArray[np.int64]) -> tuple[float, float]:
    """The factor and the bias that make fused logits honest again: the ridge and the copies flatten them."""
    balance = _balance(labels)

    def loss(x: Vector) -> float:
        return _logistic_loss(np.exp(x[0]) * z + x[1], labels, balance) + 0.001 * float((x**2).sum())

    x = minimize(loss, np.zeros(2), method="L-BFGS-B").x
    return float(np.exp(x[0])), float(x[1])


def _with_each_missing(
    columns: Vector, labels: NDArray[np.int64], counted: Vector
) -> tuple[Vector, NDArray[np.int64]]:
    copies, copied = [columns], [labels]
    for number in np.flatnonzero(counted):
        others = counted.astype(bool) & (np.arange(len(counted)) != number)
        chosen = ~np.isnan(columns[:, number]) & (~np.isnan(columns[:, others])).any(1)
        copy = columns[chosen].copy()
        copy[:, number] = np.nan
        copies.append(copy)
        copied.append(labels[chosen])
    return np.concatenate(copies), np.concatenate(copied)


def _balance(labels: NDArray[np.int64]) -> Vector:
    """Weights that give both classes half of the loss; 1 where there is one class alone."""
    share = float(labels.mean())
    if not 0 < share < 1:
        return np.ones(len(labels))
    return np.asarray(np.where(labels == 1, 0.5 / share, 0.5 / (1 - share)), np.float64)


def _logistic_loss(z: Vector, labels: NDArray[np.int64], balance: Vector) -> float:
    return float((balance * np.logaddexp(0, np.where(labels == 1, -z, z))).mean())
