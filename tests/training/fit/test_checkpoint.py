"""A run goes on from its folder, and only with the settings that it began with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from deepscan.errors import UsageError
from deepscan.training.config import TrainConfig
from deepscan.training.fit import trainer
from deepscan.training.fit.checkpoint import CHECKPOINT, LOG, forget_after, resume
from deepscan.training.fit.initial_weights import start_from
from deepscan.training.fit.trainer import train
from deepscan.training.networks import build
from tests.training.conftest import CONFIG, Prepared

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_h264")]


@pytest.mark.parametrize("change", [{"seed": 6}, {"rate": 1e-3}, {"steps": 9}])
def test_other_settings_need_another_run_folder(
    change: dict[str, Any], whole: Path, prepared: Prepared
) -> None:
    with pytest.raises(UsageError, match=f"trained with another {next(iter(change))}; choose another run"):
        train(replace(CONFIG, **change), prepared.cache, whole.parent)


def test_another_detector_needs_another_run_folder(whole: Path, prepared: Prepared) -> None:
    net: Any = build("local_features")
    with pytest.raises(UsageError, match="another detector"):
        resume(whole, replace(CONFIG, detector="sola"), net, torch.optim.AdamW(net.parameters()))


def test_a_run_with_a_teacher_keeps_its_projection_and_needs_the_teacher_to_go_on(
    prepared: Prepared, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "validate", lambda *_, **__: {})
    config = TrainConfig("sola", steps=1, pairs=1, warmup=1)
    checkpoint = train(config, prepared.cache, tmp_path, teacher=teacher)
    state = torch.load(checkpoint, weights_only=True)
    (projection,) = state["companions"]
    assert {name: tuple(tensor.shape) for name, tensor in projection.items()} == {
        "weight": (728, 256, 1, 1),
        "bias": (728,),
    }
    start_from(build("sola"), checkpoint)  # the network alone is stored as the model
    before = checkpoint.read_bytes()
    with pytest.raises(UsageError, match=r"another teacher \(.*checkpoint\.pt\); choose another run folder"):
        train(config, prepared.cache, tmp_path)
    monkeypatch.setattr(trainer, "optimize", lambda *_: pytest.fail("trained on"))
    assert train(config, prepared.cache, tmp_path, teacher=teacher) == checkpoint
    assert checkpoint.read_bytes() == before


def test_a_run_without_a_teacher_cannot_go_on_with_one(whole: Path) -> None:
    net: Any = build("local_features")
    trained = torch.nn.ModuleList([net, torch.nn.Conv2d(1, 1, 1)])
    with pytest.raises(UsageError, match="another teacher"):
        resume(whole, CONFIG, trained, torch.optim.AdamW(trained.parameters()))


def test_a_checkpoint_from_before_an_option_existed_is_taken_up(
    whole: Path, prepared: Prepared, tmp_path: Path
) -> None:
    state = torch.load(whole, weights_only=True)
    del state["config"]["clean"]
    run = tmp_path / "old"
    run.mkdir()
    torch.save(state, run / CHECKPOINT)
    train(CONFIG, prepared.cache, run)
    with pytest.raises(UsageError, match="another clean"):
        train(replace(CONFIG, clean=True), prepared.cache, run)


def test_lines_of_the_log_that_will_be_written_again_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / LOG
    path.write_text('{"step": 50}\n{"step": 100}\n{"step": 150}\n{"step": 2', encoding="utf-8")
    forget_after(path, 100)
    assert path.read_text(encoding="utf-8") == '{"step": 50}\n{"step": 100}\n'


def test_a_checkpoint_says_where_it_came_from(
    prepared: Prepared, teacher: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "validate", lambda *_, **__: {})
    config = TrainConfig("sola", steps=1, pairs=1, warmup=1, clean=True)
    checkpoint = train(config, prepared.cache, tmp_path / "run", teacher=teacher)
    origins = torch.load(checkpoint, weights_only=True)["origins"]
    assert origins["teacher"]["path"] == str(teacher) and len(origins["teacher"]["sha256"]) == 64
    assert origins["init"] is None
    other = tmp_path / "other.pt"
    state = torch.load(teacher, weights_only=True)
    state["model"]["logits.bias" if "logits.bias" in state["model"] else next(iter(state["model"]))] += 1
    torch.save(state, other)
    with pytest.raises(UsageError, match=f"trained with another teacher \\({teacher}\\)"):
        train(config, prepared.cache, tmp_path / "run", teacher=other)
