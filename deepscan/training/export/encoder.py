"""GenD to ONNX: an encoder file that every tuning shares, and the tuning beside it.

The encoder's weights are int8 with one scale per output channel, as they came; ``MatMulNBits`` multiplies
them with activations that it rounds block by block as it goes, so that one outlier spoils no other block.
What a tuning changes are external initialisers: the file names them, and whoever loads it brings them
(``deepscan.inference.tuning``). Input and outputs are those of ``training.export.onnx``, and ``embedding``
(B, 768).
"""

from __future__ import annotations

import os
import re
import tempfile
import warnings
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper
from safetensors.numpy import save_file
from torch import Tensor, nn

from deepscan.detectors.gend.network import GenD, is_tuned
from deepscan.training.export.onnx import INPUT, OPSET, SCORE, clip_shape

BLOCK = 64
"""Weights that one rounding of the activations serves."""
INT8_ACTIVATIONS = 4
"""``accuracy_level`` of MatMulNBits: activations are rounded to int8, sums are exact."""
PREFIX = "net."
TUNING = "tuning"
"""Where the external initialisers are said to lie; no such file is ever read."""
_LINEAR = re.compile(r"/net/(?:vision_model/)?(?:encoder/)?(layers\.\d+/(?:self_attn|mlp)/\w+)/MatMul")


class _Pixels(nn.Module):
    scale: Tensor
    shift: Tensor

    def __init__(self, net: GenD) -> None:
        super().__init__()
        self.net = net
        mean, std = torch.tensor(net.spec.mean), torch.tensor(net.spec.std)
        self.register_buffer("scale", (1 / (255 * std)).reshape(3, 1, 1), persistent=False)
        self.register_buffer("shift", (-mean / std).reshape(3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 224, 224, 3) uint8 -> probability, rollout, embedding."""
        output = self.net(pixels.permute(0, 3, 1, 2).float() * self.scale + self.shift)
        return self.net.probability(output), output.rollout, output.embedding


def export_encoder(net: GenD, path: Path) -> None:
    """Write the encoder; the tuning that ``net`` has is left out of it.

    Args:
        net: stays as it is.
        path: appears whole or not at all.
    """
    net = _with_unlike_tuning(net).eval()
    names = [SCORE, *net.spec.evidence, "embedding"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter announces its successor
        raw = Path(scratch) / "raw.onnx"
        torch.onnx.export(
            _Pixels(net),
            (torch.zeros(clip_shape(net.spec, 2), dtype=torch.uint8),),
            str(raw),
            input_names=[INPUT],
            output_names=names,
            dynamic_axes={name: {0: "batch"} for name in (INPUT, *names)},
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load(str(raw))
        _round_weights(model.graph)
        _take_out_tuning(model.graph)
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        made = Path(scratch) / "encoder.onnx"
        onnx.save(model, str(made))
        os.replace(made, path)


def _with_unlike_tuning(net: GenD) -> GenD:
    """A copy with a tuning of no two tensors alike: torch's exporter would make one of them."""
    copy = deepcopy(net)
    with torch.no_grad():
        for name, value in copy.state_dict().items():
            if is_tuned(name):
                value.uniform_(0.5, 1.5)
    return copy


def save_tuning(net: GenD, path: Path) -> None:
    """Write what ``net`` learnt: 52 layer normalisations and the head, float32 safetensors of 330 kB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        made = Path(scratch) / "tuning.safetensors"
        save_file({name: tensor.cpu().numpy() for name, tensor in net.tuning().items()}, made)
        os.replace(made, path)


def read_encoder(path: Path) -> dict[str, Tensor]:
    """The encoder's weights in float32, by the names of ``GenD``; those of a tuning are missing.

    Raises:
        KeyError: the file is no encoder of ``export_encoder``.
    """
    graph = onnx.load(str(path), load_external_data=False).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    state: dict[str, NDArray[np.float32]] = {}
    for name, tensor in constants.items():
        if name.endswith("_int8"):
            own = name.removesuffix("_int8")
            values = numpy_helper.to_array(tensor).astype(np.float32) - 128
            scales = numpy_helper.to_array(constants[f"{own}_scales"]).reshape(len(values), -1)[:, :1]
            state[own] = values.reshape(len(values), -1) * scales
        elif name.startswith(PREFIX) and tensor.data_location != TensorProto.EXTERNAL:
            state[name.removeprefix(PREFIX)] = numpy_helper.to_array(tensor)
    return {name: torch.from_numpy(np.array(values)) for name, values in state.items()}


def _round_weights(graph: GraphProto) -> None:
    """Put ``MatMulNBits`` in the place of every matrix product with a weight of the encoder."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for place, node in enumerate(graph.node):
        found = _LINEAR.fullmatch(node.name) if node.op_type == "MatMul" else None
        if found is None or node.input[1] not in constants:
            continue
        own = "vision_model.encoder." + found.group(1).replace("/", ".") + ".weight"
        stored = constants[node.input[1]]
        graph.initializer.remove(stored)
        rounded, made = _rounded(node, own, numpy_helper.to_array(stored))
        graph.initializer.extend(made)
        graph.node.remove(node)
        graph.node.insert(place, rounded)


def _rounded(node: NodeProto, own: str, weight: NDArray[np.float32]) -> tuple[NodeProto, list[TensorProto]]:
    """A product with ``weight`` (K, N) as ``MatMulNBits``, and its constants."""
    inner, outer = weight.shape
    scale = np.abs(weight).max(0) / 127
    values = np.rint(weight / scale).astype(np.int16).T + 128
    blocks = values.astype(np.uint8).reshape(outer, inner // BLOCK, BLOCK)
    scales = np.repeat(scale.astype(np.float32), inner // BLOCK)
    rounded = helper.make_node(
        "MatMulNBits",
        [node.input[0], f"{own}_int8", f"{own}_scales"],
        list(node.output),
        name=node.name,
        domain="com.microsoft",
        K=inner,
        N=outer,
        bits=8,
        block_size=BLOCK,
        accuracy_level=INT8_ACTIVATIONS,
    )
    return rounded, [
        numpy_helper.from_array(blocks, f"{own}_int8"),
        numpy_helper.from_array(scales, f"{own}_scales"),
    ]


def _take_out_tuning(graph: GraphProto) -> None:
    """Replace every tensor of a tuning by the name under which whoever loads the file brings it."""
    for tensor in graph.initializer:
        own = tensor.name.removeprefix(PREFIX)
        if not is_tuned(own):
            continue
        for node in graph.node:
            node.input[:] = [own if name == tensor.name else name for name in node.input]
        outside = TensorProto(name=own, data_type=tensor.data_type, dims=tensor.dims)
        outside.data_location = TensorProto.EXTERNAL
        outside.external_data.add(key="location", value=TUNING)
        tensor.CopyFrom(outside)
