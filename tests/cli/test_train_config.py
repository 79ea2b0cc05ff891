"""``deepscan train fit --config``: a file's options, under those that are given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deepscan.cli import run
from deepscan.cli.train.config import CONFIGS
from deepscan.detectors import SPECS
from deepscan.training.config import TrainConfig
from deepscan.training.data import prepare
from deepscan.training.fit import trainer

pytestmark = pytest.mark.slow

FIT = ["train", "fit", "--cache", "c", "--run", "r"]
NAMES = sorted(path.stem for path in CONFIGS.glob("*.toml"))


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """The settings of every training that a command begins, none of which runs."""
    settings: list[TrainConfig] = []

    def train(config: TrainConfig, *_: Any, **__: Any) -> Path:
        settings.append(config)
        return tmp_path

    monkeypatch.setattr(trainer, "train", train)
    monkeypatch.setattr(prepare, "load_index", lambda _: [])
    return settings


def test_every_configuration_is_named_after_its_detector() -> None:
    assert NAMES
    assert set(NAMES) <= set(SPECS)


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_that_ships_trains_its_detector(name: str, asked: list[TrainConfig]) -> None:
    assert run([*FIT, "--config", name]) == 0
    assert [one.detector for one in asked] == [name]
    assert asked[0] != TrainConfig(name, asked[0].steps), "it sets more than the number of steps"


def test_former_keys_and_options_are_read_as_the_present_ones(
    tmp_path: Path, asked: list[TrainConfig]
) -> None:
    former = "stills = true\nown_share = 0.2\nsharpness = 0.05\nevenness = 0.1\n"
    present = "single_frames = true\ncorpus_fraction = 0.2\nsam_rho = 0.05\nscore_variance = 0.1\n"
    for name, text in (("former", former), ("present", present)):
        (tmp_path / f"{name}.toml").write_text(f'detectors = ["gml"]\nsteps = 7\n{text}', encoding="utf-8")
        assert run([*FIT, "--config", str(tmp_path / f"{name}.toml")]) == 0
    options = ["--steps", "7", "--stills", "--own-share=0.2", "--sharpness", "0.05", "--evenness", "0.1"]
    assert run([*FIT, "gml", *options]) == 0
    assert run([*FIT, "--config", str(tmp_path / "present.toml"), "--no-stills"]) == 0
    *alike, clips = asked
    assert alike == [alike[0]] * 3
    assert (alike[0].single_frames, alike[0].corpus_fraction, alike[0].sam_rho) == (True, 0.2, 0.05)
    assert clips == replace(alike[0], single_frames=False)


def test_options_that_are_given_go_before_those_of_the_file(tmp_path: Path, asked: list[TrainConfig]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'detectors = ["sola"]\nsteps = 7\ncorpus_fraction = 0\nclean = true\nmanipulation = ["swap"]\n'
        "rate = 1e-3\n",
        encoding="utf-8",
    )
    given = ["--steps", "9", "--rate", "0.5", "--seed", "3"]
    assert run([*FIT, "--config", str(path), *given]) == 0
    assert run([*FIT, "local_features", "--config", str(path)]) == 0
    mine, other = asked
    assert (mine.detector, mine.steps, mine.rate, mine.seed) == ("sola", 9, 0.5, 3)
    assert (mine.corpus_fraction, mine.clean, mine.manipulations) == (0, True, ("swap",))
    assert (other.detector, other.steps, other.rate) == ("local_features", 7, 1e-3)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "stpes = 3",
            "sets 'stpes', which is no setting of `train fit`; there are clean, corpus_fraction, detectors, ",
        ),
        ('cache = "c"', "sets 'cache', which is no setting"),
        ('steps = "many"', "mine.toml: steps: "),
        ("steps = 0", "mine.toml: steps: "),
        ("steps = [1, 2]", "steps takes one value, not [1, 2]"),
        ('family = "swap"', "manipulation takes a list, not 'swap'"),
        ("stills = true\nsingle_frames = true", "sets single_frames twice: 'stills' is its former name"),
        ("steps =", "mine.toml cannot be read as TOML"),
        ("steps = 3", "no detector is named"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence_that_names_it(
    text: str, sentence: str, tmp_path: Path, asked: list[TrainConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text + "\n", encoding="utf-8")
    assert run([*FIT, "--config", str(path)]) == 2
    err = capsys.readouterr().err
    assert sentence in err and "internal error" not in err
    assert len(err.splitlines()) == 1
    assert not asked


def test_a_configuration_that_does_not_exist_names_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*FIT, "--config", "gmll"]) == 2
    assert f"gmll: there is no such file, nor a configuration that ships ({', '.join(NAMES)})" in (
        capsys.readouterr().err
    )
