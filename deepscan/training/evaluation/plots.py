"""Figures of an evaluation as pictures: ROC, reliability and score histograms, one PNG each.

Drawn with matplotlib's own canvas and without its global state, so that no display is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from deepscan.detectors import SPECS
from deepscan.training.evaluation.metrics import auc, calibration_error_at_even_odds, reliability, roc_curve
from deepscan.training.evaluation.summary import ENSEMBLE, Judged

REAL_COLOUR, FAKE_COLOUR = "#2b6cb0", "#c05621"
BINS = 20


def write_plots(folder: Path, groups: Mapping[str, Judged], thresholds: tuple[float, float]) -> list[Path]:
    """Write ``roc.png``, ``reliability.png`` and ``scores.png``; groups without both classes are left out.

    Args:
        folder: made where it does not exist.
        groups: per detector and of the ensemble, as ``figures.by_detector`` gives them.
        thresholds: fake and real, drawn into the ensemble's histogram.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {name: judged for name, judged in groups.items() if len(set(judged.labels.tolist())) == 2}
    if not drawn:
        return []
    return [
        save(roc_figure(drawn), folder / "roc.png"),
        save(reliability_figure(drawn), folder / "reliability.png"),
        save(score_figure(drawn, thresholds), folder / "scores.png"),
    ]


def save(figure: Figure, path: Path) -> Path:
    """Write one PNG; returns its path."""
    FigureCanvasAgg(figure).print_png(str(path))  # type: ignore[no-untyped-call]
    return path


def roc_figure(groups: Mapping[str, Judged]) -> Figure:
    """Every detector's ROC curve, the ensemble's thicker; the axis of false alarms is square-root scaled.

    What happens below five per cent of false alarms decides whether a scanner is of use.
    """
    figure = Figure(figsize=(6, 5.4), layout="constrained")
    axes = figure.subplots()
    for name, judged in groups.items():
        false, true = roc_curve(judged.labels, judged.scores)
        label = f"{title(name)}  {auc(judged.labels, judged.scores):.3f}"
        axes.plot(np.sqrt(false), true, linewidth=2.6 if name == ENSEMBLE else 1.2, label=label)
    chance = np.linspace(0, 1, 200)
    axes.plot(np.sqrt(chance), chance, color="0.7", linewidth=0.8, linestyle="--", label="chance  0.500")
    ticks = (0, 0.01, 0.05, 0.1, 0.25, 0.5, 1)
    axes.set_xticks(np.sqrt(ticks), [f"{tick:.0%}" for tick in ticks])
    axes.set(xlabel="real files flagged", ylabel="forged files flagged", xlim=(0, 1), ylim=(0, 1.01))
    axes.grid(color="0.92")
    axes.legend(title="AUC", loc="lower right", fontsize="small")
    return figure


def reliability_figure(groups: Mapping[str, Judged], bins: int = 10) -> Figure:
    """Probability said against share forged, per detector; the area of a point is its number of files."""
    figure, panels = _panels(groups)
    for (name, judged), axes in zip(groups.items(), panels, strict=True):
        found = reliability(judged.labels, judged.scores, bins)
        sizes = 20 + 280 * np.array([one.count for one in found]) / len(judged.labels)
        axes.plot((0, 1), (0, 1), color="0.7", linewidth=0.8, linestyle="--")
        stated, forged = [one.probability for one in found], [one.forged for one in found]
        axes.plot(stated, forged, color=FAKE_COLOUR, linewidth=1)
        axes.scatter(stated, forged, s=sizes, color=FAKE_COLOUR, alpha=0.7)
        error = calibration_error_at_even_odds(judged.labels, judged.scores, bins)
        axes.set(title=f"{title(name)}  ECE {error:.3f}", xlim=(0, 1), ylim=(-0.02, 1.02))
    figure.supxlabel("probability said")
    figure.supylabel("share that is forged")
    return figure


def score_figure(groups: Mapping[str, Judged], thresholds: tuple[float, float]) -> Figure:
    """Histograms of the probabilities of real and of forged files, per detector, each class summing to 1."""
    figure, panels = _panels(groups)
    edges = np.linspace(0, 1, BINS + 1).tolist()
    for (name, judged), axes in zip(groups.items(), panels, strict=True):
        for label, colour, word in ((0, REAL_COLOUR, "real"), (1, FAKE_COLOUR, "forged")):
            own = judged.scores[judged.labels == label]
            shares = np.full(len(own), 1 / len(own))
            axes.hist(own, bins=edges, weights=shares, color=colour, alpha=0.55, label=f"{word} ({len(own)})")
        if name == ENSEMBLE:
            for threshold in thresholds:
                axes.axvline(threshold, color="0.3", linewidth=1, linestyle=":")
        axes.set(title=title(name), xlim=(0, 1))
        axes.legend(fontsize="small")
    figure.supxlabel("probability")
    figure.supylabel("share of the files")
    return figure


def title(name: str) -> str:
    """A detector as people know it."""
    return SPECS[name].title if name in SPECS else name.capitalize()


def _panels(groups: Mapping[str, Judged]) -> tuple[Figure, list[Axes]]:
    columns = min(3, len(groups))
    rows = -(-len(groups) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.2 * rows), layout="constrained")
    panels = list(np.atleast_1d(figure.subplots(rows, columns)).ravel())
    for spare in panels[len(groups) :]:
        spare.set_axis_off()
    return figure, panels[: len(groups)]
