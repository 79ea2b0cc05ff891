"""Any folder with the sub-folders ``real`` and ``fake``.

The identity is the first folder below them, else the file's name without its suffix: ``real/ann/1.mp4`` and
``fake/ann/2.mp4`` show ann, and ``fake/7.mp4`` is taken for a forgery of ``real/7.mp4``. Folders below
``fake`` that hold no folders of people may as well be forgers; a CSV says more.
"""

from __future__ import annotations

from pathlib import Path

from deepscan.errors import UsageError
from deepscan.media.discovery import survey
from deepscan.training.data.corpora.source import Source

LABELS = ("real", "fake")


def matches(root: Path) -> bool:
    """Whether ``root`` has a folder ``real`` or ``fake``, in any case."""
    return bool(_classes(root))


def read(root: Path) -> list[Source]:
    """Every media file. Raises UsageError where a class that has a folder is empty."""
    return [row for label, folder in _classes(root).items() for row in read_class(folder, label, root.name)]


def read_class(folder: Path, label: str, source: str) -> list[Source]:
    """Every media file below one folder, all of one label. Raises UsageError where there is none."""
    files = survey([folder]).files
    if not files:
        raise UsageError(f"{folder} holds no photo or video; the class {label!r} is empty.")
    rows = []
    for file in files:
        below = file.relative_to(folder)
        identity = below.parts[0] if len(below.parts) > 1 else below.stem
        rows.append(Source(file, label, identity, source, "", ""))
    return rows


def _classes(root: Path) -> dict[str, Path]:
    found = {entry.name.lower(): entry for entry in sorted(root.iterdir()) if entry.is_dir()}
    return {label: found[label] for label in LABELS if label in found}
