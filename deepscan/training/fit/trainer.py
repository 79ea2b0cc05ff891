"""The training loop of one detector, top to bottom.

A run is a folder, see ``run_folder``: its checkpoint is written often. Started again with the same settings,
it goes on where it stood: the log is then that of a run that nobody stopped. Under ``torchrun`` every process
takes its part of each batch, see ``parallel``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from deepscan.errors import UsageError
from deepscan.training.config import TrainConfig
from deepscan.training.data.loader import batches, spec_of
from deepscan.training.data.prepare import load_index
from deepscan.training.distributed import join
from deepscan.training.export.onnx import save_weights
from deepscan.training.fit.checkpoint import (
    CHECKPOINT,
    LOG,
    forget_after,
    kept_weights,
    log,
    origin,
    resume,
    save,
)
from deepscan.training.fit.distillation import Distillation
from deepscan.training.fit.initial_weights import start_from
from deepscan.training.fit.step import (
    TrainingStep,
    optimize,
    optimizer_of,
    rate_at,
    set_trainable,
    to_channels_last,
)
from deepscan.training.fit.validation import validate
from deepscan.training.networks import build

CHECKPOINT_EVERY_S = 120.0
LOG_EVERY = 50


def train(
    config: TrainConfig,
    cache: Path,
    run: Path,
    *,
    init: Path | None = None,
    teacher: Path | None = None,
    report: Callable[[dict[str, Any]], None] = lambda line: None,
    after_step: Callable[[], None] = lambda: None,
    validate_at_end: bool = True,
) -> Path:
    """Train one detector on a prepared cache.

    Args:
        config: the settings.
        cache: folder filled by ``prepare``.
        run: folder of this run.
        init: start weights, see ``start``.
        teacher: checkpoint of a trained ``gml`` whose maps the trunk learns to predict as well.
        report: called with every line of the log.
        after_step: called after every optimizer step.
        validate_at_end: measure the finished network.

    Returns:
        The checkpoint.

    Raises:
        UsageError: the run folder holds a run with other settings, the cache lacks samples, the teacher
            cannot teach this detector, the network lacks a submodule that is to be frozen or a parameter
            that is to learn, or its clips have no more frames than the settings ask for.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    place = join(config.device)
    if config.pairs % place.count:
        raise UsageError(f"{config.pairs} pairs cannot be shared out among {place.count} processes.")
    run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    samples = load_index(cache)
    spec = spec_of(config)
    net = build(config.detector)
    module = cast(nn.Module, net)
    if init is not None:
        start_from(net, init)
    to_channels_last(module)
    distillation = None if teacher is None else Distillation(teacher, config.detector, module)
    trained = nn.ModuleList([module] if distillation is None else [module, distillation.project])
    forward = TrainingStep(net, distillation, config.score_variance).to(place.device)
    optimizer = optimizer_of(config, trained.parameters())
    origins = {"init": origin(init), "teacher": origin(teacher)}
    step, losses = resume(run / CHECKPOINT, config, trained, optimizer, origins)
    if place.leads:
        forget_after(run / LOG, step)
    stream = batches(config, cache, samples, spec, first=step * config.pairs, place=place)
    saved, began, since = time.monotonic(), time.monotonic(), 0
    set_trainable(module, config.frozen, config.learning)
    parallel = place.spread(forward)
    while step < config.steps:
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, config)
        losses.append(
            place.mean(optimize(net, optimizer, next(stream), distillation, parallel, config.sam_rho))
        )
        after_step()
        step, since = step + 1, since + 1
        if step % LOG_EVERY == 0 or step == config.steps:
            speed = round(since / (time.monotonic() - began), 3)
            if place.leads:
                log(run, report, {"step": step, "loss": float(np.mean(losses)), "steps_per_s": speed})
            began, since, losses = time.monotonic(), 0, []
        at_end = validate_at_end and step == config.steps
        validate_now = config.validate_every and step % config.validate_every == 0
        if place.leads and (validate_now or at_end):
            log(run, report, {"step": step, **validate(net, config, cache, samples)})
            set_trainable(module, config.frozen, config.learning)
            began, since = time.monotonic(), 0
        if place.leads and config.keep_every and step % config.keep_every == 0:
            save_weights(net, kept_weights(run, step))
        if place.leads and (time.monotonic() - saved > CHECKPOINT_EVERY_S or step == config.steps):
            save(run / CHECKPOINT, config, trained, optimizer, step, losses=losses, origins=origins)
            saved = time.monotonic()
    place.wait()
    return run / CHECKPOINT
