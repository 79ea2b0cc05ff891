"""FaceForensics++ with the corpora that are handed out in its tree: FaceShifter and DFD.

::

    original_sequences/youtube/c23/videos/000.mp4
    original_sequences/actors/c23/videos/01__exit_phone_room.mp4                          (DFD)
    manipulated_sequences/<method>/c23/videos/000_003.mp4           target 000, face of 003
    manipulated_sequences/<method>/masks/videos/000_003.mp4
    manipulated_sequences/DeepFakeDetection/c23/videos/01_02__exit_phone_room__YVGY8LOK.mp4
    train.json  val.json  test.json (or in splits/)                 pairs: [["071", "054"], ...]

The compressions are ``raw`` or ``c0``, ``c23`` and ``c40``; a row's kind is the method and the compression,
such as ``Deepfakes c23``. DFD has no official split, and its actors are all swapped with one another: it
stands on one side as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from deepscan.errors import UsageError
from deepscan.training.data.corpora.source import SIDES, Source, connected

NAME = "FaceForensics++"
DFD = "DFD"
LICENCE = "FaceForensics++ terms of use"
COMPRESSIONS = {"raw": "c0", "c0": "c0", "c23": "c23", "c40": "c40"}
ORIGINALS = {"youtube": NAME, "actors": DFD}


def matches(root: Path) -> bool:
    """Whether ``root`` has the corpus' own folder names."""
    return any((root / name).is_dir() for name in ("original_sequences", "manipulated_sequences"))


def read(root: Path) -> list[Source]:
    """Every video of every method and compression.

    Raises:
        UsageError: a split file is damaged.
    """
    videos = list(_videos(root))
    tied = connected((target, donor or target) for target, donor, _ in videos)
    sides = official_sides(root)
    return [
        Source(
            file=row.file,
            label=row.label,
            identity=target,
            source=row.source,
            licence=LICENCE,
            kind=row.kind,
            split=sides.get(target, ""),
            group=tied[target],
            mask=row.mask,
        )
        for target, _, row in videos
    ]


def official_sides(root: Path) -> dict[str, str]:
    """Identity -> side, from the JSON lists beside the videos; empty where there are none."""
    sides: dict[str, str] = {}
    for side in SIDES:
        for path in (root / f"{side}.json", root / "splits" / f"{side}.json"):
            if not path.is_file():
                continue
            try:
                names = [str(name) for pair in json.loads(path.read_text(encoding="utf-8")) for name in pair]
            except (ValueError, TypeError):
                raise UsageError(f"{path} is no list of pairs of video numbers.") from None
            sides |= {f"ffpp:{name}": side for name in names}
    return sides


def _videos(root: Path) -> Iterator[tuple[str, str, Source]]:
    """(identity whose video it is, identity whose face it shows or "", its row without split)."""
    for folder, source in ORIGINALS.items():
        for compression, file in _files(root / "original_sequences" / folder):
            identity = f"ffpp:{file.stem}" if source == NAME else f"dfd:{file.stem.split('_')[0]}"
            yield identity, "", Source(file, "real", identity, source, LICENCE, f"original {compression}")
    manipulated = root / "manipulated_sequences"
    for method in sorted(manipulated.iterdir()) if manipulated.is_dir() else ():
        source, people = (DFD, "dfd") if method.name == "DeepFakeDetection" else (NAME, "ffpp")
        for compression, file in _files(method):
            target, _, donor = file.stem.split("__")[0].partition("_")
            mask = method / "masks" / "videos" / file.name
            row = Source(
                file,
                "fake",
                target,
                source,
                LICENCE,
                f"{method.name} {compression}",
                mask=mask if mask.is_file() else None,
            )
            yield f"{people}:{target}", f"{people}:{donor}" if donor else "", row


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for name, compression in COMPRESSIONS.items():
        for file in sorted((folder / name / "videos").glob("*.mp4")):
            yield compression, file
