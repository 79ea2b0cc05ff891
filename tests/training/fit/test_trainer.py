"""A run trains, stops anywhere, and goes on as if it had not stopped."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from deepscan.errors import UsageError
from deepscan.training.config import TrainConfig
from deepscan.training.data.samples import Batch
from deepscan.training.fit import trainer
from deepscan.training.fit.checkpoint import CHECKPOINT, LOG
from deepscan.training.fit.trainer import train
from deepscan.training.networks import build
from deepscan.training.synthesis.degradation import Degradation
from tests.training.conftest import CONFIG, Prepared, weights

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_h264")]


def test_a_run_leaves_a_checkpoint_and_a_log_of_json_lines(whole: Path) -> None:
    state = torch.load(whole, weights_only=True)
    assert state["step"] == 3
    assert state["config"]["detector"] == "local_features"
    lines = [json.loads(line) for line in (whole.parent / LOG).read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines] == [3, 3]
    assert lines[0]["loss"] > 0, "also of steps beyond the last multiple of fifty"
    assert 0 <= lines[1]["val_auc"] <= 1
    assert lines[1]["val_pairs"] == 2
    assert sorted(p.name for p in whole.parent.iterdir()) == [CHECKPOINT, LOG]


def test_copies_of_the_weights_are_kept_along_the_way(prepared: Prepared, tmp_path: Path) -> None:
    last = weights(train(replace(CONFIG, steps=3, keep_every=2), prepared.cache, tmp_path))
    copies = sorted(tmp_path.glob("kept/*"))
    assert [path.name for path in copies] == ["000002.safetensors"]
    copy = load_file(copies[0])
    assert copy.keys() == last.keys()
    assert any((copy[name] - tensor).abs().max() > 1e-3 for name, tensor in last.items()), (
        "of an earlier step"
    )


def test_every_weight_was_trained(whole: Path) -> None:
    torch.manual_seed(CONFIG.seed)
    start = build("local_features").state_dict()  # type: ignore[attr-defined]
    trained = weights(whole)
    assert all(not torch.equal(start[name], trained[name]) for name in start)
    assert all(torch.isfinite(tensor.float()).all() for tensor in trained.values())


def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(
    whole: Path, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimize, calls = trainer.optimize, itertools.count(1)

    def killed(*args: Any) -> float:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return optimize(*args)

    monkeypatch.setattr(trainer, "CHECKPOINT_EVERY_S", 0.0)
    monkeypatch.setattr(trainer, "optimize", killed)
    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, prepared.cache, tmp_path)
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"] == 2
    monkeypatch.setattr(trainer, "optimize", optimize)
    resumed = weights(train(CONFIG, prepared.cache, tmp_path))
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(resumed[name], tensor, atol=1e-4, rtol=1e-3, msg=name)


def test_a_finished_run_has_nothing_to_do(
    whole: Path, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "optimize", lambda *_: pytest.fail("trained on"))
    before = whole.read_bytes()
    assert (
        train(replace(CONFIG, workers=0, threads=0, validate_every=2), prepared.cache, whole.parent) == whole
    )
    assert whole.read_bytes() == before


def test_frozen_submodules_stay_as_they_are_and_the_rest_learns(prepared: Prepared, tmp_path: Path) -> None:
    frozen = ("features.0", "face_head")
    config = replace(CONFIG, steps=2, validate_every=1, frozen=frozen)
    trained = weights(train(config, prepared.cache, tmp_path))
    torch.manual_seed(CONFIG.seed)
    start = build("local_features").state_dict()  # type: ignore[attr-defined]
    kept = {name for name in start if torch.equal(trained[name], start[name])}
    assert kept == {name for name in start if name.startswith(frozen)}
    assert {"features.0.0.weight", "features.0.1.running_mean", "features.0.1.num_batches_tracked"} < kept
    assert "features.2.1.running_mean" not in kept


def test_freezing_what_the_network_lacks_is_an_error(prepared: Prepared, tmp_path: Path) -> None:
    sentence = "no submodule 'trunk' to freeze; it consists of features, image_head, forged_head, face_head"
    with pytest.raises(UsageError, match=sentence):
        train(replace(CONFIG, frozen=("features.0", "trunk")), prepared.cache, tmp_path)
    assert not (tmp_path / CHECKPOINT).exists()


def test_only_what_the_globs_name_learns(prepared: Prepared, tmp_path: Path) -> None:
    config = replace(CONFIG, steps=2, validate_every=1, learning=("features.2.*", "*_head.bias"))
    trained = weights(train(config, prepared.cache, tmp_path))
    torch.manual_seed(CONFIG.seed)
    start = build("local_features").state_dict()  # type: ignore[attr-defined]
    changed = {name for name in start if not torch.equal(trained[name], start[name])}
    assert {"features.2.0.weight", "features.2.1.running_mean", "forged_head.bias"} < changed
    assert all(name.startswith("features.2.") or name.endswith("_head.bias") for name in changed)


def test_a_glob_that_names_no_parameter_is_an_error(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no parameter 'trunk\.\*'; 'features\.0\.0\.weight' is one"):
        train(replace(CONFIG, learning=("features.2.*", "trunk.*")), prepared.cache, tmp_path)
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_long_run_logs_its_loss_and_validates_as_often_as_asked(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: Any, **__: Any) -> Iterator[Batch]:
        return itertools.repeat({})

    monkeypatch.setattr(trainer, "batches", nothing)
    monkeypatch.setattr(trainer, "optimize", lambda *_: 0.5)
    monkeypatch.setattr(trainer, "validate", lambda *_, **__: {"val_auc": 0.75})
    lines: list[dict[str, Any]] = []
    config = replace(CONFIG, steps=100, validate_every=40)
    train(config, prepared.cache, tmp_path, report=lines.append)
    assert [(line["step"], line.get("loss"), line.get("val_auc")) for line in lines] == [
        (40, None, 0.75),
        (50, 0.5, None),
        (80, None, 0.75),
        (100, 0.5, None),
        (100, None, 0.75),
    ]
    written = (tmp_path / LOG).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in written] == lines


def test_a_cache_without_faces_for_the_detector_is_an_error(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no prepared faces"):
        train(CONFIG, tmp_path / "nowhere", tmp_path / "run")
    (tmp_path / "index.jsonl").write_text("")
    with pytest.raises(UsageError, match="holds no real training faces"):
        train(CONFIG, tmp_path, tmp_path / "run")


def test_a_clean_run_degrades_nothing(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(rng: np.random.Generator, *, still: bool, side_px: int = 0) -> Degradation:
        raise AssertionError("a pair was degraded")

    monkeypatch.setattr(Degradation, "draw", drawn)
    train(replace(CONFIG, steps=1, clean=True), prepared.cache, tmp_path / "clean")
    with pytest.raises(AssertionError, match="degraded"):
        train(replace(CONFIG, steps=1), prepared.cache, tmp_path / "usual")


@pytest.mark.parametrize("name", ["global_local", "resnet3d"])
def test_clip_networks_train_on_clips(name: str, prepared: Prepared, tmp_path: Path) -> None:
    train(TrainConfig(name, steps=1, pairs=1, warmup=1), prepared.cache, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text(encoding="utf-8").splitlines()]
    assert 0 <= lines[-1]["val_auc"] <= 1


def test_a_run_that_diverges_stops_before_it_spoils_its_checkpoint(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(*args: Any) -> torch.Tensor:
        return args[1].image.sum() * torch.nan

    monkeypatch.setattr(type(build("local_features")), "loss", nowhere)
    with pytest.raises(UsageError, match="not finite"):
        train(CONFIG, prepared.cache, tmp_path)
    assert not (tmp_path / CHECKPOINT).exists()


KILLED = """
import sys
from pathlib import Path
from deepscan.training.fit import trainer
from deepscan.training.config import TrainConfig

trainer.CHECKPOINT_EVERY_S, trainer.LOG_EVERY = 0.0, 2
config = TrainConfig("local_features", steps=7, pairs=1, warmup=2, seed=5, clean=True, threads=1)
trainer.train(config, Path(sys.argv[1]), Path(sys.argv[2]), validate_at_end=False)
"""


def curve(run: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (run / LOG).read_text(encoding="utf-8").splitlines()]
    return [(line["step"], line["loss"]) for line in lines]


def test_a_run_that_is_killed_and_resumed_has_the_loss_curve_of_one_that_was_not(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(trainer.__file__).parents[3]
    command = [sys.executable, "-c", KILLED, str(prepared.cache)]
    env = {**os.environ, "PYTHONPATH": str(root)}
    cut = tmp_path / "cut"
    with subprocess.Popen([*command, str(cut)], env=env) as process:
        while not (cut / LOG).exists() or len((cut / LOG).read_text().splitlines()) < 2:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.002)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    step = torch.load(cut / CHECKPOINT, weights_only=True)["step"]
    assert 3 <= step < 7
    subprocess.run([*command, str(cut)], env=env, check=True)
    subprocess.run([*command, str(tmp_path / "whole")], env=env, check=True)
    assert curve(cut) == curve(tmp_path / "whole")
    assert [n for n, _ in curve(cut)] == [2, 4, 6, 7]
    for name, tensor in weights(tmp_path / "whole" / CHECKPOINT).items():
        assert torch.equal(weights(cut / CHECKPOINT)[name], tensor), name


def test_a_device_that_is_not_there_is_an_error(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no device 'tpu'"):
        train(replace(CONFIG, device="tpu"), prepared.cache, tmp_path)
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="CUDA is not available"):
            train(replace(CONFIG, device="cuda"), prepared.cache, tmp_path)
