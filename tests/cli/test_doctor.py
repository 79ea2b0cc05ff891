"""``deepscan doctor`` and ``deepscan weights``: what is broken, and how to repair it."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from deepscan.cli import doctor as examined
from deepscan.cli import run
from deepscan.detectors import SPECS
from deepscan.inference import devices, loading
from deepscan.media import nvdec
from deepscan.weights import Weights
from tests.fixtures.doubles import write_weights


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    root = write_weights(tmp_path / "weights", weights={"resnet3d": 0.0})
    monkeypatch.setenv("DEEPSCAN_WEIGHTS", str(root))
    return root


def machine(
    monkeypatch: pytest.MonkeyPatch, *, gpus: int, providers: list[str], gpu_build: str | None = "1.31.1"
) -> None:
    """Pretend to be another machine."""
    installed = examined._installed
    monkeypatch.setattr(devices, "gpu_count", lambda: gpus)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(
        examined, "_installed", lambda name: gpu_build if name == "onnxruntime-gpu" else installed(name)
    )


@pytest.mark.parametrize(
    ("providers", "gpu_build", "note"),
    [
        (["CUDAExecutionProvider", "CPUExecutionProvider"], "1.31.1", "no NVIDIA GPU answers here"),
        (["CPUExecutionProvider"], None, "onnxruntime-gpu is not installed"),
        (["CPUExecutionProvider"], "1.31.1", "so nothing is lost"),
    ],
)
def test_a_machine_without_a_gpu_is_healthy(
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    providers: list[str],
    gpu_build: str | None,
    note: str,
) -> None:
    machine(monkeypatch, gpus=0, providers=providers, gpu_build=gpu_build)
    assert run(["doctor"]) == 0
    out = capsys.readouterr().out
    assert note in next(line for line in out.splitlines() if line.startswith("note"))
    assert "FAIL" not in out
    assert "the face model runs" in out
    assert out.endswith("deepscan can scan on this machine.\n")


def test_the_cpu_build_over_the_gpu_build_is_broken_where_there_is_a_gpu(
    weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine(monkeypatch, gpus=1, providers=["CPUExecutionProvider"])
    assert run(["doctor"]) == 2
    out = capsys.readouterr().out
    assert "FAIL  onnxruntime-gpu is installed, but onnxruntime's files lie over it" in out
    assert "-m pip install --force-reinstall --no-deps onnxruntime-gpu==1.31.1" in out


def test_what_comes_up_on_a_gpu_and_what_does_not_is_told_apart(
    weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    available = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    machine(monkeypatch, gpus=1, providers=available)
    monkeypatch.setattr(devices, "preload_tensorrt", lambda: True)
    monkeypatch.setattr(nvdec, "has_nvdec", lambda: False)
    tried = []

    def try_it(weights: Weights, detector: str, device: str, precision: str) -> str | None:
        tried.append((detector, device, precision))
        return "no engine can be built." if device == "tensorrt" else None

    monkeypatch.setattr(loading, "try_elsewhere", try_it)
    assert run(["doctor"]) == 0
    out = capsys.readouterr().out
    assert tried == [("gend", "tensorrt", "fp16"), ("gend", "cuda", "fp16")]
    assert "note  an NVIDIA GPU answers, but tensorrt does not come up (no engine can be built)" in out
    assert "-m pip install tensorrt" in out
    assert "ok    the networks run on an NVIDIA GPU (cuda)" in out
    assert "note  this build of PyAV lacks NVDEC" in out


def test_altered_and_missing_weights_are_named(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["weights", "verify"]) == 0
    assert capsys.readouterr().out.count("ok  ") == len(SPECS) + 1
    (weights / "gml.onnx").write_bytes(b"altered")
    (weights / "sola.onnx").unlink()
    for command in (["weights", "verify"], ["doctor"]):
        assert run(command) == 2
        out = capsys.readouterr().out
        assert "gml.onnx: the model file of gml is not the one in the manifest" in out
        assert "sola.onnx: the model file of sola is missing" in out


def test_a_face_model_that_is_none_is_named(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--face-model", str(weights / "gml.onnx")]) == 2
    assert "FaceModelError" in capsys.readouterr().out
    assert run(["doctor", "--face-model", "nowhere.onnx"]) == 2
    assert "no such file" in capsys.readouterr().out


def test_weights_are_listed_with_what_was_measured(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["weights", "list"]) == 0
    out = capsys.readouterr().out
    assert str(weights) in out
    assert out.count("licence       MIT") == len(SPECS) + 1
    assert "auc           0.5" in out
    assert "data licence  unknown" in out
    assert "0: reported, not counted" in out
