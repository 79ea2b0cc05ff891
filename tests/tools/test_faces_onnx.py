"""The rewritten face detector gives what decoding the original directly gives."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from insightface.model_zoo import get_model
from numpy.typing import NDArray
from onnx import TensorProto, helper
from skimage.data import astronaut

from tools.faces_onnx import ANCHOR_SIZES_PX, MEAN_BGR, STRIDES, main, to_scrfd

pytestmark = pytest.mark.slow

WEIGHTS = Path(__file__).parents[2] / "weights" / "faces" / "retinaface_mnet025.onnx"


def toy_retinaface() -> onnx.ModelProto:
    """A RetinaFace with random one-convolution heads: the same outputs, the same anchors."""
    rng = np.random.default_rng(0)
    nodes, constants = [], []
    levels: dict[str, list[str]] = {"loc": [], "logits": [], "landmarks": []}
    for stride in STRIDES:
        for head, width in (("loc", 4), ("logits", 2), ("landmarks", 10)):
            name = f"{head}{stride}"
            weight = rng.normal(0, 0.02 / stride, (2 * width, 3, stride, stride)).astype(np.float32)
            constants.append(onnx.numpy_helper.from_array(weight, f"{name}_w"))
            constants.append(onnx.numpy_helper.from_array(np.array([1, -1, width]), f"{name}_s"))
            nodes.append(
                helper.make_node("Conv", ["input", f"{name}_w"], [f"{name}_c"], strides=[stride] * 2)
            )
            nodes.append(helper.make_node("Transpose", [f"{name}_c"], [f"{name}_t"], perm=[0, 2, 3, 1]))
            nodes.append(helper.make_node("Reshape", [f"{name}_t", f"{name}_s"], [name]))
            levels[head].append(name)
    for head, output in (("loc", "loc"), ("logits", "joined"), ("landmarks", "landmarks")):
        nodes.append(helper.make_node("Concat", levels[head], [output], axis=1))
    nodes.append(helper.make_node("Softmax", ["joined"], ["conf"], axis=2))
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "h", "w"])
    outputs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, "n", w])
        for n, w in (("loc", 4), ("conf", 2), ("landmarks", 10))
    ]
    graph = helper.make_graph(nodes, "toy", [image], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)


def decode(model: onnx.ModelProto, bgr: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
    """Every anchor's box (N, 4), points (N, 5, 2) and score (N,), by RetinaFace's own equations."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    pixels = (bgr.astype(np.float32) - np.array(MEAN_BGR, np.float32)).transpose(2, 0, 1)[None]
    loc, conf, landmarks = (o[0] for o in session.run(["loc", "conf", "landmarks"], {"input": pixels}))
    priors = np.array(
        [
            ((col + 0.5) * stride, (row + 0.5) * stride, size)
            for stride, sizes in zip(STRIDES, ANCHOR_SIZES_PX, strict=True)
            for row in range(bgr.shape[0] // stride)
            for col in range(bgr.shape[1] // stride)
            for size in sizes
        ]
    )
    centre = priors[:, :2] + loc[:, :2] * 0.1 * priors[:, 2:]
    extent = priors[:, 2:] * np.exp(loc[:, 2:] * 0.2)
    points = priors[:, None, :2] + landmarks.reshape(-1, 5, 2) * 0.1 * priors[:, None, 2:]
    return np.hstack([centre - extent / 2, centre + extent / 2]), points, conf[:, 1]


def test_rewritten_graph_decodes_to_the_same_boxes_and_points(tmp_path: Path) -> None:
    original = toy_retinaface()
    onnx.save(original, tmp_path / "source.onnx")
    assert main([str(tmp_path / "source.onnx"), str(tmp_path / "out" / "scrfd.onnx")]) == 0
    bgr = np.ascontiguousarray(astronaut()[:96, 160:288, ::-1])
    boxes, points, scores = decode(original, bgr)
    engine = get_model(str(tmp_path / "out" / "scrfd.onnx"), providers=["CPUExecutionProvider"])
    assert engine.taskname == "detection"
    found_scores, found_boxes, found_points = engine.forward(bgr, 0.0)
    np.testing.assert_allclose(np.vstack(found_scores)[:, 0], scores, atol=1e-4)
    np.testing.assert_allclose(np.vstack(found_boxes), boxes, atol=0.05)
    np.testing.assert_allclose(np.vstack(found_points), points, atol=0.05)


def test_shipped_model_runs_in_insightface_at_any_multiple_of_32() -> None:
    engine = get_model(str(WEIGHTS), providers=["CPUExecutionProvider"], static_shape_sessions=False)
    bgr = np.ascontiguousarray(astronaut()[..., ::-1])
    found = [engine.detect(bgr, input_size=size) for size in ((256, 256), (320, 512), (640, 384))]
    for boxes, points in found:
        assert len(boxes) == 1
        assert boxes[0, 4] > 0.9
        # the astronaut's eyes, nose and mouth corners as seen in the picture
        expected = np.array([(202, 106), (246, 102), (227, 132), (208, 150), (247, 147)])
        assert np.abs(points[0] - expected).max() < 12
    assert cv2.norm(found[0][0][0, :4] - found[2][0][0, :4], cv2.NORM_INF) < 12


def test_other_graphs_are_refused() -> None:
    model = toy_retinaface()
    model.graph.output[0].name = "boxes"
    with pytest.raises(ValueError, match="RetinaFace"):
        to_scrfd(model)


def test_usage_is_printed_without_two_paths(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "SRC DST" in capsys.readouterr().err
