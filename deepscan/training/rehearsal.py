"""Forged copies of validation videos, as files: what calibration is fitted on, through a whole scan.

At each compression every video is written as a pair, original and self-blend, that differs inside the forged
mask alone (a forgery that tones the target tones its original too), and listed in a corpus CSV, together with
the video as it came: thresholds must hold for genuine files that nobody encoded anew. Only real
videos whose identity is on the validation side of the split are used.
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


def rehearse(
    corpora: Iterable[Path], out: Path, split: Split, engine: FaceEngine, mesh: FaceMesh, *, seed: int
) -> Iterator[tuple[Source, str]]:
    """Fill ``out`` with clips and ``corpus.csv``; yields what came of each validation video."""
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, str]] = []
    listed = [row for corpus in corpora for row in read_corpus(corpus)]
    sources = [row for row in listed if row.label == "real" and split.of(row) == "val"]
    for number, row in enumerate(sources):
        try:
            video = read_face_video(row.file, engine, mesh, seconds=SECONDS, long_side_px=LONG_SIDE_PX)
        except MediaError as error:
            yield row, str(error)
            continue
        # The number keeps files of one name from different folders apart.
        prefix = f"{number:03}-{row.file.stem}"
        written = list(_write(video, row, out, prefix, seed + 1000 * number))
        rows += [*written, _facts(str(row.file.resolve()), "real", row, "as it came")]
        yield row, f"{len(written)} clips"
    with (out / CORPUS).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _write(video: FaceVideo, row: Source, out: Path, prefix: str, seed: int) -> Iterator[dict[str, str]]:
    for number, crf in enumerate(CRFS):
        pair = forge_video(video, seed + number)
        for label, kind, frames in (("real", "original", pair.real), ("fake", "self-blend", pair.fake)):
            name = f"{prefix}-{kind}-crf{crf}.mp4"
            write_video(out / name, frames, video.rate, crf)
            yield _facts(name, label, row, f"{kind} crf {crf}")


def _facts(file: str, label: str, row: Source, kind: str) -> dict[str, str]:
    """A row of the corpus."""
    return dict(zip(COLUMNS, (file, label, row.identity, row.source, row.licence, kind), strict=True))
