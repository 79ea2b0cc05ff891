"""Which detectors score which clips: all of them, or as few as a sure verdict takes (``--fast``).

With ``--fast`` the detectors run in the order of ``fast_rank``. They stop at a track when those that ran give
a calibrated probability of at least ``CERTAIN``, or of at most ``1 - CERTAIN``; a suspicion must be as
certain after ``ensemble.weigh_tracks``, too. Detectors of weight 0 do not run at all. The report names every
detector that did not run, and why.

The price: a track is then judged by fewer detectors, as if the others had no clip of it. On the tracks where
the cheap ones are not certain, the verdict is that of a full scan.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from deepscan.detectors import SPECS
from deepscan.detectors.spec import Score
from deepscan.ensemble import Calibration, aggregate, fuse_logits, sigmoid
from deepscan.faces.clips import Clip
from deepscan.faces.people import mean_embedding
from deepscan.inference.detector import ClipOutput
from deepscan.inference.evidence import EvidenceKeeper
from deepscan.results import NOT_NEEDED

CERTAIN = 0.98
FAST_ORDER = tuple(sorted(SPECS, key=lambda name: SPECS[name].fast_rank))
WEIGHT_ZERO = "not run: it has no say in the verdict (--fast)"

AHEAD = 16
"""Batches that may wait for a network while the next clips are cut: two windows' worth, 20 MB at most."""

ScoreClips = Callable[[str, Sequence[Clip]], Sequence[ClipOutput]]


class Scheduler:
    """Runs every detector on every clip as soon as a batch of clips is complete.

    Scores are kept in the order of submission, however many networks run side by side. Use it in a ``with``
    block: leaving the block cancels what has not begun.

    Memory: on a CPU ``AHEAD`` clips; on a GPU less than a batch for each detector, 15 MB at most.

    Args:
        score_clips: runs the detector of this name on clips; one output per clip.
        batches: clips per batch, by detector; 1 for those that are missing.
        at_once: calls of ``score_clips`` side by side, each on its own thread; 1: on the caller's.
        keeper: receives every output with its evidence maps.
    """

    def __init__(
        self,
        score_clips: ScoreClips,
        batches: Mapping[str, int] | None = None,
        *,
        at_once: int = 1,
        keeper: EvidenceKeeper | None = None,
    ) -> None:
        self._score_clips = score_clips
        self._batches = batches or {}
        self._keeper = keeper
        self._threads = ThreadPoolExecutor(at_once, "networks") if at_once > 1 else None
        self._batch_of: dict[str, list[Clip]] = defaultdict(list)
        self._running: deque[tuple[str, Future[Sequence[ClipOutput]]]] = deque()
        self._scores: dict[int, dict[str, list[Score]]] = defaultdict(lambda: defaultdict(list))
        self._embeddings: dict[int, list[NDArray[np.float32]]] = defaultdict(list)

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._threads:
            self._threads.shutdown(cancel_futures=True)

    def submit(self, clips: Iterable[tuple[str, Clip]]) -> None:
        """Hand in complete clips, each with the name of its detector."""
        for name, clip in clips:
            self._batch_of[name].append(clip)
            if len(self._batch_of[name]) >= self._batches.get(name, 1):
                self._run_batch(name)

    def finish(self, track_id: int, calibration: Calibration) -> None:
        """Run what is still to be run for a track, and wait for it; call once the file has ended.

        Args:
            track_id: the track.
            calibration: of this face; ``FastScheduler`` decides by it which detectors run.
        """
        for name in list(self._batch_of):
            self._run_batch(name)
        self._collect(0)

    def scores(self, track_id: int) -> dict[str, list[Score]]:
        """The scores of a finished track, by detector."""
        return self._scores[track_id]

    def embedding(self, track_id: int) -> NDArray[np.float32] | None:
        """``(D,)`` of length 1, of all crops of a track; None where no network gives any.

        Call it once every track is finished.
        """
        return mean_embedding(self._embeddings[track_id])

    def _run_batch(self, name: str) -> None:
        clips = self._batch_of.pop(name)
        if self._threads is None:
            self._store(name, self._score_clips(name, clips))
            return
        self._running.append((name, self._threads.submit(self._score_clips, name, clips)))
        self._collect(AHEAD)

    def _collect(self, at_most: int) -> None:
        """Wait until at most so many batches are running or waiting."""
        while len(self._running) > at_most:
            name, outputs = self._running.popleft()
            self._store(name, outputs.result())

    def _store(self, name: str, outputs: Sequence[ClipOutput]) -> None:
        for output in outputs:
            self._scores[output.clip.track_id][name].append(output.score)
            if output.embedding is not None:
                self._embeddings[output.clip.track_id].append(output.embedding)
            if self._keeper:
                self._keeper.offer(SPECS[name], output.clip, output.score, output.maps)

    def not_run(self, track_id: int) -> dict[str, str]:
        """Detectors that had clips of a track and did not run, and why."""
        return {}


class FastScheduler(Scheduler):
    """Keeps the clips until the file has ended, then runs as few detectors per track as a sure verdict takes.

    Memory: a sampled file has at most 12 windows, so at most 25 MB of clips a face.
    """

    def __init__(
        self,
        score_clips: ScoreClips,
        batches: Mapping[str, int] | None = None,
        *,
        at_once: int = 1,
        keeper: EvidenceKeeper | None = None,
    ) -> None:
        super().__init__(score_clips, batches, at_once=at_once, keeper=keeper)
        self._waiting: dict[int, dict[str, list[Clip]]] = defaultdict(lambda: defaultdict(list))
        self._not_run: dict[int, dict[str, str]] = {}
        self._tracks: set[int] = set()

    def submit(self, clips: Iterable[tuple[str, Clip]]) -> None:
        for name, clip in clips:
            self._waiting[clip.track_id][name].append(clip)
            self._tracks.add(clip.track_id)

    def finish(self, track_id: int, calibration: Calibration) -> None:
        waiting = self._waiting.pop(track_id, {})
        for name in sorted(waiting, key=FAST_ORDER.index):
            reason = self._reason_not_to_run(name, track_id, calibration)
            if reason is not None:
                self._not_run.setdefault(track_id, {})[name] = reason
                continue
            super().submit((name, clip) for clip in waiting[name])
            super().finish(track_id, calibration)  # its scores decide whether the next one runs

    def not_run(self, track_id: int) -> dict[str, str]:
        return self._not_run.get(track_id, {})

    def _reason_not_to_run(self, name: str, track_id: int, calibration: Calibration) -> str | None:
        if calibration.detectors[name].weight == 0:
            return WEIGHT_ZERO
        found = self._scores[track_id].items()
        logits = {other: aggregate([s.probability for s in scores]) for other, scores in found if scores}
        fused = fuse_logits(logits, calibration)
        if fused is None:
            return None
        suspicion = fused - 2 * math.log(len(self._tracks))
        return NOT_NEEDED if max(sigmoid(suspicion), sigmoid(-fused)) >= CERTAIN else None
