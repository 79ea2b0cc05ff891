"""Explanations say what was measured, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deepscan.config import ScanConfig
from deepscan.detectors import SPECS
from deepscan.detectors.spec import Score
from deepscan.ensemble import DetectorVerdict
from deepscan.media import Coverage, MediaInfo
from deepscan.report.explanation import explain, most_suspicious
from deepscan.results import NOT_NEEDED, SkippedFaces
from deepscan.scanner import FileReport, TrackReport
from tests.fixtures.sample import CALIBRATION, face, failed, real, run, scanned

VIDEO = MediaInfo("video", "mp4", "h264", 1920, 1080, 0, 10.0, 25.0, 250, 0.1)
PHOTO = MediaInfo("image", "jpeg", "jpeg", 800, 600, 0, None, None, 1, 2.0)


def opinion(name: str, probability: float | None, *spans: tuple[float, float]) -> DetectorVerdict:
    scores = tuple(Score(1, start, end, probability or 0.0) for start, end in spans or ((0.0, 10.0),) * 3)
    if probability is None:
        return DetectorVerdict(name, None, (), None, "needs 8 frames; it has 3")
    return DetectorVerdict(name, probability, scores, scores[-1], None)


def file(
    *detectors: DetectorVerdict, p: float | None = 0.5, width: int = 400, **changes: object
) -> FileReport:
    track = TrackReport(1, 0.0, 10.0, p, "uncertain", detectors, width, None)
    values = {"verdict": "uncertain", "probability": p, "tracks": (track,), "skipped": (), "media": VIDEO}
    return scanned(**{**values, **changes})


def why(report: FileReport, **changes: object) -> str:
    return " ".join(explain(report, run([report], **changes)).reasons)


def helpful(report: FileReport, **changes: object) -> str:
    return "; ".join(explain(report, run([report], **changes)).more_certain)


@pytest.mark.parametrize(
    ("p", "sentence", "fake", "real"),
    [
        (0.97, "97 %, 17 points above the 80 % from which a face is called fake", 0.17, 0.77),
        (0.1, "10 %, 10 points below the 20 % under which a face is called real", -0.7, -0.1),
        (0.5, "50 %, 30 points short of fake (from 80 %) and 30 points too high for real", -0.3, 0.3),
        (0.801, "80 %, less than a point above the 80 %", 0.001, 0.601),
    ],
)
def test_the_distance_to_the_thresholds(p: float, sentence: str, fake: float, real: float) -> None:
    report = file(opinion("gml", p), p=p)
    explanation = explain(report, run([report]))
    assert sentence in explanation.reasons[0]
    assert explanation.above_fake == pytest.approx(fake)
    assert explanation.above_real == pytest.approx(real)


def test_which_detectors_agree() -> None:
    assert "The 2 detectors that count agree: GML (98 %) and SOLA (60 %) speak for a forgery." in why(
        file(opinion("gml", 0.98), opinion("sola", 0.6))
    )
    assert "agree: GML (10 %) and SOLA (49 %) speak against a forgery." in why(
        file(opinion("gml", 0.1), opinion("sola", 0.49))
    )
    assert "disagree: GML (98 %) speaks for a forgery, SOLA (10 %) speaks against it." in why(
        file(opinion("gml", 0.98), opinion("sola", 0.1))
    )
    assert "Only GML (98 %) could be counted, and speaks for a forgery." in why(file(opinion("gml", 0.98)))


def test_a_face_that_shows_little_is_said_to_count_for_less() -> None:
    picky = replace(CALIBRATION, full_width_px=100.0, still_share=0.6)
    small = file(opinion("gml", 0.98), width=54)
    photo = replace(small, tracks=(replace(small.tracks[0], end_s=0.0, face_width_px=240),))
    said = "What the detectors say of this face counts for less: "
    assert f"{said}it is 54 px wide, where they count in full from 100 px." in why(small, calibration=picky)
    assert f"{said}it is seen in one frame only." in why(photo, calibration=picky)
    for report, calibration in (
        (file(opinion("gml", 0.98)), picky),
        (small, CALIBRATION),
        (photo, CALIBRATION),
    ):
        assert said not in why(report, calibration=calibration)


def test_a_detector_that_is_not_counted_has_no_say() -> None:
    report = file(opinion("gml", 0.98), opinion("sola", 0.1))
    explanation = explain(report, run([report], not_counted=("sola",)))
    assert (explanation.speaks_for, explanation.speaks_against) == (("gml",), ())
    assert "SOLA" not in " ".join((*explanation.reasons, *explanation.more_certain))


def test_where_they_are_strongest() -> None:
    together = file(opinion("gml", 0.9, (1.6, 2.2)), opinion("global_local", 0.9, (0.0, 4.0)))
    assert "share 1.6 to 2.2 s" in why(together)
    apart = file(opinion("gml", 0.9, (1.6, 2.2)), opinion("sola", 0.9, (61.0, 61.0)))
    assert "differ: GML at 1.6 to 2.2 s and SOLA at 1:01.0" in why(apart)
    assert "Its most suspicious clip is at 1.6 to 2.2 s" in why(file(opinion("gml", 0.9, (1.6, 2.2))))
    assert "clip" not in why(file(opinion("gml", 0.9), media=PHOTO))


def test_the_face_explained_is_the_most_suspicious_one() -> None:
    tracks = (face(1, 0.3, "uncertain"), face(2, 0.97), face(3, None, None))
    report = scanned(tracks=tracks)
    assert explain(report, run([report])).track == 2
    assert "1 other face could not be judged" in why(report)
    assert most_suspicious(()) is None


def test_a_face_that_others_hold_back_says_so() -> None:
    doubted = replace(file(opinion("gml", 0.99)).tracks[0], probability=0.7)
    others = tuple(face(number, 0.05, "real") for number in (2, 3))
    assert "By itself it would have 99 %; as one of 3 faces it counts for less" in why(
        scanned(tracks=(doubted, *others), probability=0.7)
    )
    assert "By itself" not in why(scanned(tracks=(doubted,), probability=0.7))


def test_a_larger_face_helps_only_where_it_is_small() -> None:
    assert "larger face: it is 60 px wide, and GML could use about 100 px" in helpful(
        file(opinion("gml", 0.6), width=60)
    )
    assert "larger face" not in helpful(file(opinion("gml", 0.6), width=101))


def test_less_compression_helps_only_a_compressed_copy() -> None:
    hard = file(opinion("gml", 0.6), media=replace(VIDEO, bits_per_pixel=0.012))
    assert "less compressed copy: this one spends 0.012 bits on a pixel" in helpful(hard)
    assert "compress" not in helpful(file(opinion("gml", 0.6)))
    unknown = file(opinion("gml", 0.6), media=replace(VIDEO, bits_per_pixel=None))
    assert "compress" not in helpful(unknown)


def test_more_seconds_help_a_short_view() -> None:
    short = file(opinion("gml", 0.6, (0.0, 0.6)))
    assert "more seconds of this face: its 10.0 s gave 1 clip for GML" in helpful(short)
    assert "more seconds" not in helpful(file(opinion("gml", 0.6)))
    assert "more seconds" not in helpful(file(opinion("sola", 0.6, (0.0, 0.0))))
    unscored = file(opinion("sola", 0.6), opinion("gml", None))
    assert "a longer unbroken view of this face: GML needs 8 frames; it has 3" in helpful(unscored)
    photo = file(opinion("sola", 0.6), opinion("gml", None), media=PHOTO)
    assert "the video that this picture comes from: GML can only judge several frames" in helpful(photo)


def test_a_full_scan_helps_where_a_fast_one_stopped() -> None:
    stopped = file(opinion("sola", 0.99), replace(opinion("gml", None), reason=NOT_NEEDED))
    assert "a scan without --fast, which asks GML too" in helpful(stopped)
    assert "unbroken view" not in helpful(stopped)


def test_thorough_helps_only_where_much_was_left_out() -> None:
    sparse = file(opinion("gml", 0.6, (0.0, 0.6), (5.0, 5.6), (9.4, 10.0)))
    assert "--thorough: the clips looked at cover 1.8 s of this face's 10.0 s" in helpful(sparse)
    assert "--thorough" not in helpful(sparse, config=ScanConfig(thorough=True))
    assert "--thorough" not in helpful(file(opinion("gml", 0.6)))


def test_a_file_read_in_part_and_faces_left_out_are_named() -> None:
    part = file(
        opinion("gml", 0.1),
        p=0.1,
        status="partial",
        coverage=Coverage(10.0, 6.0, 60, 2, []),
        skipped=(SkippedFaces("smaller than 48 px", 3, 0.0, 4.1, 0, None),),
    )
    assert "could not be read whole is never called real" in why(part)
    assert "undamaged copy: decoding reached 6.0 s of 10.0 s, and 2 frames failed" in helpful(part)
    assert "the other faces too (left out here: 3 faces smaller than 48 px)" in helpful(part)


def test_real_is_not_called_genuine() -> None:
    assert "does not prove the file genuine" in why(real())
    assert "genuine" not in why(scanned())


def test_without_a_verdict_it_says_what_is_missing() -> None:
    assert explain(failed(), run()).reasons == (failed().error,)
    assert explain(failed(), run()).more_certain == ()
    faceless = failed("n.mp4", "no_face")
    assert "nothing is said about this file" in why(faceless)
    assert "seen from the front" in helpful(faceless)
    small = replace(faceless, skipped=(SkippedFaces("smaller than 48 px", 2, 0.0, 1.0, 0, None),))
    assert "at least 48 px wide (left out here: 2 faces smaller than 48 px)" in helpful(small)


def test_a_face_that_no_counted_detector_could_judge() -> None:
    report = file(*(opinion(name, None) for name in SPECS), p=None)
    explanation = explain(report, run([report]))
    assert "No detector that counts could judge face 1" in explanation.reasons[0]
    assert (explanation.above_fake, explanation.close) == (None, True)
