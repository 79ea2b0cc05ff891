"""How well checkpoints tell a cache's validation pairs apart, single frames: AUC by family of forgery.

    python benchmarks/accuracy/pairs.py gml cache FILE...

FILE is what `deepscan train fit --init` takes. Beside the manipulation types, on every second face:
`enlarged` are re-syntheses and animations whose generators are the cache's super-resolvers (`deepscan train
generators --super-resolver`), `retouched` the same with retouchers that training does not have.
`--super-resolver` names more, say some that no detector has learnt from: each regenerates these faces, too,
under its file's name.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import nn

from deepscan.detectors import SPECS
from deepscan.training.config import TrainConfig
from deepscan.training.data.prepare import Sample, load_index
from deepscan.training.data.samples import FixedPairs
from deepscan.training.fit.initial_weights import start_from
from deepscan.training.fit.step import to_channels_last
from deepscan.training.fit.validation import scores_of, separation, validate
from deepscan.training.networks import Net, build
from deepscan.training.synthesis.generators import FOLDER, Regenerator
from deepscan.training.synthesis.retouching import Retoucher
from deepscan.training.synthesis.super_resolution import SuperResolver, load_super_resolvers

REDRAWN = ("resynthesis", "animation")
RETOUCHERS = (
    Retoucher(levels=22, reach_px=3.0, passes=1, edge_px=1.0, gain=0.9),
    Retoucher(levels=36, reach_px=2.2, passes=1, edge_px=1.7, gain=1.2),
)


@torch.inference_mode()
def regenerated(
    net: Net, cache: Path, samples: Sequence[Sample], name: str, generators: Sequence[Regenerator]
) -> dict[str, float]:
    """AUC on pairs that these generators redrew; nothing without any."""
    if not generators:
        return {}
    faces = [sample for sample in samples if sample.split == "val"][::2]
    pairs = FixedPairs(
        cache, faces, net.spec, manipulations=REDRAWN, single_frames=True, generators=list(generators)
    )
    real, manipulations = scores_of(net, (pairs.named(number) for number in range(len(pairs))))
    everything = [score for scores in manipulations.values() for score in scores]
    return {name: separation(real, everything), f"{name}_pairs": float(len(everything))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("detector", choices=sorted(SPECS))
    parser.add_argument("cache", type=Path)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--super-resolver", type=Path, action="append", default=[], help="ONNX; repeatable")
    arguments = parser.parse_args()
    unseen = {path.stem: [SuperResolver(path)] for path in arguments.super_resolver}
    samples = load_index(arguments.cache)
    for file in arguments.files:
        net = build(arguments.detector)
        start_from(net, file)
        module = cast(nn.Module, net)
        to_channels_last(module)
        config = TrainConfig(arguments.detector, steps=1, single_frames=True)
        figures = (
            validate(net, config, arguments.cache, samples)
            | regenerated(
                net, arguments.cache, samples, "enlarged", load_super_resolvers(arguments.cache / FOLDER)
            )
            | regenerated(net, arguments.cache, samples, "retouched", RETOUCHERS)
        )
        for name, network in unseen.items():
            figures |= regenerated(net, arguments.cache, samples, name, network)
        print(file, *(f"{name} {value:.3f}" for name, value in figures.items()), sep="  ", flush=True)


if __name__ == "__main__":
    main()
