"""The papers' settings, against what stands in the papers."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from deepscan.detectors import SPECS
from deepscan.detectors.recipe import Recipe
from deepscan.errors import UsageError
from deepscan.training.config import TrainConfig, train_config
from deepscan.training.data.prepare import Sample
from deepscan.training.recipes import clips_seen, described, recipe_of

PAPER = {name: recipe_of("paper", name) for name in SPECS if name != "gend"}


def test_gml_and_sola_as_their_papers_give_them() -> None:
    gml, sola = PAPER["gml"], PAPER["sola"]
    assert (gml.optimizer, gml.rate, gml.weight_decay, 2 * gml.pairs, gml.steps) == (
        "sgd",
        1e-3,
        1e-6,
        16,
        150_000,
    )
    assert (sola.optimizer, sola.rate, 2 * sola.pairs, sola.epochs) == ("adam", 1e-3, 32, 50)
    assert (PAPER["global_local"].optimizer, PAPER["global_local"].rate) == ("sgd", 1e-2)
    assert PAPER["resnet3d"].optimizer == "adam" and PAPER["resnet3d"].brightened


def test_every_detector_has_a_recipe_that_says_what_its_paper_leaves_open() -> None:
    with pytest.raises(UsageError, match="gend is tuned, not fitted"):
        recipe_of("paper", "gend")
    for name, recipe in PAPER.items():
        assert recipe.corpus_fraction == 1 and recipe.clean, "the papers make no forgeries of their own"
        assert recipe.open
        assert bool(recipe.steps) != bool(recipe.epochs)
        text = described("paper", name)
        assert SPECS[name].paper in text and f"{SPECS[name].size_px} px" in text
        assert f"batch       {2 * recipe.pairs}" in text and "the paper leaves open" in text
    assert "the paper says so in section 3" in described("paper", "gml")
    assert "says so" not in described("paper", "local_features"), "its paper says nothing about training"


def test_robust_is_the_default_and_mixes() -> None:
    assert recipe_of("robust", "gml") == Recipe()
    assert 0 < Recipe().corpus_fraction < 1
    assert "made from the reals" in described("robust", "gml")
    with pytest.raises(UsageError, match="there is no recipe 'best'; choose from robust, paper"):
        recipe_of("best", "gml")


def test_a_run_has_the_recipe_s_settings_and_the_options_that_no_recipe_sets() -> None:
    recipe = PAPER["sola"].changed(rate=0.5, warmup=None)
    assert recipe == replace(PAPER["sola"], rate=0.5)
    config = train_config("sola", recipe, clips=3200, seed=4, device="cpu")
    assert (config.detector, config.steps, config.seed, config.device) == ("sola", 50 * 3200 // 32, 4, "cpu")
    shared = {field.name for field in fields(Recipe)} & {field.name for field in fields(TrainConfig)}
    for name in shared - {"steps"}:
        assert getattr(config, name) == getattr(recipe, name), name


def test_what_the_user_changed_is_what_is_announced() -> None:
    chosen = replace(Recipe(), rate=1e-3, steps=380, pairs=4, warmup=0, clean=True)
    text = described("robust", "resnet3d", chosen, single_frames=True, manipulations=("self-blend", "swap"))
    for said in (
        "frames      single frames",
        "rate 0.001",
        "schedule    cosine\n",
        "batch       8,",
        "duration    380 steps",
        "made from the reals (self-blend, swap)",
        "clean",
    ):
        assert said in text
    assert "16 frames" not in text and "degraded" not in text


def test_epochs_are_counted_in_clips_or_in_frames() -> None:
    samples = [
        Sample("a", "window", "real", "p", "s", "train"),
        Sample("b", "even", "fake", "p", "s", "train"),
        Sample("c", "photo", "real", "p", "s", "train"),
        Sample("d", "window", "real", "q", "s", "val"),
    ]
    assert clips_seen(samples, "sola", single_frames=False) == 16 + 12 + 1
    assert clips_seen(samples, "resnet3d", single_frames=False) == 1
    assert clips_seen(samples, "gml", single_frames=True) == 29
    assert PAPER["sola"].total_steps(3200) == 50 * 3200 // 32
    assert PAPER["sola"].total_steps(1) == 1
    assert PAPER["gml"].total_steps(3200) == 150_000
