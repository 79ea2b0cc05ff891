"""Forged copies of validation videos, as files: what calibration is fitted on, through a whole scan.

Every video is written untouched and forged, at each compression, and listed in a corpus CSV. Only rows
whose identity is on the validation side of the split are used.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from deepscan.errors import MediaError
from deepscan.faces import FaceEngine
from deepscan.training.forge.video import FaceVideo, forge_video, read_face_video, write_video
from deepscan.training.mesh import FaceMesh
from deepscan.training.prepare import Source, Split, read_corpus

CORPUS = "corpus.csv"
COLUMNS = ("file", "label", "identity", "source", "licence", "kind")
SECONDS = 5.0
LONG_SIDE_PX = 960
CRFS = (23, 40)
FORGERIES = 2


def rehearse(
    corpora: Iterable[Path], out: Path, split: Split, engine: FaceEngine, mesh: FaceMesh, *, seed: int
) -> Iterator[tuple[Source, str]]:
    """Fill ``out`` with clips and ``corpus.csv``; yields what came of each validation video."""
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, str]] = []
    sources = [row for corpus in corpora for row in read_corpus(corpus) if split.of(row) == "val"]
    for number, row in enumerate(sources):
        try:
            video = read_face_video(row.file, engine, mesh, seconds=SECONDS, long_side_px=LONG_SIDE_PX)
        except MediaError as error:
            yield row, str(error)
            continue
        written = list(_write(video, row, out, seed + 1000 * number))
        rows += written
        yield row, f"{len(written)} clips"
    with (out / CORPUS).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _write(video: FaceVideo, row: Source, out: Path, seed: int) -> Iterator[dict[str, str]]:
    versions = [("real", "original", video.frames)]
    for forgery in range(FORGERIES):
        pair = forge_video(video, seed + forgery)
        versions.append(("fake", f"self-blend {forgery + 1}", pair.fake))
    for label, kind, frames in versions:
        for crf in CRFS:
            name = f"{row.file.stem}-{kind.replace(' ', '-')}-crf{crf}.mp4"
            write_video(out / name, frames, video.rate, crf)
            facts = (name, label, row.identity, row.source, row.licence, f"{kind} crf {crf}")
            yield dict(zip(COLUMNS, facts, strict=True))
