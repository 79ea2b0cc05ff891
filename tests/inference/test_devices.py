"""Devices: which providers are tried, in which order, and what is said when one does not come up."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from deepscan.config import ScanConfig
from deepscan.errors import DeviceError
from deepscan.inference import devices, loading
from deepscan.inference.devices import CPU, CUDA, TENSORRT, candidates, engine_folder, options
from deepscan.inference.loading import Placement, place, try_here
from deepscan.weights import Weights
from tests.fixtures.doubles import write_weights


def machine(
    monkeypatch: pytest.MonkeyPatch, *, gpus: int = 1, built: tuple[str, ...] = (), tensorrt: bool = False
) -> None:
    """Pretend to be another machine."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [*built, CPU])
    monkeypatch.setattr(devices, "gpu_count", lambda: gpus)
    monkeypatch.setattr(loading, "gpu_count", lambda: gpus)
    monkeypatch.setattr(devices, "preload_tensorrt", lambda: tensorrt)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return Weights(write_weights(tmp_path_factory.mktemp("weights")))


class Probe:
    """Says of some devices that they do not come up."""

    def __init__(self, *broken: str) -> None:
        self.broken = broken
        self.tried: list[tuple[str, str]] = []

    def __call__(self, weights: Weights, detector: str, device: str, precision: str) -> str | None:
        assert weights.path(detector).name == f"{detector}.onnx"
        self.tried.append((device, precision))
        return "its libraries do not load." if device in self.broken else None


def test_the_cpu_is_always_there(monkeypatch: pytest.MonkeyPatch, weights: Weights) -> None:
    assert candidates("cpu") == ["cpu"]
    machine(monkeypatch, gpus=0, built=(TENSORRT, CUDA))
    probe = Probe()
    assert place(ScanConfig(), weights, probe) == Placement("cpu", "int8")
    assert not probe.tried


def test_auto_takes_the_best_that_comes_up_and_says_once_what_did_not(
    monkeypatch: pytest.MonkeyPatch, weights: Weights
) -> None:
    machine(monkeypatch, built=(TENSORRT, CUDA), tensorrt=True)
    assert place(ScanConfig(), weights, Probe()) == Placement("tensorrt", "fp16")

    probe = Probe("tensorrt")
    found = place(ScanConfig(), weights, probe)
    assert (found.device, found.provider, found.precision) == ("cuda", CUDA, "fp16")
    assert probe.tried == [("tensorrt", "fp16"), ("cuda", "fp16")]
    assert found.warning is not None and "\n" not in found.warning
    assert found.warning.startswith(
        "tensorrt does not come up (its libraries do not load); scanning on cuda. `deepscan doctor`"
    )

    found = place(ScanConfig(), weights, Probe("tensorrt", "cuda"))
    assert (found.device, found.provider, found.precision) == ("cpu", CPU, "int8")
    assert found.warning is not None
    assert found.warning.count("does not come up") == 2 and "; scanning on cpu. " in found.warning


def test_auto_wants_tensorrt_only_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch, weights: Weights
) -> None:
    machine(monkeypatch, built=(TENSORRT, CUDA), tensorrt=False)
    probe = Probe()
    assert place(ScanConfig(precision="fp32"), weights, probe) == Placement("cuda", "fp32")
    assert probe.tried == [("cuda", "fp32")]


def test_a_gpu_that_onnx_runtime_cannot_use_is_worth_a_warning(
    monkeypatch: pytest.MonkeyPatch, weights: Weights
) -> None:
    machine(monkeypatch, built=())
    found = place(ScanConfig(), weights, Probe())
    assert found.device == "cpu"
    assert found.warning is not None and "built without CUDA; scanning on cpu" in found.warning
    assert place(ScanConfig(device="cpu"), weights, Probe()).warning is None


def test_without_the_package_for_it_a_gpu_computes_in_int8_and_says_so(
    monkeypatch: pytest.MonkeyPatch, weights: Weights
) -> None:
    machine(monkeypatch, built=(CUDA,))
    monkeypatch.setattr(loading, "can_rewrite", lambda: False)
    found = place(ScanConfig(), weights, Probe())
    assert (found.device, found.precision) == ("cuda", "int8")
    assert found.warning is not None and "pip install 'deepscan[gpu]'" in found.warning
    found = place(ScanConfig(device="cuda"), weights)
    assert found.precision == "int8"
    assert found.warning is not None and "pip install 'deepscan[gpu]'" in found.warning


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_device_that_was_asked_for_is_there_or_an_error(
    monkeypatch: pytest.MonkeyPatch, weights: Weights, device: str
) -> None:
    config = ScanConfig(device=device)  # type: ignore[arg-type]
    machine(monkeypatch, built=())
    with pytest.raises(DeviceError, match="pip install --force-reinstall --no-deps onnxruntime-gpu"):
        place(config, weights)
    machine(monkeypatch, built=(TENSORRT, CUDA), gpus=0)
    with pytest.raises(DeviceError, match=f"--device {device}: no NVIDIA driver"):
        place(config, weights)
    machine(monkeypatch, built=(TENSORRT, CUDA))
    found = place(config, weights)
    assert (found.device, found.precision, found.warning) == (device, "fp16", None)


@pytest.mark.skipif(devices.gpu_count() > 0, reason="here it comes up")
@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_device_that_does_not_come_up_is_an_error_with_its_repair(
    weights: Weights, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    placement = Placement(device, "int8")  # type: ignore[arg-type]
    with pytest.raises(DeviceError, match=f"--device {device}: ONNX Runtime could not load .*pip install"):
        loading.load_placed(ScanConfig(), weights, placement)


@pytest.mark.skipif(devices.gpu_count() > 0, reason="here it comes up")
def test_a_provider_that_does_not_come_up_is_found_out_by_trying(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert try_here(weights, "sola", "cpu", "int8") is None
    for device in ("cuda", "tensorrt"):
        reason = try_here(weights, "sola", device, "int8")
        assert reason is not None and "could not load the libraries" in reason
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


def test_tensorrt_keeps_its_engines_by_network_where_the_user_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = engine_folder("ab" * 32)
    assert folder.parent == tmp_path / "deepscan" / "tensorrt"
    assert folder != engine_folder("cd" * 32)
    told = options(TENSORRT, half=True, engines=folder)
    assert (told["trt_engine_cache_path"], told["trt_fp16_enable"]) == (str(folder), "1")
    assert options(TENSORRT, half=False, engines=folder)["trt_fp16_enable"] == "0"
    assert options(CUDA, half=True, engines=folder)["use_tf32"] == "0"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert engine_folder("ab" * 32).is_relative_to(tmp_path / "home" / ".cache")
