"""What is drawn of an evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepscan.training.evaluation.plots import reliability_figure, roc_figure, score_figure, write_plots
from deepscan.training.evaluation.summary import Judged


def judged(spread: float, count: int = 60) -> Judged:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    scores = 1 / (1 + np.exp(-(spread * (2 * labels - 1) + rng.normal(size=count))))
    return Judged(labels, scores, np.array([f"p{n // 4}" for n in range(count)]))


GROUPS = {"gml": judged(2.0), "sola": judged(0.0), "ensemble": judged(1.0)}


def test_three_pictures_are_written(tmp_path: Path) -> None:
    paths = write_plots(tmp_path / "plots", GROUPS, (0.7, 0.3))
    assert [path.name for path in paths] == ["roc.png", "reliability.png", "scores.png"]
    for path in paths:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert len(set(picture.convert("L").tobytes())) > 20, "something is drawn"


def test_what_has_one_class_is_left_out(tmp_path: Path) -> None:
    reals = Judged(np.zeros(3, int), np.array([0.1, 0.2, 0.3]), np.array(["a", "b", "c"]))
    assert write_plots(tmp_path, {"gml": reals, "ensemble": reals}, (0.7, 0.3)) == []
    assert len(write_plots(tmp_path, {"gml": reals, "ensemble": GROUPS["ensemble"]}, (0.7, 0.3))) == 3


def test_the_legend_says_each_auc() -> None:
    (axes,) = roc_figure(GROUPS).axes
    legend = axes.get_legend()
    assert legend is not None
    words = [text.get_text() for text in legend.get_texts()]
    assert [word.split()[0] for word in words] == ["GML", "SOLA", "Ensemble", "chance"]
    assert float(words[0].split()[1]) > 0.9
    curve = axes.get_lines()[0].get_xydata()
    assert curve[0].tolist() == [0, 0] and curve[-1].tolist() == [1, 1]


def test_histograms_of_each_class_sum_to_one_and_show_the_thresholds() -> None:
    figure = score_figure(GROUPS, (0.7, 0.3))
    for axes in figure.axes[:3]:
        heights = [patch.get_height() for patch in axes.patches]
        assert sum(heights) == pytest.approx(2)
    assert [line.get_xdata()[0] for line in figure.axes[2].get_lines()] == [0.7, 0.3]
    assert not figure.axes[0].get_lines()


def test_reliability_names_the_calibration_error() -> None:
    titles = [axes.get_title() for axes in reliability_figure(GROUPS).axes]
    assert len(titles) == 3 and all("ECE 0." in title for title in titles)
