"""Model cards, written from the manifest and from ``deepscan evaluate``'s figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from torch import nn

from deepscan.detectors import SPECS
from deepscan.detectors.registry import recipe_of_detector
from deepscan.detectors.spec import DetectorSpec
from deepscan.errors import UsageError
from deepscan.training.networks import build
from deepscan.training.provenance import LONGEST
from deepscan.weights import DetectorEntry, read_manifest

FEW = 5
EXTREMES = 3

CARD = """# {title}

## Intended use

One detector of deepscan's ensemble, where its weight is {weight:.3f}.
{standing}
A score is no proof: it says that a face carries traces like those of the forgeries of its training, not who
made it, nor why.

## Architecture and paper

{paper}.
Network and specification are in `deepscan/detectors/{name}/`.

- File: `{file}`, {megabytes:.1f} MB, {precision}
- Parameters: {parameters:,}
- Licence: {licence}
- Input: {frames} of {size} x {size} px
- Output: probability that the face is forged; evidence: {evidence}

## Training data

- Data: {data}
- Licences of the data: {data_licences}

## Recipe

`{recipe}`

## Measured

{where} (`deepscan train calibrate`): {validation}{extremes}{shuffled}

By `deepscan evaluate`: {genuine}

Stored as {precision}, its scores lie within {gap_largest:.4f} of the float network's (mean {gap_mean:.4f}) on
validation clips.

## Known failures

{failures}
"""

UNSEEN = "On labelled files that training never saw"
SEEN = "On labelled files from which its training has learnt, so that less is to be expected of others"
GENERAL_FAILURES = (
    "Forgeries of tools unlike those of its training score like genuine faces.",
    "Faces under 48 px and strong compression are judged poorly.",
    "A make-up filter or a beauty mode may look like a forgery.",
)


def write_cards(weights: Path, evaluation: Path, synthetic: Path | None = None) -> list[Path]:
    """Write ``weights/<detector>.md`` for every detector of the manifest; returns the files.

    Args:
        weights: the folder.
        evaluation: JSON of ``deepscan evaluate`` on genuine forgeries.
        synthetic: the same on a synthetic test set, for the kinds of forgery it tells best and worst.

    Raises:
        UsageError: a detector has no figures yet, or a JSON holds none.
    """
    manifest = read_manifest(weights)
    genuine, found = evaluated(evaluation), read_tables(synthetic)
    written = []
    for name, entry in manifest.detectors.items():
        path = weights / f"{name}.md"
        text = card(SPECS[name], entry, genuine.get(name), found)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def evaluated(path: Path) -> dict[str, dict[str, float]]:
    """Figures per detector that ``deepscan evaluate`` could measure. Raises UsageError for any other file."""
    try:
        groups = json.loads(path.read_text(encoding="utf-8"))["groups"]
        return {name: figures for name, figures in groups.items() if figures["auc"] is not None}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{path} is not what `deepscan evaluate -o` writes; make it again.") from None


def read_tables(synthetic: Path | None) -> Mapping[str, Any]:
    """What ``deepscan evaluate`` measured on forged copies; empty without a JSON."""
    if synthetic is None:
        return {}
    evaluated(synthetic)
    return cast(Mapping[str, Any], json.loads(synthetic.read_text(encoding="utf-8")))


def by_forgery(found: Mapping[str, Any], name: str) -> list[tuple[str, float]]:
    """AUC of one detector for each kind of forgery that has one, lowest first."""
    measured = ((kind, figures.get(name)) for kind, figures in found.get("forgers", {}).items())
    known = [(kind, one["auc"]) for kind, one in measured if one and one["auc"] is not None]
    return sorted(known, key=lambda pair: pair[1])


def card(
    spec: DetectorSpec,
    entry: DetectorEntry,
    genuine: Mapping[str, float] | None,
    found: Mapping[str, Any] | None = None,
) -> str:
    """One model card, Markdown.

    Args:
        spec: what the detector looks at.
        entry: its manifest entry.
        genuine: its figures on genuine forgeries; None where they are not measured.
        found: ``deepscan evaluate`` on forged copies.

    Raises:
        UsageError: the detector has no figures yet.
    """
    metrics = entry.metrics
    if "auc" not in metrics:
        raise UsageError(f"{spec.name} has no figures yet; run `deepscan train calibrate` first.")
    network = cast(nn.Module, build(spec.name))
    kinds = by_forgery(found or {}, spec.name)
    return CARD.format(
        title=spec.title,
        paper=spec.paper,
        name=spec.name,
        file=entry.model.file,
        megabytes=entry.model.bytes / 1e6,
        precision=entry.precision,
        parameters=sum(p.numel() for p in network.parameters()),
        licence=entry.model.licence,
        frames=_frames(spec),
        size=spec.size_px,
        evidence=", ".join(spec.evidence),
        weight=entry.calibration.weight,
        recipe=shortened(entry.recipe),
        data=shortened(entry.training_data),
        data_licences=shortened(entry.data_licences),
        where=SEEN if metrics.get("seen_in_training") else UNSEEN,
        validation=interval(metrics),
        extremes=extremes("Highest", kinds[::-1]),
        shuffled=shuffled((found or {}).get("shuffled", {}).get(spec.name)),
        genuine="not measured." if genuine is None else interval(genuine),
        gap_largest=metrics["float_gap_largest"],
        gap_mean=metrics["float_gap_mean"],
        standing=standing(entry),
        failures=failures(genuine, kinds),
    )


def shortened(text: str) -> str:
    """The first 300 characters of what a manifest says; older ones hold whole histories."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1].rstrip()}…"


def extremes(which: str, kinds: Sequence[tuple[str, float]]) -> str:
    """The first few kinds of forgery with their AUC, as a sentence; empty where none is measured."""
    if not kinds:
        return ""
    return f" {which} AUC by kind of forgery: {_listed(kinds)}."


def failures(genuine: Mapping[str, float] | None, kinds: Sequence[tuple[str, float]]) -> str:
    """What the detector gets wrong, as a list: what was measured first, then what holds for all."""
    lines = []
    if genuine is not None and genuine["auc"] < 0.6:
        lines.append("On the genuine forgeries measured it is no better than chance.")
    if kinds:
        lines.append(f"Lowest AUC by kind of forgery: {_listed(kinds)}.")
    return "\n".join(f"- {line}" for line in (*lines, *GENERAL_FAILURES))


def shuffled(figures: Mapping[str, float] | None) -> str:
    """What the order of frames is worth, as a sentence; empty where it was not measured."""
    if not figures:
        return ""
    return (
        f" With the frames of every clip in random order the AUC is {figures['auc_shuffled']:.3f}, "
        f"in order {figures['auc']:.3f}."
    )


def _listed(kinds: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{kind} {auc:.3f}" for kind, auc in kinds[:EXTREMES])


def interval(figures: Mapping[str, Any]) -> str:
    """AUC in words."""
    span = f"{figures['auc_low']:.3f} to {figures['auc_high']:.3f}"
    counts = f"{figures['real']} real and {figures['fake']} forged files"
    lines = f"video AUC {figures['auc']:.3f}, 95 % interval {span} over identities ({counts})."
    if min(figures["real"], figures["fake"]) < FEW:
        lines += " With so few files of one class the figure says next to nothing."
    return lines


def standing(entry: DetectorEntry) -> str:
    """Whether the detector counts, in a plain sentence."""
    if entry.calibration.weight == 0 and entry.metrics["auc_low"] <= 0.5:
        return "Not shown to be better than chance on validation: it is reported, and has weight 0."
    if entry.calibration.weight == 0:
        return "Better than chance, but it adds nothing to the others: it is reported, and has weight 0."
    return "Better than chance on validation: it counts in the ensemble."


def _frames(spec: DetectorSpec) -> str:
    if spec.frames == 1:
        return "single frames"
    fewer = (
        ", of a photo or a short track those there are," if recipe_of_detector(spec.name).any_length else ""
    )
    return f"{spec.frames} frames ({spec.sampling.value}){fewer}"
