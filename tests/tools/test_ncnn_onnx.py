"""A network for ncnn computes the same as ONNX."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from deepscan.inference.devices import CPU
from tools.ncnn_onnx import FLOAT16, main, to_onnx

PARAM = """7767517
9 11
Input            in      0 1 data
Split            split   1 2 data a b
Convolution      conv0   1 1 a c 0=4 1=3 4=1 5=1 6=108 9=2 -23310=1,2.000000e-01
PReLU            prelu   1 1 c d 0=4
Concat           cat     2 1 d b e
Convolution      conv1   1 1 e f 0=12 1=1 5=1 6=84
PixelShuffle     shuffle 1 1 f g 0=2
Interp           grow    1 1 b h 0=1 1=2.000000e+00 2=2.000000e+00
Eltwise          sum     2 1 g h i 0=1 -23301=2,2.000000e-01,1.000000e+00
BinaryOp         add     2 1 i h output
"""

GATED = """7767517
8 9
Input      in      0 1 data
MemoryData mean    0 1 mean 0=1 1=1 2=3
BinaryOp   centred 2 1 data mean a 0=1
BinaryOp   times   1 1 a b 0=2 1=1 2=2.550000e+02
Swish      swish   1 1 b c
Sigmoid    sigmoid 1 1 c d
BinaryOp   half    1 1 d e 0=1 1=1 2=5.000000e-01
BinaryOp   gate    2 1 c e output 0=2
"""


def weights(rng: np.random.Generator) -> tuple[bytes, list[NDArray[np.float32]]]:
    """The binary file of ``PARAM`` and its arrays, the second convolution's in float16."""
    arrays = [rng.normal(size=n).astype(np.float32) for n in (108, 4, 4, 84, 12)]
    arrays[3] = arrays[3].astype(np.float16).astype(np.float32)
    parts = [struct.pack("<I", 0), arrays[0].tobytes(), arrays[1].tobytes(), arrays[2].tobytes()]
    parts += [struct.pack("<I", FLOAT16), arrays[3].astype(np.float16).tobytes(), arrays[4].tobytes()]
    return b"".join(parts), arrays


def by_hand(x: torch.Tensor, arrays: list[NDArray[np.float32]]) -> torch.Tensor:
    first, bias, slope, second, other_bias = map(torch.from_numpy, arrays)
    y = F.leaky_relu(F.conv2d(x, first.reshape(4, 3, 3, 3), bias, padding=1), 0.2)
    y = torch.cat([F.prelu(y, slope), x], 1)
    y = F.pixel_shuffle(F.conv2d(y, second.reshape(12, 7, 1, 1), other_bias), 2)
    grown = F.interpolate(x, scale_factor=2.0, mode="nearest")
    return 0.2 * y + 2 * grown


def test_every_layer_computes_what_it_says(tmp_path: Path) -> None:
    data, arrays = weights(np.random.default_rng(0))
    (tmp_path / "net.param").write_text(PARAM)
    (tmp_path / "net.bin").write_bytes(data)
    assert main([str(tmp_path / "net.param"), str(tmp_path / "net.onnx")]) == 0
    session = ort.InferenceSession(str(tmp_path / "net.onnx"), providers=[CPU])
    x = np.random.default_rng(1).random((1, 3, 6, 10), np.float32)
    (got,) = session.run(["output"], {"data": x})
    assert got.shape == (1, 3, 12, 20)
    np.testing.assert_allclose(got, by_hand(torch.from_numpy(x), arrays).numpy(), atol=1e-5)


def test_gates_and_constants_compute_what_they_say(tmp_path: Path) -> None:
    mean = np.array([0.4, 0.5, 0.6], np.float32)
    (tmp_path / "net.onnx").write_bytes(to_onnx(GATED, mean.tobytes()).SerializeToString())
    session = ort.InferenceSession(str(tmp_path / "net.onnx"), providers=[CPU])
    x = np.random.default_rng(1).random((1, 3, 6, 10), np.float32)
    (got,) = session.run(["output"], {"data": x})
    swished = F.silu((torch.from_numpy(x) - torch.from_numpy(mean).reshape(3, 1, 1)) * 255)
    np.testing.assert_allclose(got, (swished * (swished.sigmoid() - 0.5)).numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("param", "spare", "reason"),
    [
        (PARAM, b"\0\0\0\0", "4 bytes of weights belong to no layer"),
        (PARAM.replace("Concat ", "Softmax"), b"", "a layer Softmax"),
        ("hello\n", b"", "not a network for ncnn"),
    ],
)
def test_what_it_does_not_know_is_said(param: str, spare: bytes, reason: str) -> None:
    data, _ = weights(np.random.default_rng(0))
    with pytest.raises(ValueError, match=reason):
        to_onnx(param, data + spare)


def test_too_few_words_get_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "MODEL.param" in capsys.readouterr().err


def test_a_file_that_is_no_network_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "net.param"
    source.write_text("hello\n")
    assert main([str(source), str(tmp_path / "net.onnx")]) == 2
    source.with_suffix(".bin").write_bytes(b"")
    assert main([str(source), str(tmp_path / "net.onnx")]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "net.bin" in first and second == f"{source}: not a network for ncnn"
    assert not (tmp_path / "net.onnx").exists()
