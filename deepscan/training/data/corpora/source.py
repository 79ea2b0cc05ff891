"""One labelled file, and who must stay on one side of a split with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SIDES = ("train", "val", "test")
UNUSED = "unused"

Region = tuple[int, int, int, int]
"""x, y, width and height, pixels."""


@dataclass(frozen=True)
class Source:
    """One row of a corpus.

    Attributes:
        file: path of the photo or video; two files of one name are told apart by it.
        label: ``real`` or ``fake``.
        identity: whose video it is; a forgery made on somebody's video has their identity.
        source: the corpus or the collection.
        licence: as the corpus states it; empty where it does not.
        kind: the forger and the compression; empty when nothing is known.
        split: the official side, one of ``SIDES``; ``UNUSED`` where the corpus' own lists would leak;
            empty where the corpus leaves the choice open.
        group: everyone who must stand on one side together, where that is more than the identity: a swap
            ties the person whose video it is to the person whose face it shows.
        mask: video whose bright pixels are the forged ones; None where the corpus gives none.
        region: the part of the picture that counts, pixels: x, y, width, height; None: all of it.
        manipulation: type of forgery, such as ``swap``; of genuine media the sort of footage; may be empty.
        generator: the tool that forged it; of genuine media the data set; may be empty.
        fold: of leave-generators-out validation; None: trained on in every fold and measured in none.
    """

    file: Path
    label: str
    identity: str
    source: str
    licence: str
    kind: str
    split: str = ""
    group: str = ""
    mask: Path | None = None
    region: Region | None = None
    manipulation: str = ""
    generator: str = ""
    fold: int | None = None


def connected(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Name -> the first name, in sorted order, of everyone it is tied to by a chain of pairs."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        leader.setdefault(name, name)
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for one, other in pairs:
        first, second = sorted((find(one), find(other)))
        leader[second] = first
    return {name: find(name) for name in leader}
