"""Tiny real ONNX networks that keep the detectors' contract, and a manifest for them.

They stand in for the trained ones where a test is about plumbing: the probability is the sigmoid of the
crop's mean brightness, so a bright face is "fake" and a dark one is "real"; or of how much it changes from
frame to frame, so a face that flickers is "fake".
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from deepscan.detectors import SPECS

FACE_MODEL = Path(__file__).parents[1] / "weights" / "faces" / "retinaface_mnet025.onnx"


def brightness_net(
    path: Path, name: str, *, gain: float = 12.0, middle: float = 0.5, any_length: bool = False
) -> Path:
    """Write a network: probability = sigmoid(gain * (mean(pixels) / 255 - middle)).

    ``any_length``: it takes clips of any number of frames.
    """
    return _net(path, name, [], gain=gain, middle=middle, any_length=any_length)


def motion_net(path: Path, name: str, *, gain: float = 80.0, middle: float = 0.02) -> Path:
    """Write a network: probability = sigmoid(gain * (mean(abs(next frame - frame)) / 255 - middle))."""
    nodes = [
        helper.make_node("Slice", ["x", "one", "end", "one"], ["next"]),
        helper.make_node("Slice", ["x", "zero", "last", "one"], ["frame"]),
        helper.make_node("Sub", ["next", "frame"], ["change"]),
        helper.make_node("Abs", ["change"], ["motion"]),
    ]
    constants = {"zero": [0], "one": [1], "last": [-1], "end": [SPECS[name].frames]}
    places = [numpy_helper.from_array(np.array(value, np.int64), key) for key, value in constants.items()]
    return _net(path, name, nodes, places, gain=gain, middle=middle)


def _net(
    path: Path,
    name: str,
    nodes: Sequence[onnx.NodeProto],
    more: Sequence[onnx.TensorProto] = (),
    *,
    gain: float,
    middle: float,
    any_length: bool = False,
) -> Path:
    """Write a network that averages what ``nodes`` make of ``x``, the pixels as float."""
    spec = SPECS[name]
    clip = () if spec.frames == 1 else ("frames" if any_length else spec.frames,)
    shape = ("batch", *clip, spec.size_px, spec.size_px, 3)
    axes = list(range(1, len(shape)))
    averaged = nodes[-1].output[0] if nodes else "x"
    nodes = [
        helper.make_node("Cast", ["pixels"], ["x"], to=TensorProto.FLOAT),
        *nodes,
        helper.make_node("ReduceMean", [averaged], ["mean"], axes=axes, keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "offset"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    constants = {"scale": gain / 255, "offset": gain * middle}
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ("batch",))],
        [*more, *(numpy_helper.from_array(np.float32(value), key) for key, value in constants.items())],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def write_weights(
    root: Path,
    *,
    gains: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
    middle: float = 0.5,
    motion: Sequence[str] = (),
    any_length: Sequence[str] = (),
) -> Path:
    """Write a network for every detector, and their manifest.

    Args:
        root: folder to fill.
        gains: per detector, instead of 12; NaN makes a network that returns NaN.
        weights: per detector, its weight in the ensemble instead of 1.
        middle: brightness at which the probability is 0.5.
        motion: detectors that look at changes from frame to frame instead of brightness.
        any_length: of the others, those that take clips of fewer frames as well.
    """
    tables = []
    for name in SPECS:
        path = root / f"{name}.onnx"
        if name in motion:
            motion_net(path, name)
        else:
            gain = (gains or {}).get(name, 12.0)
            brightness_net(path, name, gain=gain, middle=middle, any_length=name in any_length)
        tables.append(
            f"[detectors.{name}]\n{_file(path, root)}"
            'spec_version = "1"\ntraining_data = "none"\nrecipe = "none"\n'
            f"[detectors.{name}.metrics]\nauc = 0.5\n"
            f"[detectors.{name}.calibration]\ntemperature = 1.0\nbias = 0.0\n"
            f"weight = {(weights or {}).get(name, 1.0)}\n"
        )
    face = root / "faces" / FACE_MODEL.name
    face.parent.mkdir(exist_ok=True)
    shutil.copy(FACE_MODEL, face)
    tables.append(f"[faces.retinaface_mnet025]\n{_file(face, root)}")
    tables.append("[fusion]\nbias = 0.0\nthreshold_fake = 0.8\nthreshold_real = 0.2\n")
    (root / "manifest.toml").write_text("\n".join(tables), encoding="utf-8")
    return root


def _file(path: Path, root: Path) -> str:
    content = path.read_bytes()
    return (
        f'file = "{path.relative_to(root).as_posix()}"\n'
        f'sha256 = "{hashlib.sha256(content).hexdigest()}"\nbytes = {len(content)}\nlicence = "MIT"\n'
    )
