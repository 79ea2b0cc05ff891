"""Tracks of one person are judged together; different people stay apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deepscan.config import ScanConfig
from deepscan.detectors.spec import Score
from deepscan.ensemble import Calibration, DetectorCalibration, TrackVerdict, by_itself, fuse, weigh_tracks
from deepscan.faces.people import judged_together, mean_embedding, people
from deepscan.faces.tracker import FaceTrack
from deepscan.inference import loading
from deepscan.inference.session import Network
from deepscan.report.explanation import explain
from deepscan.scanner import Scanner
from deepscan.weights import Weights
from tests.fixtures import make
from tests.fixtures.doubles import write_weights
from tests.fixtures.sample import run
from tests.test_scanner import RATE, scene

Vector = NDArray[np.float32]
CALIBRATION = Calibration(
    {"gml": DetectorCalibration(1.0, 0.0, 0.7), "sola": DetectorCalibration(1.0, 0.0, 0.3)}, 0.0, 0.8, 0.2
)


def unit(*values: float) -> Vector:
    vector = np.array(values, np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def crowd(rng: np.random.Generator, identities: int, tracks: int) -> tuple[list[int], list[Vector]]:
    """Who each track shows, and its embedding: people far apart, views of one close together."""
    centres = np.linalg.qr(rng.normal(size=(16, 16)))[0][:identities]
    who = rng.integers(0, identities, tracks).tolist()
    return who, [unit(*(centres[one] + rng.normal(0, 0.03, 16))) for one in who]


def one_after_another(count: int) -> list[tuple[float, float]]:
    return [(float(2 * n), 2 * n + 1.5) for n in range(count)]


@pytest.mark.parametrize("seed", range(20))
def test_tracks_one_after_another_are_grouped_by_who_they_show(seed: int) -> None:
    rng = np.random.default_rng(seed)
    who, embeddings = crowd(rng, 4, 12)
    found = people(embeddings, one_after_another(12), 0.8)
    for i, j in combinations(range(12), 2):
        assert (found[i] == found[j]) == (who[i] == who[j])
    firsts = list(dict.fromkeys(found))
    assert firsts == list(range(1, len(firsts) + 1)), "numbered in order of their first tracks"


@pytest.mark.parametrize("seed", range(20))
def test_nobody_is_in_two_places_at_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    starts, lengths = rng.uniform(0, 10, 14), rng.uniform(0, 4, 14)
    spans = [(float(s), float(s + length)) for s, length in zip(starts, lengths, strict=True)]
    same = [unit(1.0, 0.0)] * 14
    found = people(same, spans, 0.8)
    for i, j in combinations(range(14), 2):
        if max(spans[i][0], spans[j][0]) <= min(spans[i][1], spans[j][1]):
            assert found[i] != found[j]
    groups = {number: [i for i, other in enumerate(found) if other == number] for number in found}
    for one, other in combinations(groups.values(), 2):
        clash = [max(spans[i][0], spans[j][0]) <= min(spans[i][1], spans[j][1]) for i in one for j in other]
        assert any(clash), "those who are alike stay apart for that reason only"


@pytest.mark.parametrize("seed", range(10))
def test_the_order_of_the_tracks_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    _, embeddings = crowd(rng, 3, 10)
    spans = one_after_another(10)
    found = people(embeddings, spans, 0.8)
    order = rng.permutation(10).tolist()
    shuffled = people([embeddings[i] for i in order], [spans[i] for i in order], 0.8)
    for a, b in combinations(range(10), 2):
        assert (shuffled[a] == shuffled[b]) == (found[order[a]] == found[order[b]])


def test_a_chain_of_likenesses_does_not_make_two_people_one() -> None:
    angles = np.deg2rad([0, 20, 40, 60, 80])
    embeddings = [unit(float(np.cos(a)), float(np.sin(a))) for a in angles]
    found = people(embeddings, one_after_another(5), float(np.cos(np.deg2rad(25))))
    assert found[0] != found[4]
    assert len(set(found)) == 3


def test_a_track_without_an_embedding_has_no_person() -> None:
    found = people([unit(1, 0), None, unit(1, 0.01)], one_after_another(3), 0.8)
    assert found == [1, None, 1]
    assert people([None, None], one_after_another(2), 0.8) == [None, None]
    assert people([], [], 0.8) == []


def test_faces_of_a_photo_are_different_people() -> None:
    assert people([unit(1, 0)] * 3, [(0.0, 0.0)] * 3, 0.8) == [1, 2, 3]


def test_the_mean_embedding_has_length_one_and_is_none_where_it_says_nothing() -> None:
    mean = mean_embedding([unit(1, 0), unit(0, 1)])
    assert mean is not None
    np.testing.assert_allclose(mean, unit(1, 1), atol=1e-6)
    assert mean_embedding([]) is None
    assert mean_embedding([unit(1, 0), unit(-1, 0)]) is None
    assert mean_embedding([np.full(2, np.nan, np.float32)]) is None


def track(number: int, start_s: float, width_px: float = 120.0) -> FaceTrack:
    times = np.array([start_s, start_s + 1])
    return FaceTrack(
        number,
        times,
        np.zeros((2, 4), np.float32),
        np.zeros((2, 5, 2), np.float32),
        np.ones(2, np.float32),
        np.full(2, width_px, np.float32),
    )


def verdict(number: int, *probabilities: float) -> TrackVerdict:
    scores = [Score(number, float(i), float(i), p) for i, p in enumerate(probabilities)]
    return fuse(number, {"gml": scores, "sola": scores[:1]}, {}, CALIBRATION)


def probabilities(verdicts: Sequence[TrackVerdict]) -> list[float | None]:
    return [one.probability for one in verdicts]


def test_a_person_in_four_tracks_is_not_held_down_as_one_of_four_faces() -> None:
    verdicts = [verdict(n, 0.95, 0.9) for n in (1, 2, 3)] + [verdict(4, 0.3)]
    tracks = [track(n, 3.0 * n) for n in (1, 2, 3, 4)]
    alone = judged_together(verdicts, tracks, [None] * 4, CALIBRATION)
    assert alone == verdicts
    together = judged_together(verdicts, tracks, [unit(1, 0)] * 4, CALIBRATION)
    pooled = by_itself([d for one in verdicts for d in one.detectors], CALIBRATION)
    assert pooled is not None and pooled > 0.8
    assert [one.person for one in together] == [1, 1, 1, 1]
    assert probabilities(weigh_tracks(together)) == [pytest.approx(pooled)] * 4
    assert [one.detectors for one in together] == [one.detectors for one in verdicts]


def test_a_forged_person_beside_others_counts_as_one_of_the_people() -> None:
    forged, genuine = [verdict(n, 0.99) for n in (1, 2, 3)], [verdict(4, 0.1), verdict(5, 0.1)]
    tracks = [track(n, 3.0 * n) for n in (1, 2, 3, 4, 5)]
    embeddings = [unit(1, 0, 0)] * 3 + [unit(0, 1, 0), unit(0, 0, 1)]
    said = weigh_tracks(judged_together(forged + genuine, tracks, embeddings, CALIBRATION))
    three = weigh_tracks([forged[0], *genuine])
    assert probabilities(said) == [pytest.approx(three[0].probability)] * 3 + probabilities(three[1:])
    assert [one.person for one in said] == [1, 1, 1, 2, 3]


@pytest.mark.parametrize("seed", range(10))
def test_without_links_everything_is_weighed_as_before(seed: int) -> None:
    rng = np.random.default_rng(seed)
    verdicts = [verdict(n, *rng.random(3).tolist()) for n in range(1, 7)]
    tracks = [track(n, 3.0 * n) for n in range(1, 7)]
    strangers = list(np.eye(6, dtype=np.float32))
    linked = judged_together(verdicts, tracks, strangers, CALIBRATION)
    assert probabilities(weigh_tracks(linked)) == probabilities(weigh_tracks(verdicts))


@pytest.mark.parametrize("seed", range(10))
def test_whoever_is_split_into_more_tracks_is_no_less_suspicious(seed: int) -> None:
    """The same clips in one track or in several give the same answer."""
    rng = np.random.default_rng(seed)
    clips = rng.random((4, 3)).tolist()
    other = verdict(9, 0.2, 0.4)
    scores = [Score(1, float(i), float(i), p) for i, p in enumerate(p for own in clips for p in own)]
    whole = fuse(1, {"gml": scores}, {}, CALIBRATION)
    parts = [
        fuse(n, {"gml": [Score(n, float(i), float(i), p) for i, p in enumerate(own)]}, {}, CALIBRATION)
        for n, own in enumerate(clips, start=1)
    ]
    tracks = [track(n, 3.0 * n) for n in (1, 2, 3, 4, 9)]
    embeddings = [unit(1, 0)] * 4 + [unit(0, 1)]
    split = weigh_tracks(judged_together([*parts, other], tracks, embeddings, CALIBRATION))
    expected = weigh_tracks([whole, other])
    assert probabilities(split) == pytest.approx(
        [expected[0].probability] * 4 + [expected[1].probability], abs=1e-9
    )


def test_a_track_that_nothing_could_score_stays_without_a_probability() -> None:
    unscored = TrackVerdict(2, None, ())
    tracks = [track(1, 0.0), track(2, 3.0)]
    said = judged_together([verdict(1, 0.9), unscored], tracks, [unit(1, 0)] * 2, CALIBRATION)
    assert said[1].probability is None and said[0].person == said[1].person == 1


class Telling:
    """A network that gives embeddings as well."""

    def __init__(self, network: Network, embed: Callable[[NDArray[np.uint8]], Vector]) -> None:
        self._network = network
        self._embed = embed
        self.outputs = (*network.outputs, "embedding")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def run(self, pixels: NDArray[np.uint8], names: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        found = self._network.run(pixels, [name for name in names if name != "embedding"])
        return {**found, "embedding": np.stack([self._embed(crop) for crop in pixels])}


def scanner(config: ScanConfig, embed: Callable[[NDArray[np.uint8]], Vector]) -> Scanner:
    def load(config: ScanConfig, weights: Weights) -> Mapping[str, Network]:
        loaded: dict[str, Any] = dict(loading.load(config, weights))
        loaded["sola"] = Telling(loaded["sola"], embed)
        return loaded

    return Scanner(config, load)


def test_a_scan_links_the_views_of_one_person_across_a_cut(tmp_path: Path) -> None:
    config = ScanConfig(
        weights=write_weights(tmp_path / "weights", middle=0.45), device="cpu", detectors=("sola",), threads=1
    )
    first = [scene(index, one=("bright", 40)) for index in range(20)]
    second = [255 - scene(0) for _ in range(20)]
    for index, picture in enumerate(second):
        head = scene(index, one=("bright", 400))
        picture[60:250, 400:560] = head[60:250, 400:560]
    path = make.write_clip(tmp_path / "cut.mp4", first + second, fps=RATE, codec="mpeg4", options={"b": "4M"})
    plain = Scanner(config).scan(path)
    assert [one.person for one in plain.tracks] == [None, None]
    alike = scanner(config, lambda crop: unit(1, 0)).scan(path)
    assert [one.person for one in alike.tracks] == [1, 1]
    assert len({one.probability for one in alike.tracks}) == 1
    assert "one of 2 views of the same person" in " ".join(explain(alike, run([alike])).reasons)

    def brightness_of_the_corner(crop: NDArray[np.uint8]) -> Vector:
        return unit(1, 0) if crop[:8, :8].mean() < 60 else unit(0, 1)

    apart = scanner(config, brightness_of_the_corner).scan(path)
    assert [one.person for one in apart.tracks] == [1, 2]
    assert [one.probability for one in apart.tracks] == [one.probability for one in plain.tracks]
