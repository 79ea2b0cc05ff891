"""Faces that lie on their side, on their head or aslant are found and cut as upright ones are."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from deepscan.detectors import SPECS
from deepscan.faces.crops import crop_affine, cut_square
from deepscan.faces.detector import Face, FaceEngine
from deepscan.faces.orientation import DOUBTFUL, PATIENCE, Looks, misfit, roll_and_strain, stood
from deepscan.faces.tracker import FaceTracker
from deepscan.media import Frame
from tests.fixtures import make
from tests.fixtures.doubles import FACE_MODEL

QUARTER_TURNS = [90.0, 180.0, 270.0]
Rgb = NDArray[np.uint8]


class Counting(FaceEngine):
    """Knows how often it was asked."""

    looks = 0

    def detect(self, rgb: Rgb, *, confidence: float | None = None) -> list[Face]:
        self.looks += 1
        return super().detect(rgb, confidence=confidence)


@cache
def engine() -> Counting:
    return Counting(FACE_MODEL, providers=["CPUExecutionProvider"], threads=1)


def looks() -> Looks:
    return Looks(engine(), min_face_px=40, confidence=engine().confidence / 2)


@cache
def portrait(turn_deg: float = 0.0) -> Rgb:
    """A portrait, turned clockwise."""
    return stood(make.portrait(400), (360 - turn_deg) % 360)[0]


def only(faces: list[Face]) -> Face:
    (face,) = [face for face in faces if face.confidence >= engine().confidence]
    return face


def crop(name: str, picture: Rgb, face: Face) -> Rgb:
    spec = SPECS[name]
    affine = crop_affine(spec, face.box, face.points, face.turn_deg)
    return cut_square(picture, affine, spec.size_px)


def difference(one: Rgb, other: Rgb) -> float:
    """Mean, in grey levels."""
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


@pytest.mark.parametrize("turn_deg", [0.0, 37.0, 90.0, 180.0, 270.0, 301.0])
def test_a_stood_picture_shows_what_was_turned_upright(turn_deg: float) -> None:
    picture = np.zeros((60, 90, 3), np.uint8)
    centre, away = np.array([44.5, 29.5]), 20.0
    angle = np.deg2rad(turn_deg)
    x, y = (centre + away * np.array([np.sin(angle), -np.cos(angle)])).round().astype(int)
    picture[y, x] = 255  # the crown of a head that is turned clockwise
    turned, affine = stood(picture, turn_deg)
    found = np.array(np.unravel_index(turned[..., 0].argmax(), turned.shape[:2]))[::-1]
    np.testing.assert_allclose(found, affine @ (x, y, 1), atol=1)
    middle = (np.array(turned.shape[1::-1]) - 1) / 2
    np.testing.assert_allclose(found - middle, (0, -away), atol=1.5)


def test_upright_faces_are_found_as_the_engine_finds_them_with_one_look_each() -> None:
    found = looks()
    (expected,) = engine().detect(portrait(), confidence=0.4)
    before = engine().looks
    for _ in range(20):
        (face,) = found.detect(portrait())
        assert face.turn_deg == 0
        np.testing.assert_array_equal(face.box, expected.box)
        np.testing.assert_array_equal(face.points, expected.points)
    assert engine().looks - before == 20


@pytest.mark.parametrize("turn_deg", QUARTER_TURNS)
@pytest.mark.parametrize("name", SPECS)
def test_a_turned_face_gives_the_crop_of_the_upright_one(name: str, turn_deg: float) -> None:
    upright, turned = portrait(), portrait(turn_deg)
    face = only(looks().detect(turned))
    assert face.turn_deg == turn_deg
    expected = crop(name, upright, only(looks().detect(upright)))
    assert difference(crop(name, turned, face), expected) < 2


@pytest.mark.parametrize("turn_deg", [45.0, 135.0, 315.0])
@pytest.mark.parametrize("name", ["gml", "sola", "global_local"])
def test_a_face_aslant_is_cut_upright(name: str, turn_deg: float) -> None:
    upright, turned = portrait(), portrait(turn_deg)
    face = only(looks().detect(turned))
    assert abs((face.turn_deg - turn_deg + 180) % 360 - 180) <= 15
    standing = only(looks().detect(upright))
    assert face.width_px == pytest.approx(standing.width_px, rel=0.12)
    square = crop(name, turned, face)
    again = engine().detect(square)
    found = only(again) if again else pytest.fail("no face in the crop")
    assert abs(roll_and_strain(found)[0]) < 15
    expected = only(engine().detect(crop(name, upright, standing)))
    np.testing.assert_allclose(found.box, expected.box, atol=0.08 * square.shape[0])


@pytest.mark.parametrize("turn_deg", [5.0, 12.0, 350.0])
def test_a_slightly_tilted_head_is_left_as_it_is(turn_deg: float) -> None:
    face = only(looks().detect(portrait(turn_deg)))
    assert face.turn_deg == 0
    np.testing.assert_array_equal(face.box, only(engine().detect(portrait(turn_deg))).box)


@pytest.mark.parametrize("turn_deg", QUARTER_TURNS)
def test_a_turned_file_costs_one_search(turn_deg: float) -> None:
    found, before = looks(), engine().looks
    for _ in range(10):
        found.detect(portrait(turn_deg))
    assert engine().looks - before <= 10 + 4


def test_an_upright_and_a_lying_face_are_both_cut_upright() -> None:
    side_by_side = np.zeros((400, 800, 3), np.uint8)
    side_by_side[:, :400], side_by_side[:, 400:] = portrait(), portrait(90.0)
    found = looks()
    for _ in range(3):
        faces = [face for face in found.detect(side_by_side) if face.confidence >= engine().confidence]
        assert sorted(face.turn_deg for face in faces) == [0, 90]


def test_a_shot_that_stands_again_is_found_again() -> None:
    found = looks()
    assert only(found.detect(portrait(180.0))).turn_deg == 180
    found.cut()
    assert only(found.detect(portrait())).turn_deg == 0


def test_a_file_without_faces_is_not_looked_at_four_times_a_frame() -> None:
    found, empty = looks(), np.full((240, 320, 3), 90, np.uint8)
    before = engine().looks
    for _ in range(64):
        assert found.detect(empty) == []
    assert engine().looks - before <= 64 + 3 * (4 + 64 // PATIENCE)


def test_misfit_tells_standing_from_lying() -> None:
    standing = only(engine().detect(portrait()))
    assert misfit(standing, engine().confidence) < DOUBTFUL
    for turn_deg in QUARTER_TURNS:
        for face in engine().detect(portrait(turn_deg)):
            assert misfit(face, engine().confidence) > DOUBTFUL


@pytest.mark.parametrize("turn_deg", QUARTER_TURNS)
def test_a_turned_film_is_one_track_as_wide_as_the_upright_one(turn_deg: float) -> None:
    widths = []
    for turn in (0.0, turn_deg):
        frames = [Frame(i, i / 25, np.roll(portrait(turn), i, axis=1), i // 16, False) for i in range(32)]
        tracker = FaceTracker(engine(), min_face_px=48, max_faces=16)
        handed_on = list(tracker.follow(iter(frames)))
        assert all(len(faces) == 1 for _, faces in handed_on)
        (track,) = tracker.tracks
        widths.append(track.width_px)
        inside = (track.points > track.boxes[:, None, :2]) & (track.points < track.boxes[:, None, 2:])
        assert inside.all(), "the points lie in the box, as they lie in the picture"
    assert widths[1] == pytest.approx(widths[0], abs=2)
