"""Which files a run takes, and in which order."""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path

import pytest

from deepscan import batch
from deepscan.config import ScanConfig
from deepscan.errors import UsageError
from tests.batch.scanners import Everything


@pytest.fixture
def tree(tmp_path: Path, portrait_photo: Path) -> Path:
    """Media and other files, hidden ones, one without an ending, and a link back to the top."""
    root = tmp_path / "tree"
    for name in ("b.jpg", "a/z.jpg", "a/no_ending", ".hidden/c.jpg", "a/.dot.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(portrait_photo, root / name)
    (root / "notes.txt").write_text("no media")
    (root / "a/code.py").write_text("print()")
    (root / "a/loop").symlink_to(root, target_is_directory=True)
    (root / "dangling").symlink_to(root / "nowhere")
    return root


def test_a_directory_is_walked_by_content_each_file_once(tree: Path) -> None:
    found = batch.survey([tree])
    names = [file.relative_to(tree).as_posix() for file in found.files]
    assert names == [".hidden/c.jpg", "a/.dot.jpg", "a/no_ending", "a/z.jpg", "b.jpg"]
    assert found.left_out == 3


def test_paths_come_sorted_and_once_however_often_they_are_named(tree: Path) -> None:
    files = batch.survey([tree / "b.jpg", tree, tree / "a", tree / "a/../b.jpg"]).files
    assert [str(file) for file in files] == sorted({str(file) for file in files})
    assert len({os.path.realpath(file) for file in files}) == len(files) == 5


def test_a_named_file_is_taken_whatever_it_is(tree: Path) -> None:
    assert batch.survey([tree / "notes.txt"], exclude=["*.txt"]).files == (tree / "notes.txt",)


def test_a_missing_path_is_said_before_anything_runs(tree: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.mp4: no such file or directory"):
        batch.survey([tree, tree / "gone.mp4"])


def test_a_directory_that_cannot_be_listed_is_reported(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = tree / "a"
    listing = Path.iterdir

    def iterdir(path: Path) -> object:
        if path == locked:
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    files = batch.survey([tree]).files
    assert locked in files
    reports = {
        report.path: report for report in batch.scan_files(files, ScanConfig(), make_scanner=Everything)
    }
    assert reports[str(locked)].status == "unreadable"
    assert "this directory cannot be listed" in str(reports[str(locked)].error)
    assert reports[str(tree / "b.jpg")].status == "scanned"


def names(found: batch.Survey, root: Path) -> list[str]:
    return [file.relative_to(root).as_posix() for file in found.files]


@pytest.mark.parametrize(
    ("globs", "left"),
    [
        (["*.jpg"], ["a/no_ending"]),
        ([".hidden", "a"], ["b.jpg"]),
        ([".*"], ["a/no_ending", "a/z.jpg", "b.jpg"]),
        (["a/*.jpg"], [".hidden/c.jpg", "a/no_ending", "b.jpg"]),
        (["/a/"], [".hidden/c.jpg", "b.jpg"]),
        (["*/.*"], [".hidden/c.jpg", "a/no_ending", "a/z.jpg", "b.jpg"]),
        (["[ab]*", ".hidden/?.jpg"], []),
        (["nothing"], [".hidden/c.jpg", "a/.dot.jpg", "a/no_ending", "a/z.jpg", "b.jpg"]),
    ],
)
def test_globs_leave_out_what_is_found_in_directories(tree: Path, globs: list[str], left: list[str]) -> None:
    found = batch.survey([tree], exclude=globs)
    assert names(found, tree) == left
    assert (found.excluded > 0) == (globs != ["nothing"])


ODD_NAMES = [
    b"new\nline.jpg",
    b"quo\"te's.jpg",
    b"caf\xe9.jpg",
    b"\x1b[31mred.jpg",
    b"-rf.jpg",
    b"$(id) `id`.jpg",
]


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="names must be Unicode there")
def test_odd_names_are_found_listed_and_excluded_like_others(tmp_path: Path, portrait_photo: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    paths = [folder / os.fsdecode(name) for name in ODD_NAMES]
    for path in paths:
        shutil.copy(portrait_photo, path)
    assert set(batch.survey([folder]).files) == set(paths)
    (tmp_path / "list").write_bytes(b"".join(bytes(path) + b"\0" for path in paths))
    assert batch.read_names(tmp_path / "list") == paths
    for name in ODD_NAMES:
        pattern = os.fsdecode(name).replace("[", "[[]")
        found = batch.survey([folder], exclude=[pattern])
        assert set(found.files) == set(paths) - {folder / os.fsdecode(name)}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a.mp4\nb c.mp4\n", ["a.mp4", "b c.mp4"]),
        (b"a.mp4\n\n  b.mp4 ", ["a.mp4", "  b.mp4 "]),
        (b"a.mp4\r\nb.mp4\r\n", ["a.mp4", "b.mp4"]),
        (b"a\r\nb.mp4\n", ["a\r", "b.mp4"]),
        (b"a\nb.mp4\0c.mp4\0", ["a\nb.mp4", "c.mp4"]),
        (b"caf\xe9.mp4", ["caf\udce9.mp4"]),
        (b"", []),
    ],
)
def test_a_list_names_one_path_a_line_or_separated_by_nul(
    tmp_path: Path, content: bytes, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "list").write_bytes(content)
    assert [str(name) for name in batch.read_names(tmp_path / "list")] == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert [str(name) for name in batch.read_names(batch.STDIN)] == expected


def test_a_list_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone: this list of files cannot be read \(No such file"):
        batch.read_names(tmp_path / "gone")


def test_listed_paths_may_be_directories_and_need_not_exist(tree: Path) -> None:
    found = batch.survey([tree / "b.jpg"], listed=[tree / "a", tree / "gone.mp4", tree / "b.jpg"])
    assert {"b.jpg", "gone.mp4", "a/z.jpg"} <= set(names(found, tree))
    assert len(found.files) == len(set(found.files))
