"""How many training images the forge makes per second, on 256 px squares.

    python benchmarks/speed/synthesis.py [--seconds 5] [--processes 2]

Each process forges pairs of single frames, as `deepscan train fit --single-frames` does: a manipulation type
drawn by its odds, the shared degradation, both halves cut for SOLA (256 px). The faces are the
public-domain portrait in two tones, the generators untrained, which costs the same.
"""

from __future__ import annotations

import argparse
import json
import time
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from deepscan.detectors import SPECS
from deepscan.faces.mesh import FaceMesh
from deepscan.faces.tracker import FaceEngine
from deepscan.inference.devices import CPU
from deepscan.training.data.samples import synthesize_pair
from deepscan.training.data.views import Faces
from deepscan.training.synthesis.generators import GENERATORS, Generator, Regenerator, laid_out
from deepscan.training.synthesis.manipulations import (
    MANIPULATIONS,
    ODDS,
    FaceClip,
    SynthesisInputs,
    draw_manipulation,
)
from deepscan.training.synthesis.retouching import RETOUCHERS
from deepscan.weights import Weights

SIZE_PX = 256
SPEC = SPECS["sola"]


def portraits() -> list[Faces]:
    """The portrait and a mirrored, darker one."""
    from skimage.data import astronaut

    photo = cv2.resize(astronaut()[:400, 60:460], (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
    weights = Weights()
    engine = FaceEngine(weights.face_path(), providers=[CPU], threads=1)
    mesh = FaceMesh(weights.face_path("facemesh_468"))
    found = []
    for image in (photo, np.ascontiguousarray(photo[:, ::-1] // 5 * 4)):
        face = engine.detect(image)[0]
        points = mesh.find(image, face.box, face.points)
        if points is None:
            raise SystemExit("the portrait's face was not found")
        found.append(Faces(image[None], face.box[None], face.points[None], points[None]))
    return found


def inputs(faces: list[Faces], generators: list[Regenerator]) -> SynthesisInputs:
    """What the first face can be forged from."""
    own, other = faces
    return SynthesisInputs(
        FaceClip(own.frames, own.mesh),
        FaceClip(own.frames, own.mesh),
        [FaceClip(other.frames, other.mesh)],
        generators,
    )


def forge_for(seconds: float, seed: int) -> dict[str, list[float]]:
    """Seconds per pair, by family, of one process."""
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    faces = portraits()
    generators: list[Regenerator] = [
        laid_out(Generator(spec).eval().requires_grad_(False)) for spec in GENERATORS if spec.split == "train"
    ]
    generators += RETOUCHERS
    rng = np.random.default_rng(seed)
    spent: dict[str, list[float]] = {manipulation: [] for manipulation in MANIPULATIONS}
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        pool = inputs(faces, generators)
        manipulation = draw_manipulation(pool, rng)
        at = time.perf_counter()
        synthesize_pair(faces[0], pool, SPEC, rng, manipulation=manipulation)
        spent[manipulation].append(time.perf_counter() - at)
    return spent


def main() -> None:
    """Run the processes side by side and print images per second in all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with get_context("spawn").Pool(args.processes) as pool:
        runs = pool.starmap(forge_for, [(args.seconds, seed) for seed in range(args.processes)])
    made = sum(len(times) for run in runs for times in run.values())
    rate = 2 * sum(sum(map(len, run.values())) / sum(map(sum, run.values())) for run in runs)
    print(f"{rate:.0f} images per second with {args.processes} processes ({made} pairs)")
    rows = {}
    for manipulation in MANIPULATIONS:
        times = [seconds for run in runs for seconds in run[manipulation]]
        if times:
            rows[manipulation] = 1000 * float(np.median(times))
            odds, cost = ODDS[manipulation], rows[manipulation]
            print(f"  {manipulation:12} {odds:4.0%} of pairs, {cost:6.1f} ms a pair (median)")
    if args.json:
        args.json.write_text(
            json.dumps({"images_per_s": rate, "ms_per_pair": rows}, indent=1), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
