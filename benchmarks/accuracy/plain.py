"""A plain network beside deepscan's: an ImageNet Xception that learnt self-blends of single frames, no more.

    python benchmarks/accuracy/plain.py CACHE xception_imagenet_fp16.safetensors FOLDER
    deepscan evaluate synthetic/corpus.csv --weights FOLDER

Whatever papers, forge and calibration are worth must show beside its figures on the same files. It learns
from the same faces, cut as for GenD, whose place it takes in FOLDER, a folder of weights: AdamW at
2e-4 and a cosine, eight pairs a step; a pair shares JPEG, shrinking, blur, noise and gamma. Nothing is tuned
or calibrated.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from deepscan.detectors import gend
from deepscan.detectors.gml.network import Gml
from deepscan.training.config import TrainConfig
from deepscan.training.data.prepare import Sample, load_index
from deepscan.training.data.samples import Batch, join_pairs, sampling_odds, synthesize_pair
from deepscan.training.data.views import load_faces
from deepscan.training.export.onnx import ScoreGap, export_onnx
from deepscan.training.export.weights_folder import Shipped, bring_face_models, enter_detector
from deepscan.training.fit.step import optimize, optimizer_of, rate_at, to_channels_last
from deepscan.training.provenance import Provenance
from deepscan.training.synthesis.degradation import Degradation
from deepscan.training.synthesis.manipulations import FaceClip, SynthesisInputs

SPEC = replace(gend.SPEC, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
PAIRS, RATE, WARMUP, SEED = 8, 2e-4, 20, 1
REPORT_EVERY = 25


class Output(NamedTuple):
    """``logits (B, 2)``, real then forged, and the last ``maps (B, C, h, w)``."""

    logits: Tensor
    maps: Tensor


class PlainXception(nn.Module):
    """Xception with two outputs, for single frames. ``trunk``: its ImageNet weights."""

    spec = SPEC

    def __init__(self, trunk: Path) -> None:
        super().__init__()
        self.xception = Gml()
        self.xception.load_imagenet(trunk)
        del self.xception.anomaly, self.xception.anomaly_fc

    def forward(self, x: Tensor) -> Output:
        """(B, 3, H, W) in [-1, 1]."""
        net = self.xception
        y = net.stem(x.contiguous(memory_format=torch.channels_last))
        for block in net.blocks:
            y, _ = block(y, 1)
        y = F.relu(net.conv3(y, 1)[0])
        y = F.relu(net.conv4(y, 1)[0])
        return Output(net.fc(y.mean((2, 3))), y)

    def probability(self, output: Output) -> Tensor:
        """(B,): probability of forged."""
        return output.logits.float().softmax(1)[:, 1]

    def evidence(self, output: Output) -> dict[str, Tensor]:
        """Mean over channels of the last maps, (B, h, w), where GenD's file has its rollout."""
        return {"rollout": output.maps.float().mean(1)}

    def loss(self, output: Output, label: Tensor, forged: Tensor | None, face: Tensor | None) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(output.logits.float(), label)


class SelfBlends(IterableDataset[Batch]):
    """An endless, seeded stream of single frames and self-blends of them."""

    def __init__(self, cache: Path, samples: Sequence[Sample]) -> None:
        self._cache = cache
        self._samples = [sample for sample in samples if sample.split == "train" and sample.label == "real"]
        self._odds = sampling_odds(self._samples)

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng(SEED)
        while True:
            sample = self._samples[int(rng.choice(len(self._samples), p=self._odds))]
            whole = load_faces(self._cache / sample.folder)
            one = whole.take(rng.integers(len(whole.frames), size=1))
            face = FaceClip(one.frames, one.mesh)
            yield synthesize_pair(
                one,
                SynthesisInputs(face, face),
                SPEC,
                rng,
                manipulation="self-blend",
                degradation=plain_faults(rng),
            )


def plain_faults(rng: np.random.Generator) -> Degradation:
    """JPEG 40-100, shrinking by up to three times, blur, noise and gamma, each for a share of the pairs."""
    return Degradation(
        gamma=float(np.exp(rng.uniform(-0.22, 0.22))) if rng.random() < 0.5 else 1.0,
        shrink=float(rng.uniform(1, 3)) if rng.random() < 0.3 else 1.0,
        blur_sigma=float(rng.uniform(0.3, 1.4)) if rng.random() < 0.2 else 0.0,
        noise_sigma=float(rng.uniform(1, 7)) if rng.random() < 0.2 else 0.0,
        noise_seed=int(rng.integers(2**31)),
        jpeg_quality=int(rng.integers(40, 101)) if rng.random() < 0.5 else None,
        h264_crf=None,
    )


def fit(cache: Path, trunk: Path, steps: int, threads: int) -> PlainXception:
    """The network after ``steps``."""
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    net = PlainXception(trunk)
    to_channels_last(net)
    net.train()
    config = TrainConfig(SPEC.name, steps=steps, pairs=PAIRS, rate=RATE, warmup=WARMUP)
    optimizer = optimizer_of(config, net.parameters())
    stream = iter(
        DataLoader(
            SelfBlends(cache, load_index(cache)), batch_size=PAIRS, collate_fn=join_pairs, num_workers=1
        )
    )
    losses: list[float] = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, config)
        losses.append(optimize(net, optimizer, next(stream)))
        if (step + 1) % REPORT_EVERY == 0:
            Console().print(f"step {step + 1} of {steps}  loss {np.mean(losses):.3f}")
            losses.clear()
    return net


def enter(net: PlainXception, folder: Path) -> None:
    """Write the network and the face models into a folder of weights."""
    target = folder / f"{SPEC.name}.onnx"
    export_onnx(net, target)
    bring_face_models(folder)
    shipped = Shipped(target, "float32", ScoreGap(0.0, 0.0, 0))
    enter_detector(folder, shipped, SPEC.name, Provenance(recipe="benchmarks/accuracy/plain.py"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cache", type=Path, help="of `deepscan train prepare`, with --canvas 640")
    parser.add_argument("trunk", type=Path, help="an ImageNet Xception, safetensors")
    parser.add_argument("folder", type=Path, help="of weights, made here")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    enter(fit(options.cache, options.trunk, options.steps, options.threads), options.folder)


if __name__ == "__main__":
    main()
