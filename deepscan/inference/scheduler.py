"""Which detectors are asked about which track: all of them, or as many as it takes (``--fast``).

``--fast`` asks GenD first, then in order of cost, and stops at a track when what the asked detectors say
together is a calibrated probability of ``CERTAIN`` or more, or of ``1 - CERTAIN`` or less; a suspicion must
be as certain after ``ensemble.weigh_tracks``, too. Detectors of weight 0 are not asked at all: they have no
say. Whatever was not asked says so in the report.

The price: a track is then judged by fewer detectors, as if the others had no clip of it. On the tracks
where the cheap ones are not certain, the verdict is that of a full scan.
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
"""Questions that may wait for an answer while the next clips are cut: two windows' worth, 20 MB at most."""

Ask = Callable[[str, Sequence[Clip]], Sequence[ClipOutput]]


class Scheduler:
    """Every detector scores every clip as soon as there are enough of them.

    Answers are taken in the order of the questions, however many are asked at once. Use it in a ``with``
    block: leaving it ends what has not begun.

    Memory: on a CPU ``AHEAD`` clips; on a GPU less than a batch for each detector, 15 MB at most.

    Args:
        ask: a detector's name and clips of its own -> an answer for each.
        batches: clips that a detector is given at once; one where nothing is said.
        at_once: calls of ``ask`` that may run side by side, each on a thread of its own; 1: on the caller's.
        keeper: is shown every answer with its evidence.
    """

    def __init__(
        self,
        ask: Ask,
        batches: Mapping[str, int] | None = None,
        *,
        at_once: int = 1,
        keeper: EvidenceKeeper | None = None,
    ) -> None:
        self._ask = ask
        self._batches = batches or {}
        self._keeper = keeper
        self._threads = ThreadPoolExecutor(at_once, "networks") if at_once > 1 else None
        self._gathered: dict[str, list[Clip]] = defaultdict(list)
        self._asked: deque[tuple[str, Future[Sequence[ClipOutput]]]] = deque()
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
        """Take the clips that are complete, each with its detector's name."""
        for name, clip in clips:
            self._gathered[name].append(clip)
            if len(self._gathered[name]) >= self._batches.get(name, 1):
                self._ask_gathered(name)

    def finish(self, track_id: int, calibration: Calibration) -> None:
        """Run what is still to be run for a track, and wait for it; call once the file has ended.

        Args:
            track_id: the track.
            calibration: for this face: what a cascade goes by.
        """
        for name in list(self._gathered):
            self._ask_gathered(name)
        self._take_answers(0)

    def scores(self, track_id: int) -> dict[str, list[Score]]:
        """The scores of a finished track, by detector."""
        return self._scores[track_id]

    def embedding(self, track_id: int) -> NDArray[np.float32] | None:
        """``(D,)`` of length 1, of all crops of a track; None where no network gives any.

        Call it once every track is finished.
        """
        return mean_embedding(self._embeddings[track_id])

    def _ask_gathered(self, name: str) -> None:
        clips = self._gathered.pop(name)
        if self._threads is None:
            self._take(name, self._ask(name, clips))
            return
        self._asked.append((name, self._threads.submit(self._ask, name, clips)))
        self._take_answers(AHEAD)

    def _take_answers(self, left: int) -> None:
        """Wait until no more than ``left`` questions are open."""
        while len(self._asked) > left:
            name, answers = self._asked.popleft()
            self._take(name, answers.result())

    def _take(self, name: str, answers: Sequence[ClipOutput]) -> None:
        for answer in answers:
            self._scores[answer.clip.track_id][name].append(answer.score)
            if answer.embedding is not None:
                self._embeddings[answer.clip.track_id].append(answer.embedding)
            if self._keeper:
                self._keeper.offer(SPECS[name], answer.clip, answer.score, answer.maps)

    def not_run(self, track_id: int) -> dict[str, str]:
        """Detectors that were not asked about a track although they could be, and why."""
        return {}


class FastScheduler(Scheduler):
    """Keeps the clips until the file has ended, then asks about each track as many detectors as it takes.

    Memory: a sampled file has at most 12 windows, so at most 25 MB of clips a face.
    """

    def __init__(
        self,
        ask: Ask,
        batches: Mapping[str, int] | None = None,
        *,
        at_once: int = 1,
        keeper: EvidenceKeeper | None = None,
    ) -> None:
        super().__init__(ask, batches, at_once=at_once, keeper=keeper)
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
            reason = self._reason_not_to_ask(name, track_id, calibration)
            if reason is not None:
                self._not_run.setdefault(track_id, {})[name] = reason
                continue
            super().submit((name, clip) for clip in waiting[name])
            super().finish(track_id, calibration)  # the next detector is asked or not for what this one says

    def not_run(self, track_id: int) -> dict[str, str]:
        return self._not_run.get(track_id, {})

    def _reason_not_to_ask(self, name: str, track_id: int, calibration: Calibration) -> str | None:
        if calibration.detectors[name].weight == 0:
            return WEIGHT_ZERO
        said = self._scores[track_id].items()
        logits = {other: aggregate([s.probability for s in scores]) for other, scores in said if scores}
        fused = fuse_logits(logits, calibration)
        if fused is None:
            return None
        suspicion = fused - 2 * math.log(len(self._tracks))
        return NOT_NEEDED if max(sigmoid(suspicion), sigmoid(-fused)) >= CERTAIN else None
