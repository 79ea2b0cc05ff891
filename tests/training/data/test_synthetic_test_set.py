"""Validation videos become labelled clips: untouched, and forged."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from deepscan.errors import UsageError
from deepscan.faces.mesh import FaceMesh
from deepscan.faces.tracker import FaceEngine
from deepscan.training.data import synthetic_test_set
from deepscan.training.data.corpora import Source, read_corpus
from deepscan.training.data.prepare import Split
from deepscan.training.data.synthetic_test_set import CORPUS, synthesize_test_set
from deepscan.training.synthesis.generators import GENERATORS, Generator
from deepscan.training.synthesis.video import WHOLE
from tests.fixtures import make
from tests.training.conftest import VALIDATED, write_corpus

pytestmark = pytest.mark.slow

Frames = NDArray[np.uint8]
SEED = 11
MANIPULATIONS = (
    ("self-blend", "self-blend", "reenactment", "regeneration"),
    ("resynthesis", "self-blend", "swap", "animation"),
)
"""Of the first and the fourth video, three seams and a portrait: the first has nobody to swap with."""
CONDITIONS = (
    ("crf 23", "crf 40", "half size crf 23", "crf 23"),
    ("crf 23", "crf 40", "half size crf 23", "crf 23"),
)


def versions(number: int) -> list[tuple[str, str]]:
    """Label and kind of every version of one of the two videos."""
    rows = []
    for manipulation, condition in zip(MANIPULATIONS[number], CONDITIONS[number], strict=True):
        original = "portrait" if manipulation in WHOLE else "original"
        rows += [("real", f"{original} {condition}"), ("fake", f"{manipulation} {condition}")]
    return [*rows, ("real", "as it came")]


class Synthesized(NamedTuple):
    """What was written, and what was said of each video."""

    out: Path
    said: list[tuple[str, str]]
    rows: list[Source]

    def of(self, identity: str) -> list[Source]:
        return [row for row in self.rows if row.identity == identity]


@pytest.fixture(scope="module")
def synthesized(tmp_path_factory: pytest.TempPathFactory, engine: FaceEngine, mesh: FaceMesh) -> Synthesized:
    """Two videos of one name, one person trained on, a forgery, and two files without a face to forge."""
    root = tmp_path_factory.mktemp("synthetic")
    for folder in ("one", "two"):
        (root / folder).mkdir()
        make.portrait_clip(root / folder / "clip.mp4", 0.2)
    make.faceless_clip(root / "nobody.mp4", 0.2)
    (root / "broken.mp4").write_bytes(b"not a video")
    listed = [
        ("one/clip.mp4", "real", "v-ann"),
        ("broken.mp4", "real", "v-bob"),
        ("never-read.mp4", "real", "cid"),
        ("nobody.mp4", "real", "v-dora"),
        ("never-read-either.mp4", "fake", "v-eve"),
        ("two/clip.mp4", "real", "v-fred"),
    ]
    corpus, out = write_corpus(root / "videos.csv", listed), root / "out"
    generators = [Generator(GENERATORS[0]).eval()]
    run = synthesize_test_set([corpus], out, VALIDATED, engine, mesh, seed=SEED, generators=generators)
    said = [(row.identity, text) for row, text in run]
    return Synthesized(out, said, read_corpus(out / CORPUS))


def decoded(path: Path) -> Frames:
    with av.open(str(path)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def test_only_real_videos_of_people_kept_out_of_training_are_used(synthesized: Synthesized) -> None:
    assert [identity for identity, _ in synthesized.said] == ["v-ann", "v-bob", "v-dora", "v-fred"]
    assert {row.identity for row in synthesized.rows} == {"v-ann", "v-fred"}


def test_nobody_to_synthesize_from_is_an_error_that_says_what_to_do(
    tmp_path: Path, engine: FaceEngine, mesh: FaceMesh
) -> None:
    listed = [("a.mp4", "real", "ann"), ("b.mp4", "real", "bob"), ("c.mp4", "fake", "v-cid")]
    corpus, out = write_corpus(tmp_path / "videos.csv", listed), tmp_path / "out"
    with pytest.raises(UsageError, match=r"none of the 3 files.*--validate-share"):
        next(synthesize_test_set([corpus], out, VALIDATED, engine, mesh, seed=SEED))
    assert not out.exists()
    drawn = synthesize_test_set([corpus], out, Split(share=1.0), engine, mesh, seed=SEED)
    assert next(drawn)[0].identity in ("ann", "bob")


def test_every_video_is_listed_as_a_pair_at_each_compression_and_as_it_came(synthesized: Synthesized) -> None:
    for number, identity in enumerate(("v-ann", "v-fred")):
        rows = synthesized.of(identity)
        assert [(row.label, row.kind) for row in rows] == versions(number)
        assert {(row.source, row.licence) for row in rows} == {("made", "none")}, "as in the corpus read"


def test_every_clip_has_a_file_of_its_own_of_its_pairs_length_and_size(synthesized: Synthesized) -> None:
    files = [row.file for row in synthesized.rows if row.kind != "as it came"]
    assert len(set(files)) == 16
    assert set(files) == set(synthesized.out.glob("*.mp4"))
    shapes = [decoded(file).shape for file in files]
    assert shapes[::2] == shapes[1::2], "a pair is written alike"
    for video in (shapes[:8], shapes[8:]):
        assert video[0] == video[2] == (5, 256, 256, 3)
        assert video[4] == (5, 128, 128, 3)
        assert video[6][1] < 256, "a portrait is cut around the face"
    for video in (files[:8], files[8:]):
        for weak, strong in zip(video[:2], video[2:4], strict=True):
            assert strong.stat().st_size < 0.6 * weak.stat().st_size


def test_a_file_that_cannot_be_forged_is_told_and_the_rest_goes_on(synthesized: Synthesized) -> None:
    said = dict(synthesized.said)
    assert said["v-ann"] == said["v-fred"] == "8 clips"
    assert "broken.mp4" in said["v-bob"]
    assert "nobody.mp4: no face was found in 3 seconds from 0 s on" in said["v-dora"]


def test_a_forgery_alters_the_face_and_hardly_anything_else(
    synthesized: Synthesized, engine: FaceEngine
) -> None:
    original, mild, other, strong = (decoded(row.file).astype(int) for row in synthesized.of("v-ann")[:4])
    x0, y0, x1, y1 = engine.detect(original[0].astype(np.uint8))[0].box.round().astype(int)
    margin = (x1 - x0) // 3  # the head sways, and blends are soft
    face, around = np.zeros((256, 256), bool), np.ones((256, 256), bool)
    face[y0:y1, x0:x1] = True
    around[max(0, y0 - margin) : y1 + margin, max(0, x0 - margin) : x1 + margin] = False
    for fake, real, noise in ((mild, original, 1), (strong, other, 3)):
        change = np.abs(fake - real).mean((0, 3))
        assert change[around].mean() < noise, "no more than the encoder's"
        assert change[face].mean() > 3 * change[around].mean()
    assert np.abs(mild - strong).mean((0, 3))[face].mean() > 2, "two forgeries, not one twice"


@pytest.fixture
def unwritten(monkeypatch: pytest.MonkeyPatch) -> dict[str, Frames]:
    """Takes the pictures before x264, which is not exact to the bit."""
    pictures: dict[str, Frames] = {}

    def keep(path: Path, frames: Frames, rate: Fraction, crf: int) -> None:
        assert rate == 25 and f"crf-{crf}" in path.name
        pictures[path.name] = frames

    monkeypatch.setattr(synthetic_test_set, "write_video", keep)
    return pictures


def test_a_seed_gives_the_same_clips_again_and_another_gives_others(
    unwritten: dict[str, Frames], tmp_path: Path, engine: FaceEngine, mesh: FaceMesh
) -> None:
    make.portrait_clip(tmp_path / "clip.mp4", 0.2)
    corpus = write_corpus(tmp_path / "videos.csv", [("clip.mp4", "real", "v-ann")])

    def run(seed: int) -> tuple[dict[str, Frames], Sequence[str]]:
        unwritten.clear()
        out = tmp_path / str(seed)
        for _ in synthesize_test_set([corpus], out, VALIDATED, engine, mesh, seed=seed):
            pass
        return dict(unwritten), (out / CORPUS).read_text(encoding="utf-8").splitlines()

    (first, listed), (again, relisted), (other, _) = run(SEED), run(SEED), run(SEED + 7)
    assert listed == relisted and list(first) == list(again) == list(other)
    assert len(first) == 8
    for name, frames in first.items():
        np.testing.assert_array_equal(frames, again[name])
    assert not all(np.array_equal(frames, other[name]) for name, frames in first.items())


def test_a_long_video_gives_several_segments(
    unwritten: dict[str, Frames],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    engine: FaceEngine,
    mesh: FaceMesh,
) -> None:
    monkeypatch.setattr(synthetic_test_set, "SECONDS", 0.2)
    make.portrait_clip(tmp_path / "clip.mp4", 0.6)
    corpus = write_corpus(tmp_path / "videos.csv", [("clip.mp4", "real", "v-ann")])
    said = list(synthesize_test_set([corpus], tmp_path, VALIDATED, engine, mesh, seed=SEED, count=2))
    assert [text for _, text in said] == ["8 clips", "8 clips"]
    rows = read_corpus(tmp_path / CORPUS)
    assert sum(row.kind == "as it came" for row in rows) == 1, "the video itself is there once"
    assert len({row.file for row in rows}) == len(rows) == 17
    assert len(unwritten) == 16
