"""``deepscan doctor``: is this installation able to scan, and if not, what is to be done."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from deepscan import limits
from deepscan.cli.exit_codes import ERROR

if TYPE_CHECKING:
    from deepscan.config import Computed, Placed

PACKAGES = (
    "av",
    "insightface",
    "onnxruntime",
    "onnxruntime-gpu",
    "opencv-python",
    "numpy",
    "pillow",
    "typer",
    "rich",
)
OPTIONAL_PACKAGES = ("onnxruntime-gpu",)
MARKS = {"ok": "ok  ", "note": "note", "fail": "FAIL"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; ``repair`` is one line to type."""

    state: Literal["ok", "note", "fail"]
    text: str
    repair: str | None = None


def doctor(
    weights: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Weights folder instead of the shipped one.")
    ] = None,
    face_model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="An InsightFace detector instead of the shipped one.")
    ] = None,
) -> None:
    """Check the installation: versions, ONNX Runtime, model files. Exit code 2 when something is broken."""
    limits.check(jobs=1, threads=limits.thread_count())
    failed = False
    for finding in examine(weights, face_model):
        failed = failed or finding.state == "fail"
        typer.echo(f"{MARKS[finding.state]}  {finding.text}")
        if finding.repair:
            typer.echo(f"      repair: {finding.repair}")
    typer.echo("Something is broken; see above." if failed else "deepscan can scan on this machine.")
    if failed:
        raise typer.Exit(ERROR)


def examine(weights: Path | None = None, face_model: Path | None = None) -> Iterator[Finding]:
    """Every check, in order; one that breaks down is a finding, not the end."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _versions,
        _provenance,
        lambda: _providers(weights),
        lambda: _weights(weights),
        lambda: _face_model(weights, face_model),
    )
    for check in checks:
        try:
            yield from check()
        except Exception as error:
            yield Finding("fail", f"{type(error).__name__}: {error}")


def _versions() -> Iterator[Finding]:
    from deepscan import __version__

    yield Finding("ok", f"deepscan {__version__}, Python {platform.python_version()}, {platform.platform()}")
    for package in PACKAGES:
        found = _installed(package)
        if found is not None:
            yield Finding("ok", f"{package} {found}")
        elif package not in OPTIONAL_PACKAGES:
            yield Finding("fail", f"{package} is not installed", f"{sys.executable} -m pip install {package}")


def _provenance() -> Iterator[Finding]:
    """Can C2PA manifests be read?"""
    from deepscan.provenance.manifests import c2pa_version, check

    found = c2pa_version()
    repair = f"{sys.executable} -m pip install 'deepscan[provenance]'"
    if found is None:
        yield Finding("note", "c2pa-python is not installed: C2PA manifests are seen, not read", repair)
    elif problem := check():
        yield Finding("note", f"c2pa-python {found} does not work: {problem}", repair)
    else:
        yield Finding("ok", f"c2pa-python {found} reads C2PA manifests")


def _installed(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _providers(weights: Path | None) -> Iterator[Finding]:
    import onnxruntime

    from deepscan.inference.devices import CUDA, gpu_count

    available = onnxruntime.get_available_providers()
    yield Finding("ok", f"ONNX Runtime's providers: {', '.join(available)}")
    gpu_build = _installed("onnxruntime-gpu")
    if gpu_build is None:
        yield Finding("note", "onnxruntime-gpu is not installed: scans run on the CPU")
    elif CUDA not in available:
        # onnxruntime and onnxruntime-gpu share their files, and whichever is installed last wins.
        yield Finding(
            "fail" if gpu_count() else "note",
            "onnxruntime-gpu is installed, but onnxruntime's files lie over it: scans run on the CPU"
            + ("" if gpu_count() else " (no NVIDIA GPU answers here, so nothing is lost)"),
            f"{sys.executable} -m pip install --force-reinstall --no-deps onnxruntime-gpu=={gpu_build}",
        )
    elif not gpu_count():
        yield Finding("note", "no NVIDIA GPU answers here: scans run on the CPU")
    else:
        yield from _gpu(weights)


def _gpu(folder: Path | None) -> Iterator[Finding]:
    """Every way to run on a GPU, tried out as a scan tries it."""
    from deepscan.config import load
    from deepscan.inference.devices import candidates, preload_tensorrt
    from deepscan.inference.loading import try_elsewhere
    from deepscan.inference.precision import can_rewrite
    from deepscan.media.nvdec import has_nvdec
    from deepscan.weights import Weights

    if not can_rewrite():
        yield Finding(
            "note",
            "the package onnx is not installed: networks on a GPU compute in int8, not in fp16",
            f"{sys.executable} -m pip install 'deepscan[gpu]'",
        )
    weights = Weights(load({"weights": folder}).weights)
    detector = next(iter(weights.manifest.detectors))
    for device in candidates("auto"):
        if device != "cpu":
            precision: Computed = "fp16" if can_rewrite() else "int8"
            reason = try_elsewhere(weights, detector, device, precision)
            yield _tried(device, reason)
    if not preload_tensorrt():
        yield Finding("note", "TensorRT is not installed: the networks run on CUDA alone, which is enough")
    if not has_nvdec():
        yield Finding("note", "this build of PyAV lacks NVDEC: --decoder nvdec would leave videos to the CPU")


def _tried(device: Placed, reason: str | None) -> Finding:
    if reason is None:
        return Finding("ok", f"the networks run on an NVIDIA GPU ({device})")
    package = "'onnxruntime-gpu[cuda,cudnn]'" if device == "cuda" else "tensorrt"
    return Finding(
        "note",
        f"an NVIDIA GPU answers, but {device} does not come up ({reason.rstrip('.')}): scans do without it",
        f"{sys.executable} -m pip install {package}",
    )


def _weights(folder: Path | None) -> Iterator[Finding]:
    from deepscan.config import load
    from deepscan.detectors import SPECS
    from deepscan.weights import Weights

    weights = Weights(load({"weights": folder}).weights)
    for name in SPECS:
        if name not in weights.manifest.detectors:
            yield Finding("fail", f"{weights.manifest.path}: lists no detector {name}")
    for model in weights.files():
        problem = weights.problem(model)
        if problem is None:
            yield Finding("ok", f"{model.name} {model.sha256[:12]}… ({weights.root / model.file})")
        else:
            yield Finding("fail", problem)


def _face_model(folder: Path | None, face_model: Path | None) -> Iterator[Finding]:
    import numpy as np

    from deepscan.config import load
    from deepscan.faces.tracker import FaceEngine
    from deepscan.inference.devices import CPU
    from deepscan.weights import Weights

    config = load({"weights": folder, "face_model": face_model})
    path = config.face_model or Weights(config.weights).face_path()
    engine = FaceEngine(path, providers=[CPU], threads=1)
    engine.detect(np.zeros((64, 64, 3), np.uint8))
    yield Finding("ok", f"the face model runs ({path})")
