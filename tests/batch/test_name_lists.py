"""Lists of names: what they mean, and which of them nobody can have meant."""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path

import pytest

from deepscan import batch
from deepscan.errors import UsageError


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def names(content: bytes) -> list[str]:
    Path("list").write_bytes(content)
    return [str(name) for name in batch.read_names(Path("list"))]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a.mp4\nb c.mp4\n", ["a.mp4", "b c.mp4"]),
        (b"a.mp4\n  b.mp4 ", ["a.mp4", "  b.mp4 "]),
        (b"a.mp4\n\n\r\n", ["a.mp4"]),
        (b"a.mp4\r\nb.mp4\r\n", ["a.mp4", "b.mp4"]),
        (b"a\r\nb.mp4\nc.mp4\rd.mp4", ["a", "b.mp4", "c.mp4", "d.mp4"]),
        (b"a.mp4\0b.mp4", ["a.mp4", "b.mp4"]),
        (b"a\nb.mp4\0c.mp4\0", ["a\nb.mp4", "c.mp4"]),
        (b"caf\xe9.mp4", ["caf\udce9.mp4"]),
        (b"", []),
    ],
)
def test_a_list_names_one_path_a_line_or_separated_by_nul(
    content: bytes, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert names(content) == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert [str(name) for name in batch.read_names(batch.STDIN)] == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("clip.mp4", ["clip.mp4"]),
        ("/in/é.mp4\r\n東/京.mp4\nb.mp4\r\n", ["/in/é.mp4", "東/京.mp4", "b.mp4"]),
        ("a.mp4\0b.mp4\0", ["a.mp4", "b.mp4"]),
        ("", []),
    ],
)
def test_a_byte_order_mark_says_how_to_read_the_list(encoding: str, text: str, expected: list[str]) -> None:
    assert names(("\ufeff" + text).encode(encoding)) == expected


def test_marks_in_the_middle_of_lists_put_together_belong_to_no_name() -> None:
    assert names(codecs.BOM_UTF8 + b"a.mp4\n" + codecs.BOM_UTF8 + b"b.mp4\n") == ["a.mp4", "b.mp4"]


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_a_name_that_ends_in_a_return_is_that_file_where_there_is_one() -> None:
    Path("a.mp4\r").touch()
    assert names(b"a.mp4\r\nb.mp4\r\n") == ["a.mp4\r", "b.mp4"]
    Path("a.mp4").touch()
    assert names(b"a.mp4\r\nb.mp4\r\n") == ["a.mp4\r", "a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a.mp4\n/\n", r"list: line 2 of .* is /, the root of all files"),
        (b"a.mp4\0//\0", r"list: name 2 of .* is //, the root"),
        (b"/in/..\r\n", r"list: line 1 of .* is /in/\.\., the root"),
        (b"a.mp4\n\nb.mp4\n", r"list: line 2 of .* is empty"),
        (b"a.mp4\r\n \r\nb.mp4\n", r"list: line 2 of .* is empty"),
        (b"a.mp4\0\0b.mp4\0", r"list: name 2 of .* is empty"),
        ("\ufeffa.mp4\n/\n".encode("utf-16-le"), r"list: line 2 of .* is /"),
        (b"a.mp4\nb.mp4\0\nc.mp4\n", r"list: line 2 of .* holds a NUL"),
        (b"a.mp4\nb.mp4\0c.mp4", r"list: line 2 of .* holds a NUL"),
        ("a.mp4\nb.mp4\n".encode("utf-16-le"), r"list: line 1 of .* holds a NUL; write the list as UTF-8"),
        ("a.mp4\r\nb.mp4".encode("utf-16-be"), r"list: line 1 of .* holds a NUL; write the list as UTF-8"),
        (b"a.mp4\n" + "b.mp4\n".encode("utf-16-le"), r"list: line 2 of .* holds a NUL"),
        ("./a.mp4".encode("utf-16-le"), r"list: .* looks like UTF-16 without its mark"),
        (codecs.BOM_UTF16_LE + b"a\0b", r"list: .* begins as UTF-16 and is not"),
    ],
)
def test_a_name_that_nobody_can_have_meant_is_refused(content: bytes, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        names(content)


def test_a_list_that_is_not_there_is_said() -> None:
    with pytest.raises(UsageError, match=r"gone: this list of files cannot be read \(No such file"):
        batch.read_names(Path("gone"))


def test_a_closed_standard_input_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="standard input is closed"):
        batch.read_names(batch.STDIN)
    read, write = os.pipe()
    os.close(write)
    with os.fdopen(read) as broken:
        monkeypatch.setattr(sys, "stdin", broken)
        assert batch.read_names(batch.STDIN) == []
