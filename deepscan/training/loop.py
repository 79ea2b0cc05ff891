"""The training loop of one detector, top to bottom.

A run is a folder: ``checkpoint.pt`` (model, optimizer, step, pairs seen, torch RNG, settings), written
often and loaded with ``weights_only=True``, and ``log.jsonl``, a line per report. Started again with the
same settings, it goes on where it stood.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from deepscan.detectors import SPECS
from deepscan.detectors.base import DetectorSpec
from deepscan.errors import UsageError
from deepscan.training.data import Batch, FixedPairs, ForgedPairs, join_pairs
from deepscan.training.distil import Distillation
from deepscan.training.evaluate import auc
from deepscan.training.export import load_weights
from deepscan.training.forge.degrade import Degradation
from deepscan.training.nets import Net, build
from deepscan.training.prepare import Sample, load_index

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
CHECKPOINT_EVERY_S = 120.0
LARGEST_GRADIENT = 5.0


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run.

    Attributes:
        detector: which network.
        steps: optimizer steps in all; the rate falls to zero along a cosine.
        pairs: pairs of real and fake in a batch.
        rate: highest learning rate (AdamW).
        warmup: steps over which the rate rises.
        weight_decay: of AdamW.
        stills: train a clip network on single frames (T = 1), photos included.
        clean: no degradation, in training and validation: a first stage for a network from nothing.
        frozen: submodules that stay as they are, batch statistics included.
        seed: of the pairs, their forgeries and the network's start.
        validate_every: steps between validations; 0 validates at the end alone.
        workers: processes that forge pairs; 0 forges in the training process.
        threads: torch's intra-op threads; 0 leaves them alone.
    """

    detector: str
    steps: int
    pairs: int = 8
    rate: float = 2e-4
    warmup: int = 100
    weight_decay: float = 1e-4
    stills: bool = False
    clean: bool = False
    frozen: tuple[str, ...] = ()
    seed: int = 0
    validate_every: int = 0
    workers: int = 0
    threads: int = 0


def train(
    config: TrainConfig,
    cache: Path,
    run: Path,
    *,
    init: Path | None = None,
    teacher: Path | None = None,
    report: Callable[[dict[str, Any]], None] = lambda line: None,
) -> Path:
    """Train one detector on a prepared cache.

    Args:
        config: the settings.
        cache: folder filled by ``prepare``.
        run: folder of this run.
        init: safetensors to start from (this project's, or an ImageNet Xception for ``gml``).
        teacher: checkpoint of a trained ``gml`` whose maps the trunk learns to predict as well.
        report: called with every line of the log.

    Returns:
        The checkpoint.

    Raises:
        UsageError: the run folder holds a run with other settings, the cache lacks samples, the teacher
            cannot teach this detector, or the network lacks a frozen submodule.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    samples = load_index(cache)
    spec = SPECS[config.detector]
    net = build(config.detector)
    module = cast(nn.Module, net)
    if init is not None:
        start_from(net, init)
    lay_out(module)
    distillation = None if teacher is None else Distillation(teacher, config.detector, module)
    trained = nn.ModuleList([module] if distillation is None else [module, distillation.project])
    optimizer = torch.optim.AdamW(trained.parameters(), lr=config.rate, weight_decay=config.weight_decay)
    step = resume(run / CHECKPOINT, config, trained, optimizer)
    stream = batches(config, cache, samples, spec, first=step * config.pairs)
    saved, began, losses = time.monotonic(), time.monotonic(), []
    learn(module, config.frozen)
    while step < config.steps:
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, config)
        losses.append(optimize(net, optimizer, next(stream), distillation))
        step += 1
        if step % 50 == 0:
            speed = 50 / (time.monotonic() - began)
            log(run, report, {"step": step, "loss": float(np.mean(losses)), "steps_per_s": round(speed, 3)})
            began, losses = time.monotonic(), []
        validate_now = config.validate_every and step % config.validate_every == 0
        if validate_now or step == config.steps:
            log(run, report, {"step": step, **validate(net, config, cache, samples)})
            learn(module, config.frozen)
            began = time.monotonic()
        if time.monotonic() - saved > CHECKPOINT_EVERY_S or step == config.steps:
            save(run / CHECKPOINT, config, trained, optimizer, step)
            saved = time.monotonic()
    return run / CHECKPOINT


def lay_out(module: nn.Module) -> None:
    """Channels last, which a CPU convolves faster; networks of 3D convolutions stay as they are."""
    if not is_3d(module):
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def is_3d(module: nn.Module) -> bool:
    """Whether the network convolves over time."""
    return any(isinstance(part, nn.Conv3d) for part in module.modules())


def learn(module: nn.Module, frozen: Sequence[str]) -> None:
    """Put a network into training mode, all but its frozen submodules.

    Raises:
        UsageError: it has no such submodule.
    """
    module.train()
    for name in frozen:
        try:
            part = module.get_submodule(name)
        except AttributeError:
            parts = ", ".join(child for child, _ in module.named_children())
            raise UsageError(
                f"the network has no submodule {name!r} to freeze; it consists of {parts}."
            ) from None
        part.requires_grad_(False).eval()


def start_from(net: Net, init: Path) -> None:
    """Load start weights: a run's checkpoint, this project's safetensors, or an ImageNet trunk."""
    if init.suffix == ".pt":
        cast(nn.Module, net).load_state_dict(torch.load(init, weights_only=True)["model"])
        return
    try:
        load_weights(net, init)
    except (RuntimeError, KeyError):
        load_imagenet = getattr(net, "load_imagenet", None)
        if load_imagenet is None:
            raise UsageError(f"{init} does not hold weights of {net.spec.name}.") from None
        load_imagenet(init)


def batches(
    config: TrainConfig, cache: Path, samples: Sequence[Sample], spec: DetectorSpec, *, first: int
) -> Iterator[Batch]:
    """Joined batches of forged pairs from the training side, without end."""
    train_side = [sample for sample in samples if sample.split == "train"]
    pairs = ForgedPairs(
        cache,
        train_side,
        spec,
        seed=config.seed,
        degradation=degradation_of(config),
        stills=config.stills,
        first=first,
        batch=config.pairs,
    )
    loader = DataLoader(pairs, batch_size=config.pairs, collate_fn=join_pairs, num_workers=config.workers)
    return iter(loader)


def mixed_precision(module: nn.Module) -> torch.autocast:
    """bfloat16 where it is safe; 3D networks run in float32: in bfloat16 a run on a CPU ended in NaN."""
    return torch.autocast("cpu", torch.bfloat16, enabled=not is_3d(module))


def degradation_of(config: TrainConfig) -> Degradation | None:
    """What every pair of the run goes through; None lets each pair draw its own."""
    return Degradation.none() if config.clean else None


def optimize(
    net: Net, optimizer: torch.optim.Optimizer, batch: Batch, distillation: Distillation | None = None
) -> float:
    """One step; the forward pass in ``mixed_precision``, losses in float32. Returns the loss.

    Raises:
        UsageError: the gradient is not finite.
    """
    optimizer.zero_grad(set_to_none=True)
    module = cast(nn.Module, net)
    with mixed_precision(module):
        output = net(normalise(batch["pixels"], net.spec))
        loss = net.loss(output, batch["label"], batch["forged"], batch["face"])
        if distillation is not None:
            loss = loss + distillation.loss(batch["pixels"])
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(module.parameters(), LARGEST_GRADIENT)
    if not torch.isfinite(norm):
        raise UsageError("the gradient is not finite: go on from the last checkpoint with a lower --rate.")
    optimizer.step()
    constrain = getattr(net, "after_step", None)
    if constrain is not None:
        constrain()
    return float(loss.detach())


def normalise(pixels: Tensor, spec: DetectorSpec) -> Tensor:
    """uint8 ``(B, [T,] S, S, 3)`` to normalised float ``(B, [T,] 3, S, S)``."""
    mean, std = torch.tensor(spec.mean), torch.tensor(spec.std)
    return ((pixels.float() / 255 - mean) / std).movedim(-1, -3)


def rate_at(step: int, config: TrainConfig) -> float:
    """Linear rise over ``warmup`` steps, then a cosine to zero."""
    if step < config.warmup:
        return config.rate * (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


@torch.inference_mode()
def validate(net: Net, config: TrainConfig, cache: Path, samples: Sequence[Sample]) -> dict[str, float]:
    """AUC on the fixed validation pairs: every sample once, with a draw of the degradation of its own."""
    val_side, spec = [sample for sample in samples if sample.split == "val"], net.spec
    pairs = FixedPairs(cache, val_side, spec, degradation=degradation_of(config), stills=config.stills)
    if not len(pairs):
        return {}
    module = cast(nn.Module, net)
    module.eval()
    scores, labels = [], []
    for number in range(len(pairs)):
        batch = pairs[number]
        with mixed_precision(module):
            probability = net.probability(net(normalise(batch["pixels"], spec)))
        scores.append(probability.float())
        labels.append(batch["label"])
    return {
        "val_auc": auc(torch.cat(labels).numpy(), torch.cat(scores).numpy()),
        "val_pairs": float(len(pairs)),
    }


def save(
    path: Path, config: TrainConfig, trained: nn.ModuleList, optimizer: torch.optim.Optimizer, step: int
) -> None:
    """Write a checkpoint beside its place, then move it there.

    ``model`` is the network; ``companions`` what trains beside it and is not shipped.
    """
    state = {
        "config": asdict(config),
        "model": trained[0].state_dict(),
        "companions": [companion.state_dict() for companion in trained[1:]],
        "optimizer": optimizer.state_dict(),
        "step": step,
        "rng": torch.get_rng_state(),
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def resume(path: Path, config: TrainConfig, trained: nn.ModuleList, optimizer: torch.optim.Optimizer) -> int:
    """Take up a checkpoint, if there is one; returns the step to go on from."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    free = {"workers", "threads", "validate_every"}
    then = {**asdict(TrainConfig(config.detector, config.steps)), **state["config"]}
    now = asdict(config)
    changed = sorted(key for key in now if key not in free and then[key] != now[key])
    if changed:
        raise UsageError(f"{path} was trained with another {', '.join(changed)}; choose another run folder.")
    if len(state.get("companions", [])) != len(trained) - 1:
        raise UsageError(f"{path} was trained with another teacher; choose another run folder.")
    for module, weights in zip(trained, [state["model"], *state.get("companions", [])], strict=True):
        module.load_state_dict(weights)
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["rng"])
    return int(state["step"])


def log(run: Path, report: Callable[[dict[str, Any]], None], line: dict[str, Any]) -> None:
    """Append a line to the run's log and hand it to ``report``."""
    with (run / LOG).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
    report(line)
