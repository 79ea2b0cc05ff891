"""The compression and camera faults that real and fake share.

A draw is made once per pair and replayed on both, so that nothing but the forgery tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import IO, Any

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from PIL import Image

from deepscan.training.synthesis.retouching import RETOUCHERS, Retoucher, steepen

Frames = NDArray[np.uint8]
UNTOUCHED = 0.2
SHRUNK = (1.1, 2.8)
SHRUNK_TO_PX = 160
"""How many times, and frames of more than 448 px further, to this side: at the most, a cached face (see
``prepare``) is as small as the smallest scanned."""
RETOUCHED, SHARPENED, PALETTED = 0.12, 0.2, 0.06
"""Shares of the degraded pairs that a beauty mode retouched, the camera sharpened, or a GIF was made of."""
CODECS = ("h264", "jpeg", "webp", "none")
STILL_CODEC_ODDS = (0.6, 0.2, 0.1, 0.1)
CLIP_CODEC_ODDS = (0.8, 0.1, 0.05, 0.05)
CRF, STRONG_CRF = (18, 41), (30, 41)
STRONG = 0.5
"""Share of the H.264 draws from ``STRONG_CRF``: what was sent on again and again is missed most."""
LIT, LIGHT_KNOTS = 0.3, 6
"""Share of the degraded pairs in uneven light, and the knots of its grid along a side."""
GREY = np.full((3, 3), 1 / 3)


@dataclass(frozen=True)
class Colour:
    """What white balance, saturation and exposure of another camera make of a picture.

    Attributes:
        gains: of red, green and blue.
        saturation: 0 is grey, 1 leaves colours alone.
        contrast: about mid-grey.
    """

    gains: tuple[float, float, float]
    saturation: float
    contrast: float

    @staticmethod
    def draw(rng: np.random.Generator) -> Colour:
        """Gains .9-1.1, saturation .6-1.3, contrast .75-1.25."""
        red, green, blue = (float(gain) for gain in rng.uniform(0.9, 1.1, 3))
        return Colour((red, green, blue), float(rng.uniform(0.6, 1.3)), float(rng.uniform(0.75, 1.25)))

    def apply(self, frame: Frames) -> Frames:
        """``(H, W, 3)`` uint8 to the same."""
        mixed = self.saturation * np.eye(3) + (1 - self.saturation) * GREY
        matrix = self.contrast * mixed * np.asarray(self.gains)
        offset = np.full((3, 1), 127.5 * (1 - self.contrast))
        return np.asarray(cv2.transform(frame, np.hstack([matrix, offset])), np.uint8)


@dataclass(frozen=True)
class Light:
    """Uneven, coloured light: gains that change smoothly over the picture.

    Attributes:
        seed: of the gains.
        strength: spread of their logarithms, at the knots of a grid; that of their colours is a third of it.
    """

    seed: int
    strength: float

    def apply(self, frame: Frames) -> Frames:
        """``(H, W, 3)`` uint8 to the same."""
        gains = _gains((frame.shape[0], frame.shape[1]), self)
        return np.asarray(cv2.multiply(frame, gains, dtype=cv2.CV_8U), np.uint8)


@lru_cache(maxsize=2)
def _gains(shape: tuple[int, int], light: Light) -> NDArray[np.float32]:
    """``(H, W, 3)``; kept for the other frames, and for the other half of the pair."""
    rng = np.random.default_rng(light.seed)
    knots = (LIGHT_KNOTS, LIGHT_KNOTS)
    exponents = rng.normal(0, light.strength, (*knots, 1)) + rng.normal(0, light.strength / 3, (*knots, 3))
    smooth = cv2.resize(exponents.astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.exp(smooth - smooth.mean()), np.float32)


@dataclass(frozen=True)
class Degradation:
    """One draw; ``apply`` replays it on any clip. ``sharpening``: what ``retouch.steepen`` takes.

    ``retouching``: of the whole picture, real and fake alike. ``palette``: colours of a GIF's palette.
    """

    gamma: float
    shrink: float
    blur_sigma: float
    noise_sigma: float
    noise_seed: int
    jpeg_quality: int | None
    h264_crf: int | None
    colour: Colour | None = None
    webp_quality: int | None = None
    sharpening: tuple[float, float] | None = None
    palette: int | None = None
    retouching: Retoucher | None = None
    light: Light | None = None

    @staticmethod
    def none() -> Degradation:
        """Leaves frames as they are."""
        return Degradation(1.0, 1.0, 0.0, 0.0, 0, None, None)

    @staticmethod
    def h264(crf: int, shrink: float = 1.0) -> Degradation:
        """Only H.264 at ``crf``, as in the corpora's c23 and c40, after shrinking by ``shrink``."""
        return Degradation(1.0, shrink, 0.0, 0.0, 0, None, crf)

    @staticmethod
    def draw(rng: np.random.Generator, *, still: bool, side_px: int = 0) -> Degradation:
        """H.264 crf 18-40, JPEG 35-100, WebP 30-95, shrinking up to 2.8 times, blur, noise, gamma, colour,
        uneven light, a beauty mode's retouching, a camera's sharpening, a GIF's palette of 32-256 colours.

        Two pairs in ten are left as they are: a network that starts from nothing learns the traces on
        those first.
        ``still``: the clip is one frame; JPEG is then drawn more often than for a clip of many. A frame
        coded alone loses as much at crf 36 as the frames of a clip do at crf 40. WebP codes as VP8 does.
        ``side_px``: the longer side of the frames, for those that are shrunk further.
        """
        most = max(SHRUNK[1], side_px / SHRUNK_TO_PX)
        if rng.random() < UNTOUCHED:
            return Degradation.none()
        codec = str(rng.choice(CODECS, p=STILL_CODEC_ODDS if still else CLIP_CODEC_ODDS))
        return Degradation(
            gamma=float(np.exp(rng.uniform(-0.22, 0.22))) if rng.random() < 0.4 else 1.0,
            shrink=float(rng.uniform(SHRUNK[0], most)) if rng.random() < 0.4 else 1.0,
            blur_sigma=float(rng.uniform(0.3, 1.4)) if rng.random() < 0.25 else 0.0,
            noise_sigma=float(rng.uniform(1, 7)) if rng.random() < 0.25 else 0.0,
            noise_seed=int(rng.integers(2**31)),
            jpeg_quality=int(rng.integers(35, 101)) if codec == "jpeg" else None,
            h264_crf=_crf(rng) if codec == "h264" else None,
            colour=Colour.draw(rng) if rng.random() < 0.4 else None,
            webp_quality=int(rng.integers(30, 96)) if codec == "webp" else None,
            sharpening=(float(rng.uniform(0.6, 1.6)), float(rng.uniform(0.3, 1.6)))
            if rng.random() < SHARPENED
            else None,
            palette=int(2 ** rng.uniform(5, 8)) if rng.random() < PALETTED else None,
            retouching=RETOUCHERS[rng.integers(len(RETOUCHERS))] if rng.random() < RETOUCHED else None,
            light=Light(int(rng.integers(2**31)), float(rng.uniform(0.1, 0.6)))
            if rng.random() < LIT
            else None,
        )

    def apply(self, frames: Frames) -> Frames:
        """``(T, H, W, 3)`` uint8 to the same shape: what ``record`` gives, enlarged again."""
        out = self.record(frames)
        if out.shape != frames.shape:
            size = (frames.shape[2], frames.shape[1])
            out = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR) for frame in out])
        return out

    def record(self, frames: Frames) -> Frames:
        """``(T, H, W, 3)`` uint8 to ``(T, h, w, 3)``, smaller where the draw shrinks.

        A scan cuts a small face out of a small frame. Cut this likewise, with ``data.shrunk_affines``: a
        frame that was enlarged before would be interpolated twice, as no scanned one is.
        """
        out = np.stack([self._camera(frame) for frame in frames])
        if self.noise_sigma:
            out = add_noise(out, self.noise_sigma, self.noise_seed)
        if self.retouching is not None:
            out = np.stack([self.retouching.regenerate(frame) for frame in out])
        if self.sharpening is not None:
            out = np.stack([steepen(frame, *self.sharpening) for frame in out])
        if self.palette is not None:
            out = np.stack([palette_round_trip(frame, self.palette) for frame in out])
        if self.h264_crf is not None:
            out = h264_round_trip(out, self.h264_crf)
        if self.jpeg_quality is not None:
            out = np.stack([jpeg_round_trip(frame, self.jpeg_quality) for frame in out])
        if self.webp_quality is not None:
            out = np.stack([webp_round_trip(frame, self.webp_quality) for frame in out])
        return out

    def _camera(self, frame: Frames) -> Frames:
        out: NDArray[Any] = frame
        if self.light is not None:
            out = self.light.apply(frame)
        if self.gamma != 1:
            levels = (np.arange(256) / 255.0) ** self.gamma * 255
            out = cv2.LUT(out, np.rint(levels).astype(np.uint8))
        if self.colour is not None:
            out = self.colour.apply(np.asarray(out, np.uint8))
        if self.blur_sigma:
            out = cv2.GaussianBlur(out, (0, 0), self.blur_sigma)
        if self.shrink > 1:
            h, w = frame.shape[:2]
            small = (int(w / self.shrink) // 2 * 2, int(h / self.shrink) // 2 * 2)
            out = cv2.resize(out, small, interpolation=cv2.INTER_AREA)
        return np.asarray(out, np.uint8)


def _crf(rng: np.random.Generator) -> int:
    return int(rng.integers(*(STRONG_CRF if rng.random() < STRONG else CRF)))


def add_noise(frames: Frames, sigma: float, seed: int) -> Frames:
    """Gaussian noise of ``sigma`` levels, another draw for every frame, the same for the same seed."""
    result: Frames = np.clip(np.rint(frames + _noise(frames.shape, sigma, seed)), 0, 255).astype(np.uint8)
    return result


@lru_cache(maxsize=1)
def _noise(shape: tuple[int, ...], sigma: float, seed: int) -> NDArray[np.float32]:
    """Kept for the other half of the pair."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32) * np.float32(sigma)


def jpeg_round_trip(frame: Frames, quality: int) -> Frames:
    """``(H, W, 3)`` through JPEG at ``quality``."""
    return _picture_round_trip(frame, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality])


def webp_round_trip(frame: Frames, quality: int) -> Frames:
    """``(H, W, 3)`` through WebP at ``quality``."""
    return _picture_round_trip(frame, ".webp", [cv2.IMWRITE_WEBP_QUALITY, quality])


def palette_round_trip(frame: Frames, colours: int) -> Frames:
    """``(H, W, 3)`` in a palette of its own, dithered by error diffusion, as in a GIF."""
    picture = Image.fromarray(frame)
    palette = picture.quantize(colours, Image.Quantize.FASTOCTREE)
    dithered = picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    return np.asarray(dithered.convert("RGB"), np.uint8)


def _picture_round_trip(frame: Frames, suffix: str, settings: list[int]) -> Frames:
    done, data = cv2.imencode(suffix, frame[..., ::-1], settings)
    if not done:
        raise ValueError(f"a frame of shape {frame.shape} cannot be written as {suffix}")
    back = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.asarray(back, np.uint8)[..., ::-1]


def h264_round_trip(frames: Frames, crf: int) -> Frames:
    """``(T, H, W, 3)`` through H.264 at ``crf``, in memory; odd sizes lose their last row or column.

    Without x264's macroblock tree: with it the same frames come out now and then in another quality, which
    no seed can replay.
    """
    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.time_base, encoder.options = Fraction(1, 25), _x264(crf) | {"x264-params": "mbtree=0"}
    encoder.pix_fmt, encoder.thread_count = "yuv420p", 1
    encoder.height, encoder.width = (side // 2 * 2 for side in frames.shape[1:3])
    convert = VideoReformatter()
    packets = []
    for number, frame in enumerate(frames):
        picture = convert.reformat(_picture(frame), format="yuv420p", threads=1)
        picture.pts = number
        packets += encoder.encode(picture)
    decoder = av.VideoCodecContext.create("h264", "r")
    decoder.thread_count = 1
    back = [
        picture for packet in [*packets, *encoder.encode(None), None] for picture in decoder.decode(packet)
    ]
    return np.stack([convert.reformat(picture, format="rgb24", threads=1).to_ndarray() for picture in back])


def encode_h264(
    target: str | IO[bytes],
    frames: Iterable[Frames],
    *,
    crf: int,
    rate: Fraction,
) -> None:
    """Write frames ``(H, W, 3)`` as an H.264 mp4; odd sizes lose their last row or column.

    Args:
        target: a path or a writable, seekable stream.
        crf: 0-51, as the corpora's c23 and c40.
        rate: frames per second.
    """
    convert = VideoReformatter()
    with av.open(target, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=rate, options=_x264(crf))
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        for frame in frames:
            picture = _picture(frame)
            if not stream.codec_context.is_open:
                stream.width, stream.height = picture.width, picture.height
            out.mux(stream.encode(convert.reformat(picture, format="yuv420p", threads=1)))
        out.mux(stream.encode())


def _x264(crf: int) -> dict[str, str]:
    return {"crf": str(crf), "preset": "veryfast"}


def _picture(frame: Frames) -> av.VideoFrame:
    """``(H, W, 3)`` for an encoder, without the last row or column of odd sizes."""
    even = np.ascontiguousarray(frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2])
    return av.VideoFrame.from_ndarray(even, "rgb24")
