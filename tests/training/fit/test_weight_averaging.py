"""The mean of checkpoints is the mean of their weights."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from deepscan.errors import UsageError
from deepscan.training.export.onnx import save_weights
from deepscan.training.fit.weight_averaging import average
from deepscan.training.networks import build

pytestmark = pytest.mark.slow

NAME = "local_features"


def checkpoint(path: Path, seed: int, batches: int) -> dict[str, Tensor]:
    """A checkpoint of random weights and batch-norm statistics; returns them."""
    torch.manual_seed(seed)
    net = build(NAME)
    module = cast(nn.Module, net)
    for name, tensor in module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensor.fill_(batches)
        elif name.endswith(("running_mean", "running_var")):
            tensor.uniform_(0.5, 2.0)
    if path.suffix == ".safetensors":
        save_weights(net, path)
    else:
        torch.save({"model": module.state_dict(), "step": 0}, path)
    return module.state_dict()


def test_weights_statistics_and_counters_are_averaged_by_share(tmp_path: Path) -> None:
    one = checkpoint(tmp_path / "one.pt", 1, 100)
    other = checkpoint(tmp_path / "other.safetensors", 2, 200)
    out = tmp_path / "made" / "mean.safetensors"
    average(NAME, [(tmp_path / "one.pt", 0.3), (tmp_path / "other.safetensors", 0.7)], out)
    mean = load_file(out)
    assert mean.keys() == one.keys()
    for name, tensor in mean.items():
        expected = 0.3 * one[name].double() + 0.7 * other[name].double()
        torch.testing.assert_close(tensor.double(), expected, atol=1e-3, rtol=1e-3, msg=name)
    assert {int(mean[name]) for name in mean if name.endswith("num_batches_tracked")} == {170}


def test_the_mean_of_one_and_the_same_is_itself(tmp_path: Path) -> None:
    checkpoint(tmp_path / "one.safetensors", 1, 7)
    average(NAME, [(tmp_path / "one.safetensors", 1 / 3)] * 3, tmp_path / "mean.safetensors")
    one, mean = load_file(tmp_path / "one.safetensors"), load_file(tmp_path / "mean.safetensors")
    assert all(torch.equal(one[name], mean[name]) for name in one)


@pytest.mark.parametrize(
    ("shares", "out", "sentence"),
    [
        ([1.0], "mean.safetensors", "two checkpoints or more"),
        ([0.5, 0.4], "mean.safetensors", "sum to 1"),
        ([1.5, -0.5], "mean.safetensors", "above 0"),
        ([0.5, 0.5], "mean.pt", r"choose such a name"),
    ],
)
def test_what_is_no_mean_is_refused(shares: list[float], out: str, sentence: str, tmp_path: Path) -> None:
    checkpoint(tmp_path / "one.pt", 1, 0)
    with pytest.raises(UsageError, match=sentence):
        average(NAME, [(tmp_path / "one.pt", share) for share in shares], tmp_path / out)
    assert not (tmp_path / out).exists()


def test_a_checkpoint_of_another_network_is_named(tmp_path: Path) -> None:
    checkpoint(tmp_path / "one.pt", 1, 0)
    parts = [(tmp_path / "one.pt", 0.5), (tmp_path / "one.pt", 0.5)]
    with pytest.raises(UsageError, match=r"one\.pt does not hold weights of sola"):
        average("sola", parts, tmp_path / "mean.safetensors")
