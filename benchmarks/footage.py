"""The videos that the benchmarks scan: a portrait that sways before a panning, textured background.

The portrait is scikit-image's astronaut, a NASA photograph in the public domain. Everything else is drawn
from a seed, so every run and every machine scans the same pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]

WIDTH, HEIGHT = 1920, 1080
RATE = 30
# Head and shoulders in the 512 x 512 photograph: x0, y0, side.
PORTRAIT = (70, 0, 310)
PORTRAIT_PX = 760
PAN_PX = 2
GRAIN = 24
GRAIN_FIELDS = 5


@dataclass(frozen=True)
class Clip:
    """One file to make.

    Attributes:
        name: file name.
        seconds: length.
        gop: frames between keyframes; None: only the first frame is one, so nothing can be jumped over.
        seed: of background and motion.
    """

    name: str
    seconds: float
    gop: int | None
    seed: int = 0


def make(folder: Path, clips: list[Clip]) -> list[Path]:
    """Encode clips as 1080p30 H.264 in MP4, as phones and platforms do: B-frames, constant quality."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_encode(folder / clip.name, clip) for clip in clips]


def _encode(path: Path, clip: Clip) -> Path:
    count = round(clip.seconds * RATE)
    options = {"preset": "veryfast", "crf": "23", "threads": "2", "g": str(clip.gop or count)}
    if clip.gop is None:
        options["sc_threshold"] = "0"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for rgb in film(count, clip.seed):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        output.mux(stream.encode())
    return path


def film(count: int, seed: int) -> Iterator[Rgb]:
    """``count`` frames ``(1080, 1920, 3)`` uint8, with the grain of a sensor."""
    from skimage.data import astronaut

    rng = np.random.default_rng(seed)
    x0, y0, side = PORTRAIT
    photo: Rgb = astronaut()  # type: ignore[no-untyped-call]
    head = cv2.resize(photo[y0 : y0 + side, x0 : x0 + side], (PORTRAIT_PX, PORTRAIT_PX))
    wall = _texture(rng)
    grain = [rng.integers(0, GRAIN, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(GRAIN_FIELDS)]
    phase = rng.uniform(0, 2 * np.pi)
    for number in range(count):
        angle = phase + 2 * np.pi * number / 90
        pan = abs((number * PAN_PX + WIDTH) % (2 * WIDTH) - WIDTH)  # there and back
        frame = wall[:, pan : pan + WIDTH].copy()
        move = cv2.getRotationMatrix2D((PORTRAIT_PX / 2,) * 2, 3 * float(np.sin(angle)), 1.0)
        move[:, 2] += (WIDTH - PORTRAIT_PX) / 2 + 60 * np.cos(angle), HEIGHT - PORTRAIT_PX
        cv2.warpAffine(head, move, (WIDTH, HEIGHT), dst=frame, borderMode=cv2.BORDER_TRANSPARENT)
        yield np.asarray(cv2.add(frame, grain[number % GRAIN_FIELDS]), np.uint8)


def _texture(rng: np.random.Generator) -> Rgb:
    """``(1080, 3840, 3)``: noise of several grain sizes, coarse ones strongest, as in natural pictures."""
    size = (2 * WIDTH, HEIGHT)
    total = np.full((HEIGHT, 2 * WIDTH, 3), 110.0, np.float32)
    for cell in (8, 32, 128, 512):
        coarse = rng.normal(0, 1, (HEIGHT // cell + 2, 2 * WIDTH // cell + 2, 3)).astype(np.float32)
        total += 4.0 * cell**0.35 * cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    return np.clip(total, 0, 245).astype(np.uint8)
