"""The videos that the benchmarks scan: a portrait that sways before a panning, textured background.

The portrait is scikit-image's astronaut, a NASA photograph in the public domain. Everything else is drawn
from a seed, so every run and every machine scans the same pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
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
        height: pixels; the width is 16 / 9 of it.
        faces: people side by side.
        repeat: how often the encoded seconds are stored one after the other: length without encoding time.
    """

    name: str
    seconds: float
    gop: int | None
    seed: int = 0
    height: int = HEIGHT
    faces: int = 1
    repeat: int = 1


def make(folder: Path, clips: list[Clip], keep: bool = False) -> list[Path]:
    """Encode clips as 30 fps H.264 in MP4, as phones and platforms do: B-frames, constant quality.

    ``keep``: a file of that name in the folder is the same clip, from an earlier run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for clip in clips:
        path = folder / clip.name
        if not (keep and path.exists()):
            partial = path.with_suffix(".partial.mp4")
            _repeated(_encode(partial, clip), clip.repeat).replace(path)
    return [folder / clip.name for clip in clips]


def make_photos(folder: Path, count: int, keep: bool = False) -> list[Path]:
    """``count`` JPEG photos of 1280 x 720; ``keep`` as for ``make``: the last one there means all are."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03}.jpg" for number in range(count)]
    if keep and paths[-1].exists():
        return paths
    for path, rgb in zip(paths, film(count, seed=5), strict=True):
        small = cv2.resize(rgb, (1280, 720), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(path), small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    return paths


def _repeated(path: Path, times: int) -> Path:
    """The file's packets ``times`` over."""
    if times == 1:
        return path
    once = path.rename(path.with_suffix(".once.mp4"))
    with av.open(str(path), "w") as output:
        out: VideoStream | None = None
        for number in range(times):
            with av.open(str(once)) as source:
                stream = source.streams.video[0]
                out = out or output.add_stream_from_template(stream)
                for packet in source.demux(stream):
                    if packet.dts is None or packet.pts is None or stream.duration is None:
                        continue
                    packet.pts += number * stream.duration
                    packet.dts += number * stream.duration
                    packet.stream = out
                    output.mux(packet)
    once.unlink()
    return path


def _encode(path: Path, clip: Clip) -> Path:
    count = round(clip.seconds * RATE)
    width = round(clip.height * 8 / 9) * 2
    options = {"preset": "veryfast", "crf": "23", "threads": "2", "g": str(clip.gop or count)}
    if clip.gop is None:
        options["sc_threshold"] = "0"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = width, clip.height, "yuv420p"
        for rgb in film(count, clip.seed, clip.faces):
            if clip.height != HEIGHT:
                way = cv2.INTER_AREA if clip.height < HEIGHT else cv2.INTER_CUBIC
                rgb = np.asarray(cv2.resize(rgb, (width, clip.height), interpolation=way), np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        output.mux(stream.encode())
    return path


def film(count: int, seed: int, faces: int = 1) -> Iterator[Rgb]:
    """``count`` frames ``(1080, 1920, 3)`` uint8, with the grain of a sensor; people stand in rows."""
    from skimage.data import astronaut

    rng = np.random.default_rng(seed)
    x0, y0, side = PORTRAIT
    photo: Rgb = astronaut()  # type: ignore[no-untyped-call]
    columns = math.ceil(math.sqrt(faces * WIDTH / HEIGHT)) if faces > 1 else 1
    rows = math.ceil(faces / columns)
    size = min(PORTRAIT_PX, WIDTH // columns, HEIGHT // rows)
    head = cv2.resize(photo[y0 : y0 + side, x0 : x0 + side], (size, size), interpolation=cv2.INTER_AREA)
    sway = 60 * size / PORTRAIT_PX
    wall = _texture(rng)
    grain = [rng.integers(0, GRAIN, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(GRAIN_FIELDS)]
    phase = rng.uniform(0, 2 * np.pi)
    for number in range(count):
        angle = phase + 2 * np.pi * number / 90
        pan = abs((number * PAN_PX + WIDTH) % (2 * WIDTH) - WIDTH)  # there and back
        frame = wall[:, pan : pan + WIDTH].copy()
        for face in range(faces):
            row, column = divmod(face, columns)
            move = cv2.getRotationMatrix2D((size / 2,) * 2, 3 * float(np.sin(angle + face)), 1.0)
            left = (column + 0.5) * WIDTH / columns - size / 2
            move[:, 2] += left + sway * np.cos(angle + face), HEIGHT - (rows - row) * size
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
