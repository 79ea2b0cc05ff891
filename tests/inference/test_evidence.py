"""Which moments are kept, and that it stays few of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from deepscan.config import ScanConfig
from deepscan.detectors import SPECS, VIEWS
from deepscan.detectors.global_local import share_of_frames
from deepscan.detectors.spec import Score
from deepscan.inference.evidence import ACTIVATIONS, TRACKS, EvidenceKeeper
from deepscan.inference.session import Session
from deepscan.results import without_pictures
from deepscan.scanner import Scanner
from deepscan.weights import Weights
from tests.fixtures.pictures import offer, outputs
from tests.fixtures.sample import CALIBRATION, scanned


def test_every_evidence_output_has_a_view() -> None:
    for name, spec in SPECS.items():
        assert tuple(view.output for view in VIEWS[name]) == spec.evidence
        assert all(view.title and view.caption.endswith(".") for view in VIEWS[name])


def test_the_most_suspicious_clip_of_each_detector_is_kept() -> None:
    keeper = EvidenceKeeper(CALIBRATION)
    for at_s, probability in ((0.0, 0.3), (2.0, 0.9), (4.0, 0.6)):
        for name in SPECS:
            offer(keeper, name, probability, at_s=at_s)
    kept = keeper.get(1)
    assert kept is not None
    assert [moment.detector for moment in kept.moments] == list(SPECS)
    for moment in kept.moments:
        assert moment.score.start_s == 2.0
        assert moment.score.start_s <= moment.time_s <= moment.score.end_s
        assert moment.picture.shape == (SPECS[moment.detector].size_px,) * 2 + (3,)
        assert [heat.view.output for heat in moment.heats] == list(SPECS[moment.detector].evidence)
        for heat in moment.heats:
            assert heat.values.ndim == 2
            assert 0 <= heat.values.min() <= heat.values.max() <= 1
    assert [round(entry.start_s, 1) for entry in kept.activations] == [0.0, 2.0, 4.0]


def test_the_picture_is_the_frame_where_the_maps_are_strongest() -> None:
    keeper = EvidenceKeeper(CALIBRATION)
    spec = SPECS["gml"]
    clip = offer(keeper, "gml", 0.1)
    maps = {name: np.full((8, 14, 14), 0.1, np.float32) for name in spec.evidence}
    maps["anomaly"][5] += 0.5
    keeper.offer(spec, clip, Score(1, 0.0, 0.3, 0.8), maps)
    kept = keeper.get(1)
    assert kept is not None
    assert kept.moments[0].time_s == clip.times_s[5]
    np.testing.assert_array_equal(kept.moments[0].picture, clip.pixels[5])
    assert kept.moments[0].heats[0].values.min() == 1.0


def test_memory_stays_flat_however_many_faces_and_clips_there_are() -> None:
    keeper = EvidenceKeeper(CALIBRATION)
    for track in range(1, 31):
        offer(keeper, "local_features", track / 31, track=track)
    kept = [track for track in range(1, 31) if keeper.get(track)]
    assert kept == list(range(31 - TRACKS, 31))
    for number in range(ACTIVATIONS + 20):
        offer(keeper, "resnet3d", number / 100, track=30, at_s=float(number))
    evidence = keeper.get(30)
    assert evidence is not None
    assert len(evidence.activations) == ACTIVATIONS
    assert evidence.activations[0].start_s == 20.0


def test_a_detector_without_maps_still_has_a_picture() -> None:
    keeper = EvidenceKeeper(CALIBRATION)
    clip = offer(keeper, "gml", 0.5)
    keeper.offer(SPECS["gml"], clip, Score(1, 0.0, 0.3, 0.8), {})
    kept = keeper.get(1)
    assert kept is not None
    assert (kept.moments[0].heats, kept.moments[0].time_s) == ((), clip.times_s[4])


def test_patches_become_the_share_of_frames_that_chose_them() -> None:
    chosen = np.array([[0, 1, 2, 3, 4]] * 6 + [[0, 12, 13, 14, 15]] * 6)
    share = share_of_frames(chosen)
    assert share.shape == (7, 7)
    assert share[0, 0] == 1.0
    assert share[0, 6] == share[6, 6] == 0.5
    assert share[4, 4] == 0.0


def test_a_flat_map_gives_no_heat_from_nothing() -> None:
    keeper = EvidenceKeeper(CALIBRATION)
    clip = offer(keeper, "resnet3d", 0.1)
    against = {"activation": np.full((1, 4, 4), -0.5, np.float32)}
    keeper.offer(SPECS["resnet3d"], clip, Score(1, 0.0, 0.6, 0.2), against)
    kept = keeper.get(1)
    assert kept is not None
    assert kept.moments[0].heats[0].values.max() == 0.0


def test_without_pictures_the_report_is_otherwise_the_same() -> None:
    file = scanned()
    assert without_pictures(file) == file


def test_an_ordinary_scan_keeps_none_and_scores_do_not_change(portrait_photo: Path) -> None:
    config = ScanConfig(detectors=("sola", "local_features"), device="cpu", threads=1)
    plain = Scanner(config).scan(portrait_photo)
    report = Scanner(replace(config, evidence=True)).scan(portrait_photo)
    assert report.tracks == plain.tracks
    assert plain.tracks[0].evidence is None
    kept = report.tracks[0].evidence
    assert kept is not None
    assert {heat.view.output for moment in kept.moments for heat in moment.heats} == {
        "second_order",
        "forged_pixels",
    }


def test_the_sample_outputs_have_the_shapes_of_the_shipped_models() -> None:
    weights = Weights()
    for name in ("local_features", "sola"):
        session = Session(weights.path(name), device="cpu")
        frame = np.zeros((1, SPECS[name].size_px, SPECS[name].size_px, 3), np.uint8)
        found = session.run(frame, SPECS[name].evidence)
        assert {key: value.shape[1:] for key, value in found.items()} == {
            key: value.shape for key, value in outputs(name).items()
        }
