"""Celeb-DF v2.

::

    Celeb-real/id1_0007.mp4   YouTube-real/00170.mp4   Celeb-synthesis/id1_id0_0007.mp4
    List_of_testing_videos.txt                          lines such as "1 Celeb-real/id1_0007.mp4", 1 = real

``id1_id0_0007`` is clip 7 of id1 with the face of id0. The official test list takes clips of people who are
in training as well, and forgeries whose original it leaves in training. The test side is honoured to the
letter; what remains shares no clip with it (such files are unused), but people: intervals over identities
are over clips here. Without the list everyone is tied to everyone and the corpus stands on one side.
"""

from __future__ import annotations

from pathlib import Path

from deepscan.errors import UsageError
from deepscan.training.data.corpora.source import UNUSED, Source, connected

NAME = "Celeb-DF v2"
LICENCE = "Celeb-DF terms of use"
TEST_LIST = "List_of_testing_videos.txt"
FOLDERS = {"celeb-real": "real", "youtube-real": "real", "celeb-synthesis": "fake"}


def matches(root: Path) -> bool:
    """Whether ``root`` has ``Celeb-real`` or ``Celeb-synthesis``."""
    return bool({"celeb-real", "celeb-synthesis"} & {entry.name.lower() for entry in root.iterdir()})


def read(root: Path) -> list[Source]:
    """Every video. Raises UsageError where the test list names a video that is not there."""
    found: dict[str, tuple[Path, str]] = {}
    for folder in sorted(root.iterdir()):
        label = FOLDERS.get(folder.name.lower())
        if label is not None:
            files = [*folder.glob("*.mp4"), *folder.glob("videos/*.mp4")]
            found |= {f"{folder.name.lower()}/{file.name}": (file, label) for file in sorted(files)}
    tested = _test_list(root, found)
    clips_tested = {_clip(name) for name in tested}
    tied = connected(pair for name in found for pair in _people(name))
    rows = []
    for name, (file, label) in found.items():
        clip = _clip(name)
        split = "test" if name in tested else UNUSED if clip in clips_tested else ""
        group = clip if tested else tied[_people(name)[0][0]]
        kind = "Celeb-synthesis" if label == "fake" else "original"
        rows.append(Source(file, label, clip, NAME, LICENCE, kind, split, group))
    return rows


def _test_list(root: Path, found: dict[str, tuple[Path, str]]) -> set[str]:
    path = root / TEST_LIST
    if not path.is_file():
        return set()
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if any(len(line) != 2 for line in lines):
        raise UsageError(f"{path} is damaged: its lines are a label and a video.")
    named = {name.lower() for _, name in lines}
    missing = sorted(named - set(found))
    if missing and len(missing) == len(named):
        raise UsageError(f"{path} names {missing[0]}, and none of its videos is in {root}.")
    return named & set(found)


def _clip(name: str) -> str:
    """The video that a file shows or was made on: ``celeb-df:id1_0007``, ``celeb-df:youtube/00170``."""
    folder, _, file = name.partition("/")
    parts = Path(file).stem.split("_")
    if folder == "youtube-real":
        return f"celeb-df:youtube/{parts[0]}"
    return f"celeb-df:{parts[0]}_{parts[-1]}"


def _people(name: str) -> list[tuple[str, str]]:
    """Who is tied together by a file: the person shown, and whose face was put on them."""
    folder, _, file = name.partition("/")
    parts = Path(file).stem.split("_")
    if folder == "youtube-real":
        return [(f"celeb-df:youtube/{parts[0]}",) * 2]
    return [(f"celeb-df:{parts[0]}", f"celeb-df:{parts[1] if len(parts) == 3 else parts[0]}")]
