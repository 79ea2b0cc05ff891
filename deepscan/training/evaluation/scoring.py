"""Labelled files -> what each detector says of each, through the very pipeline of a scan.

``ShufflingScanner`` scores every clip of a temporal detector a second time with its frames in random order: a
detector whose figures stay the same looks at single frames, whatever its name.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from deepscan.config import Device, ScanConfig
from deepscan.detectors import SPECS
from deepscan.ensemble import aggregate
from deepscan.errors import UsageError
from deepscan.faces.clips import Clip
from deepscan.inference.detector import ClipOutput, Detector
from deepscan.media import Frame
from deepscan.results import FileReport, SkippedFaces, TrackReport
from deepscan.scanner import Scanner
from deepscan.training.data.corpora import Region, Source
from deepscan.training.data.prepare import within_region
from deepscan.weights import Manifest, find_root, read_manifest

ClipScores = tuple[tuple[float, float, float], ...]
"""``(start_s, end_s, probability)`` of every clip, in order of time."""


@dataclass(frozen=True)
class ScoredFile:
    """One labelled file after a scan.

    Attributes:
        file: its path.
        label: 1 = forged, 0 = real.
        identity: who is shown; figures are bootstrapped over identities.
        source: where it is from.
        kind: the forger or the compression, for figures by group; empty when nothing is known.
        status: of the scan.
        probability: of the ensemble as it stood at the scan; None without a score.
        logits: aggregated logit per detector, of the largest face's track, before calibration.
        others: the same of every other face's track.
        others_width_px: those faces' widths, as ``face_width_px``; empty when they were not kept.
        clips: per detector, every clip of the largest face's track, as the network scored it.
        shuffled: as ``logits``, frames in random order; temporal detectors alone, where it was asked for.
        weights: which networks said so, see ``fingerprint``; empty when that was not kept.
        face_width_px: of the largest face's track, median; 0 when that was not kept.
        fold: of leave-generators-out validation; None without one.
        manipulation: type of forgery, of genuine files the sort of footage; may be empty.
        generator: the tool that forged it, of genuine files the data set; may be empty.
    """

    file: str
    label: int
    identity: str
    source: str
    kind: str
    status: str
    probability: float | None
    logits: dict[str, float]
    others: tuple[dict[str, float], ...] = ()
    clips: dict[str, ClipScores] = field(default_factory=dict)
    shuffled: dict[str, float] = field(default_factory=dict)
    weights: str = ""
    face_width_px: int = 0
    others_width_px: tuple[int, ...] = ()
    fold: int | None = None
    manipulation: str = ""
    generator: str = ""

    @property
    def drawn_with(self) -> str:
        """What a bootstrap draws whole: where generators are left out, the source, else the person."""
        return self.identity if self.fold is None else self.source

    @property
    def still(self) -> bool:
        """Every detector that spoke had a single frame, as of a photo."""
        spans = [clip[:2] for clips in self.clips.values() for clip in clips]
        return bool(spans) and len(set(spans)) == 1 and spans[0][0] == spans[0][1]


def score_files(rows: Iterable[Source], scanner: Scanner) -> Iterator[ScoredFile]:
    """Scan every row's file, in order; files without a scored face come with empty ``logits``."""
    for row in rows:
        if isinstance(scanner, RegionScanner):
            scanner.region = row.region
        elif row.region is not None:
            raise UsageError(
                f"{row.file}: only a part of it counts, which this scanner cannot look at alone."
            )
        report = scanner.scan(row.file)
        shuffled = scanner.shuffled if isinstance(scanner, ShufflingScanner) else None
        networks = fingerprint(scanner.weights.manifest, scanner.config.detectors)
        yield replace(scored(row, report, shuffled), weights=networks)


def fingerprint(manifest: Manifest, detectors: Sequence[str] | None = None) -> str:
    """Changes with every network and with nothing else: a new calibration keeps the logits as they are.

    Args:
        manifest: of the weights.
        detectors: those that scored; None: all that it lists.
    """
    hashes = "".join(
        f"{name}{model.sha256}"
        for name, entry in sorted(manifest.detectors.items())
        if detectors is None or name in detectors
        for model in (entry.model, entry.encoder)
        if model is not None
    )
    return hashlib.sha256(hashes.encode()).hexdigest()[:16]


def scan_config(weights: Path | None, device: Device = "auto") -> ScanConfig:
    """A scan by every detector that the weights folder lists: one's own may have fewer.

    Raises WeightsError where the folder has no readable manifest.
    """
    listed = read_manifest(find_root(weights)).detectors
    detectors = tuple(name for name in SPECS if name in listed)
    return ScanConfig(weights=weights, device=device, detectors=detectors or tuple(SPECS))


def resume_scores(
    path: Path,
    rows: Sequence[Source],
    scanner: Callable[[], Scanner],
    manifest: Manifest,
    report: Callable[[ScoredFile], None] = lambda file: None,
    *,
    shuffled: bool = False,
    detectors: Sequence[str] | None = None,
) -> list[ScoredFile]:
    """Scores of every row, kept in ``path`` line by line as they come; what is kept is not scanned again.

    Args:
        path: JSON Lines, made where it does not exist.
        rows: what to score.
        scanner: makes the scanner, when there is something left to scan.
        manifest: of the weights that score.
        report: called with every file that was scanned.
        shuffled: the scores must be of frames in random order, too.
        detectors: those that score; None: all that the weights list.

    Raises:
        UsageError: ``path`` holds files that ``rows`` do not name, scores of other weights, or scores of
            frames in order alone where both are wanted.
    """
    done = load_scores(path) if path.exists() else []
    if any(file.weights not in ("", fingerprint(manifest, detectors)) for file in done):
        raise UsageError(f"{path} holds scores of other weights; remove it or name another file.")
    if shuffled and any(temporal(file.logits) - temporal(file.shuffled) for file in done):
        raise UsageError(f"{path} holds scores of frames in order alone; remove it or name another file.")
    names = {str(row.file) for row in rows}
    strange = [file.file for file in done if file.file not in names]
    if strange:
        raise UsageError(
            f"{path} holds scores of {strange[0]}, which is not among these files; name another file."
        )
    known = {file.file: file for file in done}
    left = [row for row in rows if str(row.file) not in known]
    if left:
        with path.open("a", encoding="utf-8") as stream:
            for file in score_files(left, scanner()):
                stream.write(_line(file))
                stream.flush()
                known[file.file] = file
                report(file)
    return [known[str(row.file)] for row in rows]


def temporal(names: Iterable[str]) -> set[str]:
    """Those of some detectors that look at clips."""
    return {name for name in names if SPECS[name].frames > 1}


def scored(
    row: Source, report: FileReport, shuffled: Mapping[int, Mapping[str, Sequence[float]]] | None = None
) -> ScoredFile:
    """What of a report the figures are made from; ``shuffled``: per track and detector, probabilities."""
    track = main_track(report)
    others = [other for other in report.tracks if other is not track]
    own = {} if track is None or shuffled is None else shuffled.get(track.id, {})
    return ScoredFile(
        file=str(row.file),
        label=int(row.label == "fake"),
        identity=row.identity,
        source=row.source,
        kind=row.kind,
        status=report.status,
        probability=report.probability,
        logits={} if track is None else track_logits(track),
        others=tuple(track_logits(other) for other in others),
        others_width_px=tuple(other.face_width_px for other in others),
        clips={} if track is None else _clips(track),
        shuffled={name: aggregate(probabilities) for name, probabilities in own.items()},
        face_width_px=0 if track is None else track.face_width_px,
        fold=row.fold,
        manipulation=row.manipulation,
        generator=row.generator,
    )


def track_logits(track: TrackReport) -> dict[str, float]:
    """Aggregated logit per detector that scored the track."""
    return {
        detector.name: aggregate([score.probability for score in detector.scores])
        for detector in track.detectors
        if detector.scores
    }


def main_track(report: FileReport) -> TrackReport | None:
    """The track of the largest face; None without any."""
    return max(report.tracks, key=lambda track: (track.face_width_px, -track.id), default=None)


class RegionScanner(Scanner):
    """A scanner that sees of the next file only ``region``, where that is set."""

    region: Region | None = None

    def _scan_parts(
        self, parts: Iterable[tuple[str, Iterator[Frame]]]
    ) -> tuple[tuple[TrackReport, ...], tuple[SkippedFaces, ...]]:
        return super()._scan_parts((part, within_region(frames, self.region)) for part, frames in parts)


class ShufflingScanner(RegionScanner):
    """A scanner whose temporal detectors judge every clip twice; ``shuffled`` is of the last file."""

    def __init__(self, config: ScanConfig) -> None:
        super().__init__(config)
        self._shufflers = {
            name: Shuffler(self._detectors[name]) for name in sorted(temporal(self._detectors))
        }
        self._detectors |= self._shufflers

    def scan(self, path: Path) -> FileReport:
        """As ``Scanner.scan``."""
        for shuffler in self._shufflers.values():
            shuffler.shuffled.clear()
        return super().scan(path)

    @property
    def shuffled(self) -> dict[int, dict[str, list[float]]]:
        """Per track and temporal detector, probabilities of the clips with their frames in random order."""
        found: dict[int, dict[str, list[float]]] = defaultdict(dict)
        for name, shuffler in self._shufflers.items():
            for (track_id, _), probability in sorted(shuffler.shuffled.items()):
                found[track_id].setdefault(name, []).append(probability)
        return found


class Shuffler(Detector):
    """A detector that scores every clip as it is, and keeps the score of the clip in random order."""

    def __init__(self, detector: Detector) -> None:
        self.spec = detector.spec
        self.batch = detector.batch
        self.any_length = detector.any_length
        #: By track and start of the clip: two clips may be scored at once, in either order.
        self.shuffled: dict[tuple[int, float], float] = {}
        self._detector = detector

    def run(self, clips: Sequence[Clip], *, maps: bool = False) -> list[ClipOutput]:
        """As ``Detector.run``."""
        for clip in clips:
            mixed = replace(clip, pixels=clip.pixels[random_order(len(clip.pixels), clip.times_s[0])])
            (score,) = self._detector.score([mixed])
            self.shuffled[clip.track_id, score.start_s] = score.probability
        return self._detector.run(clips, maps=maps)


def random_order(count: int, start_s: float) -> list[int]:
    """A permutation of ``count`` frames in which none is followed by its own successor, seeded by the time.

    Neither the clip as it was nor the clip backwards, which moves as smoothly.
    """
    rng = np.random.default_rng(round(start_s * 1000))
    while True:
        order: list[int] = rng.permutation(count).tolist()
        steps = np.diff(order)
        if count < 4 or not (np.abs(steps) == 1).any():
            return order


def save_scores(path: Path, files: Iterable[ScoredFile]) -> None:
    """One JSON line per file."""
    path.write_text("".join(map(_line, files)), encoding="utf-8")


def load_scores(path: Path) -> list[ScoredFile]:
    """What ``save_scores`` or ``resume_scores`` wrote; a last line that was cut off is dropped from the file.

    Raises:
        UsageError: a line is no score.
    """
    text = path.read_text(encoding="utf-8")
    whole, _, cut = text.rpartition("\n")
    if cut:
        path.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
    try:
        return [_scored_file(line) for line in whole.splitlines()]
    except (ValueError, TypeError):
        raise UsageError(f"{path} is no file of scores; remove it or name another.") from None


def _scored_file(line: str) -> ScoredFile:
    facts = json.loads(line)
    clips = {name: tuple(map(tuple, scores)) for name, scores in facts.pop("clips", {}).items()}
    facts |= {name: tuple(facts.get(name, ())) for name in ("others", "others_width_px")}
    return ScoredFile(**facts, clips=clips)


def _line(file: ScoredFile) -> str:
    return json.dumps(asdict(file)) + "\n"


def _clips(track: TrackReport) -> dict[str, ClipScores]:
    return {
        detector.name: tuple((score.start_s, score.end_s, score.probability) for score in detector.scores)
        for detector in track.detectors
        if detector.scores
    }
