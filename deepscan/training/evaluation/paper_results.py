"""What the five papers report of themselves, to lay beside one's own figures on the same corpus.

Every number stands in the paper named, in the table named. A comparison is only as good as its terms are
alike: most of these were trained on the corpus that they were tested on, and each row says on what.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from deepscan.detectors import SPECS
from deepscan.detectors.recipe import FF, Published
from deepscan.detectors.registry import recipe_of_detector
from deepscan.ensemble import Calibration, logit, sigmoid
from deepscan.training.evaluation.metrics import accuracy, auc

if TYPE_CHECKING:
    from deepscan.training.evaluation.scoring import ScoredFile


@dataclass(frozen=True)
class Comparison:
    """A published figure and the one measured on the user's files; ``difference`` is measured - published."""

    detector: str
    published: Published
    measured: float
    difference: float
    real: int
    fake: int


def published() -> list[tuple[str, Published]]:
    """Every paper's figures, each with its detector's name, in the order of the detectors."""
    return [(name, one) for name in SPECS for one in recipe_of_detector(name).published]


def compare(files: Sequence[ScoredFile], calibration: Calibration) -> tuple[Comparison, ...]:
    """Every published figure whose corpus, forgeries and reals are among the files."""
    found = []
    for detector, one in published():
        chosen = [file for file in files if _tested(file, one)]
        labels, scores = _samples(chosen, detector, one, calibration)
        if len(set(labels.tolist())) < 2:
            continue
        measured = (auc if one.metric == "auc" else accuracy)(labels, scores)
        real = int((labels == 0).sum())
        found.append(
            Comparison(
                detector, one, round(measured, 4), round(measured - one.value, 4), real, len(labels) - real
            )
        )
    return tuple(found)


def _tested(file: ScoredFile, one: Published) -> bool:
    """Whether a paper's figure is about this file; of reals, the corpus and the compression decide."""
    reals_of = FF if one.corpus == "DeeperForensics" and file.label == 0 else one.corpus
    if file.source != reals_of:
        return False
    if file.label == 1:
        return fnmatch.fnmatchcase(file.kind, one.forgeries)
    compression = one.forgeries.rpartition(" ")[2]
    return compression == "*" or file.kind.endswith(compression)


def _samples(
    files: Sequence[ScoredFile], detector: str, one: Published, calibration: Calibration
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels and calibrated probabilities, per file or per frame."""
    labels, scores = [], []
    for file in files:
        entry = calibration.at(file.face_width_px, still=file.still).detectors.get(detector)
        for value in _logits(file, detector, one):
            labels.append(file.label)
            scores.append(sigmoid(value if entry is None else entry(value)))
    return np.array(labels, np.int64), np.array(scores, np.float64)


def _logits(file: ScoredFile, detector: str, one: Published) -> list[float]:
    if one.level == "frame":
        return [logit(probability) for _, _, probability in file.clips.get(detector, ())]
    return [file.logits[detector]] if detector in file.logits else []
