"""The shipped networks as float32 and float16 ones: what is left of the rounding, and the scores."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from deepscan.config import Computed
from deepscan.detectors import SPECS
from deepscan.errors import DeviceError, WeightsError
from deepscan.inference import precision
from deepscan.inference.precision import float_model
from deepscan.inference.session import Session
from deepscan.inference.tuning import read_tuning
from deepscan.weights import Weights
from tests.fixtures.doubles import brightness_net

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def weights() -> Weights:
    return Weights(REPOSITORY / "weights")


def clips(name: str, count: int) -> NDArray[np.uint8]:
    """Random pictures as smooth as photographs; networks that were quantised on faces clip pure noise."""
    shape = (count, *SPECS[name].clip_shape)
    rng = np.random.default_rng(7)
    frames = [
        cv2.resize(
            rng.integers(0, 256, (7, 7, 3), np.uint8), shape[-3:-1][::-1], interpolation=cv2.INTER_LINEAR
        )
        for _ in range(int(np.prod(shape[:-3])))
    ]
    return np.stack(frames).astype(np.uint8).reshape(shape)


@pytest.mark.parametrize("name", SPECS)
def test_a_shipped_network_says_the_same_without_its_rounding(
    weights: Weights, name: str, tmp_path: Path
) -> None:
    tuning = weights.tuning_path(name)
    tensors = None if tuning is None else read_tuning(tuning)
    shipped = onnx.load(weights.path(name), load_external_data=False)
    (tmp_path / "whole.onnx").write_bytes(float_model(weights.path(name), "fp32", tensors))
    (tmp_path / "half.onnx").write_bytes(float_model(weights.path(name), "fp16", tensors))
    whole, half = onnx.load(tmp_path / "whole.onnx"), onnx.load(tmp_path / "half.onnx")
    for model in (whole, half):
        onnx.checker.check_model(model)
        operators = Counter(node.op_type for node in model.graph.node)
        assert not {"QuantizeLinear", "DequantizeLinear", "MatMulNBits"} & operators.keys()
        assert {i.name: i.type for i in model.graph.input} == {i.name: i.type for i in shipped.graph.input}
        outputs = [(o.name, o.type.tensor_type.elem_type) for o in model.graph.output]
        assert outputs == [(o.name, o.type.tensor_type.elem_type) for o in shipped.graph.output]
    assert kinds_of_weights(whole) == {TensorProto.FLOAT}
    assert kinds_of_weights(half) == {TensorProto.FLOAT16}
    assert half.ByteSize() < 0.6 * whole.ByteSize()

    said = []
    for path, brought in (
        (weights.path(name), tuning),
        (tmp_path / "whole.onnx", None),
        (tmp_path / "half.onnx", None),
    ):
        session = Session(path, device="cpu", tuning=brought)
        found = session.run(clips(name, 1), session.outputs)
        assert all(np.isfinite(values).all() for values in found.values())
        said.append(float(found["probability"][0]))
    assert said[1] == pytest.approx(said[0], abs=0.02)
    assert said[2] == pytest.approx(said[1], abs=0.01)


def kinds_of_weights(model: onnx.ModelProto) -> set[int]:
    """Types of the convolutions' weights."""
    constants = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    return {constants[node.input[1]] for node in model.graph.node if node.op_type == "Conv"}


def test_a_session_rewrites_what_it_loads(tmp_path: Path) -> None:
    path = brightness_net(tmp_path / "net.onnx", "sola")
    pixels = clips("sola", 1)
    before = Session(path, device="cpu").run(pixels, ["probability"])["probability"]
    precisions: tuple[Computed, ...] = ("fp32", "fp16")
    for wanted in precisions:
        after = Session(path, device="cpu", precision=wanted).run(pixels, ["probability"])["probability"]
        np.testing.assert_allclose(before, after, atol=1e-3)


def test_without_onnx_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = brightness_net(tmp_path / "net.onnx", "sola")
    monkeypatch.setattr(precision, "can_rewrite", lambda: False)
    Session(path, device="cpu")
    with pytest.raises(DeviceError, match=r"--precision fp32: .*pip install 'deepscan\[gpu\]'"):
        Session(path, device="cpu", precision="fp32")


def test_what_is_no_network_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"no network at all")
    with pytest.raises(WeightsError, match=r"net\.onnx: this is no ONNX model"):
        Session(path, device="cpu", precision="fp16")


def test_a_scan_as_it_ships_imports_no_onnx(tmp_path: Path) -> None:
    path = brightness_net(tmp_path / "sola.onnx", "sola")
    code = (
        "import sys; from pathlib import Path; import deepscan.scanner; "
        "from deepscan.inference.session import Session; "
        f"Session(Path({str(path)!r})); assert 'onnx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
