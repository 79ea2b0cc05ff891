"""How narrow a face may get before GenD no longer tells forged ones from genuine ones.

    python benchmarks/accuracy/widths.py CACHE [CACHE...] [--every 3]

CACHE is one of `deepscan train prepare --canvas 640` on a table of genuine forgeries. One frame of every
video is shrunk until its face has each of the widths, and scored; narrower faces are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from deepscan.detectors.gend import SPEC
from deepscan.ensemble import logit
from deepscan.inference.session import Session
from deepscan.training.data.prepare import load_index
from deepscan.training.data.views import Faces, View, clip_affines, cut_frames, load_faces, shrunk_affines
from deepscan.training.evaluation.metrics import auc, bootstrap_interval
from deepscan.weights import Weights

WIDTHS_PX = (24, 32, 48, 64, 96)


def shrunk(face: Faces, width_px: int) -> np.ndarray | None:
    """The crop of a face that was shrunk to ``width_px``; None where it is narrower."""
    frame = face.frames[0]
    own = float(face.boxes[0, 2] - face.boxes[0, 0])
    if own < width_px:
        return None
    size = (frame.shape[0], frame.shape[1])
    small = tuple(max(8, round(side * width_px / own)) for side in size)
    picture = cv2.resize(frame, small[::-1], interpolation=cv2.INTER_AREA)
    affines = shrunk_affines(clip_affines(face, SPEC, View()), size, (small[0], small[1]))
    return cut_frames(np.asarray(picture, np.uint8)[None], affines, SPEC.size_px, False)[0]


def main() -> None:
    """Print the AUC at every width."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("caches", nargs="+", type=Path, metavar="CACHE")
    parser.add_argument("--every", type=int, default=1, help="take every so many videos")
    given = parser.parse_args()
    weights = Weights()
    session = Session(weights.path(SPEC.name), tuning=weights.tuning_path(SPEC.name))
    scores: dict[int, list[tuple[int, float, str]]] = {width_px: [] for width_px in WIDTHS_PX}
    for cache in given.caches:
        videos = [one for one in load_index(cache) if one.kind != "photo" and one.generator]
        for sample in videos[:: given.every]:
            faces = load_faces(cache / sample.folder)
            face = faces.take([len(faces.frames) // 2])
            for width_px in WIDTHS_PX:
                crop = shrunk(face, width_px)
                if crop is not None:
                    said = float(session.run(crop[None], ["probability"])["probability"][0])
                    scores[width_px].append((int(sample.label == "fake"), logit(said), sample.source))
    for width_px, found in scores.items():
        labels, logits, sources = (np.array(column) for column in zip(*found, strict=True))
        low, high = bootstrap_interval(labels, logits, sources, auc)
        counts = f"{int((labels == 0).sum())} genuine, {int(labels.sum())} forged"
        print(
            f"{width_px:>4} px  AUC {auc(labels, logits):.3f} [{low:.3f}, {high:.3f}]  {counts}", flush=True
        )


if __name__ == "__main__":
    main()
