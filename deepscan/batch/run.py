"""A run: what is known of it before its first file, and the files so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from deepscan import __version__
from deepscan.batch.discovery import Survey
from deepscan.config import ScanConfig
from deepscan.ensemble import Calibration
from deepscan.inference.devices import Placed
from deepscan.inference.loading import place, try_elsewhere
from deepscan.inference.session import Computed
from deepscan.results import FileReport
from deepscan.weights import Weights


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
