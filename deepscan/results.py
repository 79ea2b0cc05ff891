"""What a scan returns: of one face, of one file, of a run over many files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from deepscan.config import Computed, Placed, ScanConfig
from deepscan.detectors import VIEWS
from deepscan.detectors.spec import EvidenceView, Map, Score
from deepscan.ensemble import Calibration, DetectorVerdict, Verdict
from deepscan.media import Coverage, MediaInfo
from deepscan.provenance import Provenance

Status = Literal["scanned", "no_face", "partial", "unreadable", "timeout", "crashed", "unsupported"]

NOT_NEEDED = "not run: the answer was certain without it (--fast)"
"""Why a detector gave no score although it could have judged the face."""


@dataclass(frozen=True, eq=False)
class Heat:
    """One evidence map at one moment.

    Attributes:
        detector: whose it is.
        output: its name among the detector's evidence outputs.
        values: ``(h, w)`` float32 in [0, 1], scaled as its view says.
    """

    detector: str
    output: str
    values: Map

    @property
    def view(self) -> EvidenceView:
        """What the map shows; looked up, so that a kept result holds nothing but data."""
        return next(view for view in VIEWS[self.detector] if view.output == self.output)


@dataclass(frozen=True, eq=False)
class Moment:
    """The clip in which one detector finds one face most suspicious.

    Attributes:
        detector: its key.
        score: of the clip, as the network gave it.
        time_s: of the picture.
        picture: ``(S, S, 3)`` uint8 RGB, the crop as the detector saw it.
        heats: the detector's maps at that time.
    """

    detector: str
    score: Score
    time_s: float
    picture: NDArray[np.uint8]
    heats: tuple[Heat, ...]


@dataclass(frozen=True, eq=False)
class Activation:
    """The 3D ResNet's class activation over one clip: ``values`` ``(h, w)`` float32, above 0 for forged."""

    start_s: float
    end_s: float
    values: Map


@dataclass(frozen=True, eq=False)
class TrackEvidence:
    """What is kept of one face: a moment per detector, and the 3D ResNet's activation over time."""

    moments: tuple[Moment, ...]
    activations: tuple[Activation, ...]


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
class SkippedFaces:
    """Faces that were seen but not scored.

    Attributes:
        reason: why, in words that follow on from their number.
        count: the most of them in any one frame.
        start_s: the first such frame.
        end_s: the last such frame.
        large: how many of them are large enough to matter; a file that has any is never called real.
        judge_with: the option and its value with which those are judged; None where none is large.
        part: the video track, page or picture, where the file has several.
    """

    reason: str
    count: int
    start_s: float
    end_s: float
    large: int
    judge_with: str | None
    part: str = ""


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


@dataclass
class RunReport:
    """What is known before the first file, and the files so far, in input order.

    Attributes:
        version: deepscan's.
        device: ``cpu``, ``cuda`` or ``tensorrt``, as resolved.
        provider: ONNX Runtime's execution provider.
        precision: what the networks compute in: ``int8``, ``fp16`` or ``fp32``, as resolved.
        weights: sha256 per detector that takes part.
        threshold_fake: probability from which a track is fake.
        threshold_real: probability below which a track is real.
        not_counted: detectors of weight 0: reported, without a say.
        calibration: how scores become probabilities.
        config: the settings of the run.
        total: files to scan.
        left_out: files in walked directories that are no media.
        excluded: files and directories that a glob kept out of a walk.
        interrupted: the run was ended before its last file; ``files`` holds those that were finished.
        warning: what a GPU should have done and did not, for a person.
    """

    version: str
    device: Placed
    provider: str
    precision: Computed
    weights: Mapping[str, str]
    threshold_fake: float
    threshold_real: float
    not_counted: tuple[str, ...]
    calibration: Calibration
    config: ScanConfig
    total: int
    left_out: int
    excluded: int = 0
    interrupted: bool = False
    files: list[FileReport] = field(default_factory=list)
    warning: str | None = None

    @property
    def resolved(self) -> ScanConfig:
        """The settings with nothing left to find out about the device: every worker takes the same."""
        return replace(self.config, device=self.device, precision=self.precision)


def without_pictures(file: FileReport) -> FileReport:
    """The same report, free of what only the moment of reporting it needs."""
    return replace(file, tracks=tuple(replace(track, evidence=None) for track in file.tracks))
