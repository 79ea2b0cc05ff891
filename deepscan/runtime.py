"""ONNX Runtime sessions: providers, threads, one run at a time.

Scores must not depend on what else is being scanned, so a session is given the same batch shape for
every clip, its graph runs node by node, and algorithms are never picked by timing them. On a CPU the
result does not depend on the number of threads either: they share out a layer's outputs, never one sum.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from deepscan.config import Device
from deepscan.errors import DeviceError, WeightsError

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"

# DEFAULT takes one fixed convolution algorithm (the others are chosen by timing, so that two runs may
# differ in the last bits); TF32 would round inputs to 10 bits.
CUDA_OPTIONS = {"cudnn_conv_algo_search": "DEFAULT", "use_tf32": "0"}


def providers(device: Device) -> list[str]:
    """Execution providers for a device, in order of preference.

    Raises:
        DeviceError: ``cuda`` was asked for and this installation or machine has none.
    """
    if device == "cpu":
        return [CPU]
    built = CUDA in onnxruntime.get_available_providers()
    if built and gpu_count() > 0:
        return [CUDA, CPU]
    if device == "auto":
        return [CPU]
    if built:
        raise DeviceError("--device cuda: no NVIDIA driver with a GPU answers here; use --device cpu.")
    raise DeviceError(
        "--device cuda: this ONNX Runtime is built without CUDA; repair it with "
        "`pip install --force-reinstall --no-deps onnxruntime-gpu`, or use --device cpu."
    )


def thread_count(threads: int | None = None, jobs: int = 1) -> int:
    """Threads for one worker: as asked for, else this process's share of the cores it may run on."""
    if threads is not None:
        return threads
    # macOS and Windows have no such mask
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // jobs)


@lru_cache(maxsize=1)
def _share_memory() -> None:
    """Give all networks of this process one arena for activations.

    They run one after the other, so that one network's worth is enough; each with an arena of its own keeps
    the largest it ever needed. Three quarters of a worker's memory were idle arenas.
    """
    arena = onnxruntime.OrtArenaCfg(
        {
            "max_mem": 0,
            "arena_extend_strategy": 0,
            "initial_chunk_size_bytes": -1,
            "max_dead_bytes_per_chunk": -1,
        }
    )
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(memory, arena)


def session_options(threads: int) -> Any:
    """How every network here runs on the CPU, the face detector too: ``onnxruntime.SessionOptions``."""
    _share_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 3  # errors only: warnings would land between the report's lines
    # Each session has a thread pool. Threads that spin while they wait take the cores from the decoder
    # and the other workers: on a busy machine sleeping ones measured a quarter less wall time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    # A planned block for a whole run would lie beside what the run before it left in the arena.
    options.enable_mem_pattern = False
    return options


class Session:
    """One network, loaded. Thread-safe: ONNX Runtime allows concurrent runs."""

    def __init__(self, path: Path, *, device: Device = "auto", threads: int = 1) -> None:
        """Load ``path``.

        Raises:
            WeightsError: not an ONNX file that this ONNX Runtime can run, or not with one input ``pixels``.
            DeviceError: ``cuda`` was asked for and its libraries do not load.
        """
        wanted = providers(device)
        if CUDA in wanted:
            _preload_cuda()
        try:
            self._session = onnxruntime.InferenceSession(
                os.fspath(path),
                session_options(threads),
                providers=[(name, CUDA_OPTIONS if name == CUDA else {}) for name in wanted],
            )
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            reason = _first_line(error)
            raise WeightsError(f"{path}: ONNX Runtime cannot load this model ({reason}).") from error
        if device == "cuda" and self.device != "cuda":
            raise DeviceError(
                "--device cuda: ONNX Runtime could not load the CUDA libraries; install them with "
                "`pip install 'onnxruntime-gpu[cuda,cudnn]'`, or use --device cpu."
            )
        inputs = [entry.name for entry in self._session.get_inputs()]
        if inputs != ["pixels"]:
            raise WeightsError(f"{path}: needs the one input `pixels`, has {', '.join(inputs) or 'none'}.")
        self.path = path
        self.outputs: tuple[str, ...] = tuple(entry.name for entry in self._session.get_outputs())

    @property
    def device(self) -> str:
        """Where it really runs: ``cuda`` or ``cpu``."""
        return "cuda" if self._session.get_providers()[0] == CUDA else "cpu"

    def run(self, pixels: NDArray[np.uint8], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Run the network once.

        Args:
            pixels: uint8, ``(B, T, S, S, 3)`` for clips, ``(B, S, S, 3)`` for single frames.
            outputs: names of the outputs wanted; parts of the graph that only others need do not run.

        Raises:
            WeightsError: the network has no such output or does not take this shape.
        """
        missing = [name for name in outputs if name not in self.outputs]
        if missing:
            raise WeightsError(f"{self.path}: has no output {', '.join(missing)}.")
        try:
            values = self._session.run(list(outputs), {"pixels": np.ascontiguousarray(pixels)})
        except Exception as error:  # as above
            raise WeightsError(
                f"{self.path}: cannot run on pixels of shape {pixels.shape} ({_first_line(error)})."
            ) from error
        return dict(zip(outputs, values, strict=True))


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
def _preload_cuda() -> None:
    """Load CUDA and cuDNN from their Python packages, where those are installed."""
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
