"""Networks that enlarge pictures serve as generators of the training side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deepscan.errors import UsageError
from deepscan.training.synthesis.generators import FOLDER, load_generators
from deepscan.training.synthesis.super_resolution import (
    SuperResolver,
    add_super_resolver,
    load_super_resolvers,
)
from tests.fixtures import make

pytestmark = pytest.mark.slow


def super_resolver(path: Path, scale: float) -> Path:
    """A network that repeats pixels ``scale`` times each way."""
    nodes = [
        helper.make_node(
            "Resize", ["data", "", "scales"], ["output"], mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "enlarger",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, "H", "W"])],
        [numpy_helper.from_array(np.array([1, 1, scale, scale], np.float32), "scales")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


@pytest.mark.parametrize(("side", "blocks"), [(128, 2), (256, 4)])
def test_a_small_picture_is_halved_first_and_a_large_one_shrunk_by_the_scale(
    tmp_path: Path, side: int, blocks: int
) -> None:
    net = SuperResolver(super_resolver(tmp_path / "four.onnx", 4))
    image = np.ascontiguousarray(make.portrait()[:side, :side])
    drawn = net.regenerate(image)
    assert net.scale == 4 and drawn.shape == image.shape and drawn.dtype == np.uint8
    means = image.reshape(side // blocks, blocks, side // blocks, blocks, 3).mean((1, 3))
    expected = means.repeat(blocks, 0).repeat(blocks, 1)
    assert np.abs(drawn - expected).max() <= 1, "each block of pixels is its mean"


def test_those_in_the_cache_forge_for_training_alone(tmp_path: Path) -> None:
    add_super_resolver(super_resolver(tmp_path / "two.onnx", 2), tmp_path / FOLDER)
    assert [net.scale for net in load_super_resolvers(tmp_path / FOLDER)] == [2]
    own = [net for net in load_generators(tmp_path, "train") if isinstance(net, SuperResolver)]
    assert [net.scale for net in own] == [2]
    assert load_generators(tmp_path, "val") == []


def test_what_enlarges_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(UsageError, match=r"text.onnx is no network that enlarges pictures"):
        add_super_resolver(tmp_path / "text.onnx", tmp_path / FOLDER)
    with pytest.raises(UsageError, match=r"three.onnx makes \(48, 48, 3\) of a picture of 16 px"):
        add_super_resolver(super_resolver(tmp_path / "three.onnx", 3), tmp_path / FOLDER)
    assert not list(tmp_path.glob(f"{FOLDER}/*"))
