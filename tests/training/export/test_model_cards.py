"""Model cards say what the manifest and the evaluation say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deepscan.detectors import SPECS
from deepscan.ensemble import Calibration, DetectorCalibration
from deepscan.errors import UsageError
from deepscan.training.export.model_cards import card, write_cards
from deepscan.training.export.onnx import ScoreGap
from deepscan.training.export.weights_folder import Shipped, enter_calibration, enter_detector
from deepscan.training.networks import build
from deepscan.training.provenance import Provenance
from deepscan.weights import DetectorEntry, read_manifest
from tests.fixtures.doubles import brightness_net

NAMES = ("sola", "local_features")
FACTS = Provenance("MIT", "forty portraits", "CC0-1.0", "mine.toml")
GAP = ScoreGap(largest=0.0123, mean=0.0012, count=4)
MEASURED = {"auc": 0.8349, "auc_low": 0.7512, "auc_high": 0.9021, "real": 24, "fake": 48}
GENUINE = {"auc": 0.7254, "auc_low": 0.6111, "auc_high": 0.8333, "real": 31, "fake": 17}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A weights folder with two calibrated detectors, ``sola`` with a weight of 0.75."""
    for name in NAMES:
        shipped = Shipped(brightness_net(tmp_path / f"{name}.onnx", name), "int8", GAP)
        enter_detector(tmp_path, shipped, name, FACTS)
    constants = {"sola": DetectorCalibration(2.0, 0.1, 0.75), "local_features": DetectorCalibration(1, 0, 0)}
    calibration = Calibration(constants, bias=0.0, threshold_fake=0.8, threshold_real=0.2)
    enter_calibration(tmp_path, calibration, dict.fromkeys(NAMES, MEASURED))
    return tmp_path


@pytest.fixture
def entry(folder: Path) -> DetectorEntry:
    """Manifest entry of ``local_features``, which has a weight of 0."""
    return read_manifest(folder).detectors["local_features"]


def evaluated(folder: Path, groups: dict[str, Any]) -> Path:
    path = folder / "evaluation.json"
    path.write_text(json.dumps({"groups": groups, "verdicts": {}}), encoding="utf-8")
    return path


def said(entry: DetectorEntry, genuine: dict[str, float] | None = None) -> str:
    return card(SPECS["local_features"], entry, genuine)


def test_every_detector_of_the_manifest_gets_a_card_of_its_own(folder: Path) -> None:
    files = write_cards(folder, evaluated(folder, {"sola": GENUINE, "ensemble": GENUINE}))
    assert [file.name for file in files] == ["sola.md", "local_features.md"]
    assert sorted(file.name for file in folder.glob("*.md")) == ["local_features.md", "sola.md"]
    sola, local = (file.read_text(encoding="utf-8") for file in files)
    assert sola.startswith(f"# {SPECS['sola'].title}\n")
    assert "video AUC 0.725, 95 % interval 0.611 to 0.833 over identities (31 real and 17 forged" in sola
    assert "not measured." not in sola
    assert "0.725" not in local
    assert "By `deepscan evaluate`: not measured.\n" in local


def test_a_card_states_the_figures_of_the_manifest(folder: Path) -> None:
    manifest = read_manifest(folder).detectors["sola"]
    text = card(SPECS["sola"], manifest, None)
    assert "video AUC 0.835, 95 % interval 0.751 to 0.902 over identities (24 real and 48 forged" in text
    assert "within 0.0123 of the float network's (mean 0.0012)" in text
    assert f"- File: `sola.onnx`, {manifest.model.bytes / 1e6:.1f} MB, int8\n" in text
    assert "- Licence: MIT\n" in text
    assert "where its weight is 0.750." in text
    assert "- Input: single frames of 256 x 256 px\n" in text
    assert "- Data: forty portraits\n- Licences of the data: CC0-1.0\n" in text
    assert "## Recipe\n\n`mine.toml`\n" in text
    assert text.endswith("\n") and "{" not in text, "nothing is left to be filled in"


@pytest.mark.parametrize("name", NAMES)
def test_the_parameters_are_those_of_the_network(name: str, folder: Path) -> None:
    net: Any = build(name)
    count = sum(parameter.numel() for parameter in net.parameters())
    assert count > 1_000_000
    text = card(SPECS[name], read_manifest(folder).detectors[name], None)
    assert f"- Parameters: {count:,}\n" in text


def test_a_detector_that_counts_is_said_to_count(entry: DetectorEntry) -> None:
    counted = replace(entry, calibration=replace(entry.calibration, weight=0.4))
    text = said(counted, GENUINE)
    assert "Better than chance on validation: it counts in the ensemble.\n" in text
    assert "weight 0." not in text


@pytest.mark.parametrize(
    ("auc_low", "sentence"),
    [
        (0.4321, "Not shown to be better than chance on validation: it is reported, and has weight 0."),
        (0.5, "Not shown to be better than chance on validation: it is reported, and has weight 0."),
        (0.5001, "Better than chance, but it adds nothing to the others: it is reported, and has weight 0."),
    ],
)
def test_a_weight_of_zero_is_explained(auc_low: float, sentence: str, entry: DetectorEntry) -> None:
    text = said(replace(entry, metrics={**entry.metrics, "auc_low": auc_low}))
    assert f"\n{sentence}\n" in text
    assert "counts in the ensemble" not in text
    assert "where its weight is 0.000." in text


def test_a_detector_that_guesses_on_genuine_forgeries_is_said_to_guess(entry: DetectorEntry) -> None:
    sentence = "- On the genuine forgeries measured it is no better than chance.\n"
    assert sentence in said(entry, {**GENUINE, "auc": 0.52})
    assert sentence in said(entry, {**GENUINE, "auc": 0.31})
    assert sentence not in said(entry, GENUINE)
    assert sentence not in said(entry)


def test_a_figure_that_evaluation_could_not_take_is_not_measured(folder: Path) -> None:
    nothing = {"auc": None, "auc_low": None, "auc_high": None, "real": 0, "fake": 3}
    for file in write_cards(folder, evaluated(folder, dict.fromkeys(NAMES, nothing))):
        text = file.read_text(encoding="utf-8")
        assert "By `deepscan evaluate`: not measured.\n" in text
        assert "on the genuine forgeries measured" not in text.lower()


def test_a_detector_without_figures_is_sent_to_calibration(folder: Path) -> None:
    enter_detector(folder, Shipped(folder / "sola.onnx", "int8", GAP), "sola", FACTS)
    with pytest.raises(UsageError, match="sola has no figures yet; run `deepscan train calibrate` first"):
        write_cards(folder, evaluated(folder, {}))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"verdicts": {}}', '{"groups": {"sola": {}}}', '{"groups": 3}']
)
def test_an_evaluation_without_figures_is_an_error(text: str, folder: Path) -> None:
    path = folder / "evaluation.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="is not what `deepscan evaluate -o` writes"):
        write_cards(folder, path)
    assert not list(folder.glob("*.md"))


def test_a_card_names_the_forgeries_told_best_and_worst(folder: Path) -> None:
    unknown = {"auc": None, "auc_low": None, "auc_high": None, "real": 3, "fake": 0}
    aucs = {"swap": 0.9125, "blend": 0.8, "lips": 0.51, "animation": 0.62, "timing": 0.71}
    synthetic = folder / "synthetic.json"
    found = {
        "groups": {"sola": MEASURED},
        "forgers": {
            **{kind: {"sola": {**MEASURED, "auc": auc}} for kind, auc in aucs.items()},
            "unseen": {},
            "alone": {"sola": unknown},
        },
        "shuffled": {"sola": {"auc": 0.8, "auc_shuffled": 0.7}},
    }
    synthetic.write_text(json.dumps(found), encoding="utf-8")
    write_cards(folder, evaluated(folder, {"sola": GENUINE}), synthetic)
    text = (folder / "sola.md").read_text(encoding="utf-8")
    measured, _, failures = text.partition("## Known failures")
    assert "Highest AUC by kind of forgery: swap 0.912, blend 0.800, timing 0.710." in measured
    assert "- Lowest AUC by kind of forgery: lips 0.510, animation 0.620, timing 0.710.\n" in failures
    assert "random order the AUC is 0.700, in order 0.800." in measured
    assert "alone" not in text and "unseen" not in text
    assert "swap" not in (folder / "local_features.md").read_text(encoding="utf-8")


def test_a_card_credits_nobody_who_was_not_named(folder: Path) -> None:
    shipped = Shipped(brightness_net(folder / "sola.onnx", "sola"), "int8", GAP)
    enter_detector(folder, shipped, "sola")
    constants = {"sola": DetectorCalibration(1.0, 0.0, 1.0)}
    enter_calibration(folder, Calibration(constants, 0.0, 0.8, 0.2), {"sola": MEASURED})
    text = card(SPECS["sola"], read_manifest(folder).detectors["sola"], None)
    assert "- Licence: unknown\n" in text
    assert "- Data: unknown\n- Licences of the data: unknown\n" in text
    assert "## Recipe\n\n`unknown`\n" in text
    assert "webmorphR" not in text and "MIT" not in text


def test_a_card_says_things_in_the_order_of_a_model_card(entry: DetectorEntry) -> None:
    headings = [
        line.removeprefix("## ") for line in said(entry, GENUINE).splitlines() if line.startswith("## ")
    ]
    assert headings == [
        "Intended use",
        "Architecture and paper",
        "Training data",
        "Recipe",
        "Measured",
        "Known failures",
    ]


def test_the_history_in_an_old_manifest_is_cut_short(entry: DetectorEntry) -> None:
    text = said(replace(entry, recipe="round after round " * 600))
    assert len(text.split()) <= 400
    assert "…`\n" in text
