"""Manifest and card say who made a model of what, and nothing that nobody said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deepscan.errors import UsageError
from deepscan.training.config import TrainConfig
from deepscan.training.data.prepare import Sample
from deepscan.training.fit.checkpoint import CHECKPOINT, save
from deepscan.training.provenance import LONGEST, Provenance, data_licences, recipe, training_data
from tests.training.conftest import Prepared


def sample(number: int, licence: str = "", label: str = "real", split: str = "train") -> Sample:
    return Sample(
        f"{number}/photo", "photo", label, f"p{number}", f"source {number % 2}", split, licence=licence
    )


def test_what_nobody_said_is_unknown() -> None:
    assert set(Provenance().facts().values()) == {"unknown"}
    assert training_data([]) == data_licences([]) == "unknown"
    assert data_licences([sample(0), sample(1)]) == "unknown"


def test_data_and_licences_are_those_of_the_training_side() -> None:
    seen = [sample(0, "MIT"), sample(1, "CC0-1.0"), sample(2, "MIT"), sample(3), sample(4, "MIT", "fake")]
    samples = [*seen, sample(5, "secret", split="val")]
    assert training_data(samples) == "4 genuine and 1 forged files of 5 people; sources: source 0, source 1"
    assert data_licences(samples) == "MIT (3), CC0-1.0 (1), unknown (1)"


def test_the_windows_of_one_video_are_one_file() -> None:
    windows = [Sample(f"clip/window{n}", "window", "real", "p", "s", "train") for n in range(3)]
    assert training_data(windows).startswith("1 genuine and 0 forged files of 1 people")


def test_long_lists_say_how_much_they_leave_out() -> None:
    samples = [sample(number, f"licence number {number}") for number in range(80)]
    said = data_licences(samples)
    assert len(said) <= LONGEST
    named, _, more = said.rpartition(", and ")
    assert len(named.split(", ")) + int(more.split()[0]) == 80


def test_a_licence_of_the_corpus_table_reaches_the_cache(prepared: Prepared) -> None:
    assert {one.licence for one in prepared.samples} == {"none"}
    assert data_licences(prepared.samples).startswith("none (")


def test_a_string_too_long_for_the_manifest_is_refused() -> None:
    Provenance(recipe="x" * LONGEST)
    with pytest.raises(UsageError, match="the data licences has 301 characters, and the manifest takes 300"):
        Provenance(data_licences="x" * (LONGEST + 1))


def test_a_checkpoint_says_which_command_made_it(tmp_path: Path) -> None:
    config = TrainConfig(
        "sola", 40, rate=5e-4, manipulations=("swap", "self-blend"), single_frames=True, threads=2
    )
    nets = torch.nn.ModuleList([torch.nn.Linear(1, 1)])
    save(tmp_path / CHECKPOINT, config, nets, torch.optim.SGD(nets.parameters(), lr=1.0), 40)
    said = recipe(tmp_path / CHECKPOINT)
    assert (
        said
        == "deepscan train fit sola: steps 40, rate 0.0005, single_frames true, manipulations swap self-blend"
    )
    assert recipe(tmp_path / "mean.safetensors") == "unknown"
