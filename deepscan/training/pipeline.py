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
from dataclasses import asdict, dataclass, field, replace
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
from deepscan.training.config import TrainConfig, train_config
from deepscan.training.data.corpora import Source, need_classes
from deepscan.training.data.prepare import CANVAS_PX, Sample, Split, fill, load_index
from deepscan.training.data.samples import usable
from deepscan.training.distributed import join
from deepscan.training.evaluation.calibration import out_of_fold
from deepscan.training.evaluation.score_and_calibrate import calibrate, score
from deepscan.training.evaluation.scoring import ScoredFile
from deepscan.training.evaluation.summary import Evaluation, evaluation
from deepscan.training.export.encoder import save_tuning
from deepscan.training.export.weights_folder import (
    bring_face_models,
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
from deepscan.weights import Weights

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

Judgement = tuple[Evaluation, list[ScoredFile], Calibration]


@dataclass(frozen=True)
class Job:
    """One call of ``train run``.

    Attributes:
        out: the weights folder to make.
        detectors: which to train.
        hours: how long all of it may take, roughly.
        device: ``auto``, ``cpu`` or ``cuda``.
        log: called with a line about everything that happens.
        steps: of every detector; None: as many as fit into the hours.
        licence: of the models, as their maker states it.
        began: ``time.monotonic()`` at the start, from which the hours count.
    """

    out: Path
    detectors: Sequence[str]
    hours: float
    device: str
    log: Callable[[str], None]
    steps: int | None = None
    licence: str = UNKNOWN
    began: float = field(default_factory=time.monotonic)

    @property
    def work(self) -> Path:
        """Folder of what is only needed on the way."""
        return self.out / "work"

    @property
    def cache(self) -> Path:
        """Folder of prepared faces."""
        return self.work / "cache"


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


def make_weights(job: Job, rows: Sequence[Source], engine: FaceEngine, mesh: FaceMesh) -> Judgement | None:
    """Prepare, fit, export, calibrate and evaluate; returns the evaluation, None where the files are too few.

    Args:
        job: what to make, and where.
        rows: labelled media of both classes.
        engine: finds faces.
        mesh: finds meshes.

    Raises:
        UsageError: a class is empty or too small, or no detector can be trained on these media.
    """
    need_classes(rows, ("real", "fake"), "training")
    out, cache = job.out, job.cache
    job.work.mkdir(parents=True, exist_ok=True)
    kept = read_plan(job.work)
    rows = sided(rows, None if kept is None else kept.validated)
    alone = list(job.detectors) == [TUNED]
    canvas_px = TUNING_CANVAS_PX if alone else CANVAS_PX
    for row, outcome in fill(rows, cache, Split(), engine, mesh, canvas_px=canvas_px, single_frames=alone):
        job.log(f"faces  {row.file}: {outcome}")
    if generators.shipped():
        generators.take_shipped(cache)
    samples = load_index(cache)
    plan = kept or make_plan(job, rows, samples)
    bring_face_models(out)
    made_of = Provenance(job.licence, training_data(samples), data_licences(samples), "deepscan train run")
    for name, count in plan.steps.items():
        if name == TUNED:
            tune_gend(job, count, made_of)
            continue
        checkpoint = fit_detector(job, name, count)
        if name not in read_table(out).get("detectors", {}) or _older(out / f"{name}.onnx", checkpoint):
            shipped = ship(name, checkpoint, cache, out)
            recipe = f"deepscan train run: {count} steps"
            enter_detector(out, shipped, name, replace(made_of, recipe=recipe))
            job.log(f"export {name}: {shipped.precision}, within {shipped.gap.largest:.4f} of float")
    return evaluate(job, [row for row in rows if row.split == "val"], tuple(plan.steps))


def make_plan(job: Job, rows: Sequence[Source], samples: Sequence[Sample]) -> Plan:
    """Time a few steps of every detector that these media can train, and share the hours out evenly.

    Writes ``work/plan.json``. Raises UsageError where the media can train no detector.
    """
    able = [name for name in job.detectors if trainable(name, samples)]
    for name in sorted(set(job.detectors) - set(able)):
        job.log(f"plan   {name}: left out, the media give no clip for it on both sides")
    if not able:
        raise UsageError(
            "the media give no detector anything to learn from: no face was found in enough of them."
        )
    left = max(0.0, job.hours * 3600 - (time.monotonic() - job.began)) * SHARE_OF_TRAINING
    counts = {}
    for name in able:
        if job.steps is not None or name == TUNED:
            counts[name] = job.steps or TUNING_STEPS
            continue
        seconds = seconds_per_step(job, name)
        counts[name] = max(FEWEST_STEPS, int(left / len(able) / seconds))
        job.log(f"plan   {name}: {counts[name]} steps of {seconds:.2f} s")
    validated = tuple(sorted({row.identity for row in rows if row.split == "val"}))
    plan = Plan(validated, counts, job.hours)
    partial = job.work / "plan.json.partial"
    partial.write_text(json.dumps(asdict(plan), indent=1) + "\n", encoding="utf-8")
    partial.replace(job.work / "plan.json")
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
    smaller = SPECS[name].frames > 1 and not on_gpu
    recipe = recipe.changed(
        steps=steps,
        pairs=recipe.pairs // 2 if smaller else recipe.pairs,
        warmup=min(recipe.warmup, steps // 10 + 1),
    )
    single_frames = recipe_of_detector(name).stills_on_cpu and not on_gpu
    return train_config(name, recipe, single_frames=single_frames, device=device)


def seconds_per_step(job: Job, name: str) -> float:
    """Wall seconds of one optimizer step, timed on a short run that is thrown away."""
    trial = job.work / "trial"
    marks = [time.monotonic()]
    config = replace(config_of(name, TRIAL_STEPS, job.device), corpus_fraction=0.0)
    try:
        train(
            config,
            job.cache,
            trial,
            validate_at_end=False,
            after_step=lambda: marks.append(time.monotonic()),
        )
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    return max(1e-3, (marks[-1] - marks[1]) / (len(marks) - 2))


def fit_detector(job: Job, name: str, steps: int) -> Path:
    """Train one detector from the shipped checkpoint, if there is one; resumes a run that was stopped.

    Returns:
        The checkpoint.
    """
    run = job.work / "runs" / name
    try:
        init = find_start("shipped", name)
    except UsageError:
        init = None

    def report(line: dict[str, Any]) -> None:
        figures = "  ".join(f"{key} {value:.4g}" for key, value in line.items() if key != "step")
        job.log(f"train  {name}: step {line['step']} of {steps}  {figures}")

    train(config_of(name, steps, job.device), job.cache, run, init=init, report=report)
    return run / CHECKPOINT


def tune_gend(job: Job, steps: int, made_of: Provenance) -> None:
    """Tune GenD from the shipped tuning, and ship it; what was tuned before is not tuned again."""
    tuning = job.work / "runs" / TUNED / "tuning.safetensors"
    if not tuning.exists():
        net = start(SHIPPED)
        config = TuningConfig(steps=steps, rate=TUNING_RATE)
        tune(net, job.cache, config, lambda line: job.log(f"train  {TUNED}: {line}"))
        save_tuning(net, tuning)
    shipped = ship_tuning(start(str(tuning)), Weights().encoder_path(ENCODER), job.cache, job.out)
    recipe = f"deepscan train run: {steps} steps from the shipped tuning"
    enter_detector(job.out, shipped, TUNED, replace(made_of, recipe=recipe))
    job.log(f"export {TUNED}: {shipped.precision}, within {shipped.gap.largest:.4f} of float")


def evaluate(job: Job, rows: Sequence[Source], detectors: tuple[str, ...]) -> Judgement | None:
    """Scan the files that were kept out of training, calibrate on them, and measure by cross-validation.

    Returns:
        The evaluation, the files with their cross-validated probabilities, and the calibration; None where
        the files are too few to calibrate on.
    """
    config = ScanConfig(weights=job.out, device="cpu", detectors=detectors)
    files = score(rows, config, lambda file: job.log(f"score  {file.file}"), kept=job.work / "scores.jsonl")
    try:
        fitted, _ = calibrate(files, job.out)
    except UsageError as error:
        job.log(f"not calibrated, every detector counts alike: {error}")
        return None
    final, judged = fitted.calibration, list(out_of_fold(fitted))
    return evaluation(judged, final, final.thresholds()), judged, final


def _older(path: Path, than: Path) -> bool:
    return path.stat().st_mtime < than.stat().st_mtime


def _drawn(name: str) -> int:
    return zlib.crc32(name.encode())
