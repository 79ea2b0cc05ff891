"""A synthetic test set: forged copies of validation videos, as files, to measure how scores survive faults.

Under each condition (compression, size) every video is written as a pair, original and forgery, that
differs inside the forged mask alone (a forgery that tones the target tones its original too), and listed in
a corpus CSV, together with the video as it came. The manipulation types take turns; one portrait of every
video is forged as a whole, too. Only genuine videos whose identity is on the validation side of the split
are used, for faces and donors alike. A long video may give several segments, as its beginning alone may be
easier than the rest. A type that lacks a donor (the first video) or a generator gives way to a self-blend.
No detector is chosen, and no constant fitted, on such files.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from deepscan import media
from deepscan.errors import MediaError, UsageError
from deepscan.faces.mesh import FaceMesh
from deepscan.faces.tracker import FaceEngine
from deepscan.training.data.corpora import Source, read_corpus
from deepscan.training.data.prepare import Split
from deepscan.training.synthesis.generators import Regenerator
from deepscan.training.synthesis.manipulations import FaceClip
from deepscan.training.synthesis.video import (
    WHOLE,
    FaceVideo,
    Image,
    portrait,
    possible,
    read_face_video,
    segments,
    synthesize_video,
    write_video,
)

CORPUS = "corpus.csv"
COLUMNS = ("file", "label", "identity", "source", "licence", "kind")
SECONDS = 3.0
LONG_SIDE_PX = 960
SEAMS = ("self-blend", "swap", "reenactment", "resynthesis")
LENT_FRAMES = 8
LENDERS = 4


@dataclass(frozen=True)
class Condition:
    """How a pair is written: shrunk by ``shrink``, then H.264 at ``crf``."""

    name: str
    crf: int
    shrink: int = 1


CONDITIONS = (Condition("crf 23", 23), Condition("crf 40", 40), Condition("half size crf 23", 23, shrink=2))


def synthesize_test_set(
    corpora: Iterable[Path],
    out: Path,
    split: Split,
    engine: FaceEngine,
    mesh: FaceMesh,
    *,
    seed: int,
    generators: Sequence[Regenerator] = (),
    count: int = 1,
) -> Iterator[tuple[Source, str]]:
    """Fill ``out`` with clips and ``corpus.csv``; yields what came of each validation video.

    Args:
        corpora: CSVs of media.
        out: folder to fill.
        split: whose validation side is used.
        engine: finds faces.
        mesh: finds their meshes.
        seed: of the forgeries.
        generators: of the validation side; without them nothing is re-synthesised.
        count: segments of ``SECONDS`` to take from a video that is long enough for them.

    Raises:
        UsageError: no real file is on the validation side.
    """
    listed = [row for corpus in corpora for row in read_corpus(corpus)]
    sources = [row for row in listed if row.label == "real" and split.of(row) == "val"]
    if not sources:
        raise UsageError(
            f"none of the {len(listed)} files is a real one on the validation side; name people with "
            "--validate-on, draw a --validate-share of them, or write their side in the CSV's column split."
        )
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, str]] = []
    donors: list[tuple[str, FaceClip]] = []
    for number, row in enumerate(sources):
        forged = False
        for turn, video in enumerate(_segments(row.file, count, engine, mesh)):
            if isinstance(video, MediaError):
                yield row, str(video)
                continue
            others = [face for identity, face in donors if identity != row.identity][-LENDERS:]
            # The numbers keep files of one name from different folders apart, and segments of one file.
            prefix = f"{number:03}-{row.file.stem}" + (f"-segment-{turn + 1}" if turn else "")
            take = _Take(row, out, prefix, others, generators)
            written = list(take.write(video, number + turn, seed + 1000 * number + 100 * turn))
            rows += written
            donors.append((row.identity, donated(video)))
            forged = True
            yield row, f"{len(written)} clips"
        if forged:
            rows.append(_facts(str(row.file.resolve()), "real", row, "as it came"))
    with (out / CORPUS).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _segments(path: Path, count: int, engine: FaceEngine, mesh: FaceMesh) -> Iterator[FaceVideo | MediaError]:
    """Up to ``count`` segments of a video, or why there is none."""
    try:
        starts = segments(media.probe(path), SECONDS, count)
    except MediaError as error:
        yield error
        return
    for start_s in starts:
        try:
            yield read_face_video(
                path, engine, mesh, seconds=SECONDS, long_side_px=LONG_SIDE_PX, start_s=start_s
            )
        except MediaError as error:
            yield error


def donated(video: FaceVideo) -> FaceClip:
    """What a video lends to later ones: a few frames of its face, and how it moved."""
    small = portrait(video)
    every = max(1, len(small.frames) // LENT_FRAMES)
    return FaceClip(small.frames[::every].copy(), small.mesh[::every])


@dataclass(frozen=True)
class _Take:
    """Writes the versions of one video."""

    row: Source
    out: Path
    prefix: str
    others: Sequence[FaceClip]
    generators: Sequence[Regenerator]

    def write(self, video: FaceVideo, number: int, seed: int) -> Iterator[dict[str, str]]:
        """Every condition with a seam, and one condition of the portrait forged as a whole."""
        for place, condition in enumerate(CONDITIONS):
            manipulation = SEAMS[(number + place) % len(SEAMS)]
            yield from self._pair(video, manipulation, "original", condition, seed + place)
        condition = CONDITIONS[number % len(CONDITIONS)]
        manipulation = WHOLE[number // len(CONDITIONS) % len(WHOLE)]
        yield from self._pair(portrait(video), manipulation, "portrait", condition, seed + len(CONDITIONS))

    def _pair(
        self, video: FaceVideo, manipulation: str, original: str, condition: Condition, seed: int
    ) -> Iterator[dict[str, str]]:
        if not possible(manipulation, self.others, self.generators):
            manipulation = "self-blend"
        pair = synthesize_video(video, manipulation, seed, self.others, self.generators)
        for label, kind, frames in (("real", original, pair.real), ("fake", manipulation, pair.fake)):
            name = f"{self.prefix}-{original}-{label}-{condition.name.replace(' ', '-')}.mp4"
            write_video(self.out / name, shrunk(frames, condition.shrink), video.rate, condition.crf)
            yield _facts(name, label, self.row, f"{kind} {condition.name}")


def shrunk(frames: Image, by: int) -> Image:
    """``(T, H, W, 3)`` to a ``by``-th of height and width."""
    if by == 1:
        return frames
    size = (frames.shape[2] // by, frames.shape[1] // by)
    return np.stack(
        [np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8) for frame in frames]
    )


def _facts(file: str, label: str, row: Source, kind: str) -> dict[str, str]:
    """A row of the corpus."""
    return dict(zip(COLUMNS, (file, label, row.identity, row.source, row.licence, kind), strict=True))
