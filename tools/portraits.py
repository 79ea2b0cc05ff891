"""Portraits of people who do not exist, drawn by a published generator, as a corpus of forged photos.

MobileStyleGAN (Belousov, 2021) comes in the package ``random-face`` (Apache-2.0), as two networks that
OpenVINO runs: one maps noise to a style, the other draws the style, 1024 x 1024 px. Nothing of it ships. The
portraits are shrunk to the size of portrait photographs and stored as JPEG, as those are.

Redo with ``python -m tools.portraits DATA OUT --count N --seed S``, DATA being the folder that
holds ``MappingNetwork.xml`` and ``SynthesisNetwork.xml``; ``pip install openvino`` first.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]
MAPPING, SYNTHESIS = "MappingNetwork.xml", "SynthesisNetwork.xml"
STYLE = 512
SOURCE = "random-face"
FACE_SHARE = 0.47
"""Width of the face, in widths of the picture: the generator learnt from aligned ones."""
FACE_PX = (120, 230)
SAMPLED = 2048
COLUMNS = ("file", "label", "identity", "source", "licence")


@dataclass(frozen=True)
class PortraitParameters:
    """One draw of what makes a portrait.

    Attributes:
        noise: ``(512,)`` float32, what the style is mapped from.
        truncation: how far from the mean style; less is more ordinary (Karras et al. 2019, appendix B).
        face_px: width of the face in the stored picture.
        quality: of the JPEG.
        subsampling: of its colours, as Pillow counts: 0 is none.
    """

    noise: NDArray[np.float32]
    truncation: float
    face_px: float
    quality: int
    subsampling: int

    @staticmethod
    def draw(rng: np.random.Generator) -> PortraitParameters:
        """Sizes and qualities of official portraits."""
        return PortraitParameters(
            noise=rng.standard_normal(STYLE).astype(np.float32),
            truncation=float(rng.uniform(0.5, 1.0)),
            face_px=float(rng.uniform(*FACE_PX)),
            quality=int(rng.integers(80, 97)),
            subsampling=int(rng.choice([0, 2, 2])),
        )

    def developed(self, drawn: Picture) -> bytes:
        """``(H, H, 3)`` uint8 RGB, shrunk, as a JPEG file."""
        side = round(self.face_px / FACE_SHARE)
        small = cv2.resize(drawn, (side, side), interpolation=cv2.INTER_AREA)
        stream = io.BytesIO()
        Image.fromarray(np.asarray(small, np.uint8)).save(
            stream, "JPEG", quality=self.quality, subsampling=self.subsampling
        )
        return stream.getvalue()


def portraits(folder: Path, count: int, seed: int) -> Iterator[bytes]:
    """``count`` JPEG files by the networks in ``folder``; each is fixed by the seed and its number.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    import openvino

    core = openvino.Core()
    mapping = core.read_model(folder / MAPPING)
    mapping.reshape([SAMPLED, STYLE])
    synthesis = core.compile_model(core.read_model(folder / SYNTHESIS), "CPU")
    many = core.compile_model(mapping, "CPU")
    noise = np.random.default_rng(seed).standard_normal((SAMPLED, STYLE)).astype(np.float32)
    mean = many([noise])[0].mean(0, keepdims=True)
    mapping.reshape([1, STYLE])
    one = core.compile_model(mapping, "CPU")
    for number in range(count):
        sitting = PortraitParameters.draw(np.random.default_rng((seed, number)))
        style = mean + sitting.truncation * (one([sitting.noise[None]])[0] - mean)
        yield sitting.developed(_rgb(synthesis([style])[0][0]))


def write_corpus(folder: Path, out: Path, count: int, seed: int) -> Path:
    """``count`` portraits below ``out`` and the table that ``deepscan train prepare`` reads."""
    out.mkdir(parents=True, exist_ok=True)
    table = out / "portraits.csv"
    with table.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(COLUMNS)
        for number, jpeg in enumerate(portraits(folder, count, seed)):
            name = f"portrait-{seed}-{number:05d}"
            (out / f"{name}.jpg").write_bytes(jpeg)
            rows.writerow([f"{name}.jpg", "fake", name, SOURCE, "Apache-2.0"])
    return table


def main(arguments: list[str]) -> int:
    """``DATA OUT --count N --seed S``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    if not all((given.data / name).is_file() for name in (MAPPING, SYNTHESIS)):
        print(f"{given.data} holds no {MAPPING} and {SYNTHESIS}", file=sys.stderr)
        return 2
    try:
        importlib.import_module("openvino")
    except ImportError:
        print("OpenVINO runs these networks: pip install openvino", file=sys.stderr)
        return 2
    print(write_corpus(given.data, given.out, given.count, given.seed))
    return 0


def _rgb(drawn: NDArray[Any]) -> Picture:
    """``(3, H, W)`` in [-1, 1] -> ``(H, W, 3)`` uint8 RGB."""
    return np.ascontiguousarray(np.clip(np.rint(drawn.transpose(1, 2, 0) * 127.5 + 127.5), 0, 255), np.uint8)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
