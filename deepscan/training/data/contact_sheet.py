"""A contact sheet of forgeries, to look at before training on them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from deepscan.training.data.prepare import Sample
from deepscan.training.data.samples import DonorPool
from deepscan.training.data.views import load_faces
from deepscan.training.synthesis.degradation import Degradation
from deepscan.training.synthesis.generators import load_generators
from deepscan.training.synthesis.manipulations import MANIPULATIONS, synthesize

TILE_PX = 160
CLIP_FRAMES = 8
LABEL_PX = 16


def contact_sheet(
    cache: Path,
    samples: Sequence[Sample],
    out: Path,
    *,
    manipulations: Sequence[str] = (),
    columns: int = 6,
    degraded: bool = False,
    seed: int = 0,
) -> dict[str, int]:
    """Write a PNG with a row per manipulation type: real, forged and mask of some samples, in columns.

    Args:
        cache: prepared faces.
        samples: of the cache; the real ones of the training side are used.
        out: the PNG.
        manipulations: which; none names all.
        columns: samples per manipulation type.
        degraded: show both after the shared degradation.
        seed: of samples and forgeries.

    Returns:
        How many forgeries stand in each row: a type that lacks what it needs has none.
    """
    real = [sample for sample in samples if sample.label == "real" and sample.split == "train"]
    donors = DonorPool(cache, real, load_generators(cache, "train"))
    rows, counts = [], {}
    for number, manipulation in enumerate(manipulations or MANIPULATIONS):
        rng = np.random.default_rng((seed, number))
        tiles = _row(manipulation, cache, real, donors, columns, degraded, rng)
        counts[manipulation] = len(tiles)
        if tiles:
            blank = [np.zeros_like(tiles[0])] * (columns - len(tiles))
            rows.append(_titled(np.hstack([*tiles, *blank]), manipulation))
    if rows:
        Image.fromarray(np.vstack(rows)).save(out)
    return counts


def _row(
    manipulation: str,
    cache: Path,
    real: Sequence[Sample],
    donors: DonorPool,
    columns: int,
    degraded: bool,
    rng: np.random.Generator,
) -> list[NDArray[np.uint8]]:
    tiles: list[NDArray[np.uint8]] = []
    for index in rng.permutation(len(real)):
        whole = load_faces(cache / real[index].folder)
        clip = whole.take(np.arange(min(CLIP_FRAMES, len(whole.frames))))
        inputs = donors.inputs(real[index], clip, whole, rng)
        if manipulation not in inputs.manipulations():
            continue
        pair = synthesize(manipulation, inputs, rng)
        still, side_px = len(clip.frames) == 1, max(clip.frames.shape[1:3])
        shared = Degradation.draw(rng, still=still, side_px=side_px) if degraded else Degradation.none()
        at = len(clip.frames) // 2
        mask = np.repeat((pair.mask[at] * 255).astype(np.uint8)[..., None], 3, axis=2)
        shown = (shared.apply(pair.real)[at], shared.apply(pair.fake)[at], mask)
        size = (TILE_PX, TILE_PX)
        tiles.append(np.vstack([cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in shown]))
        if len(tiles) == columns:
            break
    return tiles


def _titled(row: NDArray[np.uint8], title: str) -> NDArray[np.uint8]:
    bar = Image.new("RGB", (row.shape[1], LABEL_PX))
    ImageDraw.Draw(bar).text((4, 2), title, fill="white")
    return np.vstack([np.asarray(bar), row])
