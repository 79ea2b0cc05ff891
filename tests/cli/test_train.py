"""``deepscan train``: mistakes are one sentence, and media become weights that a scan loads."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deepscan.cli import run
from deepscan.training.config import TrainConfig
from deepscan.training.data import prepare
from deepscan.training.evaluation.scoring import ScoredFile, save_scores
from deepscan.training.export.weights_folder import enter_face_model
from deepscan.training.fit import trainer
from deepscan.weights import read_manifest
from tests.fixtures import make
from tests.fixtures.doubles import write_weights

pytestmark = pytest.mark.slow

FACES = Path(__file__).parents[2] / "weights" / "faces"


def corpus(folder: Path, rows: Sequence[tuple[str, str, str]]) -> Path:
    path = folder / "corpus.csv"
    lines = ["file,label,identity", *(",".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def face_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights folder with both face models and stand-ins for the detectors."""
    root = write_weights(tmp_path / "weights")
    model = root / "faces" / "facemesh_468.onnx"
    model.write_bytes((FACES / model.name).read_bytes())
    enter_face_model(root, "facemesh_468", "Apache-2.0")
    monkeypatch.setenv("DEEPSCAN_WEIGHTS", str(root))
    return root


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (
            ["fit", "gmll", "--cache", "c", "--run", "r"],
            "there is no detector 'gmll'; choose from gend, gml,",
        ),
        (
            ["fit", "gml", "--cache", "c", "--run", "r"],
            "c holds no prepared faces; run the preparation first",
        ),
        (["fit", "gml", "--run", "r"], "Missing option '--cache'"),
        (
            ["fit", "gml", "--cache", "c", "--run", "r", "--init", "gone.pt"],
            "gone.pt: there is no such file",
        ),
        (["prepare", "gone.csv", "--cache", "c"], "'gone.csv' does not exist"),
        (["prepare", "bad.csv", "--cache", "c"], "label 'maybe' is neither 'real' nor 'fake'"),
        (
            ["export", "gmll", "bad.csv", "--cache", "c", "--weights", "w"],
            "there is no detector 'gmll'",
        ),
        (
            ["average", "gml", "bad.csv=.5", "gone.pt=.5", "-o", "o.safetensors"],
            "gone.pt: there is no such file",
        ),
        (
            ["average", "gml", "bad.csv=.5", "bad.csv", "-o", "o.safetensors"],
            "every checkpoint a share, or none",
        ),
        (["average", "gml", "none", "bad.csv", "-o", "o.safetensors"], "`none` is no checkpoint"),
        (["calibrate", "bad.csv", "--weights", "w", "--scores", "s"], "neither 'real' nor 'fake'"),
        (
            ["generators", "--cache", "c", "--trunk", "bad.csv", "--super-resolver", "bad.csv"],
            "bad.csv is no network that enlarges pictures",
        ),
    ],
)
def test_a_mistake_is_one_sentence_on_stderr(
    args: list[str],
    sentence: str,
    tmp_path: Path,
    face_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.csv").write_text("file,label\na.mp4,maybe\n", encoding="utf-8")
    assert run(["train", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err
    assert "internal error" not in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "command", ["prepare", "fit", "export", "synthetic-test-set", "calibrate", "evaluate"]
)
def test_without_the_extra_every_command_says_what_to_install(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find_spec = importlib.util.find_spec

    def without_torch(name: str, *args: Any) -> Any:
        return None if name in ("torch", "tomli_w") else find_spec(name, *args)

    monkeypatch.setattr(importlib.util, "find_spec", without_torch)
    monkeypatch.chdir(tmp_path)
    csv = str(corpus(tmp_path, [("a.mp4", "real", "ann")]))
    args = {
        "prepare": ["train", "prepare", csv, "--cache", "c"],
        "fit": ["train", "fit", "gml", "--cache", "c", "--run", "r"],
        "export": [
            "train",
            "export",
            "gml",
            csv,
            "--cache",
            "c",
            "--weights",
            "w",
        ],
        "synthetic-test-set": ["train", "synthetic-test-set", csv, "--out", "o"],
        "calibrate": ["train", "calibrate", csv, "--weights", "w", "--scores", "s"],
        "evaluate": ["evaluate", csv],
    }
    assert run(args[command]) == 2
    out, err = capsys.readouterr()
    sentence = "training needs torch, tomli_w; install it with `pip install 'deepscan[train]'`."
    assert (out, err) == ("", f"deepscan: {sentence}\n")


def test_media_become_weights_that_a_scan_loads(
    tmp_path: Path, face_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, turn in (("ann", 0.0), ("bob", 8.0)):
        Image.fromarray(make.portrait(256, turn_deg=turn)).save(tmp_path / f"{name}.png")
    csv = str(corpus(tmp_path, [("ann.png", "real", "ann"), ("bob.png", "real", "bob")]))
    cache, folder = str(tmp_path / "cache"), str(tmp_path / "run")
    prepared = ["train", "prepare", csv, "--cache", cache, "--validate-on", "b*", "--canvas", "240"]
    assert run(prepared) == 0
    assert capsys.readouterr().err.count(": 1 samples") == 2
    assert {np.load(frames).shape[1] for frames in Path(cache).glob("*/photo/frames.npy")} == {240}

    fit = ["train", "fit", "local_features", "--cache", cache, "--run", folder]
    assert run([*fit, "--steps", "2", "--pairs", "1", "--warmup", "1"]) == 0
    out, err = capsys.readouterr()
    checkpoint = out.strip()
    assert checkpoint.endswith("checkpoint.pt")
    assert "step 2  val_auc" in err

    mean = str(tmp_path / "mean.safetensors")
    average = ["train", "average", "local_features", f"{checkpoint}=0.6", f"{checkpoint}=0.4", "-o", mean]
    assert run(average) == 0
    assert capsys.readouterr().out.strip() == mean

    own = tmp_path / "own"
    export = ["train", "export", "local_features", mean, "--cache", cache, "--weights", str(own)]
    assert run([*export, "--data", "two photos", "--recipe", "mine.toml", "--licence", "CC0-1.0"]) == 0
    assert "scores within" in capsys.readouterr().out
    entry = read_manifest(own).detectors["local_features"]
    assert (entry.training_data, entry.recipe) == ("two photos", "mine.toml")
    assert (entry.model.licence, entry.data_licences) == ("CC0-1.0", "unknown")

    assert (
        run(["train", "export", "local_features", checkpoint, "--cache", cache, "--weights", str(own)]) == 0
    )
    entry = read_manifest(own).detectors["local_features"]
    assert entry.training_data == "1 genuine and 0 forged files of 1 people; sources: corpus"
    assert entry.recipe.startswith("deepscan train fit local_features: steps 2, pairs 1")
    assert entry.model.licence == "unknown"
    capsys.readouterr()

    scan = ["scan", "--json", "--no-progress", "--detectors", "local_features", "--weights", str(own)]
    assert run([*scan, str(tmp_path / "bob.png")]) in (0, 1, 3)
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert (file["status"], list(file["tracks"][0]["detectors"])) == ("scanned", ["local_features"])


def test_the_former_name_of_a_command_works_and_stands_in_no_help_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = str(corpus(tmp_path, [("a.mp4", "real", "ann")]))
    for command in ("synthetic-test-set", "rehearse"):
        assert run(["train", command, table, "--out", str(tmp_path / "out"), "--stretches", "2"]) == 2
        assert "none of the 1 files is a real one on the validation side" in capsys.readouterr().err
    assert run(["train", "--help"]) == 0
    page = capsys.readouterr().out
    assert "synthetic-test-set" in page and "rehearse" not in page


def test_what_learns_and_from_how_many_frames_reaches_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[TrainConfig] = []

    def train(config: TrainConfig, *_: Any, **__: Any) -> Path:
        asked.append(config)
        return tmp_path

    monkeypatch.setattr(trainer, "train", train)
    monkeypatch.setattr(prepare, "load_index", lambda _: [])
    fit = ["train", "fit", "gml", "--cache", "c", "--run", "r", "--frames", "4"]
    assert run([*fit, "--learn", "*.mcb.up.*", "--learn", "fc.*", "--score-variance", "0.1"]) == 0
    assert [(c.frames, c.learning, c.score_variance) for c in asked] == [(4, ("*.mcb.up.*", "fc.*"), 0.1)]


def test_calibration_reads_kept_scores_and_enters_what_it_fits(
    tmp_path: Path, face_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [
        ScoredFile(
            f"{n}.mp4", n % 2, f"p{n // 4}", "made", "", "scanned", 0.5, {"sola": wave, "gml": -wave / 2}
        )
        for n in range(40)
        for wave in [(4.0 if n % 2 else -3.0) + n % 5 - 2]
    ]
    scores = tmp_path / "scores.jsonl"
    save_scores(scores, files)
    assert run(["train", "calibrate", "--weights", str(face_weights), "--scores", str(scores)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in said] == ["gml", "sola", "fusion"]
    manifest = read_manifest(face_weights)
    assert manifest.detectors["sola"].calibration.weight > 0
    assert manifest.detectors["gml"].calibration.weight == 0, "worse than chance"
    assert manifest.detectors["sola"].metrics["auc"] == 1
    assert manifest.calibration.threshold_real <= 0.5 <= manifest.calibration.threshold_fake
    seen = ["train", "calibrate", "--weights", str(face_weights), "--scores", str(scores), "--seen", "sola"]
    assert run(seen) == 0
    assert read_manifest(face_weights).detectors["sola"].metrics["seen_in_training"] == 1
    assert run([*seen[:-1], "gend"]) == 2
    assert "gend scored none of these files" in capsys.readouterr().err


def test_generators_that_ship_need_no_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "generators", "--cache", str(tmp_path)]) == 0
    assert "taken: transposed, " in capsys.readouterr().err
    assert (tmp_path / "generators" / "transposed.safetensors").is_file()
    assert run(["train", "generators", "--cache", str(tmp_path)]) == 0
    assert capsys.readouterr().err == "taken: nothing, all were there\n"
