"""What is tuned of a network that several detectors may share: read, and brought to whoever loads it.

An encoder's ONNX file names tensors that it does not hold, ONNX's external initialisers. A tuning is a
safetensors file with exactly these.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from deepscan.errors import WeightsError

if TYPE_CHECKING:
    from onnx import ModelProto

Tuning = Mapping[str, NDArray[np.float32]]


def read_tuning(path: Path) -> Tuning:
    """The tensors of a tuning by name, float32. Raises WeightsError where it cannot be read."""
    try:
        return {name: value.astype(np.float32) for name, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: this tuning cannot be read ({error}); reinstall deepscan.") from error


def bring(tuning: Tuning, options: Any) -> None:
    """Give the tensors to a session that is about to load the encoder.

    Args:
        tuning: its tensors.
        options: ``onnxruntime.SessionOptions`` of that session alone; it keeps the tensors alive.
    """
    from onnxruntime import OrtValue

    values = [OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value)) for value in tuning.values()]
    options.add_external_initializers(list(tuning), values)


def put_into(tuning: Tuning, model: ModelProto, path: Path) -> None:
    """Put the tensors where an encoder's file names them.

    Args:
        tuning: its tensors; empty for a whole network.
        model: what is in ``path``.
        path: named in errors.

    Raises:
        WeightsError: the encoder names others, or of other shapes.
    """
    from onnx import TensorProto, numpy_helper

    outside = [t for t in model.graph.initializer if t.data_location == TensorProto.EXTERNAL]
    wanted = {tensor.name: tuple(tensor.dims) for tensor in outside}
    if wanted != {name: value.shape for name, value in tuning.items()}:
        raise misfit(path, tuned=bool(tuning))
    for tensor in outside:
        tensor.CopyFrom(numpy_helper.from_array(tuning[tensor.name], tensor.name))


def misfit(path: Path, *, tuned: bool, reason: str = "") -> WeightsError:
    """The error where the tensors that came with ``path`` are not those that it names."""
    said = f" ({reason})" if reason else ""
    what = (
        "the tuning is of another encoder" if tuned else "this encoder needs a tuning, and none came with it"
    )
    return WeightsError(f"{path}: {what}{said}; reinstall deepscan.")
