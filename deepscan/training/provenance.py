"""Who made a model, of what: the few short facts that the manifest and the model card state.

Nothing is made up: what neither the corpus table nor an option says is ``unknown``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch

from deepscan.errors import UsageError
from deepscan.text import UNKNOWN
from deepscan.training.config import TrainConfig, present_names
from deepscan.training.data.prepare import Sample

LONGEST = 300
"""Characters of one string in the manifest."""
OF_THE_SITE = frozenset({"detector", "workers", "threads", "device", "validate_every", "keep_every"})
"""Settings that say where and how a run was watched, not what came of it."""


@dataclass(frozen=True)
class Provenance:
    """What the manifest says of a model beside its file; at most 300 characters each.

    Attributes:
        licence: of the model.
        training_data: what it learnt from.
        data_licences: under which licences that is.
        recipe: the configuration file or command that made it.
    """

    licence: str = UNKNOWN
    training_data: str = UNKNOWN
    data_licences: str = UNKNOWN
    recipe: str = UNKNOWN

    def __post_init__(self) -> None:
        """Raises UsageError where a string is too long for the manifest."""
        for field in fields(self):
            length = len(getattr(self, field.name))
            if length > LONGEST:
                option = field.name.replace("_", " ")
                raise UsageError(
                    f"the {option} has {length} characters, and the manifest takes {LONGEST}; "
                    "name the file that says more."
                )

    def facts(self) -> dict[str, str]:
        """The manifest's keys and strings."""
        return asdict(self)


def training_data(samples: Iterable[Sample]) -> str:
    """What the training side of a cache holds: people, genuine and forged files, sources."""
    rows = [sample for sample in samples if sample.split == "train"]
    if not rows:
        return UNKNOWN
    people = len({sample.identity for sample in rows})
    files = {(sample.folder.rpartition("/")[0], sample.label) for sample in rows}
    labels = Counter(label for _, label in files)
    sources = [name for name, _ in Counter(sample.source for sample in rows).most_common()]
    counted = f"{labels['real']} genuine and {labels['fake']} forged files of {people} people; sources: "
    return counted + _listed(sources, LONGEST - len(counted))


def data_licences(samples: Iterable[Sample]) -> str:
    """The licences of the training side, as the corpus table states them, with the number of samples."""
    counts = Counter(sample.licence or UNKNOWN for sample in samples if sample.split == "train")
    if set(counts) <= {UNKNOWN}:
        return UNKNOWN
    return _listed([f"{licence} ({count})" for licence, count in counts.most_common()], LONGEST)


def recipe(checkpoint: Path) -> str:
    """The command that a run's checkpoint was made by; ``unknown`` for anything that holds no settings."""
    if checkpoint.suffix == ".safetensors":
        return UNKNOWN
    found = torch.load(checkpoint, map_location="cpu", weights_only=True).get("config")
    saved = present_names(found or {})
    if not saved:
        return UNKNOWN
    usual = asdict(TrainConfig(saved["detector"], saved["steps"]))
    told = {key: value for key, value in saved.items() if key not in OF_THE_SITE}
    changed = {key: value for key, value in told.items() if key == "steps" or value != usual.get(key)}
    settings = [f"{key} {_plain(value)}" for key, value in changed.items()]
    command = f"deepscan train fit {saved['detector']}: "
    return command + _listed(settings, LONGEST - len(command))


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def _listed(names: list[str], room: int) -> str:
    """As many names as ``room`` characters hold, and how many more there are."""
    for count in range(len(names), -1, -1):
        left = len(names) - count
        more = [f"and {left} more"] if left else []
        text = ", ".join([*names[:count], *more])
        if len(text) <= room:
            return text
    raise AssertionError("no room for a number")
