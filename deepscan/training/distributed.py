"""One run in several processes, started by ``torchrun``: each takes its part of every batch.

Gradients are averaged by DistributedDataParallel, so that a step is that of one process on the joined batch,
up to batch norm: its statistics are those of the joined batch on GPUs (SyncBatchNorm), and each process' own
on the CPU, for which PyTorch has no synchronised one. With frozen batch norms there is no difference.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from deepscan.errors import UsageError

TorchDevice = Literal["auto", "cpu", "cuda"]
CPU = torch.device("cpu")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class ProcessRank:
    """Which of how many processes this is, and where it computes."""

    rank: int = 0
    count: int = 1
    device: torch.device = CPU

    @property
    def leads(self) -> bool:
        """Whether this process validates, logs and writes checkpoints."""
        return self.rank == 0

    def wait(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            dist.barrier()

    def mean(self, value: float) -> float:
        """The mean of a number over the processes."""
        if self.count == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return float(total) / self.count

    def spread(self, step: nn.Module) -> nn.Module:
        """``step`` with its gradients averaged over the processes."""
        if self.count == 1:
            return step
        if self.device.type == "cuda":
            step = nn.SyncBatchNorm.convert_sync_batchnorm(step)  # type: ignore[no-untyped-call]
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(step, device_ids=devices, find_unused_parameters=True)


def join(device: str) -> ProcessRank:
    """Take one's place among the processes that ``torchrun`` started; alone without it.

    Raises:
        UsageError: CUDA is asked for and not there.
    """
    if device not in DEVICES:
        raise UsageError(f"there is no device {device!r}; choose from {', '.join(DEVICES)}.")
    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise UsageError("CUDA is not available to torch here; use `--device cpu`, or see `deepscan doctor`.")
    count = int(os.environ.get("WORLD_SIZE", "1"))
    kind = "cuda" if there and device != "cpu" else "cpu"
    local = int(os.environ.get("LOCAL_RANK", "0"))
    where = torch.device("cuda", local) if kind == "cuda" else torch.device("cpu")
    if kind == "cuda":
        torch.cuda.set_device(where)
    if count == 1:
        return ProcessRank(device=where)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    return ProcessRank(dist.get_rank(), count, where)


def leave() -> None:
    """Give up the place, where there are others."""
    if dist.is_initialized():
        dist.destroy_process_group()
