"""Small videos, animations and photos of a moving portrait, made on the spot.

The portrait is scikit-image's astronaut, a NASA photograph in the public domain. Every maker writes
one file and returns its path; none takes longer than a fraction of a second at the default sizes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.data import astronaut

Rgb = NDArray[np.uint8]

# Head and shoulders in the 512 x 512 photograph: x0, y0, side.
_PORTRAIT = (70, 0, 310)
_FAST = {
    "libx264": {"preset": "ultrafast", "g": "12", "crf": "23"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}


@lru_cache(maxsize=1)
def _photo() -> Image.Image:
    return Image.fromarray(astronaut())


@lru_cache(maxsize=256)
def portrait(size: int = 256, shift: float = 0.0, turn_deg: float = 0.0) -> Rgb:
    """The portrait, ``(size, size, 3)`` uint8, moved by ``shift`` of its side and turned."""
    photo = _photo()
    x0, y0, side = _PORTRAIT
    x0 += round(shift * side)
    if turn_deg:
        photo = photo.rotate(turn_deg, resample=Image.Resampling.BILINEAR, center=(225, 120))
    cut = photo.crop((x0, y0, x0 + side, y0 + side))
    return np.asarray(cut.resize((size, size), Image.Resampling.BILINEAR))


def moving_portrait(count: int, size: int = 256, *, phase: float = 0.0) -> Iterator[Rgb]:
    """``count`` frames ``(size, size, 3)``: the head sways, and a corner counts the frames.

    Two squares of 16 x 16 pixels in the top left show the tens and the ones of the frame's number as
    brightness, so that a test can read from the picture which frame it holds: see
    :func:`frame_number`.
    """
    for number in range(count):
        angle = 2 * np.pi * (number / 40 + phase)
        frame = portrait(
            size, round(0.06 * float(np.sin(angle)), 4), round(3 * float(np.cos(angle)), 2)
        ).copy()
        frame[:16, :16] = 15 + 25 * (number // 10 % 10)
        frame[:16, 16:32] = 15 + 25 * (number % 10)
        yield frame


def frame_number(rgb: Rgb) -> int:
    """Which frame of :func:`moving_portrait` this is, modulo 100; survives lossy coding."""
    tens, ones = (round((float(rgb[4:12, x : x + 8].mean()) - 15) / 25) for x in (4, 20))
    return 10 * tens + ones


def two_portraits(count: int, size: int = 256) -> Iterator[Rgb]:
    """``count`` frames ``(size, 2 * size, 3)``: two portraits side by side, the right one mirrored."""
    for left, right in zip(
        moving_portrait(count, size), moving_portrait(count, size, phase=0.3), strict=True
    ):
        yield np.concatenate([left, right[:, ::-1]], axis=1)


def write_clip(
    path: Path,
    frames: Iterator[Rgb] | Sequence[Rgb],
    *,
    fps: float = 25.0,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    container: str | None = None,
    rotation_deg: int = 0,
    times_s: Sequence[float] | None = None,
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
    tag: Callable[[av.VideoFrame], None] | None = None,
) -> Path:
    """Encode frames ``(H, W, 3)`` uint8.

    Args:
        path: to write; its suffix names the container unless ``container`` does.
        frames: all of one size.
        fps: frames a second.
        codec: FFmpeg encoder.
        pix_fmt: stored pixel format.
        container: FFmpeg's name of the format to write.
        rotation_deg: counter-clockwise turn that a player is told to apply (the frames are stored
            as given).
        times_s: time of every frame, for an uneven frame rate.
        options: of the encoder; fast ones by default.
        muxing: options of the container.
        tag: called with every frame before it is encoded, to set colour tags.
    """
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w", format=container, options=muxing) as output:
        stream = output.add_stream(codec, rate, options=options or _FAST.get(codec, {}))
        stream.pix_fmt = pix_fmt
        if pix_fmt == "gray":
            stream.codec_context.color_range = 2  # the conversion to gray keeps 0..255
        if times_s is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, rgb in enumerate(frames):
            if number == 0:
                stream.height, stream.width = rgb.shape[:2]
                if rotation_deg:
                    stream.set_display_rotation(rotation_deg)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            frame.pts = number if times_s is None else round(times_s[number] * 1000)
            frame.time_base = 1 / rate if times_s is None else Fraction(1, 1000)
            if tag is not None:
                tag(frame)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def portrait_clip(
    path: Path,
    seconds: float = 1.0,
    fps: float = 25.0,
    size: int = 256,
    codec: str = "libx264",
    *,
    pix_fmt: str = "yuv420p",
    container: str | None = None,
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
) -> Path:
    """A moving portrait; see :func:`moving_portrait`."""
    frames = moving_portrait(round(seconds * fps), size)
    return write_clip(
        path,
        frames,
        fps=fps,
        codec=codec,
        pix_fmt=pix_fmt,
        container=container,
        options=options,
        muxing=muxing,
    )


def two_portraits_clip(path: Path, seconds: float = 1.0, fps: float = 25.0, size: int = 256) -> Path:
    """Two moving portraits side by side."""
    return write_clip(path, two_portraits(round(seconds * fps), size), fps=fps)


def faceless_clip(path: Path, seconds: float = 1.0, fps: float = 25.0, size: int = 192) -> Path:
    """A moving gradient: a video with nobody in it."""
    ramp = np.tile(np.linspace(0, 255, size).astype(np.uint8), (size, 1))
    frames = [np.stack([np.roll(ramp, 3 * n, 1), ramp.T, ramp], -1) for n in range(round(seconds * fps))]
    return write_clip(path, frames, fps=fps)


def rotated_clip(path: Path, rotation_deg: int, seconds: float = 1.0, size: int = 256) -> Path:
    """A portrait stored lying down, with the display matrix that brings it upright.

    ``rotation_deg`` is clockwise, as phones mean it. Upright it is ``size`` wide and half as much
    again high.
    """
    upright = [
        np.pad(f, ((0, size // 2), (0, 0), (0, 0))) for f in moving_portrait(round(seconds * 25), size)
    ]
    stored = [np.rot90(f, rotation_deg // 90) for f in upright]
    return write_clip(path, stored, rotation_deg=-rotation_deg)


def uneven_clip(path: Path, size: int = 256) -> Path:
    """60 frames with an uneven frame rate: half of them at 40 ms, half at 20 or 60 ms."""
    steps = [0.04] * 30 + [0.02, 0.06] * 15
    times_s = [float(t) for t in np.cumsum([0.0, *steps[:-1]])]
    return write_clip(path, moving_portrait(60, size), times_s=times_s)


def resized_clip(path: Path) -> Path:
    """Raw H.264 whose picture changes size in the middle: 12 frames of 256 px, 12 of 192 px."""
    parts = [
        portrait_clip(path.with_name(f"{path.stem}-{size}.h264"), 12 / 25, size=size, container="h264")
        for size in (256, 192)
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    for part in parts:
        part.unlink()
    return path


def animated_webp(path: Path, count: int = 12, size: int = 192, shown_ms: int = 50) -> Path:
    """An animated WebP."""
    first, *rest = [Image.fromarray(frame) for frame in moving_portrait(count, size)]
    first.save(path, save_all=True, append_images=rest, duration=shown_ms, loop=0, quality=60, method=0)
    return path


def animated_gif(path: Path, count: int = 12, size: int = 192, shown_ms: int = 50) -> Path:
    """An animated GIF."""
    first, *rest = [Image.fromarray(frame) for frame in moving_portrait(count, size)]
    first.save(path, save_all=True, append_images=rest, duration=shown_ms, loop=0)
    return path


def photo(path: Path, size: int = 256, orientation: int = 1) -> Path:
    """A photo of the portrait with empty space below; stored so that ``orientation`` (EXIF) rights it.

    Upright it is ``size`` wide and half as much again high, with a white square in the top left.
    """
    upright = np.pad(portrait(size), ((0, size // 2), (0, 0), (0, 0)))
    upright[:32, :32] = 255
    undo = {1: 0, 3: 2, 6: 1, 8: 3}[orientation]  # quarter turns counter-clockwise
    image = Image.fromarray(np.ascontiguousarray(np.rot90(upright, undo)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)
    return path


def sound(path: Path, seconds: float = 1.0, cover: bool = False) -> Path:
    """A tone; with ``cover``, an MP3 with cover art, which FFmpeg shows as a video stream."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libmp3lame" if path.suffix == ".mp3" else "aac", 44100)
        stream.layout = "mono"
        art = None
        if cover:
            art = output.add_stream("mjpeg", 1)
            art.width = art.height = 64
            art.pix_fmt = "yuvj420p"
            art.disposition = av.stream.Disposition.attached_pic
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(portrait(64)), format="rgb24")
            packets = [*art.encode(picture), *art.encode()]
        samples = np.sin(np.arange(round(44100 * seconds)) * 0.06).astype(np.float32) * 0.2
        for start in range(0, len(samples), 1024):
            chunk = samples[None, start : start + 1024]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(chunk), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 44100, start, Fraction(1, 44100)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
        if art is not None:
            output.mux(packets)
    return path


def animated_png(path: Path, count: int = 12, size: int = 192, shown_ms: int = 50) -> Path:
    """An animated PNG."""
    first, *rest = [Image.fromarray(frame) for frame in moving_portrait(count, size)]
    first.save(path, save_all=True, append_images=rest, duration=shown_ms, loop=0)
    return path


def sounding_clip(path: Path, seconds: float = 1.0, sound_s: float = 2.0, size: int = 256) -> Path:
    """A moving portrait with sound, which may last longer than its picture."""
    with av.open(str(path), "w") as output:
        picture = output.add_stream("libx264", 25, options=_FAST["libx264"])
        picture.width = picture.height = size
        picture.pix_fmt = "yuv420p"
        tone = output.add_stream("aac", 44100)
        tone.layout = "mono"
        for number, rgb in enumerate(moving_portrait(round(seconds * 25), size)):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts = number
            output.mux(picture.encode(frame))
        output.mux(picture.encode())
        for start in range(0, round(44100 * sound_s), 1024):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.sample_rate, silence.pts, silence.time_base = 44100, start, Fraction(1, 44100)
            output.mux(tone.encode(silence))
        output.mux(tone.encode())
    return path


def cut_off(source: Path, path: Path, keep: float = 0.5) -> Path:
    """The first part of a file's bytes."""
    data = source.read_bytes()
    path.write_bytes(data[: round(len(data) * keep)])
    return path


def faststart(path: Path, seconds: float = 4.0, size: int = 256) -> Path:
    """An mp4 whose index stands in front of the pictures, so that a cut-off copy still opens."""
    return portrait_clip(path, seconds, size=size, muxing={"movflags": "faststart"})


def fragmented(path: Path, seconds: float = 4.0, size: int = 256) -> Path:
    """An mp4 in fragments of one keyframe each, as streaming services and screen recorders write it."""
    return portrait_clip(
        path, seconds, size=size, muxing={"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    )


def flipped(source: Path, path: Path, count: int, seed: int = 0, start: float = 0.1) -> Path:
    """A copy with ``count`` bytes inverted, none of them in the first ``start`` of the file."""
    data = bytearray(source.read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(round(len(data) * start), len(data), count):
        data[place] ^= 0xFF
    path.write_bytes(bytes(data))
    return path


def ffconcat(path: Path, target: Path) -> Path:
    """FFmpeg's text format that names another file to open, under whatever name ``path`` has."""
    path.write_text(f"ffconcat version 1.0\nfile '{target}'\n")
    return path


def playlist(path: Path, target: Path) -> Path:
    """An m3u8 text that names another file to open, under whatever name ``path`` has."""
    path.write_text(
        f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:9.0,\n{target}\n#EXT-X-ENDLIST\n"
    )
    return path


def huge_png(path: Path, side: int = 16000) -> Path:
    """A PNG whose header claims ``side`` x ``side`` pixels; a few hundred bytes on disk."""
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path
