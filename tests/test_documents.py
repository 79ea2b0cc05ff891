"""The documents name what the program really has, and stay short."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from deepscan.cli import app
from deepscan.cli.train.config import CONFIGS
from deepscan.detectors import SPECS
from deepscan.weights import read_manifest
from tests.battery.files import FILES
from tests.battery.runs import RUNS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CARDS = sorted((ROOT / "weights").glob("*.md"))
SMALL_TENSOR = 10_000
README_WORDS, CARD_WORDS, FILE_LINES, MANIFEST_CHARACTERS = 1200, 400, 400, 300


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


TEXT = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in [*DOCUMENTS, *CARDS]}


def test_every_option_of_a_scan_is_in_the_table_of_options() -> None:
    scan = get_command(app).commands["scan"]  # type: ignore[attr-defined]
    spelled = {name for option in scan.params for name in option.opts if name.startswith("--")}
    assert len(spelled) > 10
    rows = "\n".join(line for line in read("docs/cli.md").splitlines() if line.startswith("| `-"))
    missing = {name for name in spelled - {"--help"} if f"`{name}" not in rows and f"/{name}" not in rows}
    assert not missing


def test_every_command_in_the_documents_exists() -> None:
    root = get_command(app)
    words = "train [a-z-]+|weights (?:list|verify)|doctor|evaluate|schema"
    named = {found for text in TEXT.values() for found in re.findall(rf"deepscan ({words})\b", text)}
    named |= {f"train {found}" for text in TEXT.values() for found in re.findall(r"`train ([a-z-]+)", text)}
    assert {"doctor", "schema", "evaluate", "train fit", "train run", "weights verify"} <= named
    for command in named:
        found: Any = root
        for word in command.split():
            found = found.commands[word]
        assert found.params


def test_every_command_line_in_the_documents_has_options_that_exist() -> None:
    checked = 0
    for document, line in command_lines():
        program, *words = shlex.split(line, comments=True)
        assert program == "deepscan"
        command: Any = get_command(app)
        while words and words[0] in getattr(command, "commands", ()):
            command = command.commands[words.pop(0)]
        if hasattr(command, "commands"):
            command = command.commands["scan"]
        options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        for word in words:
            if word.startswith("-") and word != "-":
                assert word.partition("=")[0] in options, f"{document}: {line}"
                checked += 1
    assert checked > 20


def command_lines() -> Iterator[tuple[str, str]]:
    """Every command of deepscan in a block of a document, up to a pipe or the next command."""
    for document, text in TEXT.items():
        for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
            for line in re.findall(r"^\$ (.*)", block, re.MULTILINE):
                for part in re.split(r"\s(?:&&|\|)\s", line):
                    if part.startswith("deepscan "):
                        yield document, part


def test_every_file_that_the_documents_name_exists() -> None:
    places = "weights|examples|benchmarks|deepscan|tests|docs|fuzz|ci|tools"
    for document, text in TEXT.items():
        named = re.findall(rf"`((?:{places})/[\w./-]+)`", text)
        if document.startswith("weights"):
            assert named, document
        missing = [path for path in named if not (ROOT / path.replace("NAME", "sola")).exists()]
        assert missing == [], document


def test_every_link_in_the_documents_leads_somewhere() -> None:
    for document, text in TEXT.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, heading = target.partition("#")
            found = (ROOT / document).parent / path if path else ROOT / document
            assert found.exists(), f"{document}: {target}"
            headings = {slug(line) for line in found.read_text("utf-8").splitlines()} if heading else {""}
            assert heading in headings, f"{document}: {target}"


def slug(line: str) -> str:
    """A heading's anchor; empty for every other line."""
    return re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-") if line[:1] == "#" else ""


@pytest.mark.parametrize("document", ["README.md", "docs/accuracy.md", "docs/training.md"])
def test_configurations_in_the_documents_exist(document: str) -> None:
    named = re.findall(r"--config ([a-z_0-9]+)\b(?!\.)", read(document))
    assert set(named) <= {path.stem for path in CONFIGS.glob("*.toml")} | {"mine"}


def test_the_command_of_a_card_is_a_configuration_that_is_there() -> None:
    for card in CARDS:
        for named in re.findall(r"--config (\S+?)`", card.read_text(encoding="utf-8")):
            assert (ROOT / named).is_file(), card.name


@pytest.mark.slow
def test_the_report_that_the_readme_shows_is_the_one_that_is_printed() -> None:
    shown = re.search(r"\$ deepscan examples/\n(.*?)```", read("README.md"), re.DOTALL)
    assert shown is not None
    command = [sys.executable, "-m", "deepscan", "examples/"]
    eighty = {**os.environ, "COLUMNS": "80"}
    printed = subprocess.run(
        command, cwd=ROOT, env=eighty, check=False, capture_output=True, text=True, encoding="utf-8"
    )
    assert printed.returncode == 1
    assert rows(printed.stdout) == rows(shown.group(1))


def rows(report: str) -> list[str]:
    """What every row of a report says at its left, without its figures, which differ between processors."""
    starts = [line for line in report.splitlines() if re.match(r" {1,2}\S", line)]
    return [re.sub(r"[\d.>]+", "#", line.strip().split("  ")[0]) for line in starts]


def test_the_exit_codes_are_said_alike_everywhere() -> None:
    tables = [
        re.findall(r"^\| ([0-3]) \| ([^|]*)", read(name), re.MULTILINE)
        for name in ("README.md", "docs/cli.md", "docs/ci.md")
    ]
    assert [code for code, _ in tables[0]] == ["0", "1", "2", "3"]
    assert tables[0] == tables[1] == tables[2]


def test_the_table_of_the_battery_has_every_case_with_what_it_must_give() -> None:
    cells = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in read("docs/robustness.md").splitlines()
        if line.startswith("| ") and not line.startswith(("| case", "| ---"))
    ]
    files, runs = cells[: len(FILES)], cells[len(FILES) :]
    assert [(row[0], row[1], row[3]) for row in files] == [
        (case.title, case.status, str(case.exit_code)) for case in FILES
    ]
    assert all(case.says in row[4].replace("\\|", "|") for case, row in zip(FILES, files, strict=True))
    assert [(row[0], row[3]) for row in runs] == [(case.title, str(case.exit_code)) for case in RUNS]
    assert all(case.says in row[4] for case, row in zip(RUNS, runs, strict=True))


def test_the_figures_by_detector_are_those_of_the_manifest() -> None:
    manifest = read_manifest(ROOT / "weights")
    text = read("docs/accuracy.md")
    for name, entry in manifest.detectors.items():
        auc, low, high = (entry.metrics[key] for key in ("auc", "auc_low", "auc_high"))
        row = f"| {SPECS[name].title} | {auc:.3f} [{low:.3f}, {high:.3f}] | {entry.calibration.weight:.3f} |"
        assert row in text
    thresholds = manifest.calibration.threshold_fake, manifest.calibration.threshold_real
    assert all(f"{threshold:.3f}" in text for threshold in thresholds)


def test_the_readme_has_one_place_for_the_accuracy_of_genuine_forgeries() -> None:
    place = re.findall(r"<!-- accuracy -->\n(.*?)<!-- /accuracy -->", read("README.md"), re.DOTALL)
    assert len(place) == 1
    assert all(line.startswith("| ") for line in place[0].splitlines())


def test_the_readme_and_the_model_cards_stay_short() -> None:
    assert len(read("README.md").split()) <= README_WORDS
    assert CARDS
    assert {
        card.name: words for card in CARDS if (words := len(card.read_text("utf-8").split())) > CARD_WORDS
    } == {}


def test_no_file_of_the_package_is_long() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in (ROOT / "deepscan").rglob("*.py")}
    assert len(lengths) > 100
    assert {path: lines for path, lines in lengths.items() if lines > FILE_LINES} == {}


def test_the_manifest_holds_no_prose() -> None:
    with (ROOT / "weights" / "manifest.toml").open("rb") as stream:
        strings = list(strings_in(tomllib.load(stream)))
    assert len(strings) > 10
    assert [text for text in strings if len(text) > MANIFEST_CHARACTERS] == []


def test_one_float16_checkpoint_a_detector_is_kept_to_fine_tune_from() -> None:
    checkpoints = sorted((ROOT / "weights" / "checkpoints").glob("*"))
    files = [path for path in checkpoints if path.is_file()]
    assert files and {path.suffix for path in files} == {".safetensors"}
    assert {path.stem for path in files} <= {*SPECS, "clip_vit_b16_norms"}
    large = {path.name: {kind for kind, count in tensors(path) if count > SMALL_TENSOR} for path in files}
    assert set().union(*large.values()) == {"F16"}, large


def tensors(path: Path) -> Iterator[tuple[str, int]]:
    """Type and number of elements of everything that a safetensors file holds."""
    with path.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    for name, entry in header.items():
        if name != "__metadata__":
            yield entry["dtype"], math.prod(entry["shape"])


def strings_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings_in(inner)
