"""What is cached of a corpus, and who is kept out of training."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from deepscan.errors import UsageError
from deepscan.faces import FaceEngine
from deepscan.training.data import load_faces
from deepscan.training.mesh import FaceMesh
from deepscan.training.prepare import INDEX, Source, Split, load_index, prepare, read_corpus
from tests.training.conftest import VALIDATED, Prepared, write_corpus


def source(identity: str, source: str = "made") -> Source:
    return Source(Path("x.mp4"), "real", identity, source, "none", "")


def test_every_file_has_its_outcome(prepared: Prepared) -> None:
    said = dict(prepared.outcomes)
    assert "broken.mp4" in said.pop("broken.mp4")
    assert said == {
        "train.mp4": "2 samples",
        "val.mp4": "2 samples",
        "real/photo.png": "1 samples",
        "fake/photo.png": "1 samples",
        "nobody.mp4": "no face",
    }
    lines = [json.loads(line) for line in (prepared.cache / INDEX).read_text().splitlines()]
    assert len(lines) == 6


def test_samples_carry_label_identity_and_side(prepared: Prepared) -> None:
    told = {(s.identity, s.kind, s.label, s.split) for s in prepared.samples}
    assert told == {
        ("ann", "window", "real", "train"),
        ("ann", "even", "real", "train"),
        ("v-bob", "window", "real", "val"),
        ("v-bob", "even", "real", "val"),
        ("cid", "photo", "real", "train"),
        ("dora", "photo", "fake", "train"),
    }


def test_files_of_the_same_name_do_not_share_a_sample(prepared: Prepared) -> None:
    folders = [sample.folder for sample in prepared.samples]
    assert len(set(folders)) == len(folders)


@pytest.mark.parametrize(("kind", "count"), [("photo", 1), ("window", 16), ("even", 12)])
def test_box_points_and_mesh_lie_on_the_cached_pixels(
    kind: str, count: int, prepared: Prepared, engine: FaceEngine
) -> None:
    faces = load_faces(prepared.one(kind))
    size = faces.frames.shape[1]
    assert faces.frames.shape == (count, size, size, 3)
    assert size <= 448
    assert (faces.boxes.shape, faces.points.shape) == ((count, 4), (count, 5, 2))
    assert faces.mesh.shape == (count, 468, 2)
    width = float(faces.boxes[0, 2] - faces.boxes[0, 0])
    long_side = float((faces.boxes[:, 2:] - faces.boxes[:, :2]).max())
    assert size >= 2.7 * long_side, "the widest crop of any detector fits"
    eyes = np.stack([faces.mesh[:, [33, 133]].mean(1), faces.mesh[:, [263, 362]].mean(1)], 1)
    assert np.linalg.norm(eyes - faces.points[:, :2], axis=-1).max() < 0.1 * width
    for number in (0, count - 1):
        seen = engine.detect(np.ascontiguousarray(faces.frames[number]))[0]
        assert np.abs(seen.box - faces.boxes[number]).max() < 0.1 * width
        assert np.linalg.norm(seen.points - faces.points[number], axis=-1).max() < 0.08 * width


def test_even_frames_are_all_different(prepared: Prepared) -> None:
    frames = load_faces(prepared.one("even")).frames
    assert all(not np.array_equal(one, other) for one, other in itertools.pairwise(frames))


def test_a_second_run_has_nothing_to_do(prepared: Prepared, engine: FaceEngine, mesh: FaceMesh) -> None:
    before = (prepared.cache / INDEX).read_bytes()
    assert list(prepare([prepared.corpus], prepared.cache, VALIDATED, engine, mesh)) == []
    assert (prepared.cache / INDEX).read_bytes() == before


def test_a_stopped_run_goes_on_with_the_files_that_are_left(
    prepared: Prepared, tmp_path: Path, engine: FaceEngine, mesh: FaceMesh
) -> None:
    root = prepared.corpus.parent
    rows = [("real/photo.png", "real", "cid"), ("fake/photo.png", "fake", "dora")]
    corpus = write_corpus(root / "photos.csv", rows)
    started = prepare([corpus], tmp_path, Split(), engine, mesh)
    first, _ = next(started)
    started.close()
    rest = [row.file for row, _ in prepare([corpus], tmp_path, Split(), engine, mesh)]
    assert [first.file, *rest] == [root / "real/photo.png", root / "fake/photo.png"]
    assert len(load_index(tmp_path)) == 2


def test_a_cache_that_was_never_filled_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no prepared faces"):
        load_index(tmp_path)


def test_an_identity_on_both_sides_is_an_error(prepared: Prepared, tmp_path: Path) -> None:
    text = (prepared.cache / INDEX).read_text(encoding="utf-8")
    (tmp_path / INDEX).write_text(text.replace('"cid"', '"v-bob"'), encoding="utf-8")
    with pytest.raises(UsageError, match="'v-bob' stands in both train and val"):
        load_index(tmp_path)


@pytest.mark.parametrize(
    ("patterns", "side"),
    [
        ((), "train"),
        (("ann",), "val"),
        (("an*",), "val"),
        (("ANN",), "train"),
        (("bob", "made"), "val"),
        (("lab/*",), "train"),
    ],
)
def test_patterns_name_identities_or_sources(patterns: tuple[str, ...], side: str) -> None:
    assert Split(patterns).of(source("ann")) == side


def test_a_share_of_the_identities_is_drawn_by_name() -> None:
    split = Split(share=0.3)
    sides = [split.of(source(f"person {number}")) for number in range(400)]
    assert 0.2 < sides.count("val") / 400 < 0.4
    assert all(split.of(source("ann", origin)) == split.of(source("ann")) for origin in ("a", "b"))


def corpus(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "clips.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_only_file_and_label_are_needed(tmp_path: Path) -> None:
    (row,) = read_corpus(corpus(tmp_path, "file,label\na/b.mp4,fake\n"))
    assert row == Source(tmp_path / "a/b.mp4", "fake", "a/b.mp4", "clips", "", "")
    (row,) = read_corpus(corpus(tmp_path, "file,label,identity,tool\nb.mp4,real,ann,blender\n"))
    assert (row.identity, row.kind) == ("ann", "blender")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "lists no media"),
        ("file,label\n", "lists no media"),
        ("path,label\na.mp4,real\n", "has no column file"),
        ("a,b\n1,2\n", "has no column file, label"),
        ("file,label\na.mp4,real\nb.mp4,Fake\n", "label 'Fake' is neither 'real' nor 'fake'"),
    ],
)
def test_a_corpus_that_cannot_be_used_is_an_error(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_corpus(corpus(tmp_path, text))


def test_no_mesh_is_found_where_no_face_is(mesh: FaceMesh) -> None:
    box, points = np.array([50, 50, 150, 150], np.float32), np.full((5, 2), 100, np.float32)
    points[1, 0] = 120
    assert mesh.find(np.zeros((200, 200, 3), np.uint8), box, points) is None
