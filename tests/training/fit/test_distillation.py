"""A student learns to predict a teacher's maps; the teacher learns nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deepscan.detectors import SPECS
from deepscan.detectors.registry import recipe_of_detector
from deepscan.errors import UsageError
from deepscan.training.export.onnx import save_weights
from deepscan.training.fit.distillation import Distillation
from deepscan.training.fit.step import mixed_precision, normalise
from deepscan.training.networks import build
from tests.fixtures import make

pytestmark = pytest.mark.slow


class Lesson(NamedTuple):
    """A few steps of one student, with everything that took part."""

    distillation: Distillation
    student: Any
    start: dict[str, Tensor]
    losses: list[float]


def faces(student: Any) -> Tensor:
    """One portrait as the student takes it, uint8."""
    pixels = torch.from_numpy(np.array(make.portrait(student.spec.size_px)))[None]
    return pixels if student.spec.frames == 1 else pixels[None]


@pytest.fixture(scope="module", params=[name for name in SPECS if recipe_of_detector(name).tap])
def lesson(request: pytest.FixtureRequest, teacher: Path) -> Lesson:
    torch.manual_seed(0)
    student: Any = build(request.param)
    start = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    distillation = Distillation(teacher, request.param, student)
    learning = [*student.parameters(), *distillation.project.parameters()]
    optimizer = torch.optim.AdamW(learning, lr=1e-3)
    pixels, losses = faces(student), []
    for _ in range(3):
        with mixed_precision(student):
            student(normalise(pixels, student.spec))
            loss = distillation.loss(pixels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    return Lesson(distillation, student, start, losses)


def test_the_student_comes_closer_to_the_teacher(lesson: Lesson) -> None:
    assert all(0 <= loss <= 2 for loss in lesson.losses)
    assert lesson.losses[0] > 0.5, "an untrained student knows nothing of the teacher"
    assert lesson.losses == sorted(lesson.losses, reverse=True)
    assert lesson.losses[-1] < 0.8 * lesson.losses[0]


def test_the_teacher_gets_no_gradient_and_stays_as_it_was(lesson: Lesson, teacher: Path) -> None:
    parameters = dict(lesson.distillation.named_parameters())
    projection = {"project.weight", "project.bias"}
    assert {name for name, p in parameters.items() if p.requires_grad} == projection
    assert {name for name, p in parameters.items() if p.grad is not None} == projection
    before = torch.load(teacher, weights_only=True)["model"]
    after = {
        name.partition(".")[2]: tensor
        for name, tensor in lesson.distillation.state_dict().items()
        if name not in projection
    }
    assert set(after) == set(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_nothing_of_the_teacher_is_stored_with_the_student(lesson: Lesson) -> None:
    assert set(lesson.student.state_dict()) == set(lesson.start)


@torch.no_grad()
def test_the_student_answers_as_it_does_without_a_teacher(teacher: Path) -> None:
    student: Any = build("sola").eval()  # type: ignore[attr-defined]
    pixels = faces(student)
    alone = student(normalise(pixels, student.spec))
    distillation = Distillation(teacher, "sola", student)
    taught = student(normalise(pixels, student.spec))
    distillation.loss(pixels)
    assert torch.equal(taught.image, alone.image)
    assert all(torch.equal(one, other) for one, other in zip(taught.second, alone.second, strict=True))


@pytest.mark.parametrize("name", ["gml", "local_features"])
def test_a_detector_without_a_fitting_map_is_refused_with_those_that_have_one(name: str) -> None:
    able = "global_local, sola, resnet3d can"
    with pytest.raises(UsageError, match=f"{name} cannot learn from a teacher; {able}"):
        Distillation(Path("never-read.pt"), name, nn.Identity())


@torch.no_grad()
def test_a_map_over_time_is_compared_with_the_frames_it_is_centred_on(teacher: Path) -> None:
    student: Any = build("resnet3d").eval()  # type: ignore[attr-defined]
    distillation = Distillation(teacher, "resnet3d", student)
    clip = torch.randint(0, 256, (1, 16, 112, 112, 3), dtype=torch.uint8)
    student(normalise(clip, student.spec))
    whole = distillation.loss(clip)
    others, eighth = clip.clone(), clip.clone()
    others[:, [i for i in range(16) if i not in (0, 8)]] = 0
    eighth[:, 8] = 0
    torch.testing.assert_close(distillation.loss(others), whole)
    assert abs(float(distillation.loss(eighth)) - float(whole)) > 1e-4


def test_a_teacher_that_is_not_there_or_is_no_gml_is_one_sentence(tmp_path: Path) -> None:
    gone, text, other = (tmp_path / f"{name}.pt" for name in ("gone", "text", "other"))
    text.write_text("not a checkpoint")
    torch.save({"model": build("local_features").state_dict()}, other)  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match=r"gone\.pt does not exist"):
        Distillation(gone, "sola", nn.Identity())
    for checkpoint in (text, other):
        with pytest.raises(UsageError, match=f"{checkpoint.name} does not hold weights of gml"):
            Distillation(checkpoint, "sola", nn.Identity())


def test_the_shipped_form_of_a_gml_teaches_as_well(tmp_path: Path) -> None:
    gml = build("gml")
    save_weights(gml, tmp_path / "gml.safetensors")
    taught = Distillation(tmp_path / "gml.safetensors", "sola", build("sola"))  # type: ignore[arg-type]
    kept = {name.removeprefix("_teacher."): tensor for name, tensor in taught.state_dict().items()}
    weight = gml.state_dict()["blocks.3.units.0.pointwise.weight"]  # type: ignore[attr-defined]
    torch.testing.assert_close(kept["blocks.3.units.0.pointwise.weight"], weight, atol=1e-3, rtol=1e-3)
