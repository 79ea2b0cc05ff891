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

Every forgery seen in training is a self-blend of a real face, made on the fly. No forgery of another tool
was seen.

## What was measured

On whole videos of identities that training never saw, each as it came, as a pair of original and self-blend
at crf 23, and as another at crf 40, H.264 (`deepscan train rehearse`, then `deepscan train calibrate`):
{validation}

On genuine forgeries of other tools (`deepscan evaluate validation.csv -o weights/evaluation.json`):
{genuine}

Stored as {precision}, its scores lie within {gap_largest:.4f} of the float network's (mean {gap_mean:.4f}) on
validation clips.

## Standing

{standing}

Intended use: one of five voices in deepscan's verdict. A score is no proof: it says that a face carries
traces like those of the forgeries above. Known limits: few identities stand behind the figures; faces under
48 px, strong compression and whole-portrait animation, which has no seam, are judged poorly; a make-up
filter or a beauty mode may look like a forgery.
"""


def write_cards(weights: Path, evaluation: Path) -> list[Path]:
    """Write ``weights/<detector>.md`` for every detector of the manifest; returns the files.

    Raises:
        UsageError: a detector has no figures yet.
    """
    manifest = read_manifest(weights)
    groups = json.loads(evaluation.read_text(encoding="utf-8"))["groups"]
    genuine = {name: figures for name, figures in groups.items() if figures["auc"] is not None}
    written = []
    for name, entry in manifest.detectors.items():
        path = weights / f"{name}.md"
        path.write_text(card(SPECS[name], entry, genuine.get(name)), encoding="utf-8")
        written.append(path)
    return written


def card(spec: DetectorSpec, entry: DetectorEntry, genuine: Mapping[str, float] | None) -> str:
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
        frames="single frames" if spec.frames == 1 else f"{spec.frames} frames ({spec.sampling.value})",
        size=spec.size_px,
        evidence=", ".join(spec.evidence),
        weight=entry.calibration.weight,
        recipe=entry.recipe,
        data=entry.training_data,
        credits=CREDITS,
        validation=interval(metrics),
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
