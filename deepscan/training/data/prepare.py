"""Labelled media -> cached face tracks with meshes, ready to be forged and cut.

What a corpus is, ``training.corpora`` says.
Every photo gives one sample of one frame; every video gives windows of 16 consecutive frames and one
sample of 12 frames spread evenly, all of its main face.
Decoding, detection and tracking are those of a scan.

A sample is a folder: ``frames.npy`` ``(T, S, S, 3)`` uint8, an upright square 2.8 times the face (wider
where the face moves), never enlarged, at most 448 px; ``faces.npz`` with ``boxes (T, 4)``,
``points (T, 5, 2)`` and ``mesh (T, 468, 2)`` in pixels of that square. ``index.jsonl`` lists them.
"""

from __future__ import annotations

import fnmatch
import json
import shutil
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepscan import media
from deepscan.errors import MediaError, UsageError
from deepscan.faces.crops import cut_square
from deepscan.faces.mesh import FaceMesh
from deepscan.faces.tracker import Face, FaceEngine, FaceTracker
from deepscan.training.data.corpora import SIDES, UNUSED, Region, Source, need_classes, read_corpora

CANVAS_SCALE = 2.8
CANVAS_PX = 448
"""Side of the largest square that is kept: the longer side of a face is 160 px in it, at the most."""
WINDOW_EVERY_S = 4.0
MAX_WINDOWS = 5
INDEX = "index.jsonl"
MASKS = "masks.npy"
FORGED_FROM = 127
"""Brightness of a mask's pixel from which it is forged; lossy masks have grey edges."""
PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".jpe", ".jfif"})
VIDEO_FRAMES = MAX_WINDOWS * media.WINDOW_FRAMES + media.EVEN_FRAMES
SHORTEST = {"photo": 1, "window": media.WINDOW_FRAMES, "even": media.EVEN_FRAMES}


@dataclass(frozen=True)
class Sample:
    """One cached face; ``folder`` is relative to the cache, ``masked``: its forged pixels are known.

    The rest is what ``corpora.Source`` says of its file.
    """

    folder: str
    kind: str
    label: str
    identity: str
    source: str
    split: str
    group: str = ""
    masked: bool = False
    licence: str = ""
    manipulation: str = ""
    generator: str = ""
    fold: int | None = None


@dataclass(frozen=True)
class _Finder:
    """What finds a file's faces, and what it keeps: squares of at most this side, of which frames."""

    engine: FaceEngine
    mesh: FaceMesh
    canvas_px: int
    single_frames: bool

    def has_mesh(self, rgb: NDArray[np.uint8], face: Face) -> bool:
        """Whether the mesh of a face is found."""
        return self.mesh.find(rgb, face.box, face.points) is not None


@dataclass(frozen=True)
class Split:
    """Who is validated on: identities or sources that match a pattern, never seen in training.

    ``share`` of the remaining identities are drawn by a hash of their name as well. Where a corpus has an
    official split, it stands.
    """

    patterns: tuple[str, ...] = ()
    share: float = 0.0

    def of(self, row: Source) -> str:
        """``train``, ``val``, ``test`` or ``unused``; the same for everyone who must stand together.

        Patterns go first, then what the corpus' own lists say, then the draw.
        """
        names = (row.identity, row.source)
        if any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in self.patterns):
            return "val"
        if row.split:
            return row.split
        drawn = zlib.crc32((row.group or row.identity).encode()) / 2**32
        return "val" if drawn < self.share else "train"


def prepare(
    corpora: Iterable[Path],
    cache: Path,
    split: Split,
    engine: FaceEngine,
    mesh: FaceMesh,
    *,
    kinds: Sequence[str] = (),
) -> Iterator[tuple[Source, str]]:
    """Fill ``cache``, file by file; yields what came of each ("3 samples", "no face", an error).

    Files that the index already names are passed over, so a run that was stopped goes on.

    Raises:
        UsageError: somebody would stand on two sides, there is no real file, or the disk is too small.
    """
    rows = read_corpora(corpora, kinds)
    yield from fill(rows, cache, split, engine, mesh)


def fill(
    rows: Sequence[Source],
    cache: Path,
    split: Split,
    engine: FaceEngine,
    mesh: FaceMesh,
    *,
    canvas_px: int = CANVAS_PX,
    single_frames: bool = False,
) -> Iterator[tuple[Source, str]]:
    """``prepare`` for rows that were read already.

    Args:
        canvas_px: side of the largest square that is kept.
        single_frames: keep of videos only the evenly spread frames, enough for detectors of single frames.
    """
    finder = _Finder(engine, mesh, canvas_px, single_frames)
    need_classes(rows, ("real",), "training")
    sides = {row.file: split.of(row) for row in rows}
    refuse_leak((name, sides[row.file]) for row in rows for name in (row.identity, row.group) if name)
    cache.mkdir(parents=True, exist_ok=True)
    index = cache / INDEX
    done = {line["file"] for line in _lines(index)} if index.exists() else set()
    left = [row for row in rows if str(row.file) not in done]
    wanted = [row for row in left if sides[row.file] != UNUSED]
    need_space(cache, wanted, canvas_px, single_frames=single_frames)
    for row in left:
        if sides[row.file] == UNUSED:
            samples: list[Sample] = []
            outcome = "left out: the corpus' test side shows the same clip or person"
        else:
            samples, outcome = _prepared(row, cache, sides[row.file], finder)
        line = {"file": str(row.file), "outcome": outcome, "samples": [asdict(s) for s in samples]}
        with index.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        yield row, outcome


def _prepared(row: Source, cache: Path, side: str, finder: _Finder) -> tuple[list[Sample], str]:
    """A file's samples, and what came of it."""
    try:
        samples = list(_samples(row, cache, side, finder))
    except MediaError as error:
        return [], str(error)
    return samples, f"{len(samples)} samples" if samples else "no face"


def refuse_leak(stands: Iterable[tuple[str, str]]) -> None:
    """Raises UsageError where a name stands on two sides: ``(name, side)``."""
    sides: dict[str, str] = {}
    for name, side in stands:
        if side != UNUSED and sides.setdefault(name, side) != side:
            one, other = sorted((side, sides[name]), key=SIDES.index)
            raise UsageError(
                f"{name!r} stands in both {one} and {other}; keep everything of a person on one side."
            )


def need_space(cache: Path, rows: Sequence[Source], canvas_px: int, *, single_frames: bool = False) -> None:
    """Raises UsageError where the disk could not hold the faces of all rows.

    Reckoned for faces that fill the largest square; most take less.
    """
    of_video = media.EVEN_FRAMES if single_frames else VIDEO_FRAMES
    frames = sum(1 if row.file.suffix.lower() in PHOTO_SUFFIXES else of_video for row in rows)
    needed = frames * canvas_px**2 * 3
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise UsageError(
            f"{cache}: the faces of {len(rows)} files may need {needed / 1e9:.1f} GB, and only "
            f"{free / 1e9:.1f} GB are free; choose another --cache, or fewer files with --kind."
        )


def load_index(cache: Path) -> list[Sample]:
    """All samples of a cache; ``UsageError`` where somebody stands on both sides of the split."""
    index = cache / INDEX
    if not index.exists():
        raise UsageError(f"{cache} holds no prepared faces; run the preparation first.")
    samples = [Sample(**sample) for line in _lines(index) for sample in line["samples"]]
    refuse_leak(
        (name, sample.split) for sample in samples for name in (sample.identity, sample.group) if name
    )
    return samples


def training_plan(info: media.MediaInfo, *, single_frames: bool = False) -> media.SamplingPlan:
    """One window every four seconds, at most five, and twelve even frames; these alone for single frames."""
    duration = info.duration_s or 0.0
    count = int(np.clip(duration // WINDOW_EVERY_S, 1, MAX_WINDOWS))
    room = max(0.0, duration - 1.0)
    starts = tuple(float(s) for s in np.linspace(0.0, room, count)) if count > 1 else (0.0,)
    even = tuple(float(s) for s in (np.arange(media.EVEN_FRAMES) + 0.5) / media.EVEN_FRAMES * duration)
    return media.SamplingPlan(window_starts_s=() if single_frames else starts, even_s=even)


def _samples(row: Source, cache: Path, side: str, finder: _Finder) -> Iterator[Sample]:
    info = media.probe(row.file)
    still = info.kind == "image"
    plan = media.plan(info) if still else training_plan(info, single_frames=finder.single_frames)
    coverage = media.Coverage()
    frames = within_region(media.frames(row.file, info, plan, coverage), row.region)
    seen = _main_face(frames, finder.engine)
    masks = _mask_frames(row, plan)
    groups: dict[str, list[tuple[media.Frame, Face]]] = {}
    for frame, face in seen:
        if info.kind == "image":
            groups["photo"] = [(frame, face)]
            continue
        if frame.window is not None:
            groups.setdefault(f"window{frame.window}", []).append((frame, face))
        if frame.even:
            groups.setdefault("even", []).append((frame, face))
    for name, group in groups.items():
        kind = name.rstrip("0123456789")
        if finder.single_frames:
            group = [(frame, face) for frame, face in group if finder.has_mesh(frame.rgb, face)]
        if len(group) < (1 if finder.single_frames else SHORTEST[kind]):
            continue
        folder = f"{_place(row.file)}/{name}"
        if _store(cache / folder, [(frame.rgb, face) for frame, face in group], finder):
            masked = bool(masks) and _store_masks(cache / folder, group, masks, finder.canvas_px)
            yield Sample(
                folder=folder,
                kind=kind,
                label=row.label,
                identity=row.identity,
                source=row.source,
                split=side,
                group=row.group,
                masked=masked,
                manipulation=row.manipulation,
                generator=row.generator,
                licence=row.licence,
                fold=row.fold,
            )


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


def within_region(frames: Iterable[media.Frame], region: Region | None) -> Iterator[media.Frame]:
    """The frames, cut to the part of the picture that counts."""
    for frame in frames:
        if region is None:
            yield frame
            continue
        x, y, w, h = region
        rgb = np.ascontiguousarray(frame.rgb[y : y + h, x : x + w])
        yield replace(frame, picture=rgb)


def _mask_frames(row: Source, plan: media.SamplingPlan) -> dict[float, NDArray[np.uint8]]:
    """Brightness ``(H, W)`` of the mask video's frames by their time; empty where none can be read."""
    if row.mask is None:
        return {}
    try:
        info = media.probe(row.mask)
        frames = media.frames(row.mask, info, plan, media.Coverage())
        return {round(frame.pts_s, 3): frame.rgb.max(-1) for frame in frames}
    except MediaError:
        return {}


def _store_masks(
    folder: Path,
    group: Sequence[tuple[media.Frame, Face]],
    masks: dict[float, NDArray[np.uint8]],
    canvas_px: int,
) -> bool:
    """Cut the masks as the frames were cut; False where one is missing or of another size."""
    found = [masks.get(round(frame.pts_s, 3)) for frame, _ in group]
    affine, size = _square([face.box for _, face in group], canvas_px)
    cut = [
        cut_square(mask, affine, size)
        for mask, (frame, _) in zip(found, group, strict=True)
        if mask is not None and mask.shape == frame.rgb.shape[:2]
    ]
    if len(cut) < len(group):
        return False
    np.save(folder / MASKS, np.where(np.stack(cut) > FORGED_FROM, 255, 0).astype(np.uint8))
    return True


def _square(boxes: Sequence[NDArray[np.float32]], canvas_px: int) -> tuple[NDArray[np.float64], int]:
    """The affine to the sample's square, and its side in pixels."""
    corners = np.stack(boxes)
    long_side = float((corners[:, 2:] - corners[:, :2]).max())
    low, high = corners[:, :2].min(0), corners[:, 2:].max(0)
    side = max(CANVAS_SCALE * long_side, float((high - low).max()) + (CANVAS_SCALE - 1) * long_side)
    zoom = min(1.0, canvas_px / side)
    size = round(side * zoom) // 2 * 2
    shift = (size - 1) / 2 - zoom * (low + high) / 2
    return np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]], np.float64), size


def _store(folder: Path, group: Sequence[tuple[NDArray[np.uint8], Face]], finder: _Finder) -> bool:
    boxes = np.stack([face.box for _, face in group])
    points = np.stack([face.points for _, face in group])
    affine, size = _square([face.box for _, face in group], finder.canvas_px)
    zoom, shift = affine[0, 0], affine[:, 2]
    meshes = [finder.mesh.find(rgb, face.box, face.points) for rgb, face in group]
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
