"""Where settings come from, and what a wrong one says."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from deepscan.cli.setting_options import with_settings
from deepscan.config import ScanConfig, load, load_as
from deepscan.errors import UsageError
from deepscan.settings import WHOLE, setting, settings_of


def test_defaults(tmp_path: Path) -> None:
    config = load(env={}, directory=tmp_path)
    assert config == ScanConfig()
    assert config.detectors == ("gend", "gml", "global_local", "sola", "resnet3d", "local_features")
    assert (config.device, config.max_faces, config.min_face_px, config.jobs) == ("auto", 16, 48, 1)


def test_every_field_can_be_set() -> None:
    assert list(settings_of(ScanConfig)) == [field.name for field in dataclasses.fields(ScanConfig)]


@dataclasses.dataclass(frozen=True)
class WithGrain(ScanConfig):
    """One setting more, declared like any other."""

    grain_size: int = setting(3, WHOLE, "How coarse it is.", panel="Film")


def test_a_field_is_all_that_a_setting_needs(tmp_path: Path) -> None:
    assert load_as(WithGrain, env={}, directory=tmp_path).grain_size == 3
    (tmp_path / "deepscan.toml").write_text("grain-size = 4\n")
    assert load_as(WithGrain, env={}, directory=tmp_path).grain_size == 4
    env = {"DEEPSCAN_GRAIN_SIZE": "5"}
    assert load_as(WithGrain, env=env, directory=tmp_path).grain_size == 5
    assert load_as(WithGrain, {"grain_size": 6}, env=env, directory=tmp_path).grain_size == 6
    with pytest.raises(UsageError, match="grain_size must be a whole number, 1 or more, not '0'"):
        load_as(WithGrain, env={"DEEPSCAN_GRAIN_SIZE": "0"}, directory=tmp_path)
    with pytest.raises(UsageError, match="there is no setting grain_size"):
        load(env={}, directory=tmp_path)


def test_a_field_makes_an_option(tmp_path: Path) -> None:
    seen: list[WithGrain] = []
    app = typer.Typer()

    @app.command()
    @with_settings(WithGrain)
    def command(name: str, **settings: Any) -> None:
        assert name == "it"
        seen.append(load_as(WithGrain, settings, env={}, directory=tmp_path))

    run = CliRunner().invoke
    assert run(app, ["it", "--grain-size", "7", "--fast", "--exclude", "a", "--exclude", "b"]).exit_code == 0
    assert run(app, ["it"]).exit_code == 0
    assert seen == [WithGrain(grain_size=7, fast=True, exclude=("a", "b")), WithGrain()]
    shown = run(app, ["--help"]).output
    assert re.search(r"Film.*--grain-size +N +How coarse it is\.", shown, re.DOTALL)


def test_every_setting_is_documented() -> None:
    page = Path("docs/cli.md").read_text("utf-8")
    rows = "\n".join(line for line in page.splitlines() if line.startswith("| `-"))
    for name, declared in settings_of(ScanConfig).items():
        if declared.option is None:
            assert f"`{name}`" in page, f"docs/cli.md does not say what the setting {name} does"
        else:
            option = declared.option or f"--{name.replace('_', '-')}"
            assert f"`{option}" in rows, f"docs/cli.md has no row for {option}"


def test_flags_beat_environment_beat_file_beat_defaults(tmp_path: Path) -> None:
    (tmp_path / "deepscan.toml").write_text("max-faces = 3\nmin_face_px = 30\njobs = 2\n")
    env = {"DEEPSCAN_MIN_FACE_PX": "40", "DEEPSCAN_JOBS": "4", "DEEPSCAN_DEVICE": ""}
    config = load({"jobs": 5, "device": None}, env=env, directory=tmp_path)
    assert (config.max_faces, config.min_face_px, config.jobs, config.device) == (3, 40, 5, "auto")


def test_pyproject_is_found_from_a_directory_below(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.deepscan]\nfail-on = "uncertain"\nweights = "w"\n')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (below / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    config = load(env={}, directory=below)
    assert config.fail_on == "uncertain"
    assert config.weights == tmp_path.resolve() / "w"


def test_deepscan_toml_wins_over_pyproject_beside_it(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.deepscan]\njobs = 2\nmax_faces = 2\n")
    (tmp_path / "deepscan.toml").write_text("jobs = 3\n")
    config = load(env={}, directory=tmp_path)
    assert (config.jobs, config.max_faces) == (3, 16)


@pytest.mark.parametrize("value", ["sola,gml", "SOLA, gml", ["sola", "gml"], ("gml", "sola,gml")])
def test_detectors_come_in_report_order_once_each(value: Any) -> None:
    assert load({"detectors": value}, env={}).detectors == ("gml", "sola")
    assert load({"detectors": "local-features"}, env={}).detectors == ("local_features",)


@pytest.mark.parametrize(
    ("text", "size", "pixels"),
    [
        ("0", 0, 0),
        (7, 7, 7),
        ("500M", 500 << 20, 500 * 10**6),
        ("2g", 2 << 30, 2 * 10**9),
        ("1.5 K", 1536, 1500),
        ("2GB", 2 << 30, 2 * 10**9),
        ("3 MiB", 3 << 20, 3 * 10**6),
        ("1T", 1 << 40, 10**12),
    ],
)
def test_amounts(text: Any, size: int, pixels: int) -> None:
    config = load({"max_size": text, "max_memory": text, "pixel_budget": text}, env={})
    assert (config.max_size, config.max_memory, config.pixel_budget) == (size, size, pixels)


def test_globs_from_every_source(tmp_path: Path) -> None:
    (tmp_path / "deepscan.toml").write_text('exclude = ["a,b*", "*.gif"]\nbaseline = "accepted.json"\n')
    config = load(env={}, directory=tmp_path)
    assert config.exclude == ("a,b*", "*.gif")
    assert config.baseline == tmp_path.resolve() / "accepted.json"
    assert load(env={"DEEPSCAN_EXCLUDE": "a*,*.gif"}, directory=tmp_path).exclude == ("a*", "*.gif")
    assert load({"exclude": ["x,y"]}, env={}, directory=tmp_path).exclude == ("x,y",)


@pytest.mark.parametrize(("text", "expected"), [("1", True), ("yes", True), ("off", False), ("False", False)])
def test_flags_from_the_environment(text: str, expected: bool) -> None:
    assert load(env={"DEEPSCAN_THOROUGH": text}).thorough is expected


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"detectors": "soal"}, "detectors must be among .* not 'soal'; did you mean sola?"),
        ({"detectors": ""}, "detectors must be at least one of"),
        ({"device": "cud"}, "device must be one of auto, cpu, cuda, tensorrt, not 'cud'; did you mean cuda?"),
        ({"precision": "fp8"}, "precision must be one of auto, int8, fp16, fp32, not 'fp8'."),
        ({"threshold": 1.5}, "threshold must be a number from 0 to 1, not '1.5'."),
        ({"threshold": float("nan")}, "threshold must be a number from 0 to 1"),
        ({"jobs": 0}, "jobs must be a whole number, 1 or more, not '0'."),
        ({"jobs": True}, "jobs must be a whole number"),
        ({"max_faces": "many"}, "max_faces must be a whole number"),
        ({"thorough": "maybe"}, "thorough must be true or false"),
        ({"timeout": -1}, "timeout must be a number of seconds, 0 for no limit, not '-1'."),
        ({"timeout": "nan"}, "timeout must be a number of seconds"),
        ({"max_size": "2 EB"}, "max_size must be a size, such as 500M or 2G, 0 for no limit, not '2 EB'."),
        ({"max_size": -5}, "max_size must be a size"),
        ({"max_memory": "lots"}, "max_memory must be an amount of memory"),
        ({"pixel_budget": 1.5}, "pixel_budget must be a number of pixels"),
        ({"max_face": 3}, "command line: there is no setting max_face; did you mean max_faces?"),
        ({"colour": 3}, "there is no setting colour; known settings: detectors, "),
    ],
)
def test_a_wrong_flag_is_named_in_one_sentence(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")) as caught:
        load(flags, env={})
    assert "\n" not in str(caught.value)


def test_a_wrong_key_or_value_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deepscan.toml"
    path.write_text("treshold = 0.5\n")
    with pytest.raises(
        UsageError, match=r"deepscan\.toml: there is no setting treshold; did you mean threshold\?"
    ):
        load(env={}, directory=tmp_path)
    path.write_text("threshold = 'high'\n")
    with pytest.raises(
        UsageError, match=r"deepscan\.toml: threshold must be a number from 0 to 1, not 'high'"
    ):
        load(env={}, directory=tmp_path)
    path.write_text("threshold = \n")
    with pytest.raises(UsageError, match=r"deepscan\.toml: this configuration file cannot be read"):
        load(env={}, directory=tmp_path)


def test_a_misspelt_variable_is_an_error_and_a_foreign_one_is_not() -> None:
    with pytest.raises(UsageError, match="no DEEPSCAN_MAXFACES; did you mean DEEPSCAN_MAX_FACES"):
        load(env={"DEEPSCAN_MAXFACES": "3"})
    assert load(env={"DEEPSCAN_BUILD_NUMBER_OF_CI": "3"}) == load(env={})


def test_the_python_api_checks_values_too() -> None:
    with pytest.raises(UsageError, match="min_face_px must be a whole number, 1 or more"):
        ScanConfig(min_face_px=0)
    assert hash(ScanConfig(detectors=("sola",))) == hash(ScanConfig(detectors=("sola",)))
