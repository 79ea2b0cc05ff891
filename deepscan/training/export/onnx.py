"""Networks to files: ONNX for scanning, int8 ONNX for scanning fast, safetensors for training on.

Every ONNX file keeps one contract: input ``pixels`` uint8, clips (B, T, S, S, 3) or single frames
(B, S, S, 3), RGB; normalisation is inside. Outputs: ``probability`` float32 (B,), then one output per name
in ``spec.evidence``. B is dynamic; a detector that runs at any size has dynamic height and width as well, one
that takes clips of any length a dynamic T.

The tracing exporter is used: the newer one needs onnxscript, and these networks have no control flow that
depends on data.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from deepscan.detectors import SPECS
from deepscan.detectors.recipe import DetectorRecipe
from deepscan.detectors.registry import recipe_of_detector
from deepscan.detectors.spec import DetectorSpec
from deepscan.training.networks import Net

INPUT = "pixels"
SCORE = "probability"
OPSET = 17
QUANTISED_OPS = ["Conv", "MatMul"]
"""Not Gemm: those are the classifiers, a few thousand weights on which the score hangs directly. Not Add:
rounding the residual sums as well moved GML's scores further and saved no time."""
MAX_SCORE_GAP = 0.02
"""A quantised detector whose scores stray further than this from the float ones is not shipped."""


class Pixels(nn.Module):
    """A network that takes uint8 RGB frames and hands out probability and evidence."""

    scale: Tensor
    shift: Tensor

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net
        mean, std = torch.tensor(net.spec.mean), torch.tensor(net.spec.std)
        self.register_buffer("scale", (1 / (255 * std)).reshape(3, 1, 1), persistent=False)
        self.register_buffer("shift", (-mean / std).reshape(3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """(B, [T,] S, S, 3) uint8 -> probability (B,), then the evidence in the spec's order."""
        order = (0, 3, 1, 2) if pixels.dim() == 4 else (0, 1, 4, 2, 3)
        x = pixels.permute(*order).float() * self.scale + self.shift
        output = self.net(x)
        evidence = self.net.evidence(output)
        return (self.net.probability(output), *(evidence[name] for name in self.net.spec.evidence))


def clip_shape(spec: DetectorSpec, batch: int) -> tuple[int, ...]:
    """Shape of the ``pixels`` input for ``batch`` clips or frames of the spec's size."""
    time = (spec.frames,) if spec.frames > 1 else ()
    return (batch, *time, spec.size_px, spec.size_px, 3)


def _recipe(net: Net) -> DetectorRecipe:
    """The recipe of a network; that of one which no detector is has nothing special."""
    name = net.spec.name
    return recipe_of_detector(name) if name in SPECS else DetectorRecipe(type(net).__name__, None)


def export_onnx(net: Net, path: Path) -> None:
    """Writes the float32 ONNX file; batch norms are folded into convolutions where one follows the other.

    Args:
        net: is put into evaluation mode; its ``spec`` gives the shape of the input.
        path: appears whole or not at all.

    Raises:
        onnx.checker.ValidationError: the exported graph is not valid ONNX.
    """
    wrapped = Pixels(net).eval()
    names = [SCORE, *net.spec.evidence]
    axes = {name: {0: "batch"} for name in (INPUT, *names)}
    recipe = _recipe(net)
    if recipe.any_size:
        axes[INPUT] |= {1: "height", 2: "width"}
        for name in net.spec.evidence:
            axes[name] |= {1: f"{name}_height", 2: f"{name}_width"}
    if recipe.any_length:
        for name in (INPUT, *net.spec.evidence):
            axes[name] |= {1: "frames"}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch, warnings.catch_warnings():
        # The exporter announces its successor; the tracer warns of sizes that are meant to be fixed.
        warnings.simplefilter("ignore")
        raw, folded = Path(scratch) / "raw.onnx", Path(scratch) / "folded.onnx"
        torch.onnx.export(
            wrapped,
            (torch.zeros(clip_shape(net.spec, 2), dtype=torch.uint8),),
            str(raw),
            input_names=[INPUT],
            output_names=names,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
        _fold(raw, folded)
        onnx.checker.check_model(str(folded), full_check=True)
        os.replace(folded, path)


def _fold(source: Path, target: Path) -> None:
    """Folds constants and batch norms with the rewrites that do not depend on this machine's CPU."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def run_onnx(path: Path, pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Every output of an exported file for one batch, on the CPU."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {INPUT: pixels}), strict=True))


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Iterable[NDArray[np.uint8]]) -> None:
        self.batches = iter(batches)
        self.count = 0

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        batch = next(self.batches, None)
        if batch is None:
            if self.count == 0:
                raise ValueError("no batches to calibrate on")
            return None
        self.count += 1
        return {INPUT: batch}


def quantise(
    float_path: Path,
    calibration_batches: Iterable[NDArray[np.uint8]],
    out_path: Path,
    *,
    keep_float: Sequence[str] = (),
) -> None:
    """Static int8: quantise/dequantise pairs round convolutions and matrix products, weights per channel.

    Weights take seven bits: x86 without VNNI sums two products in 16 bits, which eight would overflow.

    Args:
        float_path: from ``export_onnx``.
        calibration_batches: uint8 batches of the file's input shape, alike to what will be scanned; their
            activation ranges become the scales. Held in memory one at a time.
        out_path: appears whole or not at all.
        keep_float: submodules of the network that are not rounded; their weights are stored as float16.

    Raises:
        ValueError: there was nothing to calibrate on, or a submodule of ``keep_float`` has no node.
    """
    out_path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_path.parent) as scratch:
        prepared, made = Path(scratch) / "prepared.onnx", Path(scratch) / "int8.onnx"
        quant_pre_process(str(float_path), str(prepared), skip_symbolic_shape=True)
        nodes = onnx.load(str(prepared), load_external_data=False).graph.node
        kept = [[n.name for n in nodes if n.name.startswith(f"/net/{module}/")] for module in keep_float]
        unknown = [module for module, names in zip(keep_float, kept, strict=True) if not names]
        if unknown:
            raise ValueError(f"no node of the graph is in {', '.join(unknown)}")
        quantize_static(
            str(prepared),
            str(made),
            _Calibration(calibration_batches),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTISED_OPS,
            nodes_to_exclude=list(chain.from_iterable(kept)),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        halve_weights(made, out_path)


@dataclass(frozen=True)
class ScoreGap:
    """How far quantised scores lie from float ones. Probabilities, absolute differences."""

    largest: float
    mean: float
    count: int

    @property
    def acceptable(self) -> bool:
        """Whether the quantised file may stand in for the float one."""
        return self.largest <= MAX_SCORE_GAP

    @staticmethod
    def between(one: NDArray[np.float32], other: NDArray[np.float32]) -> ScoreGap:
        """Of two files' scores ``(N,)`` for the same clips."""
        gaps = np.abs(one - other)
        return ScoreGap(float(gaps.max()), float(gaps.mean()), len(gaps))


def scores(path: Path, batches: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """An exported file's ``probability`` for every clip of the batches, ``(N,)``.

    Raises:
        ValueError: there was no batch.
    """
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    made = [session.run([SCORE], {INPUT: batch})[0] for batch in batches]
    if not made:
        raise ValueError("no batches to compare scores on")
    return np.concatenate(made)


def save_weights(net: Net, path: Path) -> None:
    """Writes a fine-tuning checkpoint: float16 safetensors, batch-norm statistics in float32.

    Running variances can leave float16's range; everything else halves in size.
    """
    state = cast(nn.Module, net).state_dict()
    kept = {name: _storable(name, tensor) for name, tensor in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        made = Path(scratch) / "weights.safetensors"
        save_file(kept, made)
        os.replace(made, path)


def _storable(name: str, tensor: Tensor) -> Tensor:
    half = tensor.is_floating_point() and not name.endswith(("running_mean", "running_var"))
    return tensor.detach().to("cpu", torch.float16 if half else tensor.dtype).contiguous()


def load_weights(net: Net, path: Path) -> None:
    """Loads a checkpoint of ``save_weights`` into a network of the same kind.

    Raises:
        RuntimeError: names or shapes differ.
    """
    cast(nn.Module, net).load_state_dict(load_file(path))


def halve_weights(float_path: Path, out_path: Path) -> None:
    """Stores large float weights as float16 and casts them back to float32 as the model loads.

    Half the size; every sum is still taken in float32. Scales of quantised tensors stay as they are.
    """
    model = onnx.load(str(float_path))
    graph = model.graph
    scales = {name for node in graph.node if node.op_type in ROUNDING_OPS for name in node.input[1:]}
    for tensor in [t for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT]:
        values = onnx.numpy_helper.to_array(tensor)
        if values.size < HALVED_FROM or tensor.name in scales:
            continue
        graph.initializer.remove(tensor)
        stored = f"{tensor.name}_float16"
        graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float16), stored))
        cast_back = onnx.helper.make_node("Cast", [stored], [tensor.name], to=onnx.TensorProto.FLOAT)
        graph.node.insert(0, cast_back)
    onnx.checker.check_model(model, full_check=True)
    partial = out_path.with_suffix(".partial")
    onnx.save(model, str(partial))
    partial.replace(out_path)


ROUNDING_OPS = frozenset({"QuantizeLinear", "DequantizeLinear"})
HALVED_FROM = 1024
"""Smaller tensors (biases, scales) stay in float32: they weigh nothing and shift every output."""
