"""A corpus as a CSV.

Columns: ``file`` (relative to the CSV) and ``label`` (``real`` or ``fake``); ``identity``, ``source``,
``licence``, ``kind`` (or ``tool``), ``split`` (``train``, ``val`` or ``test``) and ``mask`` may be left out.
"""

from __future__ import annotations

import csv
from pathlib import Path

from deepscan.errors import UsageError
from deepscan.training.corpora.source import SIDES, Source


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
            file=path.parent / row["file"],
            label=row["label"],
            identity=row.get("identity") or row["file"],
            source=row.get("source") or path.stem,
            licence=row.get("licence") or "",
            kind=row.get("kind") or row.get("tool") or "",
            split=row.get("split") or "",
            mask=path.parent / row["mask"] if row.get("mask") else None,
        )
        for row in rows
    ]
