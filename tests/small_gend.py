"""A GenD with two narrow layers and random weights, for whatever does not depend on what CLIP has learnt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deepscan.training.encoder_onnx import export_encoder, save_tuning
from deepscan.training.nets import gend
from deepscan.training.step import normalise
from deepscan.training.tuning import fit
from deepscan.training.tuning.shipping import ENCODER, torch_scores

SMALL = {"WIDTH": 128, "HEADS": 2, "LAYERS": 2, "HIDDEN": 256, "PERSON_LAYERS": 1}
KEPT_LAYERS = 1


@contextmanager
def small() -> Iterator[None]:
    """Whatever builds or runs a GenD meanwhile has two layers of 128 channels, of which one learns."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(gend, name, value)
        patch.setattr(fit, "KEPT_LAYERS", KEPT_LAYERS)
        yield


def random_net(seed: int = 0) -> gend.GenD:
    """A network that tells pictures apart, by chance. Within ``small`` alone."""
    torch.manual_seed(seed)
    net = gend.GenD()
    with torch.no_grad():
        net.mean_patch.normal_()
        net.vision_model.embeddings.position_embedding.weight.mul_(0.1)
        for name, value in net.state_dict().items():
            if gend.is_tuned(name):
                value.add_(0.15 * torch.randn(value.shape))
    return balanced(net.eval())


def balanced(net: gend.GenD) -> gend.GenD:
    """The same with a head under which pictures are forged as often as not, more or less surely."""
    pixels = normalise(torch.from_numpy(pictures(12)), gend.SPEC)
    with torch.no_grad():
        logits = net(pixels).logits
        odds = logits[:, 1] - logits[:, 0]
        stretch = 1.5 / odds.std()
        net.head.weight.mul_(stretch)
        net.head.bias.mul_(stretch)
        net.head.bias[1] -= odds.mean() * stretch / gend.LOGIT_SCALE
    return net


def pictures(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """``(count, 224, 224, 3)``: smooth, of different colours, as unlike one another as faces never are."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 128, (count, 4, 4, 3), np.uint8)
    patches += rng.integers(0, 128, (count, 1, 1, 3), np.uint8)
    return np.stack([cv2.resize(one, (224, 224), interpolation=cv2.INTER_LINEAR) for one in patches])


@dataclass(frozen=True)
class Encoded:
    """The files of a small network, and what the network itself says of ``pixels``."""

    encoder: Path
    tuning: Path
    pixels: NDArray[np.uint8]
    probabilities: NDArray[np.float32]


def encoded(folder: Path) -> Encoded:
    """Write a small network's encoder and tuning, called as a weights folder has them."""
    with small():
        net = random_net()
        encoder, tuning = folder / f"{ENCODER}.onnx", folder / "gend.safetensors"
        export_encoder(net, encoder)
        save_tuning(net, tuning)
        pixels = pictures(6)
        return Encoded(encoder, tuning, pixels, torch_scores(net, pixels))
