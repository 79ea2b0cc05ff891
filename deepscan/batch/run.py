"""The start of a run: what is known of it before its first file."""

from __future__ import annotations

from deepscan import __version__
from deepscan.config import ScanConfig
from deepscan.inference.loading import place, try_elsewhere
from deepscan.media.discovery import Survey
from deepscan.results import RunReport
from deepscan.weights import Weights


def begin(found: Survey, config: ScanConfig) -> RunReport:
    """What is known of a run before it starts. Raises DeviceError, WeightsError."""
    weights = Weights(config.weights)
    calibration = weights.manifest.calibration
    fake, real = calibration.thresholds(config.threshold)
    placement = place(config, weights, try_elsewhere)
    return RunReport(
        version=__version__,
        device=placement.device,
        provider=placement.provider,
        precision=placement.precision,
        weights=weights.hashes(config.detectors),
        threshold_fake=fake,
        threshold_real=real,
        not_counted=tuple(name for name in config.detectors if calibration.detectors[name].weight == 0),
        calibration=calibration,
        config=config,
        total=len(found.files),
        left_out=found.left_out,
        excluded=found.excluded,
        warning=placement.warning,
    )
