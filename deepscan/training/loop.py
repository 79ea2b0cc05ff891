"""The training loop of one detector, top to bottom.

A run is a folder: ``checkpoint.pt`` (model, optimizer, step, losses not logged yet, torch RNG, settings),
written often and loaded with ``weights_only=True``, and ``log.jsonl``, a line per report. Started again with
the same settings, it goes on where it stood: the log is then that of a run that nobody stopped. Under
``torchrun`` every process takes its part of each batch, see ``parallel``.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from deepscan.detectors import SPECS
from deepscan.detectors.base import DetectorSpec, Sampling
from deepscan.errors import UsageError
from deepscan.training.data import Batch, FixedPairs, ForgedPairs, join_pairs
from deepscan.training.distil import Distillation
from deepscan.training.evaluate import auc
from deepscan.training.forge.degrade import Degradation
from deepscan.training.mixed import MASKED, FixedOwnPairs, MixedPairs, OwnPairs
from deepscan.training.nets import Net, build
from deepscan.training.parallel import Place, join
from deepscan.training.prepare import Sample, load_index
from deepscan.training.start import start_from

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
CHECKPOINT_EVERY_S = 120.0
LOG_EVERY = 50
ALONE = Place()
LARGEST_GRADIENT = 5.0


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run.

    Attributes:
        detector: which network.
        steps: optimizer steps in all.
        pairs: pairs of real and fake in a batch, of all processes together.
        rate: highest learning rate.
        warmup: steps over which the rate rises.
        weight_decay: of the optimizer.
        stills: train a clip network on single frames (T = 1), photos included.
        clean: no degradation, in training and validation: a first stage for a network from nothing.
        brightened: brightness changes alone for the corpus' own forgeries.
        jittered: boxes of the corpus' own forgeries are moved and mirrored at random.
        own_share: share of batches with the corpus' own forgeries, where it has any; 1: nothing else.
        optimizer: ``adamw``, ``adam`` or ``sgd``.
        momentum: of ``sgd``.
        schedule: ``cosine`` falls to zero after the warm-up, ``constant`` stays.
        families: of forgeries; none names all of ``forge.families``.
        frozen: submodules that stay as they are, batch statistics included.
        seed: of the pairs, their forgeries and the network's start.
        validate_every: steps between validations; 0 validates at the end alone.
        workers: processes that forge pairs; 0 forges in the training process.
        threads: torch's intra-op threads; 0 leaves them alone.
        device: ``auto`` (CUDA where it is there), ``cpu`` or ``cuda``.
    """

    detector: str
    steps: int
    pairs: int = 8
    rate: float = 2e-4
    warmup: int = 100
    weight_decay: float = 1e-4
    stills: bool = False
    clean: bool = False
    brightened: bool = False
    jittered: bool = True
    own_share: float = 0.0
    optimizer: str = "adamw"
    momentum: float = 0.0
    schedule: str = "cosine"
    families: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()
    seed: int = 0
    validate_every: int = 0
    workers: int = 0
    threads: int = 0
    device: str = "auto"


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
            cannot teach this detector, or the network lacks a frozen submodule.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    place = join(config.device)
    if config.pairs % place.count:
        raise UsageError(f"{config.pairs} pairs cannot be shared out among {place.count} processes.")
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
    forward = TrainingStep(net, distillation).to(place.device)
    optimizer = optimizer_of(config, trained.parameters())
    origins = {"init": origin(init), "teacher": origin(teacher)}
    step, losses = resume(run / CHECKPOINT, config, trained, optimizer, origins)
    if place.leads:
        forget_after(run / LOG, step)
    stream = batches(config, cache, samples, spec, first=step * config.pairs, place=place)
    saved, began, since = time.monotonic(), time.monotonic(), 0
    learn(module, config.frozen)
    parallel = place.spread(forward)
    while step < config.steps:
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, config)
        losses.append(place.mean(optimize(net, optimizer, next(stream), distillation, parallel)))
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
            learn(module, config.frozen)
            began, since = time.monotonic(), 0
        if place.leads and (time.monotonic() - saved > CHECKPOINT_EVERY_S or step == config.steps):
            save(run / CHECKPOINT, config, trained, optimizer, step, losses=losses, origins=origins)
            saved = time.monotonic()
    place.wait()
    return run / CHECKPOINT


class TrainingStep(nn.Module):
    """A batch in, its loss out: what is run alike in every process."""

    def __init__(self, net: Net, distillation: Distillation | None) -> None:
        super().__init__()
        self.net = cast(nn.Module, net)
        self.distillation = distillation

    def forward(self, batch: Batch) -> Tensor:
        """Scalar loss; the forward pass in ``mixed_precision``, losses in float32."""
        net = cast(Net, self.net)
        forged = batch["forged"] if MASKED not in batch or bool(batch[MASKED].all()) else None
        with mixed_precision(self.net):
            output = net(normalise(batch["pixels"], net.spec))
            loss = net.loss(output, batch["label"], forged, batch["face"])
            if self.distillation is not None:
                loss = loss + self.distillation.loss(batch["pixels"])
        return loss


def optimizer_of(config: TrainConfig, parameters: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer that the settings name. Raises UsageError for another name."""
    rate, decay = config.rate, config.weight_decay
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=decay)
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, lr=rate, weight_decay=decay, momentum=config.momentum)
    raise UsageError(f"there is no optimizer {config.optimizer!r}; choose from adamw, adam, sgd.")


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


def batches(
    config: TrainConfig,
    cache: Path,
    samples: Sequence[Sample],
    spec: DetectorSpec,
    *,
    first: int,
    place: Place = ALONE,
) -> Iterator[Batch]:
    """Joined batches from the training side, without end: made forgeries, and the corpus' own.

    Raises:
        UsageError: the side has no real sample, or no forgery where only the corpus' own are wanted.
    """
    train_side = [sample for sample in samples if sample.split == "train"]
    own = own_pairs(config, cache, train_side, spec)
    if config.own_share == 1 and not own:
        raise UsageError(f"{cache} holds no forgeries of its own that give a clip for {spec.name}.")
    made = None
    if config.own_share < 1:
        made = ForgedPairs(
            cache,
            train_side,
            spec,
            seed=config.seed,
            degradation=degradation_of(config),
            families=config.families,
            stills=config.stills,
            first=first,
            batch=config.pairs,
        )
    pairs = MixedPairs(
        made, own, own_share=config.own_share, seed=config.seed, first=first, pairs=config.pairs, place=place
    )
    mine = config.pairs // place.count
    loader = DataLoader(pairs, batch_size=mine, collate_fn=join_pairs, num_workers=config.workers)
    return iter(loader)


def own_pairs(
    config: TrainConfig, cache: Path, samples: Sequence[Sample], spec: DetectorSpec, *, augment: bool = True
) -> OwnPairs:
    """The pairs that the corpus' own forgeries give."""
    return OwnPairs(
        cache,
        samples,
        spec,
        stills=config.stills,
        degrade=faults_of(config, still=config.stills or spec.sampling is Sampling.SINGLE),
        augment=augment and config.jittered,
    )


def mixed_precision(module: nn.Module) -> torch.autocast:
    """bfloat16 where it is safe; 3D networks run in float32: in bfloat16 a run on a CPU ended in NaN.

    GPUs without bfloat16 compute in float32 as well.
    """
    kind = next(module.parameters()).device.type
    able = kind == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(kind, torch.bfloat16, enabled=able and not is_3d(module))


def degradation_of(config: TrainConfig) -> Degradation | None:
    """What every made pair of the run goes through; None lets each pair draw its own."""
    return Degradation.none() if config.clean else None


def faults_of(config: TrainConfig, *, still: bool) -> Callable[[np.random.Generator], Degradation]:
    """What draws the degradation of an own pair."""

    def draw(rng: np.random.Generator) -> Degradation:
        if config.brightened:
            return replace(Degradation.none(), gamma=float(np.exp(rng.uniform(-0.22, 0.22))))
        return Degradation.none() if config.clean else Degradation.draw(rng, still=still)

    return draw


def optimize(
    net: Net,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    distillation: Distillation | None = None,
    parallel: nn.Module | None = None,
) -> float:
    """One step. Returns the loss.

    Args:
        net: the network.
        optimizer: of its parameters.
        batch: on any device.
        distillation: adds its loss.
        parallel: the ``TrainingStep`` of both, where several processes share it; None makes one.

    Raises:
        UsageError: the gradient is not finite.
    """
    optimizer.zero_grad(set_to_none=True)
    module = cast(nn.Module, net)
    forward = TrainingStep(net, distillation) if parallel is None else parallel
    device = next(module.parameters()).device
    loss: Tensor = forward({name: value.to(device, non_blocking=True) for name, value in batch.items()})
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
    mean, std = (torch.tensor(value, device=pixels.device) for value in (spec.mean, spec.std))
    return ((pixels.float() / 255 - mean) / std).movedim(-1, -3)


def rate_at(step: int, config: TrainConfig) -> float:
    """Linear rise over ``warmup`` steps, then the schedule: a cosine to zero, or no change."""
    if step < config.warmup:
        return config.rate * (step + 1) / config.warmup
    if config.schedule == "constant":
        return config.rate
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


@torch.inference_mode()
def validate(net: Net, config: TrainConfig, cache: Path, samples: Sequence[Sample]) -> dict[str, float]:
    """AUC on pairs of the validation side; each pair has a draw of the degradation of its own.

    ``val_auc``: every real sample once, with a made forgery; then each family against every real sample.
    ``val_own_auc``: every forgery of the corpus' own, once, with a real sample.
    """
    val_side, spec = [sample for sample in samples if sample.split == "val"], net.spec
    found: dict[str, float] = {}
    cast(nn.Module, net).eval()
    if config.own_share < 1:
        made = FixedPairs(
            cache,
            val_side,
            spec,
            degradation=degradation_of(config),
            families=config.families,
            stills=config.stills,
        )
        real, families = scores_of(net, (made.named(number) for number in range(len(made))))
        found |= _figures("val", real, families)
        found |= {f"val_auc {family}": separation(real, scores) for family, scores in families.items()}
    if config.own_share > 0:
        own = FixedOwnPairs(own_pairs(config, cache, val_side, spec, augment=False))
        found |= _figures("val_own", *scores_of(net, (("own", own[number]) for number in range(len(own)))))
    return found


def scores_of(net: Net, pairs: Iterable[tuple[str, Batch]]) -> tuple[list[float], dict[str, list[float]]]:
    """A network's probabilities for the real halves of named pairs, and for the forged ones by name."""
    module = cast(nn.Module, net)
    device = next(module.parameters()).device
    real: list[float] = []
    fake: dict[str, list[float]] = {}
    for name, batch in pairs:
        with mixed_precision(module):
            probability = net.probability(net(normalise(batch["pixels"].to(device), net.spec))).float().cpu()
        for score, label in zip(probability.tolist(), batch["label"].tolist(), strict=True):
            (fake.setdefault(name, []) if label else real).append(score)
    return real, fake


def _figures(prefix: str, real: Sequence[float], fake: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """AUC over all pairs, and how many there are; nothing where there is none."""
    everything = [score for scores in fake.values() for score in scores]
    if not everything:
        return {}
    return {f"{prefix}_auc": separation(real, everything), f"{prefix}_pairs": float(len(everything))}


def origin(path: Path | None) -> dict[str, str] | None:
    """Where a run took weights from: path and hash."""
    if path is None:
        return None
    found = path.read_bytes() if path.is_file() else b""
    return {"path": str(path), "sha256": hashlib.sha256(found).hexdigest()}


def separation(real: Sequence[float], fake: Sequence[float]) -> float:
    """AUC of fake scores against real ones."""
    labels = np.repeat([0, 1], [len(real), len(fake)])
    return auc(labels, np.array([*real, *fake]))


def save(
    path: Path,
    config: TrainConfig,
    trained: nn.ModuleList,
    optimizer: torch.optim.Optimizer,
    step: int,
    *,
    losses: Sequence[float] = (),
    origins: Mapping[str, dict[str, str] | None] | None = None,
) -> None:
    """Write a checkpoint beside its place, then move it there.

    ``model`` is the network; ``companions`` what trains beside it and is not shipped; ``losses`` those that
    no line of the log holds yet; ``origins`` the files that the run started and learned from; ``held`` the
    modules that a public checkpoint's start keeps as they are.
    """
    state = {
        "config": asdict(config),
        "model": trained[0].state_dict(),
        "companions": [companion.state_dict() for companion in trained[1:]],
        "optimizer": optimizer.state_dict(),
        "step": step,
        "losses": list(losses),
        "origins": dict(origins or {}),
        "held": list(getattr(trained[0], "frozen", ())),
        "rng": torch.get_rng_state(),
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def resume(
    path: Path,
    config: TrainConfig,
    trained: nn.ModuleList,
    optimizer: torch.optim.Optimizer,
    origins: Mapping[str, dict[str, str] | None] | None = None,
) -> tuple[int, list[float]]:
    """Take up a checkpoint, if there is one; returns the step to go on from and the losses not logged yet.

    Raises:
        UsageError: it was trained with other settings or another teacher.
    """
    if not path.exists():
        return 0, []
    state = torch.load(path, map_location="cpu", weights_only=True)
    free = {"workers", "threads", "validate_every", "device"}
    then = {**asdict(TrainConfig(config.detector, config.steps)), **state["config"]}
    now = asdict(config)
    changed = sorted(key for key in now if key not in free and then[key] != now[key])
    if changed:
        raise UsageError(f"{path} was trained with another {', '.join(changed)}; choose another run folder.")
    taught, teacher = state.get("origins", {}).get("teacher"), (origins or {}).get("teacher")
    other = taught and teacher and taught["sha256"] != teacher["sha256"]
    if other or len(state.get("companions", [])) != len(trained) - 1:
        named = f" ({taught['path']})" if taught else ""
        raise UsageError(f"{path} was trained with another teacher{named}; choose another run folder.")
    for module, weights in zip(trained, [state["model"], *state.get("companions", [])], strict=True):
        module.load_state_dict(weights)
    if state.get("held"):
        cast(Any, trained[0]).freeze_lower(tuple(state["held"]))
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["rng"])
    return int(state["step"]), list(state.get("losses", []))


def forget_after(path: Path, step: int) -> None:
    """Drop the log's lines beyond a step, written between the last checkpoint and a kill: they come again."""
    if not path.exists():
        return
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    kept = [line for line in whole.splitlines() if json.loads(line)["step"] <= step]
    path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def log(run: Path, report: Callable[[dict[str, Any]], None], line: dict[str, Any]) -> None:
    """Append a line to the run's log and hand it to ``report``."""
    with (run / LOG).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
    report(line)
