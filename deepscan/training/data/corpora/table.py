"""A corpus as a CSV.

Columns: ``file`` (relative to the CSV, or to a folder beside it of the CSV's name) and ``label`` (``real`` or
``fake``). What may be left out: ``identity``, ``source``, ``licence``, ``kind`` (or ``tool``), ``split``
(``train``, ``val`` or ``test``), ``mask``, ``family`` (manipulation type), ``generator``, ``fold`` (a whole
number), and ``x``, ``y``, ``w``, ``h`` (the part of the picture that counts, pixels).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from deepscan.errors import UsageError
from deepscan.training.data.corpora.source import SIDES, Region, Source


def read(path: Path) -> list[Source]:
    """Every row. Raises UsageError where a column is missing or a label or side is unknown."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    if not rows:
        raise UsageError(f"{path} lists no media; it needs a header and one row per file.")
    missing = {"file", "label"} - set(rows[0])
    if missing:
        raise UsageError(f"{path} has no column {', '.join(sorted(missing))}.")
    for column, allowed in (("label", ("real", "fake")), ("split", ("", *SIDES))):
        unknown = sorted({row.get(column) or "" for row in rows} - set(allowed))
        if unknown:
            choice = " nor ".join(repr(name) for name in allowed if name)
            raise UsageError(f"{path}: {column} {unknown[0]!r} is neither {choice}.")
    return [
        Source(
            file=_file(path, row["file"]),
            label=row["label"],
            identity=row.get("identity") or row["file"],
            source=row.get("source") or path.stem,
            licence=row.get("licence") or "",
            kind=row.get("kind") or row.get("tool") or row.get("generator") or "",
            split=row.get("split") or "",
            mask=path.parent / row["mask"] if row.get("mask") else None,
            region=_region(row, path),
            manipulation=row.get("family") or "",
            generator=row.get("generator") or "",
            fold=_whole(row["fold"], "fold", path) if row.get("fold") else None,
        )
        for row in rows
    ]


def _file(path: Path, name: str) -> Path:
    """The medium ``name`` of the table ``path``: ``genuine.csv`` may have its media in ``genuine/``."""
    beside = path.with_suffix("") / name
    return beside if beside.exists() else path.parent / name


def _region(row: Mapping[str, str], path: Path) -> Region | None:
    """The part of the picture that counts; None where no column names one."""
    given = [row.get(name) or "" for name in "xywh"]
    if not any(given):
        return None
    x, y, w, h = (_whole(text, name, path) for text, name in zip(given, "xywh", strict=True))
    if x < 0 or y < 0 or w < 1 or h < 1:
        raise UsageError(f"{path}: {row['file']} has an empty part of the picture; x, y, w, h are pixels.")
    return x, y, w, h


def _whole(text: str, column: str, path: Path) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{path}: {column} {text!r} is no whole number.") from None
