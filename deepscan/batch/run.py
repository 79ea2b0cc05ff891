"""A run: what is known of it before its first file, and the files so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from deepscan import __version__
from deepscan.batch.walk import Survey
from deepscan.config import ScanConfig
from deepscan.ensemble import Calibration
from deepscan.results import FileReport
from deepscan.runtime import CPU, CUDA, Session, providers
from deepscan.weights import Weights


@dataclass
class RunReport:
    """What is known before the first file, and the files so far, in input order.

    Attributes:
        version: deepscan's.
        device: ``cpu`` or ``cuda``, as resolved.
        provider: ONNX Runtime's execution provider.
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
    """

    version: str
    device: str
    provider: str
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


def begin(found: Survey, config: ScanConfig) -> RunReport:
    """What is known of a run before it starts. Raises DeviceError, WeightsError."""
    weights = Weights(config.weights)
    calibration = weights.manifest.calibration
    fake, real = calibration.thresholds(config.threshold)
    device = _device(config, weights)
    return RunReport(
        version=__version__,
        device=device,
        provider=CUDA if device == "cuda" else CPU,
        weights=weights.hashes(config.detectors),
        threshold_fake=fake,
        threshold_real=real,
        not_counted=tuple(name for name in config.detectors if calibration.detectors[name].weight == 0),
        calibration=calibration,
        config=config,
        total=len(found.files),
        left_out=found.left_out,
        excluded=found.excluded,
    )


def _device(config: ScanConfig, weights: Weights) -> str:
    """Where the networks really run: CUDA may be there in name only, so one of them is loaded to see."""
    if providers(config.device)[0] == CPU:
        return "cpu"
    return Session(weights.path(config.detectors[0]), device=config.device).device
