"""The most suspicious moments of a face, as pictures with the detectors' evidence maps.

Kept only when a report shows them (``ScanConfig.evidence``), because pictures are large and crossing
from a worker to the report costs time. Memory stays flat however long a file is: one clip per detector and
face, ``TRACKS`` faces, and of each clip the one frame that is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepscan.detectors import VIEWS
from deepscan.detectors.spec import DetectorSpec, EvidenceView, Map, Score
from deepscan.ensemble import Calibration, fuse_logits, logit
from deepscan.results import Activation, Heat, Moment, TrackEvidence

if TYPE_CHECKING:
    from deepscan.faces.clips import Clip

TRACKS = 8
ACTIVATIONS = 48
OVER_TIME = "activation"  # the output of which every clip is kept: its map is tiny


@dataclass
class _Kept:
    moments: dict[str, Moment] = field(default_factory=dict)
    activations: list[tuple[float, Activation]] = field(default_factory=list)


class EvidenceKeeper:
    """Is shown every clip of a file and keeps the few that are worth a look."""

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._tracks: dict[int, _Kept] = {}

    def offer(
        self, spec: DetectorSpec, clip: Clip, score: Score, outputs: Mapping[str, NDArray[Any]]
    ) -> None:
        """Look at one clip and its evidence.

        Args:
            spec: of the detector.
            clip: what it looked at.
            score: of this clip.
            outputs: evidence by name, without the batch axis.
        """
        kept = self._tracks.setdefault(clip.track_id, _Kept())
        best = kept.moments.get(spec.name)
        if best is None or score.probability > best.score.probability:
            kept.moments[spec.name] = _moment(spec, clip, score, outputs)
        if OVER_TIME in outputs:
            values = np.asarray(outputs[OVER_TIME], np.float32)[0]
            kept.activations.append((score.probability, Activation(score.start_s, score.end_s, values)))
            if len(kept.activations) > ACTIVATIONS:
                kept.activations.remove(min(kept.activations, key=lambda entry: entry[0]))
        if len(self._tracks) > TRACKS:
            del self._tracks[min(self._tracks, key=lambda track: (self._suspicion(track), -track))]

    def get(self, track_id: int) -> TrackEvidence | None:
        """What is kept of one face; None for one that others were more suspicious than."""
        kept = self._tracks.get(track_id)
        if kept is None:
            return None
        moments = tuple(kept.moments[name] for name in VIEWS if name in kept.moments)
        over_time = sorted((entry for _, entry in kept.activations), key=lambda entry: entry.start_s)
        return TrackEvidence(moments, tuple(over_time))

    def _suspicion(self, track_id: int) -> float:
        """As of a face that is wide enough: how wide this one is over its whole track is not known yet."""
        moments = self._tracks[track_id].moments
        fused = fuse_logits(
            {m.detector: logit(m.score.probability) for m in moments.values()}, self._calibration
        )
        return -np.inf if fused is None else fused


def _moment(spec: DetectorSpec, clip: Clip, score: Score, outputs: Mapping[str, NDArray[Any]]) -> Moment:
    """The frame at which the maps are strongest together, or the middle one."""
    views = [view for view in VIEWS[spec.name] if view.output in outputs]
    maps = [_scaled(view, outputs[view.output]) for view in views]
    per_frame = [values.mean(axis=(1, 2)) for values in maps if len(values) == len(clip.times_s)]
    strongest = np.sum([means / max(means.max(), 1e-9) for means in per_frame], axis=0) if per_frame else None
    place = len(clip.times_s) // 2 if strongest is None else int(np.argmax(strongest))
    heats = tuple(
        Heat(spec.name, view.output, values[place if len(values) == len(clip.times_s) else 0].copy())
        for view, values in zip(views, maps, strict=True)
    )
    return Moment(spec.name, score, clip.times_s[place], clip.pixels[place].copy(), heats)


def _scaled(view: EvidenceView, output: NDArray[Any]) -> Map:
    """``(F, h, w)`` in [0, 1]."""
    values = view.read(np.asarray(output, np.float32))
    values = values if values.ndim == 3 else values[None]
    if not view.unit:
        low = 0.0 if view.signed else float(values.min())
        values = (values - low) / max(float(values.max()) - low, 1e-9)
    return np.asarray(np.clip(values, 0.0, 1.0), np.float32)
