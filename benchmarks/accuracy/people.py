"""How far GenD's embeddings tell people apart: cosines within a clip, and between different people.

    python benchmarks/accuracy/people.py CACHE [CACHE...]

CACHE is one of `deepscan train prepare` with several people; genuine videos alone count, three frames each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from deepscan.detectors.gend import SPEC
from deepscan.inference.session import Session
from deepscan.training.data.prepare import load_index
from deepscan.training.data.views import View, load_faces
from deepscan.training.tuning.crops import cut
from deepscan.training.tuning.faults import Faults
from deepscan.weights import Weights

SHARES = (0.1, 1, 5, 50, 95, 99, 99.9)


def main() -> None:
    """Print percentiles of the cosines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("caches", nargs="+", type=Path, metavar="CACHE")
    weights = Weights()
    session = Session(weights.path(SPEC.name), tuning=weights.tuning_path(SPEC.name))
    found, clips, people = [], [], []
    for cache in parser.parse_args().caches:
        for sample in load_index(cache):
            if sample.label != "real" or sample.kind == "photo":
                continue
            faces = load_faces(cache / sample.folder)
            for place in np.unique(np.linspace(0, len(faces.frames) - 1, 3).round().astype(int)):
                face = faces.take([int(place)])
                crop = cut(face.frames[0], face, View(), Faults())
                found.append(session.run(crop[None], ["embedding"])["embedding"][0])
                clips.append(sample.folder)
                people.append(sample.identity)
    cosines = np.stack(found) @ np.stack(found).T
    clip, person = np.array(clips), np.array(people)
    same = (clip[:, None] == clip[None]) & ~np.eye(len(clip), dtype=bool)
    for name, pairs in (("one clip", same), ("different people", person[:, None] != person[None])):
        values = "  ".join(
            f"{share:g} %: {value:.3f}"
            for share, value in zip(SHARES, np.percentile(cosines[pairs], SHARES), strict=True)
        )
        print(f"{name:<18} {int(pairs.sum()):>8} pairs  {values}")


if __name__ == "__main__":
    main()
