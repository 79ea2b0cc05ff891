"""Every family alters what its mask says and nothing else, the same way for the same seed."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from deepscan.training.synthesis import manipulations, regeneration
from deepscan.training.synthesis.animation import Animation
from deepscan.training.synthesis.face_swap import Swap, match_tone, nearest
from deepscan.training.synthesis.generators import GENERATORS, Generator
from deepscan.training.synthesis.manipulations import (
    MANIPULATIONS,
    ODDS,
    FaceClip,
    SynthesisInputs,
    draw_manipulation,
    synthesize,
)
from deepscan.training.synthesis.masks import picture_box
from deepscan.training.synthesis.motion import remap, sweep, warp_triangles
from deepscan.training.synthesis.reenactment import Reenactment
from deepscan.training.synthesis.regeneration import Regeneration, match_detail
from deepscan.training.synthesis.temporal import Timing
from tests.fixtures import make

pytestmark = pytest.mark.slow

Mesh = NDArray[np.float32]
RNG = np.random.default_rng
FRAMES = 6


def moving(mesh: Mesh, count: int, other: bool = False) -> FaceClip:
    """The portrait, drifting by a pixel a frame while its mouth opens; ``other``: mirrored and speckled."""
    frames, meshes = [], []
    for number in range(count):
        frame = np.roll(make.portrait(), number, axis=1)
        points = mesh + np.array([number, 0], np.float32)
        points[[13, 14, 17]] += np.array([0, number], np.float32)
        if other:
            frame = frame[:, ::-1] // 2 + RNG(0).integers(0, 120, frame.shape, np.uint8)
            points = np.stack([frame.shape[1] - 1 - points[:, 0], points[:, 1]], -1)
        frames.append(np.ascontiguousarray(frame))
        meshes.append(points.astype(np.float32))
    return FaceClip(np.stack(frames), np.stack(meshes))


@pytest.fixture(scope="module")
def generators() -> list[Generator]:
    torch.manual_seed(0)
    return [Generator(spec).eval() for spec in GENERATORS[:3]]


@pytest.fixture(scope="module")
def clip_material(portrait_mesh: Mesh, generators: list[Generator]) -> SynthesisInputs:
    clip, other = moving(portrait_mesh, FRAMES), moving(portrait_mesh, FRAMES, other=True)
    return SynthesisInputs(clip, clip, [other], generators)


@pytest.fixture(scope="module")
def photo_material(portrait_mesh: Mesh, generators: list[Generator]) -> SynthesisInputs:
    photo = moving(portrait_mesh, 1)
    return SynthesisInputs(photo, photo, [moving(portrait_mesh, 3, other=True)], generators)


def test_a_clip_allows_every_family_and_a_photo_all_but_time(
    clip_material: SynthesisInputs, photo_material: SynthesisInputs
) -> None:
    assert clip_material.manipulations() == list(MANIPULATIONS)
    assert photo_material.manipulations() == [
        manipulation for manipulation in MANIPULATIONS if manipulation != "timing"
    ]


def test_without_other_people_or_generators_only_the_own_face_is_used(portrait_mesh: Mesh) -> None:
    clip = moving(portrait_mesh, FRAMES)
    assert SynthesisInputs(clip, clip).manipulations() == ["self-blend", "reenactment", "timing"]
    photo = moving(portrait_mesh, 1)
    assert SynthesisInputs(photo, photo).manipulations() == ["self-blend"]


@pytest.mark.parametrize("kind", ["clip", "photo"])
@pytest.mark.parametrize("manipulation", MANIPULATIONS)
@pytest.mark.parametrize("seed", range(3))
def test_a_forgery_differs_inside_its_mask_alone(
    manipulation: str, kind: str, seed: int, clip_material: SynthesisInputs, photo_material: SynthesisInputs
) -> None:
    inputs = clip_material if kind == "clip" else photo_material
    if manipulation not in inputs.manipulations():
        assert (kind, manipulation) == ("photo", "timing")
        return
    pair = synthesize(manipulation, inputs, RNG(seed))
    assert pair.real.shape == pair.fake.shape == (*pair.mask.shape, 3) == inputs.clip.frames.shape
    assert pair.real.dtype == pair.fake.dtype == np.uint8 and pair.mask.dtype == np.float32
    assert pair.mask.min() >= 0 and pair.mask.max() <= 1
    outside = pair.mask == 0
    np.testing.assert_array_equal(pair.real[outside], pair.fake[outside])
    change = np.abs(pair.real.astype(int) - pair.fake)[~outside]
    assert change.max() >= 5, "a forgery that nobody could see would be a wrong label"


@pytest.mark.parametrize("manipulation", MANIPULATIONS)
def test_the_same_seed_forges_the_same(manipulation: str, clip_material: SynthesisInputs) -> None:
    one, again, *others = (synthesize(manipulation, clip_material, RNG(seed)) for seed in (4, 4, 5, 6))
    np.testing.assert_array_equal(one.fake, again.fake)
    assert not all(np.array_equal(one.fake, other.fake) for other in others)


@pytest.mark.parametrize("manipulation", ["swap", "reenactment", "timing"])
def test_the_real_half_is_the_clip_itself(manipulation: str, clip_material: SynthesisInputs) -> None:
    np.testing.assert_array_equal(
        synthesize(manipulation, clip_material, RNG(0)).real, clip_material.clip.frames
    )


@pytest.mark.parametrize("manipulation", ["resynthesis", "animation"])
def test_the_real_half_of_a_redrawn_portrait_is_the_clip_at_the_generators_size(
    manipulation: str, clip_material: SynthesisInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer pixels alone must not tell a whole portrait that was redrawn."""
    monkeypatch.setattr(regeneration, "WHOLE_PX", (96,))
    frames = clip_material.clip.frames
    reals = [synthesize(manipulation, clip_material, RNG(seed)).real for seed in range(8)]
    change = [np.abs(real.astype(int) - frames).mean() for real in reals]
    assert 0 < max(change) < 12, "the same picture, softer"
    sharpest = np.diff(frames.astype(int), axis=2).std()
    assert all(np.diff(real.astype(int), axis=2).std() <= sharpest for real in reals)


def test_a_redrawn_portrait_and_its_real_half_went_through_the_same_size(
    photo_material: SynthesisInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Generator, "regenerate", lambda _self, image: image)
    frame = photo_material.clip.frames[0]
    regeneration = replace(Regeneration.draw(RNG(0), 3), whole_px=96, detail=0.0)
    perfect = regeneration.whole(frame, photo_material.generators)
    np.testing.assert_array_equal(regeneration.sampled(frame), perfect)
    assert (perfect != frame).any()


def test_detail_is_raised_to_the_originals_where_a_generator_draws_softly() -> None:
    original = make.portrait()
    soft = np.asarray(cv2.GaussianBlur(original, (0, 0), 1.0), np.uint8)

    def detail(image: NDArray[np.uint8]) -> float:
        return float(np.diff(image.astype(np.float32), axis=1).std())

    sharp = match_detail(soft, original, 1.0)
    assert detail(soft) < detail(match_detail(soft, original, 0.5)) < detail(sharp) < detail(original)
    assert detail(sharp) > 1.2 * detail(soft)
    np.testing.assert_array_equal(match_detail(soft, original, 0.0), soft)
    assert detail(match_detail(original, soft, 1.0)) < detail(original), "too much is taken back"


@pytest.mark.parametrize("kind", ["clip", "photo"])
@pytest.mark.parametrize("manipulation", ["self-blend", "swap", "reenactment"])
def test_a_blended_face_may_come_from_a_generator(
    manipulation: str,
    kind: str,
    clip_material: SynthesisInputs,
    photo_material: SynthesisInputs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inputs = clip_material if kind == "clip" else photo_material
    monkeypatch.setitem(manipulations.REDRAWN, manipulation, 0.0)
    plain = synthesize(manipulation, inputs, RNG(3))
    monkeypatch.setitem(manipulations.REDRAWN, manipulation, 1.0)
    drawn = synthesize(manipulation, inputs, RNG(3))
    outside = drawn.mask == 0
    np.testing.assert_array_equal(drawn.fake[outside], drawn.real[outside])
    assert np.abs(drawn.fake.astype(int) - plain.fake)[drawn.mask > drawn.mask.max() / 2].mean() > 1
    without = replace(inputs, generators=[])
    np.testing.assert_array_equal(synthesize(manipulation, without, RNG(3)).fake, plain.fake)


def test_a_generator_redraws_the_square_around_the_face_alone(
    photo_material: SynthesisInputs, generators: list[Generator]
) -> None:
    frame, mesh = photo_material.clip.frames[0], photo_material.clip.mesh[0]
    regeneration = replace(Regeneration.draw(RNG(0), len(generators)), reach=1.3)
    changed = (regeneration.face(frame, mesh, generators) != frame).any(-1)
    x, y = mesh[4].round().astype(int)
    assert changed[y - 9 : y + 9, x - 9 : x + 9].mean() > 0.9
    assert not changed[:, : int(mesh[:, 0].min() - 0.5 * np.ptp(mesh, axis=0).max())].any()
    assert (regeneration.whole(frame, generators) != frame).any(-1).mean() > 0.9


def test_what_is_animated_is_drawn_by_a_generator_where_there_is_one() -> None:
    assert all(Animation.draw(RNG(seed), 2).regeneration is not None for seed in range(40))
    assert Animation.draw(RNG(0), 0).regeneration is None


@pytest.mark.parametrize("manipulation", ["animation", "resynthesis"])
def test_a_whole_portrait_keeps_its_edges(
    manipulation: str, photo_material: SynthesisInputs, generators: list[Generator]
) -> None:
    """A softened or bent edge of the picture would tell forgeries without a look at the face."""
    square = np.zeros_like(photo_material.clip.frames)
    square[:, 20:, 30:-10] = np.maximum(photo_material.clip.frames[:, 20:, 30:-10], 1)
    face = FaceClip(square, photo_material.clip.mesh)
    seen = set()
    for seed in range(12):
        pair = synthesize(manipulation, replace(photo_material, clip=face, moments=face), RNG(seed))
        assert picture_box(pair.fake[0]) == picture_box(pair.real[0]) == picture_box(square[0])
        inside = pair.fake.any(-1)[0, 20:, 30:-10]
        assert all(edge.mean() > 0.97 for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
        seen.add(bool((pair.fake != square).any(-1)[0, 30:, 40:-20].mean() > 0.9))
    assert True in seen


def test_families_are_drawn_by_their_odds(clip_material: SynthesisInputs) -> None:
    assert set(ODDS) == set(MANIPULATIONS) and sum(ODDS.values()) == pytest.approx(1)
    rng = RNG(0)
    drawn = [draw_manipulation(clip_material, rng) for _ in range(4000)]
    for manipulation in MANIPULATIONS:
        assert drawn.count(manipulation) / 4000 == pytest.approx(ODDS[manipulation], abs=0.03)
    assert {draw_manipulation(clip_material, rng, ("swap",)) for _ in range(9)} == {"swap"}
    assert (
        draw_manipulation(SynthesisInputs(clip_material.clip, clip_material.clip), rng, ("swap",))
        == "self-blend"
    )


def test_a_swap_takes_the_face_that_is_nearest_in_shape(portrait_mesh: Mesh) -> None:
    turned = (portrait_mesh - portrait_mesh.mean(0)) @ np.array([[0.0, 2.0], [-2.0, 0.0]], np.float32)
    narrow = portrait_mesh * np.array([0.6, 1.0], np.float32)
    assert nearest(portrait_mesh, [narrow, turned, narrow]) == 1, "size and turn do not count"


def test_a_swapped_face_wears_the_donor(portrait_mesh: Mesh) -> None:
    target, donor = moving(portrait_mesh, 1), moving(portrait_mesh, 1)
    green = np.zeros_like(donor.frames)
    green[..., 1] = 200
    swap = replace(Swap.draw(RNG(0)), region="face", match=0.0, poisson=False, blur=0.01)
    fake = swap.apply(target.frames, target.mesh, green, donor.mesh, RNG(0)).fake[0]
    x, y = target.mesh[0, 4].round().astype(int)
    np.testing.assert_allclose(fake[y, x].astype(int), (0, 200, 0), atol=4)


def test_tone_is_matched_inside_the_mask() -> None:
    frame = make.portrait()
    dark = (frame // 2).astype(np.uint8)
    mask = np.ones(frame.shape[:2], np.float32)
    assert abs(match_tone(dark, frame, mask, 1.0).mean() - frame.mean()) < 6
    np.testing.assert_allclose(match_tone(dark, frame, mask, 0.0).astype(int), dark, atol=6)


def test_the_mouth_of_another_moment_is_put_in_place(portrait_mesh: Mesh) -> None:
    clip = moving(portrait_mesh, 6)
    marked = clip.frames.copy()
    marked[3:] = (255, 0, 0)
    draw = replace(Reenactment.draw(RNG(0)), region="lower face", lag=3, toned=False, blur=0.01)
    pair = draw.apply(clip.frames[:1], clip.mesh[:1], marked, clip.mesh, clip.mesh[0])
    inside = pair.mask[0] > 0.99
    assert inside.any()
    assert (np.abs(pair.fake[0][inside].astype(int) - (255, 0, 0)).max(-1) < 8).mean() > 0.95


def test_a_face_warped_by_triangles_lands_on_its_target(portrait_mesh: Mesh) -> None:
    image = make.portrait()
    moved = portrait_mesh + np.array([7, -4], np.float32)
    out = warp_triangles(image, portrait_mesh, moved)
    x, y = portrait_mesh[4].round().astype(int)
    patch = np.s_[y - 8 : y + 9, x - 8 : x + 9]
    there = np.s_[y - 12 : y + 5, x - 1 : x + 16]
    np.testing.assert_allclose(out[there].astype(int), image[patch].astype(int), atol=2)
    np.testing.assert_array_equal(out[:5], image[:5])


def test_a_triangle_that_is_hardly_more_than_a_line_drags_nothing_from_afar() -> None:
    ramp = np.broadcast_to(3 * np.arange(64, dtype=np.uint8)[:, None, None], (64, 64, 3))
    target = np.array([(8, 8.4), (56, 8.4), (56, 56), (8, 56), (32, 8.4 + 1e-5)], np.float32)
    source = target.copy()
    source[4, 1] += 1
    out = warp_triangles(np.ascontiguousarray(ramp), source, target)
    assert np.abs(out.astype(int) - ramp).max() <= 3 * 2, "two pixels away at the most"


def test_a_portrait_at_rest_is_not_moved_and_far_background_never(portrait_mesh: Mesh) -> None:
    image = make.portrait()
    size = (image.shape[0], image.shape[1])
    np.testing.assert_array_equal(remap(image, sweep(portrait_mesh, portrait_mesh, size)), image)
    field = sweep(portrait_mesh, portrait_mesh + np.float32(9), (3000, 3000))
    assert np.abs(field[-1, -1]).max() < 0.01
    x, y = portrait_mesh[4].round().astype(int) + 9
    np.testing.assert_allclose(field[y, x], (-9, -9), atol=0.5)


@pytest.mark.parametrize(
    ("kind", "order"),
    [
        ("repeat", [0, 1, 2, 2, 2, 5, 6, 7]),
        ("drop", [0, 1, 2, 5, 6, 7, 7, 7]),
        ("alternate", [0, 0, 2, 1, 4, 3, 6, 5]),
    ],
)
def test_time_is_changed_as_its_kind_says(kind: str, order: list[int], portrait_mesh: Mesh) -> None:
    clip = moving(portrait_mesh, 8)
    timing = Timing(kind, at=0.4, length=2)
    assert timing.order(8).tolist() == order
    np.testing.assert_array_equal(timing.apply(clip.frames, clip.mesh).fake, clip.frames[order])


def test_every_family_that_can_be_made_is_exported() -> None:
    assert tuple(ODDS) == manipulations.MANIPULATIONS
