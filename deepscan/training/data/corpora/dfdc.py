"""DFDC: the full corpus (a ``metadata.json`` in every part) and the preview (one ``dataset.json``).

::

    dfdc_train_part_0/metadata.json  {"a.mp4": {"label": "FAKE", "split": "train", "original": "b.mp4"}, ...}
    dataset.json                     {"method_A/a.mp4": {"label": "fake", "set": "test", "target_id": ...}}

The full corpus does not say who is shown, but its parts were cut by people: with several parts, a part
stands on one side as a whole. The preview names the people; swaps tie them together, and files of its
training side that show somebody of its test side are unused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deepscan.errors import UsageError
from deepscan.training.data.corpora.source import UNUSED, Source, connected

NAME = "DFDC"
LICENCE = "DFDC terms of use"
SIDES = {"validation": "val", "val": "val", "test": "test"}


def matches(root: Path) -> bool:
    """Whether ``root`` or a folder in it has the corpus' metadata."""
    return (root / "dataset.json").is_file() or bool(_parts(root))


def read(root: Path) -> list[Source]:
    """Every video that the metadata names and that is there.

    Raises:
        UsageError: the metadata is damaged, or none of its videos is there.
    """
    preview = root / "dataset.json"
    rows = _preview(root, _table(preview)) if preview.is_file() else _full(root)
    if not rows:
        raise UsageError(f"{root} holds the metadata of DFDC and none of its videos.")
    return rows


def _full(root: Path) -> list[Source]:
    parts = _parts(root)
    rows = []
    for path in parts:
        part = path.parent.name
        for name, facts in sorted(_table(path).items()):
            file = path.parent / name
            if not file.is_file():
                continue
            label = _label(facts, path)
            original = str(facts.get("original") or name)
            identity = f"dfdc:{part}/{Path(original).stem}"
            group = f"dfdc:{part}" if len(parts) > 1 else identity
            kind = "DFDC" if label == "fake" else "original"
            split = SIDES.get(str(facts.get("split", "")), "")
            rows.append(Source(file, label, identity, NAME, LICENCE, kind, split, group))
    return rows


def _preview(root: Path, table: dict[str, dict[str, Any]]) -> list[Source]:
    def people(facts: dict[str, Any]) -> tuple[str, str]:
        target = facts.get("target_id")
        return f"dfdc:{target}", f"dfdc:{facts.get('swapped_id') or target}"

    there = {name: facts for name, facts in sorted(table.items()) if (root / name).is_file()}
    sides = {name: SIDES.get(str(facts.get("set", "")), "") for name, facts in there.items()}
    tested = {person for name, facts in there.items() if sides[name] for person in people(facts)}
    for name, facts in there.items():
        if not sides[name] and tested.intersection(people(facts)):
            sides[name] = UNUSED
    tied = connected(people(facts) for name, facts in there.items() if sides[name] != UNUSED)
    rows = []
    for name, facts in there.items():
        label, identity = _label(facts, root / "dataset.json"), people(facts)[0]
        kind = Path(name).parts[0] if label == "fake" else "original"
        group = tied.get(identity, identity)
        rows.append(Source(root / name, label, identity, NAME, LICENCE, kind, sides[name], group))
    return rows


def _parts(root: Path) -> list[Path]:
    """The metadata of ``root`` itself or of the folders in it."""
    own = root / "metadata.json"
    return [own] if own.is_file() else sorted(root.glob("*/metadata.json"))


def _table(path: Path) -> dict[str, dict[str, Any]]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): dict(facts) for name, facts in table.items()}
    except (ValueError, TypeError, AttributeError):
        raise UsageError(f"{path} is damaged: it is no table of videos.") from None


def _label(facts: dict[str, Any], path: Path) -> str:
    stated = str(facts.get("label", facts.get("is_fake", ""))).lower()
    label = {"fake": "fake", "real": "real", "1": "fake", "0": "real"}.get(stated)
    if label is None:
        raise UsageError(f"{path}: the label {stated!r} is neither 'REAL' nor 'FAKE'.")
    return label
