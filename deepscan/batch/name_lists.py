"""Lists of names -> paths: one a line, or separated by NUL as ``find -print0`` writes them.

Names are bytes, as ``find`` writes them: they need not be UTF-8. A list that begins with a byte order mark is
read as the UTF-8, UTF-16 or UTF-32 that the mark stands for, as some shells write every text.

A list must not lead anywhere that nobody meant. A name that is empty or means the root of all files, and a
NUL where names stand in lines, are mistakes of whatever wrote the list, and the whole list is refused.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from deepscan.errors import UsageError

STDIN = Path("-")
MARKS = (  # that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
MARK = "\ufeff"


def read_names(source: Path) -> list[Path]:
    """The paths that a list names.

    Lines end in LF, CR LF or CR, in one list in several ways if need be; empty ones after the last name are
    passed over. NUL separates where no line ends beside it and the list ends with one, or where no line ends.

    Args:
        source: the list; ``-`` is standard input.

    Raises:
        UsageError: the list cannot be read, or a line of it cannot be meant.
    """
    text = _text(_content(source), source)
    if _separated_by_nul(text):
        names, unit = text.removesuffix("\0").split("\0"), "name"
        if len(names) > 1 and all(len(name) < 2 for name in names):
            raise UsageError(
                f"{source}: this list of files looks like UTF-16 without its mark; write it as UTF-8"
            )
    else:
        names, unit = text.split("\n"), "line"
    while names and not names[-1].rstrip("\r"):
        names.pop()
    return [
        Path(path)
        for number, name in enumerate(names, 1)
        for path in _paths(name, f"{source}: {unit} {number}", lines=unit == "line")
    ]


def _content(source: Path) -> bytes:
    try:
        if source != STDIN:
            return source.read_bytes()
        if sys.stdin is None:
            raise UsageError(
                "standard input is closed, so that no names can be read from it; name files instead"
            )
        return sys.stdin.buffer.read()
    except OSError as error:
        name = "standard input" if source == STDIN else source
        raise UsageError(f"{name}: this list of files cannot be read ({error.strerror})") from error


def _text(data: bytes, source: Path) -> str:
    """The list as text; bytes that are no UTF-8 become lone surrogates, as in every name of a file."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            try:
                return data.removeprefix(mark).decode(encoding)
            except UnicodeError as error:
                raise UsageError(
                    f"{source}: this list of files begins as {encoding[:-3].upper()} and is not ({error}); "
                    "write it as UTF-8"
                ) from error
    return os.fsdecode(data.removeprefix(codecs.BOM_UTF8))


def _separated_by_nul(text: str) -> bool:
    """NUL and line ends: a name may hold the one or the other, but none begins or ends with a line end."""
    if "\0" not in text:
        return False
    if "\n" not in text and "\r" not in text:
        return True
    return text.endswith("\0") and not any(pair in text for pair in ("\0\n", "\n\0", "\0\r", "\r\0"))


def _paths(name: str, place: str, *, lines: bool) -> Iterator[str]:
    """The paths of one entry: usually one; several where single CR end lines, too."""
    if "\0" in name:
        raise UsageError(
            f"{place} of this list of files holds a NUL; write the list as UTF-8, one path a line, or all "
            "of it separated by NUL"
        )
    if not lines or "\r" not in name:
        yield _sensible(name, place)
        return
    if os.path.lexists(name):  # a name may hold a CR
        yield name
    for part in name.removesuffix("\r").split("\r"):
        if not os.path.lexists(name) or os.path.lexists(part):
            yield _sensible(part, place)


def _sensible(name: str, place: str) -> str:
    """The name, without a mark that two lists put into one leave in the middle. Raises UsageError."""
    if name.startswith(MARK) and not os.path.lexists(name):
        name = name.removeprefix(MARK)
    if not name.strip() and not os.path.lexists(name):
        raise UsageError(
            f"{place} of this list of files is empty; take it out, or put the missing name there"
        )
    path = Path(os.path.normpath(name))
    if path.anchor and path == Path(path.anchor):
        raise UsageError(
            f"{place} of this list of files is {name}, the root of all files; if that is meant, name it on "
            "the command line"
        )
    return name
