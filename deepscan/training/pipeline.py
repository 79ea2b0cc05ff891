"""Real and fake media in, a weights folder out, in one go and within a number of hours.

``OUT`` receives what a scan loads (manifest, ONNX, face models), ``evaluation.json`` and ``plots/``; what is
only needed on the way lies in ``OUT/work``: ``plan.json`` (who is validated on, and how many steps each
detector gets), ``cache/``, ``runs/<detector>/`` and ``scores.jsonl``. Started again, it goes on where it
stood; the plan is kept, so that a run never changes on the way.
"""

from __future__ import annotations

import json
import shutil
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from deepscan.config import ScanConfig
from deepscan.detectors import SPECS
from deepscan.detectors.registry import recipe_of_detector
from deepscan.ensemble import Calibration
from deepscan.errors import UsageError
from deepscan.faces.mesh import FaceMesh
from deepscan.faces.tracker import FaceEngine
from deepscan.text import UNKNOWN
from deepscan.training.config import TrainConfig
from deepscan.training.data.corpora import Source, need_classes
from deepscan.training.data.prepare import CANVAS_PX, Sample, Split, fill, load_index
from deepscan.training.data.samples import usable
from deepscan.training.distributed import join
from deepscan.training.evaluation.calibration import fit, out_of_fold
from deepscan.training.evaluation.scoring import RegionScanner, ScoredFile, resume_scores
from deepscan.training.evaluation.summary import Evaluation, detector_figures, evaluation, fusion_figures
from deepscan.training.export.encoder import save_tuning
from deepscan.training.export.weights_folder import (
    bring_face_models,
    enter_calibration,
    enter_detector,
    read_table,
    ship,
)
from deepscan.training.fit.checkpoint import CHECKPOINT
from deepscan.training.fit.initial_weights import find_start
from deepscan.training.fit.trainer import train
from deepscan.training.provenance import Provenance, data_licences, training_data
from deepscan.training.recipes import recipe_of
from deepscan.training.synthesis import generators
from deepscan.training.tuning.fit import TuningConfig, tune
from deepscan.training.tuning.shipping import ship_tuning
from deepscan.training.tuning.start import ENCODER, SHIPPED, start
from deepscan.weights import Weights, read_manifest

VALIDATED = 0.25
FEWEST = 2
TRIAL_STEPS = 3
TUNED = "gend"
TUNING_CANVAS_PX = 640
TUNING_STEPS, TUNING_RATE = 120, 2e-4
"""Of GenD: two minutes on two cores, at a rate that leaves what it knows."""
FEWEST_STEPS = 20
SHARE_OF_TRAINING = 0.7
"""Of the hours; the rest is for finding faces, exporting, and scanning what is validated on."""

Say = Callable[[str], None]
Judgement = tuple[Evaluation, list[ScoredFile], Calibration]


@dataclass(frozen=True)
class Plan:
    """What a run fixed when it began.

    Attributes:
        validated: identities that are kept out of training, for calibration and evaluation.
        steps: optimizer steps of each detector; those that the media give no clip for are missing.
        hours: that the steps were reckoned for.
    """

    validated: tuple[str, ...]
    steps: dict[str, int]
    hours: float


def sided(rows: Sequence[Source], validated: Sequence[str] | None = None) -> list[Source]:
    """Every row with its side: a quarter of the identities of each class, drawn by a hash, is validated on.

    Raises:
        UsageError: a class has too few identities to put two on each side.
    """
    chosen = set(validated or ())
    for label in ("real", "fake") if validated is None else ():
        people = sorted({row.identity for row in rows if row.label == label}, key=_drawn)
        wanted = max(FEWEST, round(VALIDATED * len(people)))
        if len(people) < wanted + FEWEST:
            raise UsageError(
                f"there are {len(people)} {label} people or files; at least {wanted + FEWEST} are needed, "
                "so that some can be kept out of training and others learned from."
            )
        have = len(chosen.intersection(people))
        chosen.update([name for name in people if name not in chosen][: max(0, wanted - have)])
    return [replace(row, split="val" if row.identity in chosen else "train") for row in rows]


def make_weights(
    rows: Sequence[Source],
    out: Path,
    *,
    detectors: Sequence[str],
    hours: float,
    device: str,
    engine: FaceEngine,
    mesh: FaceMesh,
    say: Say,
    steps: int | None = None,
    licence: str = UNKNOWN,
) -> Judgement | None:
    """Prepare, fit, export, calibrate and evaluate; returns the evaluation, None where the files are too few.

    Args:
        rows: labelled media of both classes.
        out: the weights folder.
        detectors: which to train.
        hours: how long all of it may take, roughly.
        device: ``auto``, ``cpu`` or ``cuda``.
        engine: finds faces.
        mesh: finds meshes.
        say: called with a line about everything that happens.
        steps: of every detector, instead of what fits into the hours.
        licence: of the models, as their maker states it.

    Raises:
        UsageError: a class is empty or too small, or no detector can be trained on these media.
    """
    began = time.monotonic()
    need_classes(rows, ("real", "fake"), "training")
    work = out / "work"
    cache = work / "cache"
    work.mkdir(parents=True, exist_ok=True)
    kept = read_plan(work)
    rows = sided(rows, None if kept is None else kept.validated)
    alone = list(detectors) == [TUNED]
    canvas_px = TUNING_CANVAS_PX if alone else CANVAS_PX
    for row, outcome in fill(rows, cache, Split(), engine, mesh, canvas_px=canvas_px, single_frames=alone):
        say(f"faces  {row.file}: {outcome}")
    if generators.shipped():
        generators.take_shipped(cache)
    samples = load_index(cache)
    plan = kept or make_plan(rows, samples, cache, work, detectors, hours, device, began, steps, say)
    bring_face_models(out)
    made_of = Provenance(licence, training_data(samples), data_licences(samples), "deepscan train run")
    for name, count in plan.steps.items():
        if name == TUNED:
            tune_gend(count, cache, work, out, made_of, say)
            continue
        checkpoint = fit_detector(name, count, cache, work, device, say)
        if name not in read_table(out).get("detectors", {}) or _older(out / f"{name}.onnx", checkpoint):
            shipped = ship(name, checkpoint, cache, out)
            recipe = f"deepscan train run: {count} steps"
            enter_detector(out, shipped, name, replace(made_of, recipe=recipe))
            say(f"export {name}: {shipped.precision}, within {shipped.gap.largest:.4f} of float")
    return judge([row for row in rows if row.split == "val"], out, tuple(plan.steps), say)


def make_plan(
    rows: Sequence[Source],
    samples: Sequence[Sample],
    cache: Path,
    work: Path,
    detectors: Sequence[str],
    hours: float,
    device: str,
    began: float,
    steps: int | None,
    say: Say,
) -> Plan:
    """Time a few steps of every detector that these media can train, and share the hours out evenly."""
    able = [name for name in detectors if trainable(name, samples)]
    for name in sorted(set(detectors) - set(able)):
        say(f"plan   {name}: left out, the media give no clip for it on both sides")
    if not able:
        raise UsageError(
            "the media give no detector anything to learn from: no face was found in enough of them."
        )
    left = max(0.0, hours * 3600 - (time.monotonic() - began)) * SHARE_OF_TRAINING
    counts = {}
    for name in able:
        if steps is not None or name == TUNED:
            counts[name] = steps or TUNING_STEPS
            continue
        seconds = seconds_per_step(name, cache, work, device)
        counts[name] = max(FEWEST_STEPS, int(left / len(able) / seconds))
        say(f"plan   {name}: {counts[name]} steps of {seconds:.2f} s")
    validated = tuple(sorted({row.identity for row in rows if row.split == "val"}))
    plan = Plan(validated, counts, hours)
    partial = work / "plan.json.partial"
    partial.write_text(json.dumps(asdict(plan), indent=1) + "\n", encoding="utf-8")
    partial.replace(work / "plan.json")
    return plan


def read_plan(work: Path) -> Plan | None:
    """The plan of a run that was begun. Raises UsageError where it is damaged."""
    path = work / "plan.json"
    if not path.is_file():
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Plan(tuple(kept["validated"]), dict(kept["steps"]), float(kept["hours"]))
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{path} is damaged; remove it to plan anew, or choose another --out.") from None


def trainable(name: str, samples: Sequence[Sample]) -> bool:
    """Whether both sides have a real sample that gives a clip."""
    sides = {
        sample.split
        for sample in samples
        if sample.label == "real" and usable(sample, SPECS[name], single_frames=False)
    }
    return {"train", "val"} <= sides


def config_of(name: str, steps: int, device: str) -> TrainConfig:
    """Settings for few media: the robust recipe, on single frames where a CPU must do."""
    recipe = recipe_of("robust", name)
    on_gpu = join(device).device.type == "cuda"
    return TrainConfig(
        detector=name,
        steps=steps,
        pairs=recipe.pairs if SPECS[name].frames == 1 or on_gpu else recipe.pairs // 2,
        rate=recipe.rate,
        warmup=min(recipe.warmup, steps // 10 + 1),
        corpus_fraction=recipe.corpus_fraction,
        single_frames=recipe_of_detector(name).stills_on_cpu and not on_gpu,
        device=device,
    )


def seconds_per_step(name: str, cache: Path, work: Path, device: str) -> float:
    """Wall seconds of one optimizer step, on a run that is thrown away."""
    trial = work / "trial"
    marks = [time.monotonic()]
    config = replace(config_of(name, TRIAL_STEPS, device), corpus_fraction=0.0)
    try:
        train(config, cache, trial, validate_at_end=False, after_step=lambda: marks.append(time.monotonic()))
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    return max(1e-3, (marks[-1] - marks[1]) / (len(marks) - 2))


def fit_detector(name: str, steps: int, cache: Path, work: Path, device: str, say: Say) -> Path:
    """Train one detector from the shipped checkpoint where there is one; goes on where it stood."""
    run = work / "runs" / name
    try:
        init = find_start("shipped", name)
    except UsageError:
        init = None

    def report(line: dict[str, Any]) -> None:
        figures = "  ".join(f"{key} {value:.4g}" for key, value in line.items() if key != "step")
        say(f"train  {name}: step {line['step']} of {steps}  {figures}")

    train(config_of(name, steps, device), cache, run, init=init, report=report)
    return run / CHECKPOINT


def tune_gend(steps: int, cache: Path, work: Path, out: Path, made_of: Provenance, say: Say) -> None:
    """Tune GenD from the shipped tuning, and ship it; what was tuned before is not tuned again."""
    tuning = work / "runs" / TUNED / "tuning.safetensors"
    if not tuning.exists():
        net = start(SHIPPED)
        config = TuningConfig(steps=steps, rate=TUNING_RATE)
        tune(net, cache, config, lambda line: say(f"train  {TUNED}: {line}"))
        save_tuning(net, tuning)
    shipped = ship_tuning(start(str(tuning)), Weights().encoder_path(ENCODER), cache, out)
    recipe = f"deepscan train run: {steps} steps from the shipped tuning"
    enter_detector(out, shipped, TUNED, replace(made_of, recipe=recipe))
    say(f"export {TUNED}: {shipped.precision}, within {shipped.gap.largest:.4f} of float")


def judge(rows: Sequence[Source], out: Path, detectors: Sequence[str], say: Say) -> Judgement | None:
    """Scan the files that were kept out of training, calibrate on them, and measure by cross-validation."""
    config = ScanConfig(weights=out, device="cpu", detectors=tuple(detectors))
    files = resume_scores(
        out / "work" / "scores.jsonl",
        rows,
        lambda: RegionScanner(config),
        read_manifest(out),
        lambda file: say(f"score  {file.file}"),
    )
    try:
        fitted = fit(files)
    except UsageError as error:
        say(f"not calibrated, every detector counts alike: {error}")
        return None
    metrics = detector_figures(fitted.files)
    metrics["fusion"] = fusion_figures(fitted)
    enter_calibration(out, fitted.calibration, metrics)
    final, judged = fitted.calibration, list(out_of_fold(fitted))
    return evaluation(judged, final, (final.threshold_fake, final.threshold_real)), judged, final


def _older(path: Path, than: Path) -> bool:
    return path.stat().st_mtime < than.stat().st_mtime


def _drawn(name: str) -> int:
    return zlib.crc32(name.encode())
