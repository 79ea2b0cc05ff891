"""A self-blend alters what its mask says and nothing else, the same way for the same seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from deepscan.training.synthesis.masks import REGIONS
from deepscan.training.synthesis.self_blend import REGION_ODDS, SelfBlend, mix, smooth
from tests.fixtures import make

pytestmark = pytest.mark.slow

Mesh = NDArray[np.float32]


def still_clip(mesh: Mesh, count: int) -> tuple[NDArray[np.uint8], Mesh]:
    """The same frame and mesh, ``count`` times."""
    return np.stack([make.portrait()] * count), np.stack([mesh] * count)


def apply(blend: SelfBlend, mesh: Mesh, count: int = 1, seed: int = 0):  # type: ignore[no-untyped-def]
    return blend.apply(*still_clip(mesh, count), np.random.default_rng(seed))


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("seed", range(4))
def test_fake_is_real_outside_the_mask_and_not_inside(region: str, seed: int, portrait_mesh: Mesh) -> None:
    blend = replace(SelfBlend.draw(np.random.default_rng(seed)), region=region)
    pair = apply(blend, portrait_mesh)
    assert pair.mask.dtype == np.float32
    assert pair.real.dtype == pair.fake.dtype == np.uint8
    assert pair.real.shape == pair.fake.shape == (*pair.mask.shape, 3)
    assert pair.mask.min() >= 0 and 0.2 < pair.mask.max() <= 1
    outside = pair.mask == 0
    assert outside.mean() > 0.5
    np.testing.assert_array_equal(pair.real[outside], pair.fake[outside])
    change = np.abs(pair.real[~outside].astype(int) - pair.fake[~outside])
    assert change.max() >= 5, "a forgery that nobody could see would be a wrong label"


def test_every_region_is_drawn_and_odds_are_whole() -> None:
    assert set(REGION_ODDS) == set(REGIONS)
    assert sum(REGION_ODDS.values()) == pytest.approx(1)
    drawn = {SelfBlend.draw(np.random.default_rng(seed)).region for seed in range(60)}
    assert drawn == set(REGIONS)


def test_the_ratio_is_the_strength_of_the_mask(portrait_mesh: Mesh) -> None:
    blend = replace(SelfBlend.draw(np.random.default_rng(1)), ratio=0.25, jitter=0.0)
    assert apply(blend, portrait_mesh).mask.max() == pytest.approx(0.25)


def test_the_real_sample_is_the_target(portrait_mesh: Mesh) -> None:
    blend = SelfBlend.draw(np.random.default_rng(5))
    toned_source = apply(replace(blend, tone_on_source=True), portrait_mesh)
    toned_target = apply(replace(blend, tone_on_source=False), portrait_mesh)
    np.testing.assert_array_equal(toned_source.real[0], make.portrait())
    np.testing.assert_array_equal(toned_target.real[0], blend.tone.apply(make.portrait()))
    assert not np.array_equal(toned_target.real[0], make.portrait())


def test_the_same_seed_makes_the_same_forgery_and_another_does_not(portrait_mesh: Mesh) -> None:
    def synthesize(seed: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng(seed)
        blend = SelfBlend.draw(rng)
        fake: NDArray[np.uint8] = blend.apply(*still_clip(portrait_mesh, 2), rng).fake
        return fake

    np.testing.assert_array_equal(synthesize(7), synthesize(7))
    assert not np.array_equal(synthesize(7), synthesize(8))


def test_the_clip_kind_replays_one_draw_on_every_frame(portrait_mesh: Mesh) -> None:
    pair = apply(replace(SelfBlend.draw(np.random.default_rng(2)), jitter=0.0), portrait_mesh, 4)
    for frames in (pair.real, pair.fake, pair.mask):
        assert all(np.array_equal(frames[0], frame) for frame in frames[1:])


def test_the_jittered_kind_forges_every_frame_anew_and_leaves_the_real_one(portrait_mesh: Mesh) -> None:
    blend = replace(SelfBlend.draw(np.random.default_rng(2)), jitter=0.8)
    pair = apply(blend, portrait_mesh, 4)
    assert all(np.array_equal(pair.real[0], frame) for frame in pair.real[1:])
    assert all(not np.array_equal(pair.fake[0], frame) for frame in pair.fake[1:])
    assert pair.mask.min() >= 0 and pair.mask.max() <= 1
    again = apply(blend, portrait_mesh, 4)
    np.testing.assert_array_equal(pair.fake, again.fake)


def test_both_kinds_are_drawn() -> None:
    jitters = [SelfBlend.draw(np.random.default_rng(seed)).jitter for seed in range(40)]
    assert 0 < sum(jitter == 0 for jitter in jitters) < 40
    assert SelfBlend.draw(np.random.default_rng(0), jitter_odds=0.0).jitter == 0


def test_mixing_is_linear_and_leaves_the_target_alone() -> None:
    source, target = np.full((2, 2, 3), 200, np.uint8), np.full((2, 2, 3), 100, np.uint8)
    mask = np.array([[0, 0.25], [0.5, 1]], np.float32)
    assert mix(source, target, mask)[..., 0].tolist() == [[100, 125], [150, 200]]
    assert mix(target, source, mask)[..., 0].tolist() == [[200, 175], [150, 100]]


def test_smoothing_stills_a_trembling_mesh_and_keeps_a_steady_one() -> None:
    steady = np.tile(np.arange(936, dtype=np.float32).reshape(468, 2), (9, 1, 1))
    np.testing.assert_allclose(smooth(steady), steady)
    walking = steady + np.arange(9, dtype=np.float32)[:, None, None]
    np.testing.assert_allclose(smooth(walking)[1:-1], walking[1:-1], rtol=1e-6)
    trembling = steady + np.array([1, -1] * 4 + [1], np.float32)[:, None, None]
    assert np.abs(smooth(trembling) - steady)[1:-1].max() < 1e-4
    np.testing.assert_array_equal(smooth(trembling[:2]), trembling[:2])
