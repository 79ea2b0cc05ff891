"""DeeperForensics-1.0: forgeries alone; its reals are the FaceForensics++ videos that they were made on.

::

    manipulated_videos/end_to_end/000_M101.mp4     video 000 of FaceForensics++ with the face of actor M101
    lists/splits/train.txt  val.txt  test.txt      names of forgeries

Give the FaceForensics++ folder beside it for the reals (c23 is what its authors used). ``source_videos`` are
recordings of the actors, not the real class, and are left alone. A row's kind is the variant.
"""

from __future__ import annotations

from pathlib import Path

from deepscan.training.data.corpora.source import SIDES, Source

NAME = "DeeperForensics"
LICENCE = "DeeperForensics terms of use"


def matches(root: Path) -> bool:
    """Whether ``root`` has ``manipulated_videos``."""
    return (root / "manipulated_videos").is_dir()


def read(root: Path) -> list[Source]:
    """Every forgery of every variant."""
    sides = _sides(root / "lists" / "splits")
    rows = []
    for file in sorted((root / "manipulated_videos").glob("*/*.mp4")):
        target, _, actor = file.stem.partition("_")
        group = f"deeperforensics:{actor}"
        side = sides.get(file.stem, "")
        rows.append(Source(file, "fake", f"ffpp:{target}", NAME, LICENCE, file.parent.name, side, group))
    return rows


def _sides(folder: Path) -> dict[str, str]:
    return {
        Path(line.strip()).stem: side
        for side in SIDES
        if (folder / f"{side}.txt").is_file()
        for line in (folder / f"{side}.txt").read_text(encoding="utf-8").splitlines()
        if line.strip()
    }
