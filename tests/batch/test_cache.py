"""Results that are kept between runs: found again by content, never for other settings, safe to share."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deepscan import batch
from deepscan.batch.cache import fingerprint
from deepscan.config import ScanConfig
from deepscan.detectors import SPECS
from deepscan.errors import UsageError
from deepscan.media import Coverage
from deepscan.scanner import FileReport, Scanner
from tests.fixtures.doubles import write_weights
from tests.fixtures.pictures import with_pictures
from tests.fixtures.sample import failed, run, scanned
from tests.fixtures.scanners import Counting

CONTENT = "a" * 64


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def config(weights: Path) -> ScanConfig:
    return ScanConfig(weights=weights, threads=1)


@pytest.fixture
def store(config: ScanConfig, tmp_path: Path) -> batch.ResultStore:
    return batch.open_store(run(config=config), tmp_path / "cache")


def test_a_result_comes_back_as_it_was_under_the_name_that_asks(store: batch.ResultStore) -> None:
    report = scanned("/first/a.mp4", sha256=CONTENT)
    store.put(Path("/first/a.mp4"), CONTENT, report)
    known = store.get(Path("b.MP4"), CONTENT)
    assert known is not None
    assert known.taken_over
    assert known == replace(report, path="b.MP4")
    assert known.seconds == report.seconds
    for one, other in zip(known.tracks, report.tracks, strict=True):
        assert one.thumbnail is not None
        assert one.thumbnail.dtype == np.uint8
        assert np.array_equal(one.thumbnail, other.thumbnail)
    assert store.get(Path("a.mkv"), CONTENT) is None
    assert store.get(Path("a.mp4"), "b" * 64) is None


def test_pictures_of_evidence_come_back(store: batch.ResultStore) -> None:
    report = with_pictures(scanned(sha256=CONTENT))
    store.put(Path("a.mp4"), CONTENT, report)
    known = store.get(Path("a.mp4"), CONTENT)
    assert known is not None
    before, after = report.tracks[0].evidence, known.tracks[0].evidence
    assert before is not None
    assert after is not None
    assert [moment.detector for moment in after.moments] == list(SPECS)
    for one, other in zip(before.moments, after.moments, strict=True):
        assert (one.score, one.time_s) == (other.score, other.time_s)
        assert np.array_equal(one.picture, other.picture)
        assert [heat.view for heat in one.heats] == [heat.view for heat in other.heats]
        assert all(np.array_equal(a.values, b.values) for a, b in zip(one.heats, other.heats, strict=True))
    assert len(after.activations) == len(before.activations) > 0


def test_a_real_scan_comes_back_to_the_last_bit(
    store: batch.ResultStore, config: ScanConfig, two_faces: Path
) -> None:
    report = replace(Scanner(config).scan(two_faces), sha256=CONTENT)
    assert len(report.tracks) == 2
    store.put(two_faces, CONTENT, report)
    assert store.get(two_faces, CONTENT) == report


def test_what_cannot_be_kept_is_not_kept(store: batch.ResultStore) -> None:
    odd = scanned(coverage=Coverage(10.0, 10.0, 96, 0, ["caf\udce9"]))
    store.put(Path("a.mp4"), CONTENT, odd)
    assert store.get(Path("a.mp4"), CONTENT) is None


def test_failures_are_tried_again(store: batch.ResultStore) -> None:
    for status in ("unreadable", "unsupported", "timeout", "crashed"):
        store.put(Path("a.mp4"), CONTENT, failed("a.mp4", status))
        assert store.get(Path("a.mp4"), CONTENT) is None


def test_every_setting_that_changes_results_is_part_of_the_key(
    config: ScanConfig, tmp_path: Path, weights: Path
) -> None:
    (tmp_path / "one.onnx").write_bytes(b"1")
    (tmp_path / "two.onnx").write_bytes(b"2")
    others: list[dict[str, Any]] = [
        {"detectors": ("gml",)},
        {"decoder": "nvdec"},
        {"threshold": 0.5},
        {"max_faces": 2},
        {"min_face_px": 20},
        {"thorough": True},
        {"fast": True},
        {"pixel_budget": 5},
        {"evidence": True},
        {"face_model": tmp_path / "one.onnx"},
        {"face_model": tmp_path / "two.onnx"},
        {"trust_anchors": tmp_path / "one.onnx"},
        {"trust_anchors": tmp_path / "two.onnx"},
        {"weights": write_weights(tmp_path / "w", middle=0.4)},
    ]
    others += [{"precision": "fp32"}, {"precision": "fp32", "device": "cuda"}]
    config = replace(config, device="cpu", precision="int8")
    keys = [fingerprint(config), *(fingerprint(replace(config, **changes)) for changes in others)]
    assert len(set(keys)) == len(keys)
    same: list[dict[str, Any]] = [
        {"jobs": 7},
        {"threads": 3},
        {"fail_on": "uncertain"},
        {"timeout": 5},
        {"max_memory": 5},
        {"max_size": 5},
        {"exclude": ("*.gif",)},
        {"cache": tmp_path / "c"},
        {"baseline": tmp_path / "b"},
    ]
    for changes in same:
        assert fingerprint(replace(config, **changes)) == keys[0]
    changed = {name for changes in (*others, *same) for name in changes}
    assert changed == {field.name for field in fields(ScanConfig)}, "a setting is not tried here"
    shutil.copytree(weights, tmp_path / "copy")
    assert fingerprint(replace(config, weights=tmp_path / "copy")) == keys[0]
    with pytest.raises(UsageError, match="none: this face model cannot be read"):
        fingerprint(replace(config, face_model=tmp_path / "none"))


def test_what_is_no_result_counts_as_unknown(store: batch.ResultStore, tmp_path: Path) -> None:
    store.put(Path("a.mp4"), CONTENT, scanned())
    for broken in (b"", b"{}", b'{"path": 3}', b"\x80\x04K\x01.", b"null"):
        with sqlite3.connect(tmp_path / "cache") as database:
            database.execute("UPDATE results SET report = ?", (broken,))
        database.close()
        assert store.get(Path("a.mp4"), CONTENT) is None
    (tmp_path / "cache").write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 10)
    assert store.get(Path("a.mp4"), CONTENT) is None
    store.put(Path("a.mp4"), CONTENT, scanned())  # must not raise


def test_another_kind_of_file_is_refused_and_left_alone(tmp_path: Path, config: ScanConfig) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, and long enough to be told from an empty one" * 10)
    with pytest.raises(UsageError, match=r"notes\.txt: this is no file for results"):
        batch.open_store(run(config=config), text)
    assert text.read_text().startswith("not a database")
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("CREATE TABLE results (key TEXT, report TEXT)")
    database.close()
    with pytest.raises(UsageError, match=r"other\.db: this database is not deepscan's"):
        batch.open_store(run(config=config), tmp_path / "other.db")
    with pytest.raises(UsageError, match="cannot be written"):
        batch.open_store(run(config=config), tmp_path / "nowhere" / "cache")


def _fill(store: batch.ResultStore, first: int) -> None:
    for number in range(first, first + 40):
        store.put(Path("a.mp4"), f"{number:064x}", scanned())


def test_processes_may_write_at_the_same_time(store: batch.ResultStore) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fill, args=(store, first)) for first in (0, 30)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert all(store.get(Path("a.mp4"), f"{number:064x}") for number in range(70))


def test_each_content_is_scanned_once_whatever_its_name(tmp_path: Path, config: ScanConfig) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    names = [b"a.mp4", b"copy\nof.mp4", b"caf\xe9.mp4", b"\x1b[2J.mp4"]
    paths = [folder / os.fsdecode(name) for name in names]
    for path in paths:
        path.write_bytes(b"fake content")
    store = batch.open_store(run(config=config), tmp_path / "cache")

    def scan() -> list[FileReport]:
        return list(batch.scan_files(paths, config, store=store, make_scanner=Counting))

    first = scan()
    assert [report.path for report in first] == [str(path) for path in paths]
    assert [report.taken_over for report in first] == [False, True, True, True]
    assert {report.verdict for report in first} == {"fake"}
    assert scan() == first
    assert folder.joinpath("count").read_bytes() == b"a.mp4\0"
    paths[0].write_bytes(b"other content")
    assert [report.verdict for report in scan()] == ["real", "fake", "fake", "fake"]
    assert folder.joinpath("count").read_bytes() == b"a.mp4\0a.mp4\0"
