"""``deepscan evaluate``: figures of the shipped weights on labelled files."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from deepscan.cli.train import Corpora, need_extra


def evaluate(
    corpora: Corpora,
    out: Annotated[Path | None, typer.Option("-o", "--output", help="Write the figures as JSON.")] = None,
    weights: Annotated[Path | None, typer.Option("--weights", metavar="DIR", help="Weights folder.")] = None,
) -> None:
    """Scan labelled files and measure each detector and the ensemble against the labels.

    AUC with its 95 % interval over identities, per detector and per kind of forgery, and how many files
    fall on which side of the thresholds.
    """
    need_extra()
    from deepscan.config import ScanConfig
    from deepscan.scan import Scanner
    from deepscan.training.figures import evaluation
    from deepscan.training.prepare import read_corpus
    from deepscan.training.score import score_files

    scanner = Scanner(ScanConfig(weights=weights))
    files = []
    for file in score_files((row for corpus in corpora for row in read_corpus(corpus)), scanner):
        files.append(file)
        said = "no score" if file.probability is None else f"{file.probability:.3f}"
        typer.echo(f"{'fake' if file.label else 'real'}  {said:>8}  {file.status:<10} {file.file}", err=True)
    result = evaluation(files, scanner.thresholds)
    for name, figures in result.groups.items():
        typer.echo(_row(name, figures))
    for name, count in result.verdicts.items():
        typer.echo(f"{name:<34} {count}")
    if out is not None:
        out.write_text(json.dumps(_without_nan(asdict(result)), indent=1) + "\n", encoding="utf-8")


def _without_nan(value: Any) -> Any:
    """The same tree with null for figures that could not be measured: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _row(name: str, figures: dict[str, float]) -> str:
    interval = f"[{figures['auc_low']:.3f}, {figures['auc_high']:.3f}]"
    return f"{name:<34} AUC {figures['auc']:.3f} {interval}  real {figures['real']}  fake {figures['fake']}"
