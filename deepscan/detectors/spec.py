"""What every detector has in common: its specification and the score it hands on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


class Sampling(Enum):
    """Which frames of a face track form one clip."""

    CONSECUTIVE = "consecutive"
    EVERY_SECOND = "every second"
    EVEN = "even over the track"
    SINGLE = "single frames"


class CropRule(Enum):
    """How a face box becomes the square that is cut out; a turned face is stood up first.

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
        fast_rank: place in the order of ``--fast``: GenD first, as the surest, then by CPU seconds
            for 10 s with one face (benchmarks/speed/nets.py): 0.1, 0.1, 0.3, 0.5 and 2.0.
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
    fast_rank: int = 0

    @property
    def clip_shape(self) -> tuple[int, ...]:
        """Shape of one clip as the network takes it: ``(T, S, S, 3)``, single frames ``(S, S, 3)``."""
        time = () if self.sampling is Sampling.SINGLE else (self.frames,)
        return (*time, self.size_px, self.size_px, 3)


def as_it_is(output: Map) -> Map:
    """An output that holds maps already."""
    return output


@dataclass(frozen=True)
class EvidenceView:
    """How one evidence output is read and what it shows.

    Attributes:
        output: its name; one of the specification's ``evidence``.
        title: a few words.
        caption: what the map is and how its colours are scaled, for a person.
        read: the output of one clip, without the batch axis, as maps ``(h, w)`` or ``(F, h, w)``, where F is
            one or the frames of the clip.
        unit: values lie in [0, 1] and are shown as they are; otherwise a clip's maps are scaled together.
        signed: only values above 0 speak for a forgery; otherwise the smallest value is shown as nothing.
        extent: the part of the crop that the map covers: x0, y0, x1, y1 in shares of its side.
    """

    output: str
    title: str
    caption: str
    read: Callable[[Map], Map] = as_it_is
    unit: bool = False
    signed: bool = False
    extent: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Score:
    """What one detector says of one clip.

    ``probability`` is the network's own output in [0, 1] (1 = forged), before calibration.
    """

    track_id: int
    start_s: float
    end_s: float
    probability: float
