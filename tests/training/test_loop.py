"""A run trains, stops anywhere, and goes on as if it had not stopped."""

from __future__ import annotations

import itertools
import json
import math
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

from deepscan.detectors import SPECS
from deepscan.errors import UsageError
from deepscan.training import loop
from deepscan.training.data import Batch
from deepscan.training.export import save_weights
from deepscan.training.forge.degrade import Degradation
from deepscan.training.loop import CHECKPOINT, LOG, TrainConfig, normalise, rate_at, start_from, train
from deepscan.training.nets import build
from tests.training.conftest import Prepared

CONFIG = TrainConfig("local_features", steps=3, pairs=1, warmup=1, seed=5)


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    model: dict[str, torch.Tensor] = torch.load(checkpoint, weights_only=True)["model"]
    return model


@pytest.fixture(scope="module", autouse=True)
def no_h264() -> Iterator[None]:
    """x264 itself is not exact to the bit from one call to the next; these tests are about our streams."""
    draw = Degradation.draw

    def without(rng: np.random.Generator, *, still: bool) -> Degradation:
        return replace(draw(rng, still=still), h264_crf=None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Degradation, "draw", without)
        yield


@pytest.fixture(scope="module")
def whole(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a run that nobody stopped."""
    return train(CONFIG, prepared.cache, tmp_path_factory.mktemp("run"))


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


def test_every_weight_was_trained(whole: Path) -> None:
    torch.manual_seed(CONFIG.seed)
    start = build("local_features").state_dict()  # type: ignore[attr-defined]
    trained = weights(whole)
    assert all(not torch.equal(start[name], trained[name]) for name in start)
    assert all(torch.isfinite(tensor.float()).all() for tensor in trained.values())


def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(
    whole: Path, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    optimize, calls = loop.optimize, itertools.count(1)

    def killed(*args: Any) -> float:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return optimize(*args)

    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
    monkeypatch.setattr(loop, "optimize", killed)
    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, prepared.cache, tmp_path)
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"] == 2
    monkeypatch.setattr(loop, "optimize", optimize)
    resumed = weights(train(CONFIG, prepared.cache, tmp_path))
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(resumed[name], tensor, atol=1e-4, rtol=1e-3, msg=name)


def test_a_finished_run_has_nothing_to_do(
    whole: Path, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "optimize", lambda *_: pytest.fail("trained on"))
    before = whole.read_bytes()
    assert (
        train(replace(CONFIG, workers=0, threads=0, validate_every=2), prepared.cache, whole.parent) == whole
    )
    assert whole.read_bytes() == before


@pytest.mark.parametrize("change", [{"seed": 6}, {"rate": 1e-3}, {"steps": 9}])
def test_other_settings_need_another_run_folder(
    change: dict[str, Any], whole: Path, prepared: Prepared
) -> None:
    with pytest.raises(UsageError, match=f"trained with another {next(iter(change))}; choose another run"):
        train(replace(CONFIG, **change), prepared.cache, whole.parent)


def test_another_detector_needs_another_run_folder(whole: Path, prepared: Prepared) -> None:
    net: Any = build("local_features")
    with pytest.raises(UsageError, match="another detector"):
        loop.resume(whole, replace(CONFIG, detector="sola"), net, torch.optim.AdamW(net.parameters()))


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


def test_a_run_with_a_teacher_keeps_its_projection_and_needs_the_teacher_to_go_on(
    prepared: Prepared, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "validate", lambda *_, **__: {})
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
    monkeypatch.setattr(loop, "optimize", lambda *_: pytest.fail("trained on"))
    assert train(config, prepared.cache, tmp_path, teacher=teacher) == checkpoint
    assert checkpoint.read_bytes() == before


def test_a_run_without_a_teacher_cannot_go_on_with_one(whole: Path) -> None:
    net: Any = build("local_features")
    trained = torch.nn.ModuleList([net, torch.nn.Conv2d(1, 1, 1)])
    with pytest.raises(UsageError, match="another teacher"):
        loop.resume(whole, CONFIG, trained, torch.optim.AdamW(trained.parameters()))


def test_a_long_run_logs_its_loss_and_validates_as_often_as_asked(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: Any, **__: Any) -> Iterator[Batch]:
        return itertools.repeat({})

    monkeypatch.setattr(loop, "batches", nothing)
    monkeypatch.setattr(loop, "optimize", lambda *_: 0.5)
    monkeypatch.setattr(loop, "validate", lambda *_, **__: {"val_auc": 0.75})
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


def test_the_rate_rises_and_falls_along_a_cosine() -> None:
    config = TrainConfig("gml", steps=110, rate=2.0, warmup=10)
    rates = [rate_at(step, config) for step in range(111)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == rates[10] == pytest.approx(2.0)
    assert rates[60] == pytest.approx(1.0)
    assert rates[110] == pytest.approx(0.0)
    assert rates[:10] == sorted(rates[:10]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert rate_at(0, replace(config, warmup=0)) == pytest.approx(2.0)


def test_pixels_are_normalised_channel_by_channel() -> None:
    spec = SPECS["resnet3d"]
    pixels = torch.randint(0, 256, (2, 3, 4, 5, 3), dtype=torch.uint8)
    x = normalise(pixels, spec)
    assert x.shape == (2, 3, 3, 4, 5)
    for c in range(3):
        expected = (pixels[..., c] / 255 - spec.mean[c]) / spec.std[c]
        torch.testing.assert_close(x[:, :, c], expected)


def test_a_constraint_is_put_back_after_every_step() -> None:
    net: Any = build("local_features")
    done: list[int] = []
    net.after_step = lambda: done.append(1)
    size = net.spec.size_px
    batch = {
        "pixels": torch.zeros(2, size, size, 3, dtype=torch.uint8),
        "label": torch.tensor([0, 1]),
        "forged": torch.zeros(2, size, size),
        "face": torch.ones(2, size, size),
    }
    loss = loop.optimize(net, torch.optim.AdamW(net.parameters(), lr=1e-3), batch)
    assert math.isfinite(loss) and done == [1]


def test_start_weights_come_from_a_checkpoint_or_from_safetensors(whole: Path, tmp_path: Path) -> None:
    net: Any = build("local_features")
    start_from(net, whole)
    save_weights(net, tmp_path / "net.safetensors")
    other: Any = build("local_features")
    start_from(other, tmp_path / "net.safetensors")
    for name, tensor in weights(whole).items():
        assert torch.equal(net.state_dict()[name], tensor)
        torch.testing.assert_close(other.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)
    with pytest.raises(UsageError, match="does not hold weights of sola"):
        start_from(build("sola"), tmp_path / "net.safetensors")


def test_a_cache_without_faces_for_the_detector_is_an_error(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no prepared faces"):
        train(CONFIG, tmp_path / "nowhere", tmp_path / "run")
    (tmp_path / "index.jsonl").write_text("")
    with pytest.raises(UsageError, match="holds no real training faces"):
        train(CONFIG, tmp_path, tmp_path / "run")


def test_a_clean_run_degrades_nothing(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(rng: np.random.Generator, *, still: bool) -> Degradation:
        raise AssertionError("a pair was degraded")

    monkeypatch.setattr(Degradation, "draw", drawn)
    train(replace(CONFIG, steps=1, clean=True), prepared.cache, tmp_path / "clean")
    with pytest.raises(AssertionError, match="degraded"):
        train(replace(CONFIG, steps=1), prepared.cache, tmp_path / "usual")


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
from deepscan.training import loop

loop.CHECKPOINT_EVERY_S, loop.LOG_EVERY = 0.0, 2
config = loop.TrainConfig("local_features", steps=7, pairs=1, warmup=2, seed=5, clean=True, threads=1)
loop.train(config, Path(sys.argv[1]), Path(sys.argv[2]), validate_at_end=False)
"""


def curve(run: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (run / LOG).read_text(encoding="utf-8").splitlines()]
    return [(line["step"], line["loss"]) for line in lines]


def test_a_run_that_is_killed_and_resumed_has_the_loss_curve_of_one_that_was_not(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(loop.__file__).parents[2]
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


def test_lines_of_the_log_that_will_be_written_again_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / LOG
    path.write_text('{"step": 50}\n{"step": 100}\n{"step": 150}\n{"step": 2', encoding="utf-8")
    loop.forget_after(path, 100)
    assert path.read_text(encoding="utf-8") == '{"step": 50}\n{"step": 100}\n'


def test_a_checkpoint_says_where_it_came_from(
    prepared: Prepared, teacher: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "validate", lambda *_, **__: {})
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


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)])
def test_the_optimizer_is_the_one_named(name: str, kind: type, prepared: Prepared) -> None:
    net: Any = build("local_features")
    config = replace(CONFIG, optimizer=name, momentum=0.9, rate=0.01, weight_decay=0.001)
    made = loop.optimizer_of(config, net.parameters())
    assert type(made) is kind
    assert (made.param_groups[0]["lr"], made.param_groups[0]["weight_decay"]) == (0.01, 0.001)
    assert made.param_groups[0].get("momentum", 0.9) == 0.9
    with pytest.raises(UsageError, match="no optimizer 'lamb'"):
        loop.optimizer_of(replace(config, optimizer="lamb"), net.parameters())


def test_a_constant_rate_stays_after_the_warm_up() -> None:
    config = TrainConfig("gml", steps=100, rate=2.0, warmup=4, schedule="constant")
    assert [rate_at(step, config) for step in (0, 3, 4, 50, 99)] == [0.5, 2.0, 2.0, 2.0, 2.0]


def test_a_device_that_is_not_there_is_an_error(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no device 'tpu'"):
        train(replace(CONFIG, device="tpu"), prepared.cache, tmp_path)
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="CUDA is not available"):
            train(replace(CONFIG, device="cuda"), prepared.cache, tmp_path)
