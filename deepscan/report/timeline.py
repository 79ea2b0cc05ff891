"""Where the lines and marks of a face's timeline go: scores over time, for inline SVG.

The ensemble stands on top, each detector in a row of its own below, all on one axis: the whole file, so that
the faces of a file can be compared. A clip is a bar from its first frame to its last, at the height of its
calibrated probability; a single frame is a dot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from deepscan.detectors import SPECS
from deepscan.ensemble import logit, over_time, sigmoid
from deepscan.report.heatmaps import heat_rgba, png_uri
from deepscan.text import moment, percent, span

if TYPE_CHECKING:
    from deepscan.ensemble import Calibration, DetectorVerdict
    from deepscan.results import Activation, FileReport, RunReport, TrackReport

T = TypeVar("T")

WIDTH = 760.0
LEFT, RIGHT = 118.0, 18.0
TOP = 8.0
ENSEMBLE_HEIGHT = 84.0
ROW_HEIGHT = 26.0
GAP = 9.0
STRIP_HEIGHT = 30.0
AXIS_HEIGHT = 20.0
MARKS = 240  # more would only lie on top of each other
STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
TICKS = 8


@dataclass(frozen=True)
class Mark:
    """One clip: from ``x0`` to ``x1`` at ``y``; a dot where the two are the same."""

    x0: float
    x1: float
    y: float
    title: str


@dataclass(frozen=True)
class Row:
    """One detector; ``base`` is the y of probability 0, ``top`` that of 1."""

    title: str
    counted: bool
    top: float
    base: float
    marks: tuple[Mark, ...]
    silence: str | None


@dataclass(frozen=True)
class Tile:
    """One clip's activation map as a picture on the time axis."""

    x: float
    width: float
    picture: str
    title: str


@dataclass(frozen=True)
class Chart:
    """Everything that the template draws; lengths in units of the view box."""

    width: float
    height: float
    left: float
    right: float
    top: float
    base: float
    line: str
    dots: tuple[Mark, ...]
    thresholds: tuple[tuple[float, str], ...]
    rows: tuple[Row, ...]
    tiles: tuple[Tile, ...]
    tiles_top: float
    tiles_height: float
    ticks: tuple[tuple[float, str], ...]
    axis_y: float
    description: str


def chart(file: FileReport, track: TrackReport, run: RunReport) -> Chart:
    """The timeline of one face of a video."""
    end_s = _end_s(file)
    base = TOP + ENSEMBLE_HEIGHT
    calibration = run.calibration.at(track.face_width_px, still=track.still)
    ensemble = over_time(track.detectors, calibration)
    if len(ensemble) > MARKS:
        ensemble = _strongest(ensemble, [p for _, p in ensemble], end_s)
    dots = [
        Mark(_x(t, end_s), _x(t, end_s), _y(p, TOP, base), f"ensemble {percent(p)} at {moment(t)}")
        for t, p in ensemble
    ]
    rows, bottom = [], base + GAP
    for detector in track.detectors:
        rows.append(_row(detector, bottom, end_s, run, calibration))
        bottom += ROW_HEIGHT + GAP
    activations = track.evidence.activations if track.evidence else ()
    tiles_top = bottom
    if activations:
        bottom += STRIP_HEIGHT + GAP
    return Chart(
        width=WIDTH,
        height=bottom + AXIS_HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        top=TOP,
        base=base,
        line=" ".join(f"{dot.x0:.1f},{dot.y:.1f}" for dot in dots),
        dots=tuple(dots),
        thresholds=(
            (_y(run.threshold_fake, TOP, base), f"fake from {percent(run.threshold_fake)}"),
            (_y(run.threshold_real, TOP, base), f"real below {percent(run.threshold_real)}"),
        ),
        rows=tuple(rows),
        tiles=_tiles(activations, end_s),
        tiles_top=tiles_top,
        tiles_height=STRIP_HEIGHT,
        ticks=tuple((_x(t, end_s), moment(t)) for t in _ticks(end_s)),
        axis_y=bottom,
        description=_description(track, ensemble),
    )


def _end_s(file: FileReport) -> float:
    """Where the axis ends: the file's duration, or the last thing seen."""
    duration_s = file.media.duration_s if file.media and file.media.duration_s else 0.0
    return max(duration_s, *(track.end_s for track in file.tracks), 0.1)


def _x(seconds: float, end_s: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * min(max(seconds / end_s, 0.0), 1.0)


def _y(share: float, top: float, base: float) -> float:
    return base + (top - base) * share


def _row(
    detector: DetectorVerdict, top: float, end_s: float, run: RunReport, calibration: Calibration
) -> Row:
    calibrate = calibration.detectors[detector.name]
    shares = [sigmoid(calibrate(logit(score.probability))) for score in detector.scores]
    clips = list(zip(detector.scores, shares, strict=True))
    if len(clips) > MARKS:
        middles = [((clip[0].start_s + clip[0].end_s) / 2, clip) for clip in clips]
        clips = [clip for _, clip in _strongest(middles, shares, end_s)]
    base = top + ROW_HEIGHT
    return Row(
        SPECS[detector.name].title,
        detector.name not in run.not_counted,
        top,
        base,
        tuple(
            Mark(
                _x(score.start_s, end_s),
                _x(score.end_s, end_s),
                _y(share, top, base),
                f"{percent(share)} at {span(score.start_s, score.end_s)}",
            )
            for score, share in clips
        ),
        detector.reason,
    )


def _strongest(
    moments: Sequence[tuple[float, T]], shares: Sequence[float], end_s: float
) -> tuple[tuple[float, T], ...]:
    """The strongest of the moments that would fall on the same spot of the axis, in time order."""
    best: dict[int, int] = {}
    for place, (time_s, _) in enumerate(moments):
        spot = min(int(MARKS * time_s / end_s), MARKS - 1)
        if spot not in best or shares[place] > shares[best[spot]]:
            best[spot] = place
    return tuple(moments[place] for place in sorted(best.values()))


def _tiles(activations: Sequence[Activation], end_s: float) -> tuple[Tile, ...]:
    """Activation over time, all clips on one scale; a clip is drawn at least as wide as it is legible."""
    strongest = max((float(entry.values.max()) for entry in activations), default=0.0)
    tiles = []
    for entry in activations:
        scaled = np.asarray(entry.values.clip(min=0.0) / max(strongest, 1e-9), np.float32)
        x0, x1 = _x(entry.start_s, end_s), _x(entry.end_s, end_s)
        width = max(x1 - x0, min(STRIP_HEIGHT, (WIDTH - LEFT - RIGHT) / len(activations)))
        x = min(x0, WIDTH - RIGHT - width)
        tiles.append(
            Tile(x, width, png_uri(heat_rgba(scaled)), f"clip at {span(entry.start_s, entry.end_s)}")
        )
    return tuple(tiles)


def _ticks(end_s: float) -> list[float]:
    step = next((step for step in STEPS_S if end_s / step <= TICKS), STEPS_S[-1])
    return [step * count for count in range(math.floor(end_s / step + 1e-9) + 1)]


def _description(track: TrackReport, ensemble: Sequence[tuple[float, float]]) -> str:
    """What somebody who cannot see the chart should know of it."""
    if not ensemble:
        return f"Face {track.id}: no counted detector has a score."
    top_s, top = max(ensemble, key=lambda entry: entry[1])
    low_s, low = min(ensemble, key=lambda entry: entry[1])
    return (
        f"Face {track.id}: the ensemble's probability of a forgery over time, highest {percent(top)} at "
        f"{moment(top_s)}, lowest {percent(low)} at {moment(low_s)}; below it each detector's clips."
    )
