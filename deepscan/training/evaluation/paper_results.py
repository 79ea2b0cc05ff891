"""What the five papers report of themselves, to lay beside one's own figures on the same corpus.

Every number stands in the paper named, in the table named. A comparison is only as good as its terms are
alike: most of these were trained on the corpus that they were tested on, and each row says on what.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from deepscan.ensemble import Calibration, logit, sigmoid
from deepscan.training.evaluation.metrics import accuracy, auc

if TYPE_CHECKING:
    from deepscan.training.evaluation.scoring import ScoredFile

Metric = Literal["auc", "accuracy"]
Level = Literal["file", "frame"]


@dataclass(frozen=True)
class Published:
    """One figure of one paper.

    Attributes:
        detector: whose paper.
        corpus: the source as ``training.corpora`` names it.
        forgeries: pattern of the kinds of forgery that were tested on; reals are of the same compression.
        metric: AUC or accuracy.
        level: whether files or frames were counted.
        value: in [0, 1].
        trained_on: what the paper trained this one on.
        place: where in the paper.
    """

    detector: str
    corpus: str
    forgeries: str
    metric: Metric
    level: Level
    value: float
    trained_on: str
    place: str


@dataclass(frozen=True)
class Comparison:
    """A published figure and the one measured on the user's files; ``difference`` is measured - published."""

    published: Published
    measured: float
    difference: float
    real: int
    fake: int


FF = "FaceForensics++"
CELEB = "Celeb-DF v2"

PUBLISHED = (
    # Zhao et al.: accuracy per video. LQ is c40, HQ is c23.
    Published("global_local", FF, "* c40", "accuracy", "file", 0.8353, "FaceForensics++ c40", "Table 1"),
    Published("global_local", FF, "* c23", "accuracy", "file", 0.9533, "FaceForensics++ c23", "Table 1"),
    Published("global_local", "DFDC", "*", "accuracy", "file", 0.9767, "DFDC", "Table 1"),
    Published("global_local", CELEB, "*", "accuracy", "file", 0.9918, "Celeb-DF", "Table 1"),
    Published("global_local", CELEB, "*", "accuracy", "file", 0.8883, "FaceForensics++", "Table 2"),
    Published("global_local", "DFDC", "*", "accuracy", "file", 0.6925, "FaceForensics++", "Table 2"),
    # Zhang et al.
    Published("gml", "DeeperForensics", "*", "accuracy", "file", 0.858, "FaceForensics++ c23", "Table 1"),
    Published("gml", CELEB, "*", "auc", "file", 0.999, "Celeb-DF", "Table 2"),
    Published("gml", CELEB, "*", "auc", "file", 0.753, "FaceForensics++ c23", "Table 2"),
    # Fei et al.: AUC per frame.
    Published("sola", FF, "Deepfakes *", "auc", "frame", 1.0, "the same forger, masks", "Table 1"),
    Published("sola", FF, "Face2Face *", "auc", "frame", 0.9956, "the same forger, masks", "Table 1"),
    Published("sola", FF, "FaceSwap *", "auc", "frame", 0.9998, "the same forger, masks", "Table 1"),
    Published("sola", FF, "NeuralTextures *", "auc", "frame", 0.9976, "the same forger, masks", "Table 1"),
    Published("sola", FF, "FaceShifter *", "auc", "frame", 0.9872, "FaceForensics++, masks", "Table 3"),
    Published("sola", CELEB, "*", "auc", "frame", 0.7602, "Deepfakes c23, masks", "Table 4"),
    Published("sola", CELEB, "*", "auc", "frame", 0.987, "Celeb-DF v2 and DFD, labels alone", "Table 6"),
    Published("sola", "DFD", "*", "auc", "frame", 0.9998, "Celeb-DF v2 and DFD, labels alone", "Table 6"),
    Published("sola", FF, "* c0", "auc", "frame", 0.9984, "FaceForensics++ c0", "Table 8"),
    Published("sola", FF, "* c23", "auc", "frame", 0.981, "FaceForensics++ c23", "Table 8"),
    # Ghosh, the ResNet-50.
    Published("resnet3d", "DFDC", "*", "accuracy", "file", 0.84, "DFDC, from Kinetics", "Figure 12"),
    # Tarasiou and Zafeiriou: accuracy per image, the best setting of each table.
    Published(
        "local_features", FF, "Deepfakes c23", "accuracy", "frame", 0.979, "the same forger", "Table 1"
    ),
    Published(
        "local_features", FF, "Face2Face c23", "accuracy", "frame", 0.9858, "the same forger", "Table 1"
    ),
    Published(
        "local_features", FF, "FaceSwap c23", "accuracy", "frame", 0.9832, "the same forger", "Table 1"
    ),
    Published(
        "local_features", FF, "Deepfakes c40", "accuracy", "frame", 0.924, "the same forger", "Table 1"
    ),
    Published(
        "local_features", FF, "Face2Face c40", "accuracy", "frame", 0.8711, "the same forger", "Table 1"
    ),
    Published(
        "local_features", FF, "FaceSwap c40", "accuracy", "frame", 0.9126, "the same forger", "Table 1"
    ),
    Published("local_features", "DFD", "*", "accuracy", "frame", 0.9714, "DFD, real masks", "Table 3"),
    Published("local_features", "DFDC", "*", "accuracy", "frame", 0.8876, "DFDC, hull masks", "Table 3"),
    Published("local_features", CELEB, "*", "accuracy", "frame", 0.9262, "Celeb-DF, hull masks", "Table 3"),
)


def compare(files: Sequence[ScoredFile], calibration: Calibration) -> tuple[Comparison, ...]:
    """Every published figure whose corpus, forgeries and reals are among the files."""
    found = []
    for one in PUBLISHED:
        chosen = [file for file in files if _tested(file, one)]
        labels, scores = _samples(chosen, one, calibration)
        if len(set(labels.tolist())) < 2:
            continue
        measured = (auc if one.metric == "auc" else accuracy)(labels, scores)
        real = int((labels == 0).sum())
        found.append(
            Comparison(one, round(measured, 4), round(measured - one.value, 4), real, len(labels) - real)
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
    files: Sequence[ScoredFile], one: Published, calibration: Calibration
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels and calibrated probabilities, per file or per frame."""
    labels, scores = [], []
    for file in files:
        entry = calibration.at(file.face_width_px, still=file.still).detectors.get(one.detector)
        for value in _logits(file, one):
            labels.append(file.label)
            scores.append(sigmoid(value if entry is None else entry(value)))
    return np.array(labels, np.int64), np.array(scores, np.float64)


def _logits(file: ScoredFile, one: Published) -> list[float]:
    if one.level == "frame":
        return [logit(probability) for _, _, probability in file.clips.get(one.detector, ())]
    return [file.logits[one.detector]] if one.detector in file.logits else []
