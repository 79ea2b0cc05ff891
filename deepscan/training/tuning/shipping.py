"""A tuning -> a weights folder that a scan can load: the encoder once, the tuning, their entries."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from deepscan.detectors.gend import SPEC
from deepscan.detectors.gend.network import GenD
from deepscan.inference.session import Session
from deepscan.training.data.prepare import Sample, load_index
from deepscan.training.data.views import View, load_faces
from deepscan.training.export.encoder import save_tuning
from deepscan.training.export.onnx import ScoreGap
from deepscan.training.export.weights_folder import Shipped, manifest_entry, read_table, write_table
from deepscan.training.fit.step import normalise
from deepscan.training.tuning.crops import cut
from deepscan.training.tuning.faults import Faults
from deepscan.training.tuning.start import ENCODER

ENCODER_LICENCE = "MIT"
"""OpenAI's, of the weights of CLIP."""
CHECKED = 48


def enter_encoder(weights: Path) -> None:
    """Enter the encoder's file, which lies in the folder already, in the manifest."""
    table = read_table(weights)
    entry = manifest_entry(weights / f"{ENCODER}.onnx", licence=ENCODER_LICENCE)
    table.setdefault("encoders", {})[ENCODER] = entry
    write_table(weights, table)


def ship_tuning(net: GenD, encoder: Path, cache: Path, weights: Path) -> Shipped:
    """Put a tuning into a weights folder, and the encoder where the folder lacks it.

    Args:
        net: encoder and tuning.
        encoder: the encoder's file.
        cache: prepared faces, on which the file's scores are compared with torch's.
        weights: the folder.
    """
    own, tuning = weights / f"{ENCODER}.onnx", weights / "gend.safetensors"
    weights.mkdir(parents=True, exist_ok=True)
    if not own.exists():
        shutil.copy(encoder, own)
    enter_encoder(weights)
    save_tuning(net, tuning)
    samples = load_index(cache)
    chosen = np.linspace(0, len(samples) - 1, min(CHECKED, len(samples))).round().astype(int)
    pixels = np.stack([clean_crop(cache, samples[int(i)]) for i in chosen])
    session = Session(own, tuning=tuning)
    rounded = [session.run(one[None], ["probability"])["probability"] for one in pixels]
    gap = ScoreGap.between(torch_scores(net, pixels), np.concatenate(rounded))
    return Shipped(tuning, "int8 weights", gap, encoder=ENCODER)


def clean_crop(cache: Path, sample: Sample) -> NDArray[np.uint8]:
    """The middle frame of a sample as a scan cuts it, ``(224, 224, 3)`` uint8."""
    faces = load_faces(cache / sample.folder)
    face = faces.take([len(faces.frames) // 2])
    return cut(face.frames[0], face, View(), Faults())


def torch_scores(net: GenD, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Probabilities ``(N,)`` of crops ``(N, 224, 224, 3)`` in float32."""
    net.eval()
    with torch.no_grad():
        found = [
            net.probability(net(normalise(torch.from_numpy(pixels[i : i + 1]), SPEC)))
            for i in range(len(pixels))
        ]
    return torch.cat(found).numpy()
