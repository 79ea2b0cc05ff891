"""The fixed crops of a tuning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from deepscan.training.data.views import View, load_faces
from deepscan.training.tuning.crops import Crop, CropDrawer, cut
from deepscan.training.tuning.faults import Faults, Upload
from tests.training.conftest import Prepared


def crops(prepared: Prepared, seed: int = 0) -> list[Crop]:
    samples = [one for one in prepared.samples if one.kind in ("photo", "even") and one.split == "train"]
    return list(CropDrawer(prepared.cache, samples, seed).draw())


def test_crops_are_the_same_for_the_same_seed(prepared: Prepared) -> None:
    one, again, other = crops(prepared), crops(prepared), crops(prepared, seed=1)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(one, again, strict=True))
    assert any(not np.array_equal(a.pixels, b.pixels) for a, b in zip(one, other, strict=False))
    assert {crop.pixels.shape for crop in one} == {(224, 224, 3)}


def test_a_made_forgery_stands_right_after_its_original_and_differs_from_it(prepared: Prepared) -> None:
    drawn = crops(prepared)
    made = [n for n, crop in enumerate(drawn) if crop.made]
    assert made
    for n in made:
        assert drawn[n].forged and not drawn[n - 1].forged and drawn[n].sample is drawn[n - 1].sample
        assert not np.array_equal(drawn[n].pixels, drawn[n - 1].pixels)
    assert {crop.forged for crop in drawn if crop.sample.label == "fake"} == {True}


def test_nobody_lends_a_face_across_folds(prepared: Prepared) -> None:
    genuine = [one for one in prepared.samples if one.label == "real" and one.kind != "window"]
    here, there = (replace(genuine[0], fold=0), replace(genuine[1], fold=1))
    assert here.identity != there.identity
    drawer = CropDrawer(prepared.cache, [here, there], 0)
    face = load_faces(prepared.cache / here.folder).take([0])
    rng = np.random.default_rng(0)
    assert all(drawer._donor(here, face, rng) is None for _ in range(5))
    free = CropDrawer(prepared.cache, [here, replace(there, fold=None)], 0)
    assert any(free._donor(here, face, rng) is not None for _ in range(5))


def test_half_of_the_faults_leave_a_picture_as_it_is() -> None:
    rng = np.random.default_rng(0)
    drawn = [Faults.draw(rng) for _ in range(400)]
    clean = np.mean([faults == Faults() for faults in drawn])
    assert 0.4 < clean < 0.6
    assert {upload.codec for faults in drawn for upload in faults.uploads} == {"h264", "jpeg", "webp"}


def test_an_upload_shrinks_no_face_out_of_sight(prepared: Prepared) -> None:
    frame = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    assert Upload(2.0, None, "jpeg", 90).apply(frame).shape == (150, 150, 3)
    assert Upload(2.2, None, "webp", 90).apply(frame[:160, :160]).shape == (150, 150, 3)
    face = load_faces(prepared.one("photo")).take([0])
    whole = cut(face.frames[0], face, View(), Faults())
    shrunk = cut(face.frames[0], face, View(), Faults(uploads=(Upload(1.5, None, "h264", 20),)))
    assert whole.shape == shrunk.shape
    assert np.abs(whole.astype(int) - shrunk).mean() < 12, "the same crop, only coded"
