"""Model cards, written from the manifest and from ``deepscan evaluate``'s figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from torch import nn

from deepscan.detectors import SPECS
from deepscan.detectors.base import DetectorSpec
from deepscan.errors import UsageError
from deepscan.training.export import ANY_LENGTH
from deepscan.training.nets import build
from deepscan.weights import DetectorEntry, read_manifest

CREDITS = (
    "London and Canada face sets of webmorphR.stim (DeBruine and Jones, CC BY 4.0); official portraits of "
    "members of the US Congress (US government works); clips of people filmed by a camera from public "
    "repositories (Apache-2.0, MIT, CC0-1.0 and the like, as published there)."
)

FEW = 5

CARD = """# {title}

{paper}. The network is in `deepscan/training/nets/{name}.py`, what it looks at in
`deepscan/detectors/{name}.py`.

| | |
| --- | --- |
| file | `{file}`, {megabytes:.1f} MB, {precision} |
| parameters | {parameters:,} |
| licence | {licence} |
| input | {frames} of {size} x {size} px |
| score | probability that the face is forged; evidence: {evidence} |
| weight in the ensemble | {weight:.3f} |

## Training

{recipe}

Data: {data}
Licences and credits: {credits}

Forgeries were made on the fly from real faces, by the families that the recipe names
(`deepscan/training/forge/`); what another tool drew or redrew, the data names.

## What was measured

On whole videos of identities that training never saw: as they came, and as pairs of an original and a
forgery of ours at crf 23, at crf 40 and at half the size (`deepscan train rehearse`, then
`deepscan train calibrate`):
{validation}
{tables}
On genuine forgeries of other tools (`deepscan evaluate validation.csv -o weights/evaluation.json`):
{genuine}

Stored as {precision}, its scores lie within {gap_largest:.4f} of the float network's (mean {gap_mean:.4f}) on
validation clips.

## Standing

{standing}

Intended use: one of the voices in deepscan's verdict. A score is no proof: it says that a face carries
traces like those of the forgeries above; it does not say who made it, nor why. Known limits: few identities
stand behind the figures; faces under 48 px, strong compression and forgeries of tools unlike those above are
judged poorly; a make-up filter or a beauty mode may look like a forgery.
"""


def write_cards(weights: Path, evaluation: Path, rehearsal: Path | None = None) -> list[Path]:
    """Write ``weights/<detector>.md`` for every detector of the manifest; returns the files.

    Args:
        weights: the folder.
        evaluation: JSON of ``deepscan evaluate`` on genuine forgeries.
        rehearsal: the same on rehearsed files, for tables by forger and by source.

    Raises:
        UsageError: a detector has no figures yet, or a JSON holds none.
    """
    manifest = read_manifest(weights)
    genuine = evaluated(evaluation)
    written = []
    for name, entry in manifest.detectors.items():
        path = weights / f"{name}.md"
        text = card(SPECS[name], entry, genuine.get(name), tables_of(rehearsal, name))
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


def tables_of(rehearsal: Path | None, name: str) -> str:
    """AUC of one detector by forger and by source, as Markdown tables; empty without a JSON."""
    if rehearsal is None:
        return ""
    evaluated(rehearsal)
    found = json.loads(rehearsal.read_text(encoding="utf-8"))
    parts = []
    for key, title in (("forgers", "forgery"), ("sources", "source")):
        rows = {group: figures[name] for group, figures in found[key].items() if name in figures}
        parts += ["", f"| {title} | video AUC [95 %] | real | forged |", "| --- | --- | --- | --- |"]
        parts += [
            f"| {group} | {_cell(one)} | {one['real']} | {one['fake']} |" for group, one in rows.items()
        ]
    shuffled = found.get("shuffled", {}).get(name)
    if shuffled:
        parts += [
            "",
            f"With the frames of every clip in random order: AUC {shuffled['auc_shuffled']:.3f}, "
            f"in order {shuffled['auc']:.3f}.",
        ]
    return "\n".join([*parts, ""])


def _cell(figures: Mapping[str, Any]) -> str:
    if figures["auc"] is None:
        return "one class alone"
    return f"{figures['auc']:.3f} [{figures['auc_low']:.3f}, {figures['auc_high']:.3f}]"


def card(
    spec: DetectorSpec, entry: DetectorEntry, genuine: Mapping[str, float] | None, tables: str = ""
) -> str:
    """One model card, Markdown. Raises UsageError where the detector has no figures yet."""
    metrics = entry.metrics
    if "auc" not in metrics:
        raise UsageError(f"{spec.name} has no figures yet; run `deepscan train calibrate` first.")
    network = cast(nn.Module, build(spec.name))
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
        recipe=entry.recipe,
        data=entry.training_data,
        credits=CREDITS,
        validation=interval(metrics),
        tables=tables,
        genuine="not measured." if genuine is None else interval(genuine),
        gap_largest=metrics["float_gap_largest"],
        gap_mean=metrics["float_gap_mean"],
        standing=standing(entry, genuine),
    )


def interval(figures: Mapping[str, Any]) -> str:
    """AUC in words."""
    span = f"{figures['auc_low']:.3f} to {figures['auc_high']:.3f}"
    counts = f"{figures['real']} real and {figures['fake']} forged files"
    said = f"video AUC {figures['auc']:.3f}, 95 % interval {span} over identities ({counts})."
    if min(figures["real"], figures["fake"]) < FEW:
        said += " With so few files of one class the figure says next to nothing."
    return said


def standing(entry: DetectorEntry, genuine: Mapping[str, float] | None) -> str:
    """Whether the detector counts, in a plain sentence."""
    if entry.calibration.weight == 0 and entry.metrics["auc_low"] <= 0.5:
        said = "Not shown to be better than chance on validation: it is reported, and has weight 0."
    elif entry.calibration.weight == 0:
        said = "Better than chance, but it adds nothing to the others: it is reported, and has weight 0."
    else:
        said = "Better than chance on validation: it counts in the ensemble."
    if genuine is not None and genuine["auc"] < 0.6:
        said += " On the genuine forgeries measured it is no better than chance."
    return said


def _frames(spec: DetectorSpec) -> str:
    if spec.frames == 1:
        return "single frames"
    fewer = ", of a photo or a short track those there are," if spec.name in ANY_LENGTH else ""
    return f"{spec.frames} frames ({spec.sampling.value}){fewer}"
