"""Which files a run takes, and in which order."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from deepscan import batch, media
from deepscan.cli.exit_codes import exit_code
from deepscan.config import ScanConfig
from deepscan.errors import UnreadableMedia, UsageError
from deepscan.media import discovery
from deepscan.results import FileReport
from tests.fixtures.sample import failed
from tests.fixtures.scanners import Everything


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
    assert names == [".hidden/c.jpg", "a/.dot.jpg", "a/no_ending", "a/z.jpg", "b.jpg", "dangling"]
    assert found.left_out == 2


def test_paths_come_sorted_and_once_however_often_they_are_named(tree: Path) -> None:
    files = batch.survey([tree / "b.jpg", tree, tree / "a", tree / "a/../b.jpg"]).files
    assert [str(file) for file in files] == sorted({str(file) for file in files})
    assert len({os.path.realpath(file) for file in files}) == len(files) == 6


def test_a_named_file_is_taken_whatever_it_is(tree: Path) -> None:
    assert batch.survey([tree / "notes.txt"], exclude=["*.txt"]).files == (tree / "notes.txt",)


def test_a_missing_path_is_said_before_anything_runs(tree: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.mp4: no such file or directory"):
        batch.survey([tree, tree / "gone.mp4"])


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Lets the system say no to whatever lies at a path or below it, whoever asks, root included."""

    def refuse(locked: Path) -> None:
        def guarded(function: Callable[..., object]) -> Callable[..., object]:
            def call(path: object, *args: object, **kwargs: object) -> object:
                if isinstance(path, str | Path) and Path(path).is_relative_to(locked):
                    raise PermissionError(13, "Permission denied", str(path))
                return function(path, *args, **kwargs)

            return call

        for module, name in ((os, "stat"), (os, "lstat"), (os, "scandir")):
            monkeypatch.setattr(module, name, guarded(getattr(module, name)))
        monkeypatch.setattr("builtins.open", guarded(open))

    return refuse


class Opens(Everything):
    """Asks the media stage whether there is a photo."""

    def scan(self, path: Path) -> FileReport:
        try:
            media.probe(path)
        except UnreadableMedia as error:
            return failed(str(path), "unreadable", str(error))
        return super().scan(path)


def scanned(files: Sequence[Path]) -> dict[str, FileReport]:
    return {report.path: report for report in batch.scan_files(files, ScanConfig(), make_scanner=Opens)}


def test_a_directory_that_cannot_be_listed_is_reported(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = tree / "a"
    listing = os.scandir

    def scandir(path: str | Path) -> object:
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied")
        return listing(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", scandir)
        files = batch.survey([tree]).files
    assert locked in files
    reports = {
        report.path: report for report in batch.scan_files(files, ScanConfig(), make_scanner=Everything)
    }
    assert reports[str(locked)].status == "unreadable"
    assert "this directory cannot be listed" in str(reports[str(locked)].error)
    assert reports[str(tree / "b.jpg")].status == "scanned"


def test_a_directory_that_breaks_off_is_reported_and_what_it_told_is_scanned(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = os.scandir

    @contextmanager
    def scandir(path: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
        def broken(entries: Iterator[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
            yield from entries
            if Path(path) == tree / "a":
                raise OSError(5, "Input/output error")

        with listing(path) as entries:
            yield broken(entries)

    monkeypatch.setattr(os, "scandir", scandir)
    assert names(batch.survey([tree]), tree) == [
        ".hidden/c.jpg",
        "a",
        "a/.dot.jpg",
        "a/no_ending",
        "a/z.jpg",
        "b.jpg",
        "dangling",
    ]


def test_what_may_not_be_looked_at_is_taken_and_the_rest_is_found(
    tree: Path, tmp_path: Path, refused: Callable[[Path], None]
) -> None:
    vault = tmp_path / "vault"
    vault.mkdir()
    (vault / "inner").mkdir()
    (tree / "into").symlink_to(vault / "inner", target_is_directory=True)
    (tree / "film.mp4").symlink_to(vault / "film.mp4")
    (tree / "locked").mkdir()
    refused(vault)
    refused(tree / "into")
    refused(tree / "film.mp4")
    refused(tree / "locked")
    found = batch.survey([tree, vault / "named.mp4"], listed=[vault / "listed.mp4"])
    assert {vault / "named.mp4", vault / "listed.mp4"} <= set(found.files)
    assert {tree / "into", tree / "film.mp4", tree / "locked", tree / "b.jpg"} <= set(found.files)
    assert found.left_out == 2


@pytest.mark.skipif(sys.platform == "win32", reason="links, and names of 255 bytes")
def test_loops_dangling_links_and_names_too_long_are_unreadable(tree: Path) -> None:
    (tree / "one").symlink_to(tree / "two")
    (tree / "two").symlink_to(tree / "one")
    (tree / "long").symlink_to(tree / ("n" * 300))
    (tree / "deep").symlink_to("/".join(["b.jpg"] * 3))
    listed = [tree / ("m" * 300), tree / "one" / "below.mp4", tree / "gone.mp4"]
    found = batch.survey([tree, tree / "two"], listed=listed)
    odd = {*listed, *(tree / name for name in ("one", "two", "long", "deep", "dangling"))}
    assert odd <= set(found.files)
    reports = scanned(found.files)
    assert {reports[str(path)].status for path in odd} == {"unreadable"}
    assert exit_code([reports[str(path)] for path in odd], "fake") == 3
    assert {path for path, report in reports.items() if report.status == "scanned"} == {
        str(path) for path in found.files if path not in odd
    }


def test_entries_that_vanish_in_between_are_taken(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One goes after its folder was listed, another between the two looks at its content."""
    gone, going = tree / "a" / "gone.txt", tree / "a" / "going.txt"
    gone.write_text("text")
    going.write_text("text")
    status = os.stat
    looked = discovery.is_media

    def stat_once(path: Path, **how: object) -> os.stat_result:
        if path == gone:
            gone.unlink(missing_ok=True)
        return status(path, **how)  # type: ignore[arg-type]

    def is_media(path: Path) -> bool:
        if path == going:
            going.unlink()
        return looked(path)

    monkeypatch.setattr(os, "stat", stat_once)
    monkeypatch.setattr(discovery, "is_media", is_media)
    found = batch.survey([tree])
    assert {gone, going} <= set(found.files)
    assert found.left_out == 2
    assert {scanned([path])[str(path)].status for path in (gone, going)} == {"unreadable"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes there")
def test_a_pipe_is_no_media_and_blocks_nobody(tree: Path) -> None:
    os.mkfifo(tree / "pipe.mp4")
    assert tree / "pipe.mp4" not in batch.survey([tree]).files


@pytest.mark.skipif(not hasattr(os, "setuid") or os.geteuid() != 0, reason="only root can be another user")
def test_another_user_scans_what_is_open_to_him(tree: Path) -> None:
    """With the system's own answers, where the tests run as root: in a process of the user nobody."""
    for folder in (tree, *tree.parents):
        if folder.stat().st_uid == os.geteuid() and str(folder).startswith(tempfile.gettempdir() + "/"):
            folder.chmod(0o755)
    (tree / "vault" / "inner").mkdir(parents=True)
    (tree / "into").symlink_to(tree / "vault" / "inner", target_is_directory=True)
    (tree / "vault").chmod(0)
    (tree / "locked.jpg").write_bytes((tree / "b.jpg").read_bytes())
    (tree / "locked.jpg").chmod(0)
    code = """
    import os, sys
    from pathlib import Path
    from deepscan import batch

    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    found = batch.survey([Path(sys.argv[1])], listed=[Path(sys.argv[1], "vault", "listed.mp4")])
    print(*(file.relative_to(sys.argv[1]) for file in found.files), sep="\\n")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tree)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    listed = set(done.stdout.splitlines())
    assert {"into", "locked.jpg", "vault", "vault/listed.mp4", "b.jpg", "dangling"} <= listed, done.stderr


def names(found: batch.Survey, root: Path) -> list[str]:
    return [file.relative_to(root).as_posix() for file in found.files]


@pytest.mark.parametrize(
    ("globs", "left"),
    [
        (["*.jpg"], ["a/no_ending", "dangling"]),
        ([".hidden", "a"], ["b.jpg", "dangling"]),
        ([".*"], ["a/no_ending", "a/z.jpg", "b.jpg", "dangling"]),
        (["a/*.jpg"], [".hidden/c.jpg", "a/no_ending", "b.jpg", "dangling"]),
        (["/a/"], [".hidden/c.jpg", "b.jpg", "dangling"]),
        (["*/.*"], [".hidden/c.jpg", "a/no_ending", "a/z.jpg", "b.jpg", "dangling"]),
        (["[ab]*", ".hidden/?.jpg"], ["dangling"]),
        (["nothing"], [".hidden/c.jpg", "a/.dot.jpg", "a/no_ending", "a/z.jpg", "b.jpg", "dangling"]),
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


def test_listed_paths_may_be_directories_and_need_not_exist(tree: Path) -> None:
    found = batch.survey([tree / "b.jpg"], listed=[tree / "a", tree / "gone.mp4", tree / "b.jpg"])
    assert {"b.jpg", "gone.mp4", "a/z.jpg"} <= set(names(found, tree))
    assert len(found.files) == len(set(found.files))
