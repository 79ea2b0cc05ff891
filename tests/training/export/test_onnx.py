"""Exported files answer as the networks do, whatever the batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deepscan.detectors import SPECS
from deepscan.detectors.spec import CropRule, DetectorSpec, Sampling
from deepscan.training.export.onnx import (
    Pixels,
    ScoreGap,
    clip_shape,
    export_onnx,
    load_weights,
    quantise,
    run_onnx,
    save_weights,
    scores,
)
from deepscan.training.networks import NETS, build

pytestmark = pytest.mark.slow

TOLERANCE = 1e-4
SMALL: dict[str, dict[str, int]] = {
    "gml": {"frames": 4, "size_px": 64},
    "global_local": {"frames": 3},
    "resnet3d": {"size_px": 64},
}
"""Shorter or smaller clips that keep the tests quick."""


def random_pixels(spec: DetectorSpec, batch: int) -> NDArray[np.uint8]:
    return np.random.default_rng(batch).integers(0, 256, clip_shape(spec, batch), dtype=np.uint8)


def stir(net: nn.Module) -> None:
    """Weights that start at zero or identity would hide a wrong export."""
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        spread = 0.1 if parameter.dim() == 1 else 0.01
        parameter.data += spread * torch.randn(parameter.shape, generator=generator)


@torch.no_grad()
def answers(net: Any, pixels: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    outputs = Pixels(net).eval()(torch.from_numpy(pixels))
    names = ["probability", *net.spec.evidence]
    return {name: output.numpy() for name, output in zip(names, outputs, strict=True)}


@pytest.mark.parametrize("name", sorted(NETS))
def test_torch_and_onnx_agree(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net: Any = NETS[name]()
    stir(net)
    path = tmp_path / f"{name}.onnx"
    net.spec = replace(net.spec, **SMALL.get(name, {}))
    export_onnx(net, path)
    for batch in (1, 3):
        pixels = random_pixels(net.spec, batch)
        expected, got = answers(net, pixels), run_onnx(path, pixels)
        assert list(got) == list(expected)
        assert got["probability"].shape == (batch,)
        assert got["probability"].dtype == np.float32
        for key, value in expected.items():
            assert got[key].dtype == value.dtype
            np.testing.assert_allclose(got[key], value, atol=TOLERANCE, rtol=TOLERANCE, err_msg=key)
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]


def test_taps_that_training_never_touched_are_left_out_of_the_3d_resnet(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net: Any = NETS["resnet3d"]()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            stir(module)
    path = tmp_path / "resnet3d.onnx"
    net.spec = replace(net.spec, **SMALL["resnet3d"])
    export_onnx(net, path)
    kernels = [tensor.dims for tensor in onnx.load(str(path)).graph.initializer if len(tensor.dims) == 5]
    assert {dims[2] for dims in kernels} == {1}
    pixels = random_pixels(net.spec, 2)
    expected, got = answers(net, pixels), run_onnx(path, pixels)
    for key, value in expected.items():
        np.testing.assert_allclose(got[key], value, atol=TOLERANCE, rtol=TOLERANCE, err_msg=key)


def test_motion_that_training_never_touched_is_left_out_of_gml(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net: Any = NETS["gml"]()
    path = tmp_path / "gml.onnx"
    net.spec = replace(net.spec, **SMALL["gml"])
    export_onnx(net, path)
    differences = [node for node in onnx.load(str(path)).graph.node if node.op_type == "Sub"]
    assert len(differences) <= 2 * 3  # F^M and F^MM up to the one block whose F^MM is shown
    pixels = random_pixels(net.spec, 1)
    expected, got = answers(net, pixels), run_onnx(path, pixels)
    for key, value in expected.items():
        np.testing.assert_allclose(got[key], value, atol=TOLERANCE, rtol=TOLERANCE, err_msg=key)


@pytest.mark.parametrize("stirred", [False, True], ids=["still", "moving"])
def test_gml_takes_clips_of_any_length(stirred: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net: Any = NETS["gml"]()
    if stirred:
        stir(net)
    path = tmp_path / "gml.onnx"
    net.spec = replace(net.spec, **SMALL["gml"])
    export_onnx(net, path)
    for frames in (1, 2, 7):
        pixels = np.random.default_rng(frames).integers(0, 256, (2, frames, 64, 64, 3), dtype=np.uint8)
        expected, got = answers(net, pixels), run_onnx(path, pixels)
        for key, value in expected.items():
            np.testing.assert_allclose(got[key], value, atol=TOLERANCE, rtol=TOLERANCE, err_msg=key)


def test_local_features_take_any_size(tmp_path: Path) -> None:
    net: Any = build("local_features")
    path = tmp_path / "net.onnx"
    export_onnx(net, path)
    pixels = random_pixels(net.spec, 2)[:, :97, :70]
    expected, got = answers(net, pixels), run_onnx(path, pixels)
    for key, value in expected.items():
        np.testing.assert_allclose(got[key], value, atol=TOLERANCE, rtol=TOLERANCE, err_msg=key)


def test_every_network_has_a_builder() -> None:
    assert list(NETS) == list(SPECS)
    with pytest.raises(KeyError):
        build("absent")


class Answer(NamedTuple):
    logits: Tensor
    map: Tensor


class Tiny(nn.Module):
    """The smallest thing that keeps the contract."""

    spec = DetectorSpec(
        name="tiny",
        title="Tiny",
        paper="none",
        frames=1,
        sampling=Sampling.SINGLE,
        crop=CropRule.LONG_SIDE,
        scale=1.0,
        hold_first=False,
        size_px=24,
        mean=(0.1, 0.5, 0.9),
        std=(0.2, 0.5, 1.0),
        evidence=("map",),
    )

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 16, 3, 2, 1)
        self.fc = nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Answer:
        y = torch.relu(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return Answer(self.fc(y.mean((2, 3))), y)

    def probability(self, output: Answer) -> Tensor:
        return output.logits.softmax(1)[:, 1]

    def evidence(self, output: Answer) -> dict[str, Tensor]:
        return {"map": output.map.mean(1)}

    def loss(self, output: Answer, label: Tensor, forged: Tensor | None, face: Tensor | None) -> Tensor:
        return nn.functional.cross_entropy(output.logits, label)


@pytest.fixture
def tiny() -> Tiny:
    torch.manual_seed(0)
    return Tiny().eval()


def test_normalisation_and_channel_order_are_inside(tiny: Tiny) -> None:
    pixels = random_pixels(tiny.spec, 2)
    mean, std = np.array(tiny.spec.mean), np.array(tiny.spec.std)
    x = torch.from_numpy(((pixels / 255 - mean) / std).transpose(0, 3, 1, 2)).float()
    with torch.no_grad():
        expected = tiny.probability(tiny(x))
    np.testing.assert_allclose(answers(tiny, pixels)["probability"], expected.numpy(), atol=1e-5)


def test_batch_norm_is_folded(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    export_onnx(tiny, path)
    assert "BatchNormalization" not in {node.op_type for node in onnx.load(str(path)).graph.node}


def batches(spec: DetectorSpec) -> Iterator[NDArray[np.uint8]]:
    return (random_pixels(spec, batch) for batch in (1, 2, 4, 8))


def test_quantised_scores_stay_close(tiny: Tiny, tmp_path: Path) -> None:
    whole, small = tmp_path / "tiny.onnx", tmp_path / "tiny.int8.onnx"
    export_onnx(tiny, whole)
    quantise(whole, batches(tiny.spec), small)
    kinds = [node.op_type for node in onnx.load(str(small)).graph.node]
    assert "QuantizeLinear" in kinds and "DequantizeLinear" in kinds
    gap = score_gap(whole, small, batches(tiny.spec))
    assert gap.count == 15
    assert 0 < gap.largest <= 0.02
    assert gap.acceptable
    assert run_onnx(small, random_pixels(tiny.spec, 3))["map"].shape == (3, 6, 6)


def test_two_products_never_overflow_sixteen_bits(tiny: Tiny, tmp_path: Path) -> None:
    whole, small = tmp_path / "tiny.onnx", tmp_path / "tiny.int8.onnx"
    export_onnx(tiny, whole)
    quantise(whole, batches(tiny.spec), small)
    graph = onnx.load(str(small)).graph
    stored = [onnx.numpy_helper.to_array(t) for t in graph.initializer]
    weights = [values.astype(int) for values in stored if values.dtype == np.int8 and values.ndim > 1]
    assert weights and all(2 * 255 * abs(values).max() < 2**15 for values in weights)


def score_gap(one: Path, other: Path, clips: Iterator[NDArray[np.uint8]]) -> ScoreGap:
    given = list(clips)
    return ScoreGap.between(scores(one, given), scores(other, given))


ROUNDING = {"QuantizeLinear", "DequantizeLinear"}


def rounded(path: Path) -> dict[str, bool]:
    """Which convolutions of a file have a rounding of any input or of their output, by node name."""
    nodes = onnx.load(str(path)).graph.node
    rounding = [node for node in nodes if node.op_type in ROUNDING]
    makes = {name for node in rounding for name in node.output}
    takes = {name for node in rounding for name in node.input}
    return {
        node.name: bool(makes & set(node.input) or takes & set(node.output))
        for node in nodes
        if node.op_type == "Conv"
    }


def test_a_submodule_that_is_kept_float_is_not_rounded_and_others_are(tiny: Tiny, tmp_path: Path) -> None:
    whole, small = tmp_path / "tiny.onnx", tmp_path / "tiny.int8.onnx"
    export_onnx(tiny, whole)
    first, second = "/net/conv1/Conv", "/net/conv2/Conv"
    for kept, expected in [
        ((), {first: True, second: True}),
        (("conv1",), {first: False, second: True}),
        (("conv2",), {first: True, second: False}),
        (("conv1", "conv2"), {first: False, second: False}),
    ]:
        quantise(whole, batches(tiny.spec), small, keep_float=kept)
        assert rounded(small) == expected, kept
        assert score_gap(whole, small, batches(tiny.spec)).acceptable
    assert 0 < score_gap(whole, small, batches(tiny.spec)).largest < 1e-3, "16-bit weights alone"
    with pytest.raises(ValueError, match="no node"):
        quantise(whole, batches(tiny.spec), small, keep_float=("conv",))  # a name only begins so


def test_scales_of_a_wide_convolution_stay_float32(tmp_path: Path) -> None:
    torch.manual_seed(0)
    wide: Any = Tiny().eval()
    wide.conv2, wide.fc = nn.Conv2d(16, 1024, 3, 2, 1), nn.Linear(1024, 2)
    whole, small = tmp_path / "wide.onnx", tmp_path / "wide.int8.onnx"
    export_onnx(wide, whole)
    quantise(whole, batches(wide.spec), small)
    graph = onnx.load(str(small)).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    scales = [stored[node.input[1]] for node in graph.node if node.op_type in ROUNDING]
    assert max(np.prod(scale.dims) for scale in scales) == 1024, "one per channel"
    assert {scale.data_type for scale in scales} == {onnx.TensorProto.FLOAT}
    halved = [name for name, t in stored.items() if t.data_type == onnx.TensorProto.FLOAT16]
    assert halved == ["net.fc.weight_float16"]
    assert score_gap(whole, small, batches(wide.spec)).acceptable


def test_a_gap_above_a_fiftieth_is_not_acceptable() -> None:
    assert not ScoreGap(largest=0.021, mean=0.001, count=10).acceptable


def test_nothing_to_calibrate_or_compare_on_is_an_error(tiny: Tiny, tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    export_onnx(tiny, path)
    with pytest.raises(ValueError, match="calibrat"):
        quantise(path, [], tmp_path / "never.onnx")
    assert not (tmp_path / "never.onnx").exists()
    with pytest.raises(ValueError, match="compare"):
        scores(path, [])


def test_weights_come_back(tiny: Any, tmp_path: Path) -> None:
    tiny.bn1.running_var.fill_(1e6)  # beyond float16
    path = tmp_path / "tiny.safetensors"
    save_weights(tiny, path)
    other: Any = Tiny()
    load_weights(other, path)
    for name, tensor in tiny.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)
    assert float(other.bn1.running_var[0]) == 1e6
    with pytest.raises(RuntimeError):
        load_weights(build("local_features"), path)
