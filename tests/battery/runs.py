"""The cases of the battery that need a whole run: folders, names, models."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deepscan import cli
from tests.fixtures import make, odd, spoil
from tests.fixtures.doubles import write_weights

# Everything a name can do to a terminal, a shell or a report that is not careful.
HOSTILE_NAMES = (
    b"line\nbreak.jpg",
    b"quotes'\"`.jpg",
    b"caf\xe9.jpg",
    b"escape\x1b[2J\x1b]0;owned\x07.jpg",
    b"$(touch pwned).jpg",
    b"; touch pwned;.jpg",
    b"--help.jpg",
    b"<img src=x onerror=alert(1)>.jpg",
    b"concat:a|b.jpg",
    "right\u202eto left.jpg".encode(),
)


@dataclass(frozen=True)
class RunCase:
    """One run.

    Attributes:
        title: as in the table of docs/robustness.md.
        prepare: fills an empty folder and returns the arguments; gets the folder and intact weights.
        exit_code: of the run.
        files: reports that the run must make; None where it must make none at all.
        says: what stderr contains.
    """

    title: str
    prepare: Callable[[Path, Path], Sequence[str]]
    exit_code: int
    files: int | None
    says: str = ""


@dataclass(frozen=True)
class RunResult:
    """What a run printed and returned."""

    exit_code: int
    out: str
    err: str


def run(case: RunCase, folder: Path, weights: Path, *options: str) -> RunResult:
    """Prepare and run a case in an empty folder."""
    out, err = io.StringIO(), io.StringIO()
    arguments = case.prepare(folder, weights)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.run([*arguments, *options])
    return RunResult(code, out.getvalue(), err.getvalue())


def _loop(folder: Path, weights: Path) -> Sequence[str]:
    make.photo(folder / "photo.jpg")
    (folder / "below").mkdir()
    (folder / "below" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "below" / "again.jpg").symlink_to(folder / "photo.jpg")
    return [str(folder), "--weights", str(weights)]


def _unread(folder: Path, weights: Path) -> Sequence[str]:
    """Nothing but pictures that a viewer shows and deepscan does not read."""
    odd.camera_raw(folder / "raw.dng")
    (folder / "drawing.psd").write_bytes(b"8BPS" + bytes(99))
    (folder / "shot.jxl").write_bytes(b"\xff\x0a" + bytes(99))
    return [str(folder), "--weights", str(weights)]


def _names(folder: Path, weights: Path) -> Sequence[str]:
    content = make.photo(folder / "photo.jpg").read_bytes()
    spoil.named(folder, content, HOSTILE_NAMES)
    return [str(folder), "--weights", str(weights)]


def _marked_list(folder: Path, weights: Path) -> Sequence[str]:
    """As some shells write every text; read as bytes its NULs would part the names, and `/` be one."""
    photo = make.photo(folder / "photo.jpg")
    (folder / "list.txt").write_bytes(f"{photo}\r\n".encode("utf-16"))
    return ["--file-list", str(folder / "list.txt"), "--weights", str(weights)]


def _models(change: Callable[[Path], object]) -> Callable[[Path, Path], Sequence[str]]:
    def prepare(folder: Path, weights: Path) -> Sequence[str]:
        photo = make.photo(folder / "photo.jpg")
        own = write_weights(folder / "weights", middle=2.0)
        change(own)
        return [str(photo), "--weights", str(own)]

    return prepare


def _unreadable(root: Path) -> None:
    (root / "gml.onnx").unlink()
    (root / "gml.onnx").mkdir()  # whoever runs this, root included, cannot read it as a file


def _altered(root: Path) -> None:
    with (root / "gml.onnx").open("r+b") as file:
        file.seek(100)
        file.write(b"\x00")


def _not_a_number(root: Path) -> None:
    write_weights(root, gains={"sola": float("nan")})


RUNS: Sequence[RunCase] = (
    RunCase("a folder that links to itself", _loop, 0, 2),
    RunCase("a folder of pictures that are not read", _unread, 3, 3),
    RunCase("names that attack shells, terminals, reports", _names, 0, 1 + len(HOSTILE_NAMES)),
    RunCase("a list of files in UTF-16", _marked_list, 0, 1),
    RunCase("a model that cannot be read", _models(_unreadable), 2, None, "cannot be read"),
    RunCase(
        "a model that is missing", _models(lambda root: os.unlink(root / "gml.onnx")), 2, None, "is missing"
    ),
    RunCase("a model with another hash", _models(_altered), 2, None, "not the one in the manifest"),
    RunCase("a model that returns NaN", _models(_not_a_number), 2, None, "returned nan"),
)
