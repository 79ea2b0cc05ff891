"""The whole files that mutants are made of: one for every container and a few codecs, all tiny.

None has more frames than the sampling plan looks at, so that no frame is skipped because it was not wanted.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.fixtures import make, odd

SIZE_PX = 96
SECONDS = 0.8  # 20 frames: one window and the even moments behind it
FRAMES = 20
RATE = 25


def _clip(path: Path, **settings: object) -> Path:
    return make.portrait_clip(path, SECONDS, size=SIZE_PX, **settings)  # type: ignore[arg-type]


def _still(path: Path, **settings: object) -> Path:
    Image.fromarray(make.portrait(SIZE_PX)).save(path, **settings)
    return path


def _tracks(path: Path) -> Path:
    frames = list(make.moving_portrait(FRAMES, SIZE_PX))
    return odd.several_tracks(path, [frames, frames])


SOURCES: dict[str, Callable[[Path], Path]] = {
    "h264.mp4": _clip,
    "faststart.mp4": lambda p: make.faststart(p, SECONDS, size=SIZE_PX),
    "fragmented.mp4": lambda p: make.fragmented(p, SECONDS, size=SIZE_PX),
    "sound.mp4": lambda p: make.sounding_clip(p, SECONDS, SECONDS, size=SIZE_PX),
    "hevc.mp4": lambda p: _clip(p, codec="libx265"),
    "mpeg4.mov": lambda p: _clip(p, codec="mpeg4"),
    "h264.mov": _clip,
    "h264.mkv": _clip,
    "ffv1.mkv": lambda p: _clip(p, codec="ffv1"),
    "vp9.webm": lambda p: _clip(p, codec="libvpx-vp9"),
    "vp8.webm": lambda p: _clip(p, codec="libvpx"),
    "h264.ts": _clip,
    "sound.ts": lambda p: make.sounding_clip(p, SECONDS, SECONDS, size=SIZE_PX),
    "mpeg2.mpg": lambda p: _clip(p, codec="mpeg2video"),
    "mpeg4.avi": lambda p: _clip(p, codec="mpeg4"),
    "h264.avi": _clip,
    "mjpeg.avi": lambda p: _clip(p, codec="mjpeg", pix_fmt="yuvj420p"),
    "animated.gif": lambda p: make.animated_gif(p, FRAMES, SIZE_PX, 40),
    "animated.webp": lambda p: make.animated_webp(p, FRAMES, SIZE_PX, 40),
    "animated.png": lambda p: make.animated_png(p, FRAMES, SIZE_PX, 40),
    "packed.avi": lambda p: odd.packed_clip(p, FRAMES, SIZE_PX),
    "tracks.mp4": lambda p: _tracks(p),
    "tracks.ts": lambda p: _tracks(p),
    "still.webp": _still,
    "still.avif": _still,
    "still.bmp": _still,
    "still.ppm": _still,
    "still.tga": _still,
    "still.jp2": _still,
    "tiles.heic": lambda p: odd.tiled_heic(p, SIZE_PX),
    "lzw.tif": lambda p: _still(p, compression="tiff_lzw"),
    "deflate.tif": lambda p: _still(p, compression="tiff_deflate"),
    "pages.tif": lambda p: odd.pages(p, [make.portrait(SIZE_PX)] * 3, "raw"),
    "still.png": _still,
    "still.gif": _still,
    "still.jpg": lambda p: _still(p, quality=85),
    "progressive.jpg": lambda p: _still(p, quality=85, progressive=True),
}


def write_all(folder: Path) -> dict[str, bytes]:
    """Write every source once into ``folder`` and read it back: name -> content."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in SOURCES.items():
        if not (folder / name).exists():
            unfinished = folder / f"unfinished-{name}"
            write(unfinished).replace(folder / name)
    return {name: (folder / name).read_bytes() for name in SOURCES}
