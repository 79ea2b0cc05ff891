"""What is cached of a corpus, and who is kept out of training."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepscan.errors import UsageError
from deepscan.faces.mesh import FaceMesh
from deepscan.faces.tracker import FaceEngine
from deepscan.training.data.corpora import Source
from deepscan.training.data.prepare import INDEX, MASKS, Split, fill, load_index, need_space, prepare
from deepscan.training.data.views import load_faces
from tests.fixtures import make
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


def test_a_larger_canvas_keeps_more_of_a_large_face(
    prepared: Prepared, tmp_path: Path, engine: FaceEngine, mesh: FaceMesh
) -> None:
    image = Image.open(prepared.corpus.parent / "real/photo.png").convert("RGB")
    wide = image.resize((3 * image.width, 3 * image.height), Image.Resampling.BICUBIC)
    wide.save(tmp_path / "wide.png")
    sizes = {}
    for canvas_px in (448, 640):
        cache = tmp_path / str(canvas_px)
        rows = [replace(source("eve"), file=tmp_path / "wide.png")]
        list(fill(rows, cache, Split(), engine, mesh, canvas_px=canvas_px))
        (sample,) = load_index(cache)
        faces = load_faces(cache / sample.folder)
        sizes[canvas_px] = (faces.frames.shape[1], float(faces.boxes[0, 2] - faces.boxes[0, 0]))
    assert sizes[448][0] == 448 and sizes[640][0] == 640
    assert sizes[640][1] == pytest.approx(sizes[448][1] * 640 / 448, rel=0.02)


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


def test_official_sides_stand_and_swaps_are_drawn_together() -> None:
    split = Split(share=0.5)
    assert split.of(replace(source("ann"), split="test")) == "test"
    assert split.of(replace(source("ann"), split="unused")) == "unused"
    assert Split(("ann",)).of(replace(source("ann"), split="train")) == "val", "what the user says goes first"
    people = [replace(source(f"person {n}"), group=f"pair {n // 2}") for n in range(100)]
    sides = [split.of(row) for row in people]
    assert sides[::2] == sides[1::2] and {"train", "val"} == set(sides)


def rows_of(tmp_path: Path, *rows: Source) -> list[Source]:
    return [replace(row, file=tmp_path / f"{number}.png") for number, row in enumerate(rows)]


def test_somebody_on_two_sides_is_refused_before_anything_is_read(
    tmp_path: Path, engine: FaceEngine, mesh: FaceMesh
) -> None:
    one, other = replace(source("ann"), split="train"), replace(source("ann"), split="test")
    with pytest.raises(UsageError, match="'ann' stands in both train and test"):
        list(fill(rows_of(tmp_path, one, other), tmp_path / "cache", Split(), engine, mesh))
    swap = replace(source("bob"), split="test", group="pair", label="fake")
    with pytest.raises(UsageError, match="'pair' stands in both train and test"):
        list(
            fill(
                rows_of(tmp_path, replace(one, group="pair"), swap), tmp_path / "cache", Split(), engine, mesh
            )
        )
    assert not (tmp_path / "cache").exists()


def test_a_class_without_reals_and_a_full_disk_are_refused(
    tmp_path: Path, engine: FaceEngine, mesh: FaceMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes = rows_of(tmp_path, replace(source("ann"), label="fake"))
    with pytest.raises(UsageError, match="the class 'real' is empty"):
        list(fill(fakes, tmp_path / "cache", Split(), engine, mesh))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    with pytest.raises(UsageError, match="GB are free; choose another --cache"):
        list(fill(rows_of(tmp_path, source("ann")), tmp_path / "cache", Split(), engine, mesh))


def test_room_is_reckoned_for_the_frames_that_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve frames of a video are kept of single frames, ninety-two else; of a photo one."""
    usage = shutil.disk_usage(tmp_path)
    clip = replace(source("ann"), file=Path("clip.mp4"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=12 * 640**2 * 3))
    need_space(tmp_path, [clip], 640, single_frames=True)
    with pytest.raises(UsageError, match=r"may need 0\.1 GB"):
        need_space(tmp_path, [clip], 640)
    with pytest.raises(UsageError, match="2 files"):
        need_space(tmp_path, [clip, replace(clip, file=Path("photo.jpg"))], 640, single_frames=True)


def test_unused_files_are_told_and_not_cached(
    prepared: Prepared, tmp_path: Path, engine: FaceEngine, mesh: FaceMesh
) -> None:
    photo = prepared.corpus.parent / "real" / "photo.png"
    rows = [
        replace(source("ann"), file=photo, split="unused"),
        replace(source("bob"), file=photo.parents[1] / "fake" / "photo.png", split="test"),
    ]
    said = [outcome for _, outcome in fill(rows, tmp_path, Split(), engine, mesh)]
    assert said[0].startswith("left out") and said[1] == "1 samples"
    (sample,) = load_index(tmp_path)
    assert (sample.identity, sample.split) == ("bob", "test")


def test_masks_of_a_corpus_are_cut_with_the_faces(tmp_path: Path, engine: FaceEngine, mesh: FaceMesh) -> None:
    """The mask video is white in the left half of the picture."""
    video = make.portrait_clip(tmp_path / "fake.mp4", 1.0)
    half = np.zeros((256, 256, 3), np.uint8)
    half[:, :128] = 255
    mask = make.write_clip(tmp_path / "mask.mp4", [half] * 25)
    short = make.write_clip(tmp_path / "short.mp4", [half] * 4)
    rows = [
        replace(source("ann"), file=video, label="fake", mask=mask),
        replace(source("bob"), file=make.portrait_clip(tmp_path / "real.mp4", 1.0)),
        replace(source("cid"), file=make.portrait_clip(tmp_path / "odd.mp4", 1.0), label="fake", mask=short),
    ]
    list(fill(rows, tmp_path / "cache", Split(), engine, mesh))
    samples = load_index(tmp_path / "cache")
    assert {(s.identity, s.masked) for s in samples} == {("ann", True), ("bob", False), ("cid", False)}
    for sample in (s for s in samples if s.masked):
        folder = tmp_path / "cache" / sample.folder
        masks, faces = np.load(folder / MASKS), load_faces(folder)
        assert masks.shape == faces.frames.shape[:3] and set(np.unique(masks)) == {0, 255}
        columns = (masks > 0).mean((0, 1))
        edge = int(np.flatnonzero(columns > 0.5)[-1])  # left of the picture the square is black
        assert columns[edge - 4] > 0.8 and columns[edge + 4] < 0.2, "one straight edge"
        x = faces.boxes[:, [0, 2]].mean()
        assert 0.2 * masks.shape[2] < edge < 0.8 * masks.shape[2] and x > 0


def test_no_mesh_is_found_where_no_face_is(mesh: FaceMesh) -> None:
    box, points = np.array([50, 50, 150, 150], np.float32), np.full((5, 2), 100, np.float32)
    points[1, 0] = 120
    assert mesh.find(np.zeros((200, 200, 3), np.uint8), box, points) is None
