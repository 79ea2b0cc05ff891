"""Evidence as a scan would keep it, without running a network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from deepscan.clips import Clip
from deepscan.detectors import SPECS
from deepscan.detectors.base import Score
from deepscan.evidence import EvidenceKeeper
from deepscan.scan import FileReport, TrackReport
from tests.media.make import portrait
from tests.report.sample import CALIBRATION

SHAPES = {
    "rollout": (14, 14),
    "anomaly": (8, 14, 14),
    "motion_consistency": (8, 14, 14),
    "second_order": (16, 16),
    "activation": (1, 4, 4),
    "forged_pixels": (48, 48),
}


def outputs(name: str, seed: int = 0) -> dict[str, np.ndarray]:
    """What a network's evidence outputs hold for one clip."""
    rng = np.random.default_rng(seed)
    found = {}
    for output in SPECS[name].evidence:
        if output == "patches":
            found[output] = np.stack([rng.permutation(16)[:5] for _ in range(12)])
        else:
            found[output] = rng.random(SHAPES[output]).astype(np.float32)
    return found


def offer(
    keeper: EvidenceKeeper, name: str, probability: float, *, track: int = 1, at_s: float = 0.0, seed: int = 0
) -> Clip:
    """Show one clip of the portrait to a keeper."""
    spec = SPECS[name]
    pixels = np.stack([portrait(spec.size_px, shift=0.01 * frame) for frame in range(spec.frames)])
    clip = Clip(track, pixels, tuple(at_s + frame / 25 for frame in range(spec.frames)))
    score = Score(track, clip.times_s[0], clip.times_s[-1], probability)
    keeper.offer(spec, clip, score, outputs(name, seed))
    return clip


def with_pictures(file: FileReport) -> FileReport:
    """The report with a moment of every detector for each of its faces."""
    return replace(file, tracks=tuple(_with_pictures(track) for track in file.tracks))


def _with_pictures(track: TrackReport) -> TrackReport:
    keeper = EvidenceKeeper(CALIBRATION)
    for seed, name in enumerate(SPECS):
        offer(keeper, name, 0.9, track=track.id, at_s=1.0, seed=seed)
        offer(keeper, name, 0.4, track=track.id, at_s=6.0, seed=seed)
    thumbnail = portrait(48)
    return replace(track, evidence=keeper.get(track.id), thumbnail=thumbnail)
