"""Which tracks of one file show the same person, so that a person is judged once.

A cut or a turned head ends a track, and the same person comes back as another one. A detector whose network
has an output ``embedding`` tells how alike two crops are; tracks whose crops are alike are taken together.
That is done within one file and forgotten with it: embeddings are in no report, and nobody is identified.

Two people taken for one would hide a forgery behind a real face, so the linking is wary: tracks that are
there at the same time are never the same person, and whole groups must be alike, not only their nearest
members. A track without an embedding stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from deepscan.ensemble import Calibration, TrackVerdict, by_itself
from deepscan.faces.tracker import FaceTrack

LEAST_COSINE = 0.8
"""From which two groups of tracks are the same person.

GenD's embeddings of single crops, on the genuine clips of a table (``benchmarks/accuracy/people.py``):
99.9 % of the pairs of different people lie below 0.73, 95 % of the pairs within one clip above 0.82.
"""

Embedding = NDArray[np.float32]


def mean_embedding(crops: Sequence[Embedding]) -> Embedding | None:
    """A track's embedding from those of its crops, ``(D,)`` each: their mean, of length 1.

    None for no crops, and for a mean that has no direction or is not finite.
    """
    if not crops:
        return None
    mean = np.mean(np.stack(crops).astype(np.float64), axis=0)
    length = float(np.linalg.norm(mean))
    if not np.isfinite(length) or length < 1e-6:
        return None
    direction: Embedding = (mean / length).astype(np.float32)
    return direction


def people(
    embeddings: Sequence[Embedding | None], spans: Sequence[tuple[float, float]], least_cosine: float
) -> list[int | None]:
    """The person that each track shows.

    Groups are merged while any may be, the two that are most alike first; alike is the mean cosine between
    the members of one and those of the other.

    Args:
        embeddings: per track ``(D,)``, of length 1; None where there is none.
        spans: per track, first and last second.
        least_cosine: groups that are less alike stay apart.

    Returns:
        Per track the person's number, from 1 in order of their first tracks; None without an embedding.
    """
    known = [place for place, embedding in enumerate(embeddings) if embedding is not None]
    groups = {number: [place] for number, place in enumerate(known)}
    vectors = np.array([embeddings[place] for place in known], np.float64)
    alike = vectors @ vectors.T if known else np.zeros((0, 0))
    for i, j in product(groups, groups):
        if i == j or _overlap(spans[known[i]], spans[known[j]]):
            alike[i, j] = -np.inf  # and so it stays, for any mean with it
    while alike.size and alike.max() >= least_cosine:
        i, j = sorted(int(place) for place in np.unravel_index(alike.argmax(), alike.shape))
        sizes = len(groups[i]), len(groups[j])
        alike[i] = alike[:, i] = np.average(alike[[i, j]], axis=0, weights=sizes)
        alike[i, i] = alike[j] = alike[:, j] = -np.inf
        groups[i] += groups.pop(j)
    found: list[int | None] = [None] * len(embeddings)
    for number, group in enumerate(sorted(groups.values(), key=min), start=1):
        for member in group:
            found[member] = number
    return found


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether both are there at some moment; in a photo all are."""
    return max(one[0], other[0]) <= min(one[1], other[1])


def judged_together(
    verdicts: Sequence[TrackVerdict],
    tracks: Sequence[FaceTrack],
    embeddings: Sequence[Embedding | None],
    calibration: Calibration,
) -> list[TrackVerdict]:
    """Tracks with their person's number, and with the person's probability where that has several.

    Args:
        verdicts: of the tracks, each by itself.
        tracks: where and when they were seen.
        embeddings: per track, see ``people``.
        calibration: of the run.
    """
    spans = [(track.start_s, track.end_s) for track in tracks]
    numbers = people(embeddings, spans, LEAST_COSINE)
    judged = [replace(own, person=number) for own, number in zip(verdicts, numbers, strict=True)]
    for number in {number for number in numbers if number is not None}:
        members = [place for place, other in enumerate(numbers) if other == number]
        if len(members) < 2:
            continue
        detectors = [d for place in members for d in judged[place].detectors]
        p = by_itself(detectors, calibration.of_person([tracks[place].width_px for place in members]))
        for place in members:
            if judged[place].probability is not None:
                judged[place] = replace(judged[place], probability=p)
    return judged
