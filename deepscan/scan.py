"""The pipeline for ONE file, top to bottom: probe, plan, decode, follow faces, cut, score, fuse, report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deepscan.ensemble import DetectorVerdict, Verdict
from deepscan.faces import SkippedFaces
from deepscan.media import Coverage, MediaInfo

Status = Literal["scanned", "no_face", "partial", "unreadable", "timeout", "crashed", "unsupported"]


@dataclass(frozen=True)
class TrackReport:
    """One face, from when it appears until it is lost.

    ``probability`` and ``verdict`` are None when no counted detector could score the track; why is in
    each detector's ``reason``. ``thumbnail`` is ``(48, 48, 3)`` uint8 RGB.
    """

    id: int
    start_s: float
    end_s: float
    probability: float | None
    verdict: Verdict | None
    detectors: tuple[DetectorVerdict, ...]
    face_width_px: int
    thumbnail: NDArray[np.uint8] | None = field(compare=False)


@dataclass(frozen=True)
class FileReport:
    """Everything that is known about one file; ``seconds`` is the wall time it took."""

    path: str
    status: Status
    verdict: Verdict | None
    probability: float | None
    coverage: Coverage | None
    tracks: tuple[TrackReport, ...]
    skipped: tuple[SkippedFaces, ...]
    media: MediaInfo | None
    error: str | None
    seconds: float = field(compare=False)
