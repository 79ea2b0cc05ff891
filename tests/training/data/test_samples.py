"""Training sees what a scan sees: the same squares, the same frames, and masks that lie on them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from deepscan.detectors import SPECS
from deepscan.detectors.spec import DetectorSpec
from deepscan.errors import UsageError
from deepscan.faces.clips import ClipCutter
from deepscan.faces.tracker import Face, TrackedFace
from deepscan.media import Frame
from deepscan.training.data import samples as data
from deepscan.training.data.prepare import Sample
from deepscan.training.data.samples import (
    FixedPairs,
    ForgedPairs,
    choose_frames,
    join_pairs,
    sampling_odds,
    synthesize_pair,
    usable,
)
from deepscan.training.data.views import (
    Faces,
    View,
    clip_affines,
    cut_degraded,
    cut_frames,
    cut_masks,
    load_faces,
    shrunk_affines,
)
from deepscan.training.synthesis import manipulations
from deepscan.training.synthesis.degradation import Degradation
from deepscan.training.synthesis.masks import hull_mask
from deepscan.training.synthesis.self_blend import SelfBlend
from tests.training.conftest import Prepared

RNG = np.random.default_rng
NAMES = pytest.mark.parametrize("name", SPECS)


@pytest.fixture(scope="module")
def window(prepared: Prepared) -> Faces:
    return load_faces(prepared.one("window")).take(np.arange(16))


def scanned_clips(faces: Faces, spec: DetectorSpec) -> list[tuple[list[int], np.ndarray]]:
    """The clips that a scan cuts from these frames: which frames, and their pixels."""
    cutter = ClipCutter([spec])
    for number, rgb in enumerate(faces.frames):
        face = Face(faces.boxes[number], faces.points[number], 0.9)
        cutter.add(Frame(number, number / 25, rgb, 0, False), [TrackedFace(1, face)])
    return [([round(t * 25) for t in clip.times_s], clip.pixels) for clip in cutter.clips(spec.name, 1)]


def forged_pair(
    faces: Faces, spec: DetectorSpec, seed: int, manipulation: str = "self-blend", **how: Any
) -> data.Batch:
    """A pair made of these faces alone."""
    face = manipulations.FaceClip(faces.frames, faces.mesh)
    return synthesize_pair(
        faces, manipulations.SynthesisInputs(face, face), spec, RNG(seed), manipulation=manipulation, **how
    )


def close(one: np.ndarray, other: np.ndarray) -> None:
    """Equal but for a level here and there: a box that a view rebuilt differs in its last float bit."""
    assert one.shape == other.shape
    change = np.abs(one.astype(int) - other)
    assert change.max() <= 1
    assert (change > 0).mean() < 1e-3


@NAMES
def test_training_cuts_the_pixels_that_a_scan_cuts(name: str, window: Faces) -> None:
    spec = SPECS[name]
    clips = scanned_clips(window, spec)
    assert clips
    for numbers, pixels in clips:
        chosen = window.take(numbers)
        cut = cut_frames(chosen.frames, clip_affines(chosen, spec, View()), spec.size_px, mirror=False)
        close(cut, pixels)


@NAMES
def test_the_real_half_of_a_pair_is_the_scanned_clip(name: str, window: Faces) -> None:
    spec = SPECS[name]
    numbers, pixels = scanned_clips(window, spec)[0]
    seed = next(s for s in itertools.count() if SelfBlend.draw(RNG(s)).tone_on_source)
    pair = forged_pair(window.take(numbers), spec, seed, degradation=Degradation.none(), augment=False)
    real = pair["pixels"][0].numpy()
    close(real if spec.frames > 1 else real[None], pixels)


@NAMES
def test_a_pair_has_the_shapes_that_its_network_wants(name: str, window: Faces) -> None:
    spec = SPECS[name]
    pair = forged_pair(window.take(choose_frames(16, spec, RNG(0), single_frames=False)), spec, 0)
    time = (spec.frames,) if spec.frames > 1 else ()
    square = (2, *time, spec.size_px, spec.size_px)
    assert pair["pixels"].shape == (*square, 3) and pair["pixels"].dtype == torch.uint8
    for mask in (pair["forged"], pair["face"]):
        assert mask.shape == square and mask.dtype == torch.float32
        assert mask.min() >= 0 and mask.max() <= 1
    assert pair["label"].tolist() == [0, 1] and pair["label"].dtype == torch.int64
    assert not pair["forged"][0].any(), "nothing of the real clip is forged"
    assert torch.equal(pair["face"][0], pair["face"][1])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["gml", "global_local", "sola"])
def test_masks_lie_on_what_was_forged(name: str, seed: int, window: Faces) -> None:
    """Box jitter and mirror included: six seeds hold both."""
    spec = SPECS[name]
    faces = window.take(choose_frames(16, spec, RNG(0), single_frames=False))
    pair = forged_pair(faces, spec, seed, degradation=Degradation.none())
    real, fake = (half.reshape(-1, *half.shape[-3:]).numpy().astype(int) for half in pair["pixels"])
    masks = pair["forged"][1].reshape(-1, *pair["forged"].shape[-2:]).numpy()
    for one, other, mask in zip(real, fake, masks, strict=True):
        change = np.abs(one - other).max(-1)
        reach = cv2.dilate((mask > 0).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        assert change[~reach].max() == 0
        assert change[mask > 0.15].mean() > 0.5


def test_the_face_mask_is_mirrored_with_the_pixels(window: Faces) -> None:
    spec = SPECS["local_features"]
    one = window.take([0])
    affines = clip_affines(one, spec, View())
    marked = replace(one, frames=np.ascontiguousarray(one.frames))
    hull = hull_mask(one.mesh[0], "eyes and nose", marked.frames.shape[1:3])[None]
    marked.frames[0][hull[0] > 0] = 255
    marked.frames[0][hull[0] == 0] = 0
    for mirror in (False, True):
        pixels = cut_frames(marked.frames, affines, spec.size_px, mirror)[0, ..., 0] / 255
        mask = cut_masks(hull, affines, spec.size_px, mirror)[0]
        np.testing.assert_allclose(pixels, mask, atol=0.02)


def test_real_and_fake_are_cut_and_degraded_alike(window: Faces, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a forgery that changes nothing, nothing tells the two apart."""

    @dataclass(frozen=True)
    class Nothing(SelfBlend):
        @staticmethod
        def draw(rng: np.random.Generator, *, jitter_odds: float = 0.5) -> SelfBlend:
            return replace(SelfBlend.draw(rng), ratio=0.0)

    monkeypatch.setattr(manipulations, "SelfBlend", Nothing)
    spec = SPECS["resnet3d"]
    faults = Degradation(1.1, 1.5, 0.5, 3.0, 9, 60, None)
    for seed in range(3):
        pair = forged_pair(window.take(np.arange(16)), spec, seed, degradation=faults)
        assert torch.equal(pair["pixels"][0], pair["pixels"][1])


def test_a_shrunk_frame_is_cut_at_the_same_place() -> None:
    rows, columns = np.mgrid[0:400, 0:448]
    wave = 127 + 100 * np.sin(columns / 23 + rows / 31)
    frame = np.repeat(wave[..., None], 3, axis=2).round().astype(np.uint8)
    small = cv2.resize(frame, (200, 180), interpolation=cv2.INTER_AREA)
    affine = np.array([[0.8, 0.1, -50.0], [-0.1, 0.8, -30.0]])
    (own,) = shrunk_affines([affine], (400, 448), (180, 200))
    (whole,), (cut,) = (cut_frames(f[None], [a], 224, False) for f, a in ((frame, affine), (small, own)))
    inside = np.s_[70:200, 70:200]
    assert np.abs(whole.astype(float) - cut)[inside].mean() < 0.5
    for axis in (0, 1):
        assert np.abs(whole.astype(float) - np.roll(cut, 1, axis))[inside].mean() > 2, "one pixel is seen"


def test_a_shrunk_face_is_interpolated_once_as_in_a_scan(window: Faces) -> None:
    """What a scan of a video of half the size cuts, box and all, is what training cuts."""
    faces, spec = window.take(np.arange(2)), SPECS["gml"]
    affines = clip_affines(faces, spec, View())
    cut = cut_degraded(replace(Degradation.none(), shrink=2.0), faces.frames, affines, spec, View())
    height, width = faces.frames.shape[1:3]
    halves = np.stack(
        [cv2.resize(f, (width // 2, height // 2), interpolation=cv2.INTER_AREA) for f in faces.frames]
    )
    small = Faces(halves, (faces.boxes + 0.5) / 2 - 0.5, (faces.points + 0.5) / 2 - 0.5, faces.mesh)
    scanned = cut_frames(halves, clip_affines(small, spec, View()), spec.size_px, False)
    assert np.abs(cut.astype(float) - scanned).mean() < 0.1  # 0.6 when it was enlarged before


@NAMES
def test_the_frames_of_a_clip_are_spaced_as_the_spec_asks(name: str) -> None:
    spec = SPECS[name]
    chosen = choose_frames(16, spec, RNG(0), single_frames=False).tolist()
    assert len(chosen) == spec.frames
    expected = {
        "gml": list(range(0, 16, 2)),
        "resnet3d": list(range(16)),
        "global_local": sorted(set(chosen)),
    }
    assert chosen == expected.get(name, chosen)
    assert chosen[0] >= 0 and chosen[-1] <= 15
    assert len(choose_frames(16, spec, RNG(0), single_frames=True)) == 1
    if name == "global_local":
        assert (chosen[0], chosen[-1]) == (0, 15)
        assert choose_frames(12, spec, RNG(0), single_frames=False).tolist() == list(range(12))


def test_a_shorter_clip_begins_anywhere_and_ends_within_the_frames() -> None:
    spec = replace(SPECS["gml"], frames=4)
    drawn = [choose_frames(16, spec, RNG(seed), single_frames=False) for seed in range(60)]
    assert {tuple(np.diff(clip)) for clip in drawn} == {(2, 2, 2)}
    assert {int(clip[0]) for clip in drawn} == set(range(9))


def test_single_frames_are_drawn_from_all() -> None:
    drawn = {int(choose_frames(4, SPECS["sola"], RNG(s), single_frames=False)[0]) for s in range(50)}
    assert drawn == {0, 1, 2, 3}


def test_which_samples_give_a_clip() -> None:
    can = {
        name: [k for k in ("photo", "window", "even") if usable(sample(k), spec, single_frames=False)]
        for name, spec in SPECS.items()
    }
    assert can == {
        "gend": ["photo", "window", "even"],
        "gml": ["window"],
        "resnet3d": ["window"],
        "global_local": ["window", "even"],
        "sola": ["photo", "window", "even"],
        "local_features": ["photo", "window", "even"],
    }
    assert usable(sample("photo"), SPECS["gml"], single_frames=True)


def sample(kind: str, identity: str = "ann") -> Sample:
    return Sample(f"{identity}/{kind}", kind, "real", identity, "made", "train")


def test_a_view_moves_and_scales_the_box() -> None:
    box = np.array([10, 20, 30, 60], np.float32)
    np.testing.assert_allclose(View().box(box), box)
    np.testing.assert_allclose(View((0.1, -0.1), 0.5).box(box), [17, 26, 27, 46])
    views = [View.draw(RNG(seed)) for seed in range(40)]
    assert {view.mirror for view in views} == {False, True}


def test_a_view_turns_and_stretches_the_cut_about_its_centre() -> None:
    affine = np.array([[0.5, 0, 3], [0, 0.5, -2]], np.float64)
    np.testing.assert_array_equal(View().turned(affine, 101), affine)
    middle = np.linalg.solve(affine[:, :2], 50 - affine[:, 2])
    right = middle + np.array([20, 0])
    turned, wide = View(turn_deg=30).turned(affine, 101), View(stretch=1.21).turned(affine, 101)
    for changed in (turned, wide):
        np.testing.assert_allclose(changed @ [*middle, 1], [50, 50])
    np.testing.assert_allclose(turned @ [*right, 1] - 50, [10 * np.cos(np.pi / 6), -5], atol=1e-9)
    np.testing.assert_allclose(wide @ [*right, 1] - 50, [11, 0], atol=1e-9)


@pytest.mark.parametrize("name", ["gml", "global_local"])
def test_turned_views_move_pixels_and_masks_alike(name: str) -> None:
    rng, spec = RNG(3), SPECS[name]
    boxes = np.tile(np.array([60, 60, 140, 140], np.float32), (3, 1))
    eyes = np.array([[80, 90], [120, 90], [100, 110], [85, 125], [115, 125]], np.float32)
    frames, mesh = rng.integers(0, 255, (3, 200, 200, 3), np.uint8), np.zeros((3, 468, 2), np.float32)
    faces = Faces(frames, boxes, np.tile(eyes, (3, 1, 1)), mesh)
    affines = clip_affines(faces, spec, View(turn_deg=12, stretch=1.05))
    assert len(affines) == 3
    block = np.zeros((3, 200, 200), np.float32)
    block[:, 90:110, 60:100] = 1
    picture = np.repeat((block * 255).astype(np.uint8)[..., None], 3, -1)
    mask = cut_masks(block, affines, spec.size_px, True)
    pixels = cut_frames(picture, affines, spec.size_px, True)[..., 0] / 255
    assert np.abs(mask - pixels).mean() < 0.01


def equal(one: data.Batch, other: data.Batch) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def stream(prepared: Prepared, **options: int) -> ForgedPairs:
    side = [s for s in prepared.samples if s.split == "train"]
    return ForgedPairs(prepared.cache, side, SPECS["local_features"], seed=3, **options)


@pytest.mark.usefixtures("no_h264")
def test_a_resumed_stream_goes_on_with_the_same_pairs(prepared: Prepared) -> None:
    whole = list(itertools.islice(stream(prepared), 4))
    rest = list(itertools.islice(stream(prepared, first=2), 2))
    assert all(map(equal, whole[2:], rest))
    assert not equal(whole[0], whole[1])


def test_workers_hand_out_the_stream_of_one_process(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass
    class Worker:
        id: int
        num_workers: int = 2

    monkeypatch.setattr(ForgedPairs, "pair", lambda self, number: number)
    alone = list(itertools.islice(stream(prepared, first=6, batch=3), 12))
    assert alone == list(range(6, 18))
    by_worker = []
    for number in range(2):
        monkeypatch.setattr(data, "get_worker_info", lambda number=number: Worker(number))
        by_worker.append(list(itertools.islice(stream(prepared, first=6, batch=3), 6)))
    # The loader takes a batch from each worker in turn.
    batches = [by_worker[n % 2][3 * (n // 2) : 3 * (n // 2) + 3] for n in range(4)]
    assert [number for batch in batches for number in batch] == alone


def test_only_real_samples_are_forged(prepared: Prepared) -> None:
    fakes = [s for s in prepared.samples if s.label == "fake"]
    with pytest.raises(UsageError, match="holds no real training faces that give a clip for sola"):
        ForgedPairs(prepared.cache, fakes, SPECS["sola"], seed=0)
    assert len(FixedPairs(prepared.cache, fakes, SPECS["sola"])) == 0


def donors(prepared: Prepared, samples: list[Sample], draws: int = 60) -> list[tuple[int, ...]]:
    """Shapes of the frames that others lend to the photographed person's forgeries."""
    cast = data.DonorPool(prepared.cache, samples, [])
    (target,) = (s for s in samples if (s.kind, s.label) == ("photo", "real"))
    faces = load_faces(prepared.cache / target.folder)
    materials = (cast.inputs(target, faces, faces, RNG(seed)) for seed in range(draws))
    return [other.frames.shape[1:] for inputs in materials for other in inputs.others]


def test_forged_photos_lend_their_faces_too(prepared: Prepared) -> None:
    (forged,) = (s for s in prepared.samples if s.label == "fake")
    shape = load_faces(prepared.cache / forged.folder).frames.shape[1:]
    real = [s for s in prepared.samples if s.label == "real"]
    assert shape not in donors(prepared, real)
    donated = donors(prepared, [*real, forged])
    assert 0.2 < donated.count(shape) / (60 * data.CANDIDATES) < 0.4


@pytest.mark.usefixtures("no_h264")
def test_validation_pairs_are_the_same_in_every_run(prepared: Prepared) -> None:
    side = [s for s in prepared.samples if s.split == "val"]
    one, other = (FixedPairs(prepared.cache, side, SPECS["local_features"]) for _ in range(2))
    assert len(one) == 2
    assert all(equal(one[i], other[i]) for i in range(2))


def test_an_identity_with_many_samples_does_not_dominate() -> None:
    samples = [sample("window", "ann")] * 9 + [sample("even", "bob")]
    odds = sampling_odds(samples)
    assert odds.sum() == pytest.approx(1)
    assert odds[:9].sum() / odds[9] == pytest.approx(3)


def test_videos_are_drawn_as_often_as_photos() -> None:
    odds = sampling_odds([sample("photo", name) for name in "abcdefg"] + [sample("window", "ann")])
    assert odds.sum() == pytest.approx(1)
    assert odds[-1] == pytest.approx(0.5)
    assert sampling_odds([sample("photo", name) for name in "ab"]).tolist() == [0.5, 0.5]


def test_joined_pairs_alternate() -> None:
    pair = {"label": torch.tensor([0, 1]), "pixels": torch.zeros(2, 4, 4, 3)}
    batch = join_pairs([pair, pair, pair])
    assert batch["label"].tolist() == [0, 1, 0, 1, 0, 1]
    assert batch["pixels"].shape == (6, 4, 4, 3)


def test_a_self_blend_that_nobody_could_see_is_drawn_anew(
    window: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, ratios = SelfBlend.draw, iter([0.0, 1.0])
    monkeypatch.setattr(
        SelfBlend, "draw", staticmethod(lambda rng: replace(draw(RNG(5)), region="face", ratio=next(ratios)))
    )
    pair = forged_pair(window.take([0]), SPECS["sola"], 0, degradation=Degradation.none(), augment=False)
    assert pair["forged"][1].max() > 0.9, "the second draw"
    assert next(ratios, None) is None
