"""Labelled media, wherever they are from: a CSV, a folder with ``real`` and ``fake``, or a known corpus.

``read_corpus`` tells them apart by what is there. Every row says which official side it stands on and who
must stand on that side together; ``choose_side`` and ``only_kinds`` narrow the rows.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

from deepscan.errors import UsageError
from deepscan.training.data.corpora import celeb_df, deeperforensics, dfdc, faceforensics, folder, table
from deepscan.training.data.corpora.source import SIDES, UNUSED, Region, Source

__all__ = [
    "SIDES",
    "UNUSED",
    "Region",
    "Source",
    "choose_side",
    "need_classes",
    "only_kinds",
    "read_corpora",
    "read_corpus",
]

LAYOUTS: tuple[ModuleType, ...] = (faceforensics, celeb_df, dfdc, deeperforensics, folder)


def read_corpus(path: Path) -> list[Source]:
    """Every labelled file of a CSV or a folder.

    Raises:
        UsageError: the folder is of no known layout, holds no media, or a list in it is damaged.
    """
    if path.is_file():
        return table.read(path)
    for layout in LAYOUTS:
        if layout.matches(path):
            rows: list[Source] = layout.read(path)
            if not rows:
                raise UsageError(
                    f"{path} has the folders of {layout.__name__.rpartition('.')[2]}, and no video."
                )
            return rows
    raise UsageError(
        f"{path} is no corpus: it has neither folders real/ and fake/ nor the layout of FaceForensics++, "
        "Celeb-DF v2, DFDC or DeeperForensics. A CSV with the columns file,label does as well."
    )


def read_corpora(paths: Iterable[Path], kinds: Sequence[str] = ()) -> list[Source]:
    """All rows of several corpora, those of the given kinds alone; each file once."""
    rows = {row.file.resolve(): row for path in paths for row in only_kinds(read_corpus(path), kinds)}
    if not rows:
        raise UsageError(f"no file is of the kind {' or '.join(kinds)}.")
    return list(rows.values())


def only_kinds(rows: Sequence[Source], patterns: Sequence[str]) -> list[Source]:
    """The rows whose kind matches a pattern, such as ``*c23``; all without patterns."""
    if not patterns:
        return list(rows)
    return [row for row in rows if any(fnmatch.fnmatchcase(row.kind, pattern) for pattern in patterns)]


def choose_side(rows: Sequence[Source], side: str) -> list[Source]:
    """The rows of one official side; ``auto`` is the test side where there is one, else everything."""
    if side == "all":
        return list(rows)
    if side == "auto":
        tested = [row for row in rows if row.split == "test"]
        return tested or [row for row in rows if row.split != UNUSED]
    chosen = [row for row in rows if row.split == side]
    if not chosen:
        raise UsageError(f"the corpus has no official {side} side.")
    return chosen


def need_classes(rows: Sequence[Source], labels: Sequence[str], purpose: str) -> None:
    """Raises UsageError where a class is empty."""
    for label in labels:
        if not any(row.label == label for row in rows):
            raise UsageError(
                f"{purpose} needs {label} media, and there are none: the class {label!r} is empty."
            )
