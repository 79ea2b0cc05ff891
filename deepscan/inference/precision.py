"""The shipped int8 networks as float32 or float16 ones, rewritten as they are loaded.

A GPU has no use for rounded activations: ONNX Runtime would round and unround them in kernels of their own
around every convolution. What the rewrite does to a graph:

- activations: a QuantizeLinear with the DequantizeLinear after it is taken out;
- weights: int8 and int32 constants times their scales, and float16 ones, become float32 constants;
- for ``fp16``, float32 turns into float16, weights and activations, except where it would cost precision and
  save no time: the normalisation of the pixels, and the operators of ``KEPT_FLOAT32`` near the outputs.

Rounding to int8 is not undone: the weights keep the values that the file gives them. Input and outputs stay
what they were, ``pixels`` uint8 and float32 (or int64) maps.

This needs the package ``onnx``, which a scan on a CPU does not: it comes with the ``gpu`` and ``train``
extras and is imported only when a file is rewritten. Reading the files by hand would save users of a GPU one
package beside gigabytes of CUDA, and cost a parser of a format that is not ours. The largest network takes
two CPU seconds, once in every process, so that nothing is kept on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from deepscan.errors import DeviceError, WeightsError
from deepscan.inference.tuning import Tuning, put_into

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

FloatPrecision = Literal["fp16", "fp32"]

# Means, logits and probabilities: a few numbers at the end of a network, on which the score hangs directly.
KEPT_FLOAT32 = frozenset({"Gemm", "ReduceL2", "ReduceMax", "ReduceMean", "Softmax"})
# What they make is float32 because an attribute says so, whatever goes in.
MADE_FLOAT32 = frozenset({"Constant", "ConstantOfShape", "EyeLike"})


def can_rewrite() -> bool:
    """Whether the package that rewriting needs is installed."""
    return find_spec("onnx") is not None


def float_model(path: Path, precision: FloatPrecision, tuning: Tuning | None = None) -> bytes:
    """The network in ``path``, computing in ``precision``, as the bytes of an ONNX file.

    Args:
        path: an ONNX file.
        precision: to compute in.
        tuning: the tensors that the file names and does not hold.

    Raises:
        DeviceError: the package ``onnx`` is not installed.
        WeightsError: not an ONNX file, or one that the tuning does not fit.
    """
    if not can_rewrite():
        raise DeviceError(
            f"--precision {precision}: this needs the package onnx; install it with "
            "`pip install 'deepscan[gpu]'`, or use --precision int8."
        )
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's own, which depends on how it is built
        raise WeightsError(f"{path}: this is no ONNX model ({error}).") from error
    put_into(tuning or {}, model, path)
    # Before the weights have grown: types are inferred on a serialised copy.
    floats = _float_tensors(model) if precision == "fp16" else set()
    _unround(model.graph)
    if precision == "fp16":
        _halve(model.graph, floats)
    return bytes(model.SerializeToString())


def _unround(graph: GraphProto) -> None:
    """Take the rounding out: constants become float32, activations are passed on as they are."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    quantised = {node.output[0]: node for node in graph.node if node.op_type == "QuantizeLinear"}
    renamed: dict[str, str] = {}
    floats: list[TensorProto] = []
    kept: list[NodeProto] = []
    for node in graph.node:
        source = node.input[0] if node.input else ""
        if node.op_type == "QuantizeLinear":
            continue
        if node.op_type == "DequantizeLinear" and source in quantised:
            before = quantised[source].input[0]
            renamed[node.output[0]] = renamed.get(before, before)
            continue
        if node.op_type == "DequantizeLinear" and source in constants:
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            values = [numpy_helper.to_array(constants[name]) for name in node.input]
            floats.append(numpy_helper.from_array(_dequantised(axis, *values), node.output[0]))
            continue
        if node.op_type == "MatMulNBits":
            floats.append(numpy_helper.from_array(_whole(node, constants), f"{node.input[1]}_float"))
            kept.append(helper.make_node("MatMul", [source, floats[-1].name], list(node.output)))
            continue
        if node.op_type == "Cast" and source in constants and node.attribute[0].i == TensorProto.FLOAT:
            value = numpy_helper.to_array(constants[source]).astype(np.float32)
            floats.append(numpy_helper.from_array(value, node.output[0]))
            continue
        kept.append(node)
    for node in kept:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    # An output keeps its name, so what is passed on under another one needs a node.
    kept += [
        helper.make_node("Identity", [renamed[entry.name]], [entry.name])
        for entry in graph.output
        if entry.name in renamed
    ]
    _replace(graph, kept, [*graph.initializer, *floats])


def _dequantised(
    axis: int,
    values: NDArray[np.generic],
    scale: NDArray[np.float32],
    zero_point: NDArray[np.generic] | None = None,
) -> NDArray[np.float32]:
    """What DequantizeLinear makes of a constant; ``scale`` is one number or one per index of ``axis``."""
    shape = [1] * values.ndim
    if scale.ndim:
        shape[axis] = scale.size
    centred = values.astype(np.float32)
    if zero_point is not None and zero_point.any():
        centred -= zero_point.astype(np.float32).reshape([-1 if side > 1 else 1 for side in shape])
    centred *= scale.reshape(shape)
    return centred


def _whole(node: NodeProto, constants: Mapping[str, TensorProto]) -> NDArray[np.float32]:
    """The weight ``(K, N)`` of a ``MatMulNBits`` of eight bits, whose zero is 128."""
    from onnx import numpy_helper

    values, scales = (numpy_helper.to_array(constants[name]) for name in node.input[1:3])
    blocks = values.astype(np.float32) - 128
    blocks *= scales.reshape(*values.shape[:2], 1)
    return np.ascontiguousarray(blocks.reshape(len(values), -1).T)


def _float_tensors(model: ModelProto) -> set[str]:
    """Names of everything in float32 that the nodes compute."""
    from onnx import TensorProto, helper
    from onnx.shape_inference import infer_shapes

    # An operator of ONNX Runtime's own: nothing after it is inferred unless its type is said.
    rounded = [node for node in model.graph.node if node.op_type == "MatMulNBits"]
    model.graph.value_info.extend(
        helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None) for node in rounded
    )
    graph = infer_shapes(model).graph
    return {
        entry.name
        for entry in (*graph.value_info, *graph.output)
        if entry.type.tensor_type.elem_type == TensorProto.FLOAT
    }


def _halve(graph: GraphProto, float32: set[str]) -> None:
    """Turn a float32 network into a float16 one, with casts where the two meet; ``float32``: its tensors."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    float32 |= {name for name, tensor in constants.items() if tensor.data_type == TensorProto.FLOAT}
    outputs = {entry.name for entry in graph.output}
    whole = _kept_whole(graph)
    half: dict[str, str] = {}  # float32 tensor -> the name of its float16 counterpart
    only_half: set[str] = set()  # those that no node computes in float32
    nodes: list[NodeProto] = []
    added: list[TensorProto] = []

    def as_half(name: str) -> str:
        if name not in half:
            half[name] = f"{name}_half"
            if name in constants:
                value = numpy_helper.to_array(constants[name])
                limit = np.finfo(np.float16).max
                added.append(
                    numpy_helper.from_array(np.clip(value, -limit, limit).astype(np.float16), half[name])
                )
            else:
                nodes.append(helper.make_node("Cast", [name], [half[name]], to=TensorProto.FLOAT16))
        return half[name]

    def as_float(name: str) -> str:
        if name in only_half:
            only_half.remove(name)
            nodes.append(helper.make_node("Cast", [half[name]], [name], to=TensorProto.FLOAT))
        return name

    for index, node in enumerate(graph.node):
        if index in whole:
            node.input[:] = [as_float(name) for name in node.input]
            nodes.append(node)
            continue
        node.input[:] = [as_half(name) if name in float32 else name for name in node.input]
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
        for place, name in enumerate(node.output):
            if name in float32:
                half[name] = f"{name}_half"
                only_half.add(name)
                node.output[place] = half[name]
        nodes.append(node)
    for name in sorted(outputs & only_half):
        as_float(name)
    _replace(graph, nodes, [*graph.initializer, *added])


def _kept_whole(graph: GraphProto) -> set[int]:
    """Indices of the nodes that go on in float32."""
    early = {entry.name for entry in graph.input}
    whole = set()
    for index, node in enumerate(graph.node):
        if node.op_type in KEPT_FLOAT32 | MADE_FLOAT32:
            whole.add(index)
        elif node.op_type != "Conv" and early.intersection(node.input):
            whole.add(index)
            if node.op_type != "Shape":  # a picture's size is none of its pixels
                early.update(node.output)
    return whole


def _replace(graph: GraphProto, nodes: Iterable[NodeProto], constants: Iterable[TensorProto]) -> None:
    """Give a graph these nodes, and of these constants those that the nodes use."""
    nodes = list(nodes)
    used = {name for node in nodes for name in node.input}
    needed = [tensor for tensor in constants if tensor.name in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(needed)
