"""The networks of a scan: which device and precision they get, and loading them.

``auto`` is tried out before anything is scanned: a provider that ONNX Runtime lists may lack its libraries,
and one that loads may fail with its first convolution. A GPU that should have been used and was not
is reported once, in ``Placement.warning``; a device that was requested by name is an error instead.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context

from deepscan.config import Computed, Placed, ScanConfig
from deepscan.detectors import SPECS
from deepscan.errors import DeepscanError
from deepscan.inference.devices import PROVIDERS, candidates, gpu_count
from deepscan.inference.precision import can_rewrite
from deepscan.inference.session import Network, Session, return_freed_memory, side_by_side
from deepscan.limits import thread_count
from deepscan.weights import Weights

REPAIR = "`deepscan doctor` says how to repair it, and --device cpu asks for no GPU"


@dataclass(frozen=True)
class Placement:
    """Where the networks run and what they compute in; ``warning``: what should have come up and did not."""

    device: Placed
    precision: Computed
    warning: str | None = None

    @property
    def provider(self) -> str:
        """ONNX Runtime's execution provider."""
        return PROVIDERS[self.device][0]


Probe = Callable[[Weights, str, Placed, Computed], str | None]
"""Weights, a detector, a device and a precision -> why its network does not run there; None: it runs."""


def try_here(weights: Weights, detector: str, device: Placed, precision: Computed) -> str | None:
    """Load a network and run it once. Raises WeightsError where its file is damaged."""
    path, tuning = weights.path(detector), weights.tuning_path(detector)
    try:
        Session(path, device=device, precision=precision, tuning=tuning).warm_up(SPECS[detector].clip_shape)
    except DeepscanError as error:
        return str(error)
    return None


def try_elsewhere(weights: Weights, detector: str, device: Placed, precision: Computed) -> str | None:
    """The same in a process of its own: one that has used a GPU holds some of its memory until it ends."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        try:
            return process.submit(try_here, weights, detector, device, precision).result()
        except BrokenProcessPool:
            return "the process that tried it died"


def place(config: ScanConfig, weights: Weights, probe: Probe = try_here) -> Placement:
    """Decide where the networks run. Raises DeviceError, WeightsError."""
    devices = candidates(config.device)
    failures: list[str] = []
    device = devices[0]
    if config.device == "auto":
        if "cuda" not in devices and gpu_count():
            failures.append("an NVIDIA GPU answers, but this ONNX Runtime is built without CUDA")
        device = _first_that_runs(devices, config, weights, probe, failures)
    if device != "cpu" and config.precision == "auto" and not can_rewrite():
        failures.append(
            "fp16 needs the package onnx, so the networks run as int8 files, which is slow on a GPU; "
            "`pip install 'deepscan[gpu]'` brings it"
        )
    return Placement(device, _precision(config, device), _sentence(device, failures))


def _first_that_runs(
    devices: Sequence[Placed], config: ScanConfig, weights: Weights, probe: Probe, failures: list[str]
) -> Placed:
    """The first device that the first network runs on; ``failures`` receives why it is not an earlier one."""
    name = config.detectors[0]
    for device in devices:
        if device == "cpu":
            break
        reason = probe(weights, name, device, _precision(config, device))
        if reason is None:
            return device
        failures.append(f"{device} does not come up ({reason.rstrip('.')})")
    return "cpu"


def _sentence(device: Placed, failures: list[str]) -> str | None:
    return f"{'; '.join(failures)}; scanning on {device}. {REPAIR}" if failures else None


def _precision(config: ScanConfig, device: Placed) -> Computed:
    if config.precision != "auto":
        return config.precision
    return "fp16" if device != "cpu" and can_rewrite() else "int8"


def load(config: ScanConfig, weights: Weights) -> Mapping[str, Network]:
    """Load a scan's networks into this process, verified, by detector. Raises WeightsError, DeviceError."""
    placement = place(config, weights)
    if placement.warning:
        warnings.warn(placement.warning, RuntimeWarning, stacklevel=2)
    return load_placed(config, weights, placement)


def load_placed(
    config: ScanConfig, weights: Weights, placement: Placement, batch: int | None = None
) -> dict[str, Session]:
    """The same, on a certain device; on a CPU side by side. ``batch`` as for ``Session``."""
    at_once, threads = side_by_side(thread_count(config.threads))

    def session(name: str) -> Session:
        return Session(
            weights.path(name),
            device=placement.device,
            precision=placement.precision,
            threads=threads,
            frames=SPECS[name].frames,
            batch=batch,
            tuning=weights.tuning_path(name),
        )

    with ThreadPoolExecutor(at_once if placement.device == "cpu" else 1, "loading") as loaders:
        networks = dict(zip(config.detectors, loaders.map(session, config.detectors), strict=True))
    return_freed_memory()
    if placement.device != "cpu":
        for name, network in networks.items():
            network.warm_up(SPECS[name].clip_shape)
    return networks
