"""ONNX Runtime sessions: threads and batches.

Scores must not depend on what else is being scanned. On a CPU a session is given one clip at a time, its
graph runs node by node, and algorithms are never picked by timing them; nor does the result depend on the
number of threads: they share out a layer's outputs, never one sum.

A GPU needs batches. They are filled up to 1, 2, 4 ... clips, so that few shapes exist; a kernel may add in
another order for another shape, so that the last bits of a score can depend on how many clips were at hand.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from deepscan.config import Computed, Placed
from deepscan.errors import DeviceError, WeightsError
from deepscan.inference.devices import (
    DEVICE_OF,
    PROVIDERS,
    REPAIRS,
    engine_folder,
    options,
    preload_cuda,
    preload_tensorrt,
)
from deepscan.inference.io_binding import BoundRuns
from deepscan.inference.precision import float_model
from deepscan.inference.tuning import Tuning, bring, misfit, read_tuning
from deepscan.onnx_options import session_options

BATCH_FRAMES = 64
"""Frames in a batch at most, on a GPU: 8 clips of 8 frames. 15 MB of pixels, 2 GB of activations or so."""
BATCH_CLIPS = 16
NOT_BROUGHT = "External data path"
"""What ONNX Runtime complains of where a file names tensors that nobody brought."""
QUIET, USUAL = 4, 2  # severities of ONNX Runtime's log: fatal only, warnings and worse


class Network(Protocol):
    """A loaded network, in this process or in another one.

    Attributes:
        outputs: names of what it can answer.
        batch: clips that it takes at once, at most.
        any_length: whether it takes clips of fewer frames than its specification has.
    """

    outputs: tuple[str, ...]
    batch: int
    any_length: bool

    def run(self, pixels: NDArray[np.uint8], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """As ``Session.run``."""


def side_by_side(threads: int) -> tuple[int, int]:
    """How networks share a worker's threads on a CPU: how many run at once, and the threads of each.

    Two with half the threads: the threads of one network wait for one another at every layer, and decoding,
    crops and small layers leave them idle.
    """
    at_once = min(2, threads)
    return at_once, threads // at_once


def return_freed_memory() -> None:
    """Give back what loading networks freed: some 50 MB that the GNU C library would keep for later."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


class Session:
    """One network, loaded. Thread-safe: ONNX Runtime allows concurrent runs."""

    def __init__(
        self,
        path: Path,
        *,
        device: Placed = "cpu",
        precision: Computed = "int8",
        threads: int = 1,
        frames: int = 1,
        batch: int | None = None,
        tuning: Path | None = None,
    ) -> None:
        """Load ``path``.

        Args:
            path: an ONNX file.
            device: where to run it.
            precision: what it computes in.
            threads: intra-op threads on the CPU.
            frames: in a clip, for the size of a batch.
            batch: clips it takes at once; None: one on a CPU, several on a GPU. More than one are run with
                bound input.
            tuning: safetensors with the tensors that the file names and does not hold.

        Raises:
            WeightsError: not an ONNX file that this ONNX Runtime can run, or not with one input ``pixels``;
                the tuning is missing, or another file's.
            DeviceError: the device's libraries do not load.
        """
        self.path = path
        tuned = None if tuning is None else read_tuning(tuning)
        model: Path | bytes = path if precision == "int8" else float_model(path, precision, tuned)
        self._session = _load(path, model, device, precision, threads, tuned if model is path else None)
        if self.device != device:
            raise DeviceError(
                f"--device {device}: ONNX Runtime could not load the libraries of {device}; "
                f"{REPAIRS[device]}, or use --device cpu."
            )
        inputs = [entry.name for entry in self._session.get_inputs()]
        if inputs != ["pixels"]:
            raise WeightsError(f"{path}: needs the one input `pixels`, has {', '.join(inputs) or 'none'}.")
        self.outputs: tuple[str, ...] = tuple(entry.name for entry in self._session.get_outputs())
        shape = self._session.get_inputs()[0].shape
        self.any_length = len(shape) == 5 and not isinstance(shape[1], int)
        on_gpu = 1 << (min(BATCH_CLIPS, max(1, BATCH_FRAMES // frames)).bit_length() - 1)
        self.batch = batch or (1 if device == "cpu" else on_gpu)
        memory = "cpu" if device == "cpu" else "cuda"
        self._bound = BoundRuns(self._session, memory) if self.batch > 1 else None

    @property
    def device(self) -> Placed:
        """Where it really runs."""
        return DEVICE_OF.get(self._session.get_providers()[0], "cpu")

    def warm_up(self, clip_shape: Sequence[int]) -> None:
        """Run every size of batch once on black clips: what is built or allocated then is no file's fault.

        The largest comes first, so that TensorRT builds one engine for a range and not one for each; a
        network that takes clips of any length runs on a single frame as well.
        """
        sizes = {_filled(count, self.batch) for count in range(1, self.batch + 1)}
        for size in sorted(sizes, reverse=True):
            self.run(np.zeros((size, *clip_shape), np.uint8), self.outputs)
        if self.any_length:
            self.run(np.zeros((1, 1, *clip_shape[1:]), np.uint8), self.outputs)

    def run(self, pixels: NDArray[np.uint8], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Run the network once.

        Args:
            pixels: uint8, ``(B, T, S, S, 3)`` for clips, ``(B, S, S, 3)`` for single frames; B up to
                ``batch``; with ``any_length`` T may be anything from 1.
            outputs: names of the outputs wanted; parts of the graph that only others need do not run.

        Raises:
            WeightsError: the network has no such output or does not take this shape.
        """
        missing = [name for name in outputs if name not in self.outputs]
        if missing:
            raise WeightsError(f"{self.path}: has no output {', '.join(missing)}.")
        try:
            if self._bound is None:
                values = self._session.run(list(outputs), {"pixels": np.ascontiguousarray(pixels)})
            else:
                count = len(pixels)
                more = _filled(count, self.batch) - count
                filled = np.concatenate([pixels, np.repeat(pixels[-1:], more, axis=0)]) if more else pixels
                values = [value[:count] for value in self._bound.run(filled, outputs)]
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            raise WeightsError(
                f"{self.path}: cannot run on pixels of shape {pixels.shape} ({_first_line(error)})."
            ) from error
        return dict(zip(outputs, values, strict=True))


def _load(
    path: Path,
    model: Path | bytes,
    device: Placed,
    precision: Computed,
    threads: int,
    tuning: Tuning | None = None,
) -> Any:
    """The ``onnxruntime.InferenceSession``, on ``device``, or on a lesser one where that does not come up."""
    engines = Path()
    if device != "cpu":
        preload_cuda()
    if device == "tensorrt":
        preload_tensorrt()
        engines = engine_folder(_sha256(model, tuning))
        try:
            # Nobody else may put an engine there: what is in it runs.
            engines.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise DeviceError(
                f"--device tensorrt: {engines}, where its engines are kept, cannot be written "
                f"({error.strerror}); set XDG_CACHE_HOME to a folder of yours."
            ) from error
    settings = session_options(threads)
    if tuning is not None:
        bring(tuning, settings)
    try:
        with _hushed() if device != "cpu" else nullcontext():
            return onnxruntime.InferenceSession(
                os.fspath(model) if isinstance(model, Path) else model,
                settings,
                providers=[
                    (name, options(name, half=precision == "fp16", engines=engines))
                    for name in PROVIDERS[device]
                    if name in onnxruntime.get_available_providers()
                ],
                enable_fallback=0,  # it would say so on stdout, between the lines of the report
            )
    except Exception as error:  # as above
        reason = _first_line(error)
        if tuning is not None or NOT_BROUGHT in reason:
            raise misfit(path, tuned=tuning is not None, reason=reason) from error
        raise WeightsError(f"{path}: ONNX Runtime cannot load this model ({reason}).") from error


def _sha256(model: Path | bytes, tuning: Tuning | None) -> str:
    digest = hashlib.sha256(model.read_bytes() if isinstance(model, Path) else model)
    for name, value in sorted((tuning or {}).items()):
        digest.update(name.encode() + value.tobytes())
    return digest.hexdigest()


def _filled(count: int, most: int) -> int:
    """The size of the batch that ``count`` clips are filled up to."""
    return max(count, min(most, 1 << (count - 1).bit_length()))


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep ONNX Runtime from printing which library it could not load: the caller gets the error anyway."""
    onnxruntime.set_default_logger_severity(QUIET)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(USUAL)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
