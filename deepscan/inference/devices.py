"""Device -> ONNX Runtime's execution providers, best first, and the options of each."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import onnxruntime

from deepscan.config import Device, Placed
from deepscan.errors import DeviceError

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

PROVIDERS: Mapping[Placed, tuple[str, ...]] = {
    "tensorrt": (TENSORRT, CUDA, CPU),  # each takes the operators that those before it leave
    "cuda": (CUDA, CPU),
    "cpu": (CPU,),
}
DEVICE_OF: Mapping[str, Placed] = {TENSORRT: "tensorrt", CUDA: "cuda", CPU: "cpu"}

# DEFAULT takes one fixed convolution algorithm (the others are chosen by timing, so that two runs may
# differ in the last bits); TF32 would round inputs to 10 bits.
CUDA_OPTIONS = {"cudnn_conv_algo_search": "DEFAULT", "use_tf32": "0"}

REPAIRS: Mapping[Placed, str] = {
    "cuda": "install them with `pip install 'onnxruntime-gpu[cuda,cudnn]'`",
    "tensorrt": "install them with `pip install tensorrt` (release 10), and CUDA's with "
    "`pip install 'onnxruntime-gpu[cuda,cudnn]'`",
}
"""How to get the libraries of a device; follows on from a sentence about libraries that do not load."""


def candidates(device: Device) -> list[Placed]:
    """Devices to try, best first; nothing has been loaded on them yet, so they may fail to come up.

    ``auto`` takes TensorRT only where its libraries are there, since ONNX Runtime lists it whenever it was
    built with it, and the CPU in any case.

    Raises:
        DeviceError: the requested device does not exist here.
    """
    if device == "cpu":
        return ["cpu"]
    built = onnxruntime.get_available_providers()
    if device == "auto":
        if not gpu_count():
            return ["cpu"]
        found: list[Placed] = []
        if TENSORRT in built and preload_tensorrt():
            found.append("tensorrt")
        if CUDA in built:
            found.append("cuda")
        return [*found, "cpu"]
    if PROVIDERS[device][0] not in built:
        what = "CUDA" if device == "cuda" else "TensorRT"
        raise DeviceError(
            f"--device {device}: this ONNX Runtime is built without {what}; repair it with "
            "`pip install --force-reinstall --no-deps onnxruntime-gpu`, or use --device cpu."
        )
    if not gpu_count():
        raise DeviceError(f"--device {device}: no NVIDIA driver with a GPU answers here; use --device cpu.")
    return [device]


def options(provider: str, *, half: bool, engines: Path) -> dict[str, str]:
    """The options of a provider.

    TensorRT chooses kernels by timing them when it builds an engine, which takes minutes. The engine that
    it keeps makes later runs fast and repeatable; one that is built again may differ in the last bits.

    Args:
        provider: its name.
        half: the network computes in float16.
        engines: folder for TensorRT's engines of this very network.
    """
    if provider == CUDA:
        return dict(CUDA_OPTIONS)
    if provider == TENSORRT:
        return {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": os.fspath(engines),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": os.fspath(engines),
            "trt_fp16_enable": "1" if half else "0",
        }
    return {}


def engine_folder(model: str) -> Path:
    """Where TensorRT keeps the engines of the network with this sha256.

    A folder for each network: ONNX Runtime names engines after the graph alone, and would take those of
    other weights for its own. Below ``XDG_CACHE_HOME`` or ``~/.cache``; on Windows below ``LOCALAPPDATA``.
    """
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "deepscan" / "tensorrt" / model[:32]


@lru_cache(maxsize=1)
def gpu_count() -> int:
    """GPUs that the NVIDIA driver offers; 0 without a driver.

    ONNX Runtime lists CUDA whenever it was built with it, GPU or not, and prints errors when it then
    fails to start; asking the driver is cheap and quiet.
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int(0)
        if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
            return 0
    except (OSError, AttributeError):
        return 0
    return count.value


@lru_cache(maxsize=1)
def preload_cuda() -> None:
    """Load CUDA and cuDNN from their Python packages, where those are installed."""
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()


@lru_cache(maxsize=1)
def preload_tensorrt() -> bool:
    """Load TensorRT from its Python package or from where the system finds it; False where there is none."""
    preload_cuda()
    names = ("nvinfer_10.dll", "nvonnxparser_10.dll")
    if sys.platform != "win32":
        names = ("libnvinfer.so.10", "libnvonnxparser.so.10")
    package = find_spec("tensorrt_libs")
    folders = list(package.submodule_search_locations or ()) if package else []
    return all(_loads(name, folders) for name in names)


def _loads(name: str, folders: list[str]) -> bool:
    for candidate in (*(os.path.join(folder, name) for folder in folders), name):
        try:
            # Seen by what ONNX Runtime loads later, which asks for the library by its bare name.
            ctypes.CDLL(candidate, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return True
    return False
