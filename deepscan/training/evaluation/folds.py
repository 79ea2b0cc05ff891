"""Leave-generators-out: every file is scored by networks that learnt nothing from its fold.

A folder of folds has one weights folder for each, called by its number, with the detectors that were trained
without it. Detectors that a fold's folder lacks are those of the usual weights; they must have learnt from no
fold at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from deepscan.config import Device
from deepscan.detectors import SPECS
from deepscan.errors import UsageError
from deepscan.training.data.corpora import Source
from deepscan.training.evaluation.scoring import RegionScanner, ScoredFile, resume_scores, scan_config
from deepscan.weights import MANIFEST, find_root, read_manifest

Report = Callable[[ScoredFile], None]


def score_by_folds(
    rows: Sequence[Source],
    folds: Path,
    scores: Path,
    report: Report = lambda file: None,
    *,
    weights: Path | None = None,
    device: Device = "auto",
) -> list[ScoredFile]:
    """What the detectors say of every file, each by networks that did not see its fold.

    Args:
        rows: labelled files; those without a fold are left out.
        folds: folder with a weights folder for each fold, ``0``, ``1`` and so on.
        scores: kept here, and beside it for each fold, as they come; what is kept is not scanned again.
        report: called with every file that was scanned.
        weights: where the other detectors are.
        device: where networks run.

    Returns:
        Files in the order of ``rows``.

    Raises:
        UsageError: a fold has no weights folder, or kept scores are of others.
    """
    rows = [row for row in rows if row.fold is not None]
    own = {fold: folds / str(fold) for fold in sorted({row.fold for row in rows if row.fold is not None})}
    lacking = [folder for folder in own.values() if not (folder / MANIFEST).is_file()]
    if lacking or not own:
        raise UsageError(f"{lacking[0] if lacking else folds}: there are no weights for this fold.")
    found: dict[str, ScoredFile] = {}
    trained: set[str] = set()
    for fold, folder in own.items():
        manifest = read_manifest(folder)
        trained |= set(manifest.detectors)
        there = [row for row in rows if row.fold == fold]
        kept = scores.with_name(f"{scores.stem}-{fold}{scores.suffix}")
        make = partial(RegionScanner, scan_config(folder, device))
        for file in resume_scores(kept, there, make, manifest, report):
            found[file.file] = file
    config = scan_config(weights, device)
    others = tuple(name for name in SPECS if name in config.detectors and name not in trained)
    if others:
        config = replace(config, detectors=others)
        manifest = read_manifest(find_root(weights))
        make = partial(RegionScanner, config)
        for file in resume_scores(scores, rows, make, manifest, report, detectors=others):
            found[file.file] = joined(found[file.file], file)
    return [found[str(row.file)] for row in rows]


def joined(one: ScoredFile, other: ScoredFile) -> ScoredFile:
    """The scores of two sets of detectors for one file; faces are the same, in the same order."""
    if len(one.others) != len(other.others):
        raise UsageError(f"{one.file}: two scans found different faces; remove the kept scores.")
    return replace(
        one,
        logits=other.logits | one.logits,
        others=tuple(more | own for own, more in zip(one.others, other.others, strict=True)),
        clips=other.clips | one.clips,
        probability=one.probability if one.probability is not None else other.probability,
    )
