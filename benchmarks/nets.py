"""What one clip costs each network: as shipped, all in float32, all in float16; threads, and clips a batch.

float32 is made from the shipped file: roundings of activations are taken out, rounded weights are widened.
float16 is made from that by ONNX Runtime's own converter, the input and the outputs left as they are; on a
CPU most float16 operators do not exist, so that there it shows what it would cost, not what to use.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import measure
import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.transformers.float16 import convert_float_to_float16
from rich.table import Table

from deepscan.detectors import SPECS
from deepscan.detectors.spec import DetectorSpec
from deepscan.errors import WeightsError
from deepscan.inference.session import Session
from deepscan.weights import Weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    measure.add_options(parser, "runs/bench-nets.json")
    options = parser.parse_args()
    weights = Weights(options.weights)
    settings = [(1, 1)] if options.quick else [(1, 1), (2, 1), (1, 4), (2, 4)]
    repeats = 1 if options.quick else 5
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="deepscan-bench-") as name:
        for detector, spec in SPECS.items():
            for form, path in _forms(weights.path(detector), Path(name)).items():
                try:
                    rows += [
                        {"detector": detector, "form": form, "threads": threads, "batch": batch}
                        | _cost(path, spec, threads, batch, repeats)
                        for threads, batch in settings
                    ]
                except WeightsError as error:
                    rows.append({"detector": detector, "form": form, "error": str(error)})
    table = Table("", "form", "threads", "batch", "wall ms / clip", "CPU ms / clip", title="One clip, median")
    for row in rows:
        if "error" in row:
            table.add_row(row["detector"], row["form"], "", "", "cannot run", "")
            continue
        figures = (f"{row[key]:.0f}" for key in ("wall_ms", "cpu_ms"))
        table.add_row(row["detector"], row["form"], str(row["threads"]), str(row["batch"]), *figures)
    measure.finish(options, {"rows": rows}, [table])


def _cost(path: Path, spec: DetectorSpec, threads: int, batch: int, repeats: int) -> dict[str, float]:
    session = Session(path, device="cpu", threads=threads)
    pixels = _pixels(spec, batch)
    session.run(pixels, ["probability"])
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        session.run(pixels, ["probability"])
        walls.append((time.perf_counter() - wall) * 1000 / batch)
        cpus.append((time.process_time() - cpu) * 1000 / batch)
    return {"wall_ms": median(walls), "cpu_ms": median(cpus)}


def _pixels(spec: DetectorSpec, batch: int) -> NDArray[np.uint8]:
    clip = (spec.frames,) if spec.frames > 1 else ()
    shape = (batch, *clip, spec.size_px, spec.size_px, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _forms(shipped: Path, folder: Path) -> dict[str, Path]:
    float32, float16 = (folder / f"{shipped.stem}.{form}.onnx" for form in ("float32", "float16"))
    model = without_rounding(onnx.load(str(shipped)))
    onnx.save(model, str(float32))
    onnx.save(convert_float_to_float16(model, keep_io_types=True), str(float16))
    return {"shipped": shipped, "float32": float32, "float16": float16}


def without_rounding(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take every pair of QuantizeLinear and DequantizeLinear out, and widen the rounded weights."""
    graph = model.graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "DequantizeLinear"]:
        if all(name in constants for name in node.input):
            widened = _widened(node, [constants[name] for name in node.input])
            graph.initializer.append(onnx.numpy_helper.from_array(widened, node.output[0]))
            graph.node.remove(node)
    rounding = {node.output[0]: node for node in graph.node if node.op_type == "QuantizeLinear"}
    kept = []
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            before = rounding[node.input[0]]
            # A zero point of 0 cuts negative values off, and the quantiser dropped the ReLU that did so.
            cuts = not constants[before.input[2]].any()
            node = onnx.helper.make_node("Relu" if cuts else "Identity", before.input[:1], node.output)
        if node.op_type != "QuantizeLinear":
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
    return model


def _widened(node: onnx.NodeProto, inputs: list[NDArray[Any]]) -> NDArray[np.float32]:
    """What DequantizeLinear makes of constants: per tensor, or per channel of its axis."""
    values, scale, *zero = inputs
    axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
    along = [1] * values.ndim
    if scale.size > 1:
        along[axis] = scale.size
    offset = zero[0].astype(np.int32) if zero else np.zeros_like(scale, np.int32)
    exact = (values.astype(np.int32) - offset.reshape(along if offset.size > 1 else -1)) * scale.reshape(
        along
    )
    return np.asarray(exact.reshape(values.shape), np.float32)


if __name__ == "__main__":
    main()
