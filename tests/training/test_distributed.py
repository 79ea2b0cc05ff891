"""Two processes under torchrun take the step that one takes on the joined batch."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
import torch
from torch.distributed.run import get_args_parser

from deepscan.errors import UsageError
from deepscan.training.config import TrainConfig
from deepscan.training.distributed import ProcessRank, join
from deepscan.training.fit.checkpoint import CHECKPOINT, LOG
from deepscan.training.fit.trainer import train
from deepscan.training.networks import build
from tests.training.conftest import Prepared

pytestmark = pytest.mark.slow

SCRIPT = """
import sys
from pathlib import Path

from torch import nn

from deepscan.training import distributed
from deepscan.training.config import TrainConfig
from deepscan.training.fit import trainer

set_trainable = trainer.set_trainable


def with_fixed_statistics(module, *which):
    # Each process has batch statistics of its own on the CPU: what is compared is all the rest.
    set_trainable(module, *which)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()


trainer.set_trainable = with_fixed_statistics
config = TrainConfig(
    "local_features", steps=2, pairs=2, rate=0.5, warmup=0, optimizer="sgd", schedule="constant",
    weight_decay=0.0, clean=True, threads=1, device="cpu",
)
trainer.train(config, Path(sys.argv[1]), Path(sys.argv[2]), validate_at_end=False)
distributed.leave()
"""


def test_the_averaged_gradient_of_two_processes_is_that_of_one(prepared: Prepared, tmp_path: Path) -> None:
    """Plain SGD moves every weight by the gradient, so equal weights after two steps are equal gradients."""
    script = tmp_path / "step.py"
    script.write_text(SCRIPT, encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    ranks = [{**told, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in (0, 1)]  # as torchrun sets them
    started = [
        subprocess.Popen(
            [sys.executable, str(script), str(prepared.cache), str(tmp_path / name)],
            env={**env, **more},
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, more in (("one", {}), ("two", ranks[0]), ("two", ranks[1]))
    ]
    for process in started:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err[-2000:]
    one, two = (
        torch.load(tmp_path / name / CHECKPOINT, weights_only=True)["model"] for name in ("one", "two")
    )
    torch.manual_seed(0)
    start = cast(torch.nn.Module, build("local_features")).state_dict()
    assert not torch.equal(one["features.0.0.weight"], start["features.0.0.weight"])
    for name in one:
        torch.testing.assert_close(two[name], one[name], atol=2e-4, rtol=2e-3, msg=name)
    assert len((tmp_path / "two" / LOG).read_text(encoding="utf-8").splitlines()) == 1, "one process logs"


def test_pairs_must_be_shared_out_evenly(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepscan.training.fit.trainer.join", lambda device: ProcessRank(0, 2))
    with pytest.raises(UsageError, match="3 pairs cannot be shared out among 2 processes"):
        train(TrainConfig("sola", steps=1, pairs=3), prepared.cache, tmp_path)


def test_one_process_is_alone() -> None:
    place = join("cpu")
    assert (place.rank, place.count, place.leads) == (0, 1, True)
    assert place.mean(2.5) == 2.5
    step = torch.nn.Linear(2, 2)
    assert place.spread(step) is step


def test_the_documented_command_is_one_that_torchrun_takes() -> None:
    """Without `--` torchrun reads `--run` as the beginning of an option of its own."""
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    command = re.search(r"`torchrun ([^`]+) \.\.\.`", text)
    assert command is not None
    told = get_args_parser().parse_args([*command[1].split(), "gml", "--run", "runs/gml"])
    assert (told.nproc_per_node, told.training_script) == ("2", "deepscan")
    assert told.training_script_args[-4:] == ["fit", "gml", "--run", "runs/gml"]
