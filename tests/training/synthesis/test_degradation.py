"""Real and fake go through the very same faults, and come back in the same shape."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from deepscan.training.synthesis.degradation import (
    Colour,
    Degradation,
    Light,
    add_noise,
    encode_h264,
    h264_round_trip,
    jpeg_round_trip,
    palette_round_trip,
)
from deepscan.training.synthesis.retouching import RETOUCHERS
from tests.fixtures import make

pytestmark = pytest.mark.slow

Clip = NDArray[np.uint8]
NONE = Degradation.none()
FAULTS = {
    "gamma": replace(NONE, gamma=1.2),
    "colour": replace(NONE, colour=Colour((1.05, 1.0, 0.9), 0.7, 1.2)),
    "shrink": replace(NONE, shrink=2.0),
    "blur": replace(NONE, blur_sigma=1.0),
    "noise": replace(NONE, noise_sigma=4.0, noise_seed=5),
    "jpeg": replace(NONE, jpeg_quality=40),
    "webp": replace(NONE, webp_quality=30),
    "h264": Degradation.h264(40),
    "sharpening": replace(NONE, sharpening=(1.0, 1.5)),
    "palette": replace(NONE, palette=32),
    "retouching": replace(NONE, retouching=RETOUCHERS[1]),
    "light": replace(NONE, light=Light(1, 0.3)),
}


@pytest.fixture(scope="module")
def clip() -> Clip:
    return np.stack(list(make.moving_portrait(4, 128)))


def error(one: Clip, other: Clip) -> float:
    return float(np.abs(one.astype(float) - other).mean())


def test_none_leaves_frames_as_they_are(clip: Clip) -> None:
    np.testing.assert_array_equal(NONE.apply(clip), clip)


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_changes_pixels_but_not_the_picture(name: str, clip: Clip) -> None:
    out = FAULTS[name].apply(clip)
    assert (out.shape, out.dtype) == (clip.shape, np.uint8)
    assert 0.5 < error(out, clip) < 25
    np.testing.assert_array_equal(FAULTS[name].apply(clip), out)


@pytest.mark.parametrize("seed", range(6))
def test_a_draw_replays_itself_at_odd_sizes_too(seed: int, clip: Clip) -> None:
    odd = np.ascontiguousarray(clip[:3, :101, :75])
    draw = Degradation.draw(np.random.default_rng(seed), still=False)
    out = draw.apply(odd)
    assert out.shape == odd.shape
    np.testing.assert_array_equal(draw.apply(odd), out)


def test_larger_frames_are_shrunk_further_and_drawn_alike_otherwise() -> None:
    def draws(side_px: int) -> list[Degradation]:
        return [
            Degradation.draw(np.random.default_rng(seed), still=True, side_px=side_px) for seed in range(100)
        ]

    usual, large = draws(448), draws(640)
    assert usual == draws(0)
    assert 3 < max(one.shrink for one in large) <= 4
    assert [replace(one, shrink=1.0) for one in large] == [replace(one, shrink=1.0) for one in usual]


def test_every_fault_is_drawn_within_its_range() -> None:
    draws = [Degradation.draw(np.random.default_rng(seed), still=bool(seed % 2)) for seed in range(300)]
    assert all(0.8 <= d.gamma <= 1.25 and 1 <= d.shrink <= 2.8 for d in draws)
    assert all(18 <= d.h264_crf <= 40 for d in draws if d.h264_crf is not None)
    assert all(35 <= d.jpeg_quality <= 100 for d in draws if d.jpeg_quality is not None)
    assert all(30 <= d.webp_quality <= 95 for d in draws if d.webp_quality is not None)
    assert all(32 <= d.palette <= 256 for d in draws if d.palette is not None)
    codecs = [(d.h264_crf, d.jpeg_quality, d.webp_quality) for d in draws]
    assert all(sum(quality is not None for quality in one) <= 1 for one in codecs), "one codec at most"
    faults = (
        "gamma",
        "shrink",
        "blur_sigma",
        "noise_sigma",
        "jpeg_quality",
        "webp_quality",
        "h264_crf",
        "colour",
        "sharpening",
        "palette",
    )
    for fault in faults:
        assert len({getattr(d, fault) for d in draws}) > 10, fault
    assert {d.retouching for d in draws} == {None, *RETOUCHERS}
    lights = [d.light for d in draws if d.light is not None]
    assert 40 < len(lights) < 110 and len({light.seed for light in lights}) == len(lights)
    assert all(0.1 <= light.strength <= 0.6 for light in lights)
    videos, photos = draws[::2], draws[1::2]
    assert sum(d.h264_crf is not None for d in videos) > sum(d.h264_crf is not None for d in photos)
    crfs = [d.h264_crf for d in draws if d.h264_crf is not None]
    assert 0.6 < np.mean([crf >= 30 for crf in crfs]) < 0.9, (
        "strong compression is the rule, not the exception"
    )
    untouched = sum(d == replace(NONE, noise_seed=d.noise_seed) for d in draws)
    assert 30 < untouched < 120


def test_colour_keeps_grey_grey_and_shifts_what_it_says() -> None:
    grey = np.full((4, 4, 3), 90, np.uint8)
    red = np.full((4, 4, 3), (200, 40, 40), np.uint8)
    np.testing.assert_array_equal(Colour((1.0, 1.0, 1.0), 0.5, 1.0).apply(grey), grey)
    pale = Colour((1.0, 1.0, 1.0), 0.0, 1.0).apply(red)
    assert np.ptp(pale, axis=-1).max() == 0
    warm = Colour((1.1, 1.0, 0.9), 1.0, 1.0).apply(grey)[0, 0]
    np.testing.assert_array_equal(warm, [99, 90, 81])
    assert Colour((1.0, 1.0, 1.0), 1.0, 1.2).apply(grey).max() < 90, "darker than mid-grey grows darker"
    assert Colour((1.1, 1.1, 1.1), 1.3, 1.25).apply(np.full_like(grey, 255)).min() == 255


def test_uneven_light_is_smooth_coloured_and_the_same_for_real_and_fake() -> None:
    grey = np.full((270, 360, 3), 60, np.uint8)
    fake = grey.copy()
    fake[90:150, 120:180] = 30
    light = Light(3, 0.3)
    lit_real, lit_fake = light.apply(grey).astype(int), light.apply(fake).astype(int)
    outside = np.ones(grey.shape[:2], bool)
    outside[90:150, 120:180] = False
    np.testing.assert_array_equal(lit_real[outside], lit_fake[outside])
    np.testing.assert_allclose(lit_fake[~outside] * 2, lit_real[~outside], atol=2)
    assert lit_real.std((0, 1)).min() > 5, "uneven"
    assert np.ptp(lit_real, axis=2).max() > 5, "coloured"
    assert max(np.abs(np.diff(lit_real, axis=axis)).max() for axis in (0, 1)) < 8, "smooth"
    np.testing.assert_array_equal(light.apply(grey), lit_real)
    assert not np.array_equal(Light(4, 0.3).apply(grey), lit_real)


def test_real_and_fake_get_the_same_noise(clip: Clip) -> None:
    grey = np.full_like(clip, 120)
    fake = grey.copy()
    fake[:, 40:60, 40:60] = 90
    noisy_real, noisy_fake = (add_noise(c, 5.0, 11).astype(int) for c in (grey, fake))
    np.testing.assert_array_equal(noisy_real - grey, noisy_fake - fake)
    assert not np.array_equal(noisy_real[0], noisy_real[1]), "sensor noise is new in every frame"
    assert 4 < (noisy_real - 120).std() < 6
    assert not np.array_equal(noisy_real, add_noise(grey, 5.0, 12))


def test_stronger_coding_costs_more_of_the_picture(clip: Clip) -> None:
    assert error(h264_round_trip(clip, 18), clip) < error(h264_round_trip(clip, 40), clip) < 15
    fine, coarse = (jpeg_round_trip(clip[0], quality) for quality in (95, 35))
    assert error(fine, clip[0]) < error(coarse, clip[0]) < 15


def test_a_round_trip_in_memory_is_that_through_a_file(clip: Clip) -> None:
    odd = clip[:, :-3, :-1]
    memory = io.BytesIO()
    with av.open(memory, "w", format="mp4") as out:
        settings = {"crf": "30", "preset": "veryfast", "x264-params": "mbtree=0"}
        stream = out.add_stream("libx264", rate=25, options=settings)
        stream.pix_fmt, stream.height, stream.width = "yuv420p", (odd.shape[1] - 1), (odd.shape[2] - 1)
        stream.codec_context.thread_count = 1
        for frame in odd[:, :-1, :-1]:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")))
        out.mux(stream.encode())
    memory.seek(0)
    with av.open(memory) as back:
        wanted = np.stack([frame.to_ndarray(format="rgb24") for frame in back.decode(video=0)])
    np.testing.assert_array_equal(h264_round_trip(odd, 30), wanted)


def test_a_palette_is_dithered_and_has_no_more_colours_than_it_says(clip: Clip) -> None:
    few, many = (palette_round_trip(clip[0], colours) for colours in (32, 256))
    assert len(np.unique(few.reshape(-1, 3), axis=0)) <= 32
    assert error(many, clip[0]) < error(few, clip[0]) < 25
    ramp = np.broadcast_to(np.linspace(100, 140, 128).astype(np.uint8)[None, :, None], (128, 128, 3))
    coarse = palette_round_trip(np.ascontiguousarray(ramp), 4)
    assert np.abs(cv2.blur(coarse, (17, 17)).astype(int) - ramp)[8:-8, 8:-8].mean() < 3, "errors even out"


def test_channels_stay_in_order() -> None:
    red = np.zeros((3, 64, 64, 3), np.uint8)
    red[..., 0] = 220
    for out in (h264_round_trip(red, 20)[1], jpeg_round_trip(red[0], 90)):
        assert out[..., 0].mean() > 200 > 30 > out[..., 2].mean()


def test_an_encoded_clip_holds_every_frame_at_its_rate() -> None:
    memory = io.BytesIO()
    encode_h264(memory, make.moving_portrait(7, 101), crf=23, rate=Fraction(30000, 1001))
    memory.seek(0)
    with av.open(memory) as back:
        stream = back.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 100, 100)
        assert stream.average_rate == Fraction(30000, 1001)
        assert len(list(back.decode(stream))) == 7
