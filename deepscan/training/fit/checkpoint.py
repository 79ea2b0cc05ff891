"""A run's folder: the checkpoint that it goes on from, and its log.

``checkpoint.pt`` holds model, optimizer, step, losses not logged yet, torch RNG and settings, and is loaded
with ``weights_only=True``; ``log.jsonl`` has a line per report, ``kept/`` weights of earlier steps, if asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from deepscan.errors import UsageError
from deepscan.training.config import TrainConfig, present_names

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
KEPT = "kept"


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
    free = {"workers", "threads", "validate_every", "keep_every", "device"}
    then = {**asdict(TrainConfig(config.detector, config.steps)), **present_names(state["config"])}
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


def kept_weights(run: Path, step: int) -> Path:
    """Where a copy of a step's weights lies; by name they come in the order of their steps."""
    return run / KEPT / f"{step:06}.safetensors"


def origin(path: Path | None) -> dict[str, str] | None:
    """Where a run took weights from: path and hash."""
    if path is None:
        return None
    found = path.read_bytes() if path.is_file() else b""
    return {"path": str(path), "sha256": hashlib.sha256(found).hexdigest()}


def log(run: Path, report: Callable[[dict[str, Any]], None], line: dict[str, Any]) -> None:
    """Append a line to the run's log and hand it to ``report``."""
    with (run / LOG).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
    report(line)


def forget_after(path: Path, step: int) -> None:
    """Drop the log's lines beyond a step, written between the last checkpoint and a kill: they come again."""
    if not path.exists():
        return
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    kept = [line for line in whole.splitlines() if json.loads(line)["step"] <= step]
    path.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
