"""An encoder that several detectors may share, and the tuning that whoever loads it brings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from safetensors.numpy import load_file, save_file

from deepscan.config import Computed
from deepscan.errors import WeightsError
from deepscan.inference.session import Session
from tests.fixtures.small_gend import Encoded

pytestmark = pytest.mark.slow

PRECISIONS: tuple[Computed, ...] = ("int8", "fp32", "fp16")
Tensors = dict[str, NDArray[np.float32]]


def said(encoded: Encoded, tuning: Path, precision: Computed = "int8") -> NDArray[np.float32]:
    session = Session(encoded.encoder, tuning=tuning, precision=precision)
    found = [session.run(one[None], ["probability"])["probability"] for one in encoded.pixels]
    return np.concatenate(found)


def other(tuning: Path, folder: Path, change: Callable[[Tensors], Tensors]) -> Path:
    path = folder / "other.safetensors"
    save_file(change(load_file(tuning)), path)
    return path


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_encoder_with_its_tuning_says_what_torch_says(encoded: Encoded, precision: Computed) -> None:
    assert np.ptp(encoded.probabilities) > 0.1, "pictures that all look alike would show nothing"
    np.testing.assert_allclose(said(encoded, encoded.tuning, precision), encoded.probabilities, atol=0.01)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_another_tuning_of_the_same_encoder_says_something_else(
    encoded: Encoded, tmp_path: Path, precision: Computed
) -> None:

    def turn(own: Tensors) -> Tensors:
        return own | {name: -value for name, value in own.items() if name.startswith("head.")}

    turned = other(encoded.tuning, tmp_path, turn)
    np.testing.assert_allclose(said(encoded, turned, precision), 1 - encoded.probabilities, atol=0.01)


def test_evidence_and_embedding_come_from_the_same_file(encoded: Encoded) -> None:
    session = Session(encoded.encoder, tuning=encoded.tuning)
    assert session.outputs == ("probability", "rollout", "embedding")
    found = session.run(encoded.pixels[:1], session.outputs)
    assert found["rollout"].shape == (1, 14, 14)
    assert found["rollout"].sum() == pytest.approx(1, abs=1e-4)
    assert np.linalg.norm(found["embedding"]) == pytest.approx(1, abs=1e-4)


def test_the_encoders_file_holds_nothing_of_a_tuning(encoded: Encoded) -> None:
    graph = onnx.load(encoded.encoder, load_external_data=False).graph
    outside = {tensor.name for tensor in graph.initializer if tensor.data_location == TensorProto.EXTERNAL}
    assert outside == set(load_file(encoded.tuning))
    assert not any(tensor.raw_data for tensor in graph.initializer if tensor.name in outside)
    assert sum(node.op_type == "MatMulNBits" for node in graph.node) == 2 * 6, "two layers"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_encoder_is_refused_without_a_tuning(encoded: Encoded, precision: Computed) -> None:
    with pytest.raises(WeightsError, match=r"\.onnx: this encoder needs a tuning, and none came with it"):
        Session(encoded.encoder, precision=precision)


CHANGES: dict[str, Callable[[Tensors], Tensors]] = {
    "one tensor is missing": lambda own: {name: own[name] for name in sorted(own)[1:]},
    "one tensor is strange": lambda own: own | {"vision_model.layer_norm9.weight": np.ones(128, np.float32)},
    "a wider encoder's": lambda own: {name: np.concatenate([own[name]] * 2, -1) for name in own},
}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_tuning_of_another_encoder_is_refused_in_plain_words(
    encoded: Encoded, tmp_path: Path, change: Callable[[Tensors], Tensors], precision: Computed
) -> None:
    with pytest.raises(WeightsError, match=r"\.onnx: the tuning is of another encoder.*; reinstall"):
        Session(encoded.encoder, tuning=other(encoded.tuning, tmp_path, change), precision=precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_whole_network_is_refused_a_tuning(encoded: Encoded, tmp_path: Path, precision: Computed) -> None:
    from tests.fixtures.doubles import brightness_net

    whole = brightness_net(tmp_path / "whole.onnx", "gend")
    with pytest.raises(WeightsError, match=r"whole\.onnx: the tuning is of another encoder"):
        Session(whole, tuning=encoded.tuning, precision=precision)


def test_a_tuning_that_cannot_be_read_is_named(encoded: Encoded, tmp_path: Path) -> None:
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(encoded.tuning.read_bytes()[:-7])
    for path in (torn, tmp_path / "gone.safetensors"):
        with pytest.raises(WeightsError, match=rf"{path.name}: this tuning cannot be read .*; reinstall"):
            Session(encoded.encoder, tuning=path)
