"""How well checkpoints tell a cache's validation pairs apart, single frames: AUC by family of forgery.

    python benchmarks/pairs.py gml cache FILE...

FILE is what `deepscan train fit --init` takes. Beside the families, `enlarged` are re-syntheses and
animations whose generators are the cache's networks that enlarge pictures (`deepscan train generators
--enlarger`), on every second face.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

import torch
from torch import nn

from deepscan.detectors import SPECS
from deepscan.training.data import FixedPairs
from deepscan.training.forge.enlargers import load_enlargers
from deepscan.training.forge.generators import FOLDER
from deepscan.training.nets import Net, build
from deepscan.training.prepare import Sample, load_index
from deepscan.training.settings import TrainConfig
from deepscan.training.start import start_from
from deepscan.training.step import lay_out
from deepscan.training.validation import scores_of, separation, validate

ENLARGED = ("resynthesis", "animation")


@torch.inference_mode()
def enlarged(net: Net, cache: Path, samples: list[Sample]) -> dict[str, float]:
    """AUC on pairs that the cache's enlargers redrew; nothing where it has none."""
    enlargers = load_enlargers(cache / FOLDER)
    if not enlargers:
        return {}
    faces = [sample for sample in samples if sample.split == "val"][::2]
    pairs = FixedPairs(cache, faces, net.spec, families=ENLARGED, stills=True, generators=enlargers)
    real, families = scores_of(net, (pairs.named(number) for number in range(len(pairs))))
    everything = [score for scores in families.values() for score in scores]
    return {"enlarged": separation(real, everything), "enlarged_pairs": float(len(everything))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("detector", choices=sorted(SPECS))
    parser.add_argument("cache", type=Path)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    arguments = parser.parse_args()
    samples = load_index(arguments.cache)
    for file in arguments.files:
        net = build(arguments.detector)
        start_from(net, file)
        module = cast(nn.Module, net)
        lay_out(module)
        config = TrainConfig(arguments.detector, steps=1, stills=True)
        figures = validate(net, config, arguments.cache, samples) | enlarged(net, arguments.cache, samples)
        print(file, *(f"{name} {value:.3f}" for name, value in figures.items()), sep="  ", flush=True)


if __name__ == "__main__":
    main()
