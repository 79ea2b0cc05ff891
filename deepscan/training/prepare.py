"""Labelled media -> cached face tracks with meshes, ready to be forged and cut.

A corpus is a CSV with the columns ``file`` (relative to the CSV), ``label``, ``identity``, ``source`` and
``licence``, and ``kind`` (or ``tool``), the forger or the compression; only the first two are required.
Every photo gives one sample of one frame; every video gives windows of 16 consecutive frames and one
sample of 12 frames spread evenly, all of its main face.
Decoding, detection and tracking are those of a scan.

A sample is a folder: ``frames.npy`` ``(T, S, S, 3)`` uint8, an upright square 2.8 times the face (wider
where the face moves), never enlarged, at most 448 px; ``faces.npz`` with ``boxes (T, 4)``,
``points (T, 5, 2)`` and ``mesh (T, 468, 2)`` in pixels of that square. ``index.jsonl`` lists them.
"""

from __future__ import annotations

import csv
import fnmatch
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepscan import media
from deepscan.clips import cut_square
from deepscan.errors import MediaError, UsageError
from deepscan.faces import Face, FaceEngine, FaceTracker
from deepscan.training.mesh import FaceMesh

CANVAS_SCALE = 2.8
CANVAS_PX = 448
WINDOW_EVERY_S = 4.0
MAX_WINDOWS = 5
INDEX = "index.jsonl"
SHORTEST = {"photo": 1, "window": media.WINDOW_FRAMES, "even": media.EVEN_FRAMES}


@dataclass(frozen=True)
class Source:
    """One row of a corpus."""

    file: Path
    label: str
    identity: str
    source: str
    licence: str
    kind: str


@dataclass(frozen=True)
class Sample:
    """One cached face; ``folder`` is relative to the cache."""

    folder: str
    kind: str
    label: str
    identity: str
    source: str
    split: str


@dataclass(frozen=True)
class Split:
    """Who is validated on: identities or sources that match a pattern, never seen in training.

    ``share`` of the remaining identities are drawn by a hash of their name as well.
    """

    patterns: tuple[str, ...] = ()
    share: float = 0.0

    def of(self, row: Source) -> str:
        """``"val"`` or ``"train"``; the same for every row of one identity."""
        names = (row.identity, row.source)
        if any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in self.patterns):
            return "val"
        drawn = zlib.crc32(row.identity.encode()) / 2**32
        return "val" if drawn < self.share else "train"


def read_corpus(path: Path) -> list[Source]:
    """Read a corpus CSV; ``UsageError`` when it lacks a column or a label is unknown."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    if not rows:
        raise UsageError(f"{path} lists no media; it needs a header and one row per file.")
    missing = {"file", "label"} - set(rows[0])
    if missing:
        raise UsageError(f"{path} has no column {', '.join(sorted(missing))}.")
    unknown = {row["label"] for row in rows} - {"real", "fake"}
    if unknown:
        raise UsageError(f"{path}: label {sorted(unknown)[0]!r} is neither 'real' nor 'fake'.")
    return [
        Source(
            file=path.parent / row["file"],
            label=row["label"],
            identity=row.get("identity") or row["file"],
            source=row.get("source") or path.stem,
            licence=row.get("licence") or "",
            kind=row.get("kind") or row.get("tool") or "",
        )
        for row in rows
    ]


def prepare(
    corpora: Iterable[Path], cache: Path, split: Split, engine: FaceEngine, mesh: FaceMesh
) -> Iterator[tuple[Source, str]]:
    """Fill ``cache``, file by file; yields what came of each ("3 samples", "no face", an error).

    Files that the index already names are passed over, so a run that was stopped goes on.
    """
    cache.mkdir(parents=True, exist_ok=True)
    index = cache / INDEX
    done = {line["file"] for line in _lines(index)} if index.exists() else set()
    for row in (row for corpus in corpora for row in read_corpus(corpus)):
        if str(row.file) in done:
            continue
        try:
            samples = list(_samples(row, cache, split.of(row), engine, mesh))
            outcome = f"{len(samples)} samples" if samples else "no face"
        except MediaError as error:
            samples, outcome = [], str(error)
        line = {"file": str(row.file), "outcome": outcome, "samples": [asdict(s) for s in samples]}
        with index.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        yield row, outcome


def load_index(cache: Path) -> list[Sample]:
    """All samples of a cache; ``UsageError`` where an identity stands on both sides of the split."""
    index = cache / INDEX
    if not index.exists():
        raise UsageError(f"{cache} holds no prepared faces; run the preparation first.")
    samples = [Sample(**sample) for line in _lines(index) for sample in line["samples"]]
    sides: dict[str, str] = {}
    for sample in samples:
        if sides.setdefault(sample.identity, sample.split) != sample.split:
            raise UsageError(f"identity {sample.identity!r} stands in both train and val; prepare again.")
    return samples


def training_plan(info: media.MediaInfo) -> media.SamplingPlan:
    """One window every four seconds, at most five, and twelve even frames."""
    duration = info.duration_s or 0.0
    count = int(np.clip(duration // WINDOW_EVERY_S, 1, MAX_WINDOWS))
    room = max(0.0, duration - 1.0)
    starts = tuple(float(s) for s in np.linspace(0.0, room, count)) if count > 1 else (0.0,)
    even = tuple(float(s) for s in (np.arange(media.EVEN_FRAMES) + 0.5) / media.EVEN_FRAMES * duration)
    return media.SamplingPlan(window_starts_s=starts, even_s=even)


def _samples(row: Source, cache: Path, side: str, engine: FaceEngine, mesh: FaceMesh) -> Iterator[Sample]:
    info = media.probe(row.file)
    plan = media.plan(info) if info.kind == "image" else training_plan(info)
    coverage = media.Coverage()
    seen = _main_face(media.frames(row.file, info, plan, coverage), engine)
    groups: dict[str, list[tuple[NDArray[np.uint8], Face]]] = {}
    for frame, face in seen:
        if info.kind == "image":
            groups["photo"] = [(frame.rgb, face)]
            continue
        if frame.window is not None:
            groups.setdefault(f"window{frame.window}", []).append((frame.rgb, face))
        if frame.even:
            groups.setdefault("even", []).append((frame.rgb, face))
    for name, group in groups.items():
        kind = name.rstrip("0123456789")
        if len(group) < SHORTEST[kind]:
            continue
        folder = f"{_place(row.file)}/{name}"
        if _store(cache / folder, group, mesh):
            yield Sample(folder, kind, row.label, row.identity, row.source, side)


def _lines(index: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in index.read_text(encoding="utf-8").splitlines()]


def _place(file: Path) -> str:
    """A folder name of its own for every path: files of different folders often share their names."""
    return f"{file.stem}-{zlib.crc32(str(file).encode()):08x}"


def _main_face(frames: Iterable[media.Frame], engine: FaceEngine) -> list[tuple[media.Frame, Face]]:
    """Every frame that shows the face seen most often, with that face."""
    tracker = FaceTracker(engine, min_face_px=40, max_faces=4)
    seen = [(frame, tracked) for frame, faces in tracker.follow(frames) for tracked in faces]
    counts: dict[int, int] = {}
    for _, tracked in seen:
        counts[tracked.track_id] = counts.get(tracked.track_id, 0) + 1
    if not counts:
        return []
    main = max(counts, key=lambda key: counts[key])
    return [(frame, tracked.face) for frame, tracked in seen if tracked.track_id == main]


def _store(folder: Path, group: Sequence[tuple[NDArray[np.uint8], Face]], mesh: FaceMesh) -> bool:
    boxes = np.stack([face.box for _, face in group])
    points = np.stack([face.points for _, face in group])
    long_side = float((boxes[:, 2:] - boxes[:, :2]).max())
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    side = max(CANVAS_SCALE * long_side, float((high - low).max()) + (CANVAS_SCALE - 1) * long_side)
    zoom = min(1.0, CANVAS_PX / side)
    size = round(side * zoom) // 2 * 2
    shift = (size - 1) / 2 - zoom * (low + high) / 2
    affine = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]], np.float64)
    meshes = [mesh.find(rgb, face.box, face.points) for rgb, face in group]
    if any(found is None for found in meshes):
        return False
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "frames.npy", np.stack([cut_square(rgb, affine, size) for rgb, _ in group]))
    to_square = np.array([shift[0], shift[1]], np.float32)
    np.savez(
        folder / "faces.npz",
        boxes=(boxes * zoom + np.tile(to_square, 2)).astype(np.float32),
        points=(points * zoom + to_square).astype(np.float32),
        mesh=(np.stack([m for m in meshes if m is not None]) * zoom + to_square).astype(np.float32),
    )
    return True
