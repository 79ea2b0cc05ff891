"""The mean of several checkpoints of one lineage, weight by weight.

Copies from along a run, taken while its rate is still high, scatter about what it would settle on, and their
mean lies nearer to that than any of them (Izmailov et al., Averaging Weights Leads to Wider Optima and Better
Generalization). The mean of a start and of what was fine-tuned from it keeps more of what the start could do
(Wortsman et al., Robust fine-tuning of zero-shot models). Batch-norm statistics are averaged likewise, which
is near enough for networks that share a start; of strangers the mean is noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from deepscan.errors import UsageError
from deepscan.training.export.onnx import save_weights
from deepscan.training.fit.initial_weights import load_trained
from deepscan.training.networks import build


def average(detector: str, parts: Sequence[tuple[Path, float]], out: Path) -> None:
    """Write the weighted mean as a float16 checkpoint.

    Args:
        detector: whose checkpoints they are.
        parts: two or more of (run's checkpoint or safetensors, share); shares are above 0 and sum to 1.
        out: a ``.safetensors`` file.

    Raises:
        UsageError: too few parts, shares that do not add up, or a file of another network.
    """
    if len(parts) < 2:
        raise UsageError("a mean takes two checkpoints or more.")
    if any(share <= 0 for _, share in parts) or not math.isclose(sum(s for _, s in parts), 1, abs_tol=1e-3):
        raise UsageError("shares must be above 0 and sum to 1.")
    if out.suffix != ".safetensors":
        raise UsageError(f"{out}: the mean is written as .safetensors; choose such a name.")
    net = build(detector)
    module = cast(nn.Module, net)
    total: dict[str, Tensor] = {}
    for path, share in parts:
        load_trained(net, path)
        for name, tensor in module.state_dict().items():
            total[name] = total.get(name, 0) + share * tensor.double()
    types = {name: tensor.dtype for name, tensor in module.state_dict().items()}
    module.load_state_dict({name: _as(tensor, types[name]) for name, tensor in total.items()})
    save_weights(net, out)


def _as(tensor: Tensor, kind: torch.dtype) -> Tensor:
    """Counters of batches are whole numbers."""
    return tensor.to(kind) if kind.is_floating_point else tensor.round().to(kind)
