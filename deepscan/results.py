"""What is known about a file once it was scanned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deepscan.ensemble import DetectorVerdict, Verdict
from deepscan.faces.unjudged import SkippedFaces
from deepscan.inference.evidence import TrackEvidence
from deepscan.media import Coverage, MediaInfo
from deepscan.provenance import Provenance

Status = Literal["scanned", "no_face", "partial", "unreadable", "timeout", "crashed", "unsupported"]

NOT_NEEDED = "not run: the answer was certain without it (--fast)"
"""Why a detector gave no score although it could have judged the face."""


@dataclass(frozen=True)
class TrackReport:
    """One face, from when it appears until it is lost.

    ``thumbnail`` is ``(48, 48, 3)`` uint8 RGB. ``person``: its number in this file; tracks of the same person
    are judged together. None where no detector tells people apart.
    ``part``: the video track, page or picture that shows it, where the file has several.
    """

    id: int
    start_s: float
    end_s: float
    probability: float | None
    verdict: Verdict | None
    detectors: tuple[DetectorVerdict, ...]
    face_width_px: int
    thumbnail: NDArray[np.uint8] | None = field(compare=False)
    evidence: TrackEvidence | None = field(default=None, compare=False)
    person: int | None = None
    part: str = ""

    @property
    def still(self) -> bool:
        """It is seen in one frame only, as in a photo."""
        return self.start_s == self.end_s


@dataclass(frozen=True)
class FileReport:
    """Everything that is known about one file.

    ``seconds`` is the wall time it took. These four are filled in by a run over many files: ``sha256``
    of the content, ``trace`` of a crash for who wants to see it, whether the result was ``taken_over`` from
    an earlier run, and whether somebody has ``accepted`` it before. ``provenance`` is what the file says
    about its own origin; it moves neither probability nor verdict, and is None where the file says nothing.
    """

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
    sha256: str | None = None
    trace: str | None = field(default=None, compare=False)
    taken_over: bool = field(default=False, compare=False)
    accepted: bool = False
    provenance: Provenance | None = None

    @property
    def unjudged(self) -> int:
        """Faces that were left out although they are large enough to matter."""
        return sum(faces.large for faces in self.skipped)

    @property
    def declared_synthetic(self) -> bool:
        """The file itself says that a trained model made it, in whole or in part."""
        return self.provenance is not None and bool(self.provenance.declared)

    @property
    def looked_through(self) -> bool:
        """It was read to its end, and no face that matters was left out."""
        return self.status == "scanned" and not self.unjudged
