"""What every detector has in common: its specification and the score it hands on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Sampling(Enum):
    """Which frames of a face track form one clip."""

    CONSECUTIVE = "consecutive"
    EVERY_SECOND = "every second"
    EVEN = "even over the track"
    SINGLE = "single frames"


class CropRule(Enum):
    """How a face box becomes the square that is cut out.

    ``SQRT_AREA``: side ``scale * sqrt(w * h)``, upright, centred on the box.
    ``LONG_SIDE``: side ``scale * max(w, h)``, upright, centred on the box.
    ``ALIGNED``:   side ``scale * max(w, h)``, centred on the box, turned until the eyes are level.
    """

    SQRT_AREA = "sqrt area"
    LONG_SIDE = "long side"
    ALIGNED = "aligned"


@dataclass(frozen=True)
class DetectorSpec:
    """What one detector wants to see.

    Attributes:
        name: key of the detector in reports, manifest and options.
        title: the name people know it by.
        paper: citation of the method.
        frames: frames in a clip (1 for detectors of single frames).
        sampling: which frames form a clip.
        crop: how the square is laid around the face.
        scale: side of the square in units of the rule.
        hold_first: the first frame's square serves the whole clip.
        size_px: side of the square handed to the network, pixels.
        mean: per RGB channel, in units of pixel / 255.
        std: per RGB channel, in units of pixel / 255.
        evidence: names of the ONNX outputs, beside ``probability``, that hold evidence maps.
    """

    name: str
    title: str
    paper: str
    frames: int
    sampling: Sampling
    crop: CropRule
    scale: float
    hold_first: bool
    size_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Score:
    """What one detector says of one clip.

    ``probability`` is the network's own output in [0, 1] (1 = forged), before calibration.
    """

    track_id: int
    start_s: float
    end_s: float
    probability: float
