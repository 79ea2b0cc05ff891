"""Constants fitted on synthetic detectors of known worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deepscan.ensemble import Calibration, DetectorCalibration
from deepscan.errors import UsageError
from deepscan.training.evaluation import calibration
from deepscan.training.evaluation.calibration import (
    FALSE_POSITIVE_RATE,
    MAX_CALIBRATED_LOGIT,
    MISSED_RATE,
    Fit,
    better_than_chance,
    constants_of,
    file_probability,
    fit,
    fold_of,
    fused_probability,
    least_width,
    out_of_fold,
    thresholds,
)
from deepscan.training.evaluation.metrics import auc, expected_calibration_error
from deepscan.training.evaluation.scoring import ScoredFile
from deepscan.training.evaluation.summary import apart, fusion_figures

pytestmark = pytest.mark.slow

Logits = Callable[[int, np.random.Generator], Mapping[str, float]]


def files_of(logits: Logits, *, identities: int = 15, each: int = 6, seed: int = 0) -> list[ScoredFile]:
    """``each`` files of every identity, real and forged alternating."""
    rng = np.random.default_rng(seed)
    return [
        ScoredFile(
            f"{person}-{n}.mp4", n % 2, f"p{person}", "made", "", "scanned", None, dict(logits(n % 2, rng))
        )
        for person in range(identities)
        for n in range(each)
    ]


def mixed(label: int, rng: np.random.Generator) -> dict[str, float]:
    """One good detector, one fair, one useless, one that often has no score."""
    sign = 2 * label - 1
    logits = {
        "good": 3 * sign + 1 + rng.normal(0, 2),
        "fair": sign - 2 + rng.normal(0, 1.5),
        "useless": rng.normal(0, 3),
    }
    if rng.random() < 0.4:
        logits["rare"] = 2 * sign + rng.normal(0, 2)
    return logits


@pytest.fixture(scope="module")
def fitted() -> Fit:
    return fit(files_of(mixed))


@pytest.fixture(scope="module")
def broad() -> Calibration:
    """Fitted on many people."""
    return fit(files_of(mixed, identities=100)).calibration


def test_a_useless_detector_gets_no_say_and_useful_ones_do(fitted: Fit) -> None:
    detectors = fitted.calibration.detectors
    assert detectors["useless"].weight == 0
    assert all(detectors[name].weight > 0 for name in ("good", "fair", "rare"))
    assert all(one.temperature > 0 for one in detectors.values())


def test_calibration_takes_out_each_detectors_own_offset(fitted: Fit) -> None:
    detectors = fitted.calibration.detectors
    assert abs(detectors["good"](1.0)) < 0.7, "midway between its reals and its forgeries"
    assert abs(detectors["fair"](-2.0)) < 0.7
    for file in fitted.files:
        for name, logit in file.logits.items():
            assert abs(detectors[name](logit)) <= MAX_CALIBRATED_LOGIT + 1e-9


def of_widths(files: list[ScoredFile], noisy_below_px: int) -> list[ScoredFile]:
    """Faces of 50 and 150 px by turns; what is said of faces below a width is noise."""
    rng = np.random.default_rng(5)
    made = []
    for number, file in enumerate(files):
        width_px = 50 if number // 2 % 2 else 150
        noise = {name: rng.normal(0, 3) for name in file.logits}
        made.append(
            replace(file, logits=noise if width_px < noisy_below_px else file.logits, face_width_px=width_px)
        )
    return made


def test_detectors_that_fail_on_small_faces_are_believed_less_there() -> None:
    files = of_widths(files_of(mixed), noisy_below_px=100)
    assert constants_of(files).full_width_px > 50
    blind = [replace(file, face_width_px=0) for file in files]
    labels = np.array([file.label for file in files])
    assert auc(labels, fit(files).probabilities) > auc(labels, fit(blind).probabilities)


def test_detectors_that_hold_on_small_faces_count_in_full_there() -> None:
    assert constants_of(of_widths(files_of(mixed), noisy_below_px=0)).full_width_px == 0


def as_photos(files: list[ScoredFile]) -> list[ScoredFile]:
    """The same people's photos: a frame of each file, on which every detector errs more."""
    rng = np.random.default_rng(6)
    frame = ((0.0, 0.0, 0.5),)
    return [
        replace(
            file,
            file=f"{file.file}.jpg",
            logits={name: value + rng.normal(0, 2.5) for name, value in file.logits.items()},
            clips=dict.fromkeys(file.logits, frame),
        )
        for file in files
    ]


def test_single_frames_are_believed_less_and_change_nothing_for_videos() -> None:
    videos = files_of(mixed)
    photos = as_photos(videos)
    alone, both = constants_of(videos), constants_of([*videos, *photos])
    assert both.still_share < 1
    assert replace(both, still_share=1.0) == alone
    assert constants_of(photos).still_share == 1, "nothing to compare them with"


def test_the_rate_of_false_alarms_holds_for_photos_and_for_videos() -> None:
    videos = files_of(mixed)
    fitted = fit([*videos, *as_photos(videos)])
    for part in apart(fitted):
        real = np.array([file.label == 0 for file in part.files])
        assert len(part.files) == len(videos)
        assert (part.probabilities[real] >= fitted.calibration.threshold_fake).mean() <= FALSE_POSITIVE_RATE
    figures = fusion_figures(fitted)
    assert figures["real"] == figures["photo_real"] == len(videos) / 2
    assert figures["auc"] > figures["photo_auc"]


def test_a_bystanders_width_counts_for_the_bystander() -> None:
    calibration = Calibration(
        {"good": DetectorCalibration(1.0, 0.0, 1.0)}, 0.0, 0.5, 0.5, full_width_px=100.0
    )
    suspicious = ScoredFile("a.mp4", 0, "p", "made", "", "scanned", None, {"good": 0.0}, ({"good": 6.0},))
    near = file_probability(replace(suspicious, face_width_px=200, others_width_px=(200,)), calibration)
    far = file_probability(replace(suspicious, face_width_px=200, others_width_px=(40,)), calibration)
    assert file_probability(suspicious, calibration) == near > far


def test_the_ensemble_is_better_than_its_best_and_honest(fitted: Fit) -> None:
    labels = np.array([file.label for file in fitted.files])
    best = auc(labels, np.array([file.logits["good"] for file in fitted.files]))
    assert auc(labels, fitted.probabilities) > best - 0.01
    assert expected_calibration_error(labels, fitted.probabilities) < 0.15


def test_nobody_is_judged_by_constants_fitted_on_them(monkeypatch: pytest.MonkeyPatch) -> None:
    files = files_of(mixed)
    identity_of = {file.logits["good"]: file.identity for file in files}
    fitted_on: dict[int, set[str]] = {}
    judged: list[tuple[str, set[str]]] = []
    constants: list[Calibration] = []  # kept alive, so that no id is used twice

    def fake_constants(some: list[ScoredFile]) -> Calibration:
        made = Calibration({}, 0.0, 0.5, 0.5)
        constants.append(made)
        fitted_on[id(made)] = {file.identity for file in some}
        return made

    def fake_probability(file: ScoredFile, calibration: Calibration) -> float:
        judged.append((identity_of[file.logits["good"]], fitted_on[id(calibration)]))
        return 0.5

    monkeypatch.setattr(calibration, "constants_of", fake_constants)
    monkeypatch.setattr(calibration, "file_probability", fake_probability)
    fit(files)
    assert len(judged) == len(files)
    assert all(identity not in others and len(others) == 12 for identity, others in judged)
    assert fitted_on[id(constants[-1])] == set(identity_of.values()), "what ships is fitted on all"


def test_folds_keep_identities_together() -> None:
    files = files_of(mixed, identities=7)
    folds = fold_of(files)
    assert set(folds.tolist()) == {0, 1, 2, 3, 4}
    for identity in {file.identity for file in files}:
        assert len({f for f, file in zip(folds, files, strict=True) if file.identity == identity}) == 1


@pytest.mark.parametrize("seed", range(12))
def test_thresholds_obey_their_rates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 150)
    spread = rng.uniform(0.5, 4)
    p = 1 / (1 + np.exp(-(spread * (2 * labels - 1) + rng.normal(0, 1.5, 150))))
    p = np.clip(p, 0.0, 0.97)
    fake, real = thresholds(labels, p)
    assert 0 <= real <= 0.5 <= fake <= 0.99
    assert (p[labels == 0] >= fake).mean() <= FALSE_POSITIVE_RATE
    assert (p[labels == 1] < real).mean() <= MISSED_RATE


def test_a_detector_without_any_score_in_one_class_or_fold_does_not_stop_the_fit() -> None:
    def logits(label: int, rng: np.random.Generator) -> dict[str, float]:
        return {"good": 2 * (2 * label - 1) + rng.normal(), **({"reals only": 1.0} if not label else {})}

    files = files_of(logits)
    files[0].logits["once"] = 3.0
    found = fit(files)
    detectors = found.calibration.detectors
    assert detectors["reals only"].weight == detectors["once"].weight == 0
    assert detectors["good"].weight > 0
    assert np.isfinite(found.probabilities).all()


def test_files_without_scores_are_left_out() -> None:
    files = files_of(mixed)
    bare = ScoredFile("none.mp4", 1, "p0", "made", "", "no_face", None, {})
    assert len(fit([bare, *files]).files) == len(files)


@pytest.mark.parametrize("which", ["reals only", "nothing", "one identity"])
def test_too_little_to_calibrate_on_is_an_error(which: str) -> None:
    files = files_of(mixed)
    some: dict[str, Any] = {
        "reals only": [file for file in files if file.label == 0],
        "nothing": [],
        "one identity": files[:6],
    }
    with pytest.raises(UsageError, match="real files and forged files of several identities"):
        fit(some[which])


def test_without_a_detector_that_counts_the_answer_is_undecided() -> None:
    calibration = constants_of(files_of(mixed))
    assert fused_probability({"useless": 6.0}, calibration) == 0.5
    assert fused_probability({"unheard of": 6.0}, calibration) == 0.5
    assert fused_probability({"good": 6.0}, calibration) > 0.8


def test_better_than_chance_needs_identities_not_files() -> None:
    files = files_of(mixed)
    assert better_than_chance("good", files)
    assert not better_than_chance("useless", files)
    assert not better_than_chance("never ran", files)


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.1])
def test_thresholds_keep_the_rate_that_was_stated(rate: float) -> None:
    fitted = fit(files_of(mixed, identities=40), false_positives=rate)
    labels = np.array([file.label for file in fitted.files])
    flagged = fitted.probabilities[labels == 0] >= fitted.calibration.threshold_fake
    assert flagged.mean() <= rate


def test_a_stricter_rate_means_a_higher_threshold() -> None:
    files = files_of(mixed, identities=40)
    strict, loose = (fit(files, rate).calibration.threshold_fake for rate in (0.01, 0.2))
    assert strict > loose


@pytest.mark.parametrize("missing", ["good", "fair", "rare"])
def test_the_ensemble_holds_without_any_one_detector(missing: str, broad: Calibration) -> None:
    """Photos and short tracks lack the clip detectors; the thresholds are the same for them."""
    unseen = files_of(mixed, identities=200, seed=1)
    for file in unseen:
        file.logits.pop(missing, None)
    labels = np.array([file.label for file in unseen])
    p = np.array([file_probability(file, broad) for file in unseen])
    best = max(
        auc(
            np.array([f.label for f in unseen if name in f.logits]),
            np.array([f.logits[name] for f in unseen if name in f.logits]),
        )
        for name in ("good", "fair")
        if name != missing
    )
    assert auc(labels, p) > best - 0.01
    assert expected_calibration_error(labels, p) < 0.1


def test_bystanders_do_not_make_false_alarms(broad: Calibration) -> None:
    """Real files with five more faces are flagged no more often than those with one."""
    rng = np.random.default_rng(3)
    alone = files_of(mixed, identities=300, seed=4)
    labels = np.array([file.label for file in alone])
    crowd = [replace(file, others=tuple(dict(mixed(0, rng)) for _ in range(5))) for file in alone]
    rates = [
        np.mean([file_probability(f, broad) >= broad.threshold_fake for f in files if not f.label])
        for files in (alone, crowd)
    ]
    assert rates[1] <= rates[0] + 0.01
    found = np.mean([file_probability(f, broad) >= 0.5 for f in crowd if f.label])
    assert found > 0.9 and (labels == 1).any(), "the one forged face among six is still suspected"


def test_calibration_is_honest_on_people_it_never_saw(broad: Calibration) -> None:
    unseen = files_of(mixed, identities=400, seed=9)
    labels = np.array([file.label for file in unseen])
    p = np.array([file_probability(file, broad) for file in unseen])
    assert expected_calibration_error(labels, p) < 0.05


def told(width_px: int, label: int, number: int, probability_gap: float) -> tuple[ScoredFile, float]:
    file = ScoredFile(
        f"{width_px}-{number}-{label}.mp4",
        label,
        f"p{number}",
        "s",
        "",
        "scanned",
        None,
        {"a": 0.0},
        face_width_px=width_px,
    )
    return file, 0.5 + probability_gap * (label - 0.5) + 0.001 * (number % 5)


def test_faces_narrower_than_anybody_can_tell_are_found() -> None:
    narrow = [told(40, label, n, -0.1) for n in range(12) for label in (0, 1)]
    wide = [told(56, label, n, 0.5) for n in range(12) for label in (0, 1)]
    files, probabilities = zip(*narrow, *wide, strict=True)
    assert least_width(files, np.array(probabilities)) == 48
    files, probabilities = zip(*wide, strict=True)
    assert least_width(files, np.array(probabilities)) == 0
    few, said = zip(*narrow[:8], strict=True)
    assert least_width(few, np.array(said)) == 0, "too few files say nothing"


def test_the_corpus_own_folds_are_kept_and_probabilities_are_out_of_fold() -> None:
    files = [replace(file, fold=n % 3) for n, file in enumerate(files_of(mixed))]
    assert fold_of(files).tolist() == [n % 3 for n in range(len(files))]
    assert fold_of([*files[1:], replace(files[0], fold=None)]).tolist() != [n % 3 for n in range(len(files))]
    fitted = fit(files)
    assert [file.probability for file in out_of_fold(fitted)] == fitted.probabilities.tolist()
