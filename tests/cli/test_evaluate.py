"""``deepscan evaluate``: figures on stdout and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deepscan.cli import run
from deepscan.training.export.weights_folder import read_table, write_table
from tests.fixtures import make
from tests.fixtures.doubles import write_weights

pytestmark = pytest.mark.slow


def refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark reals, bright fakes, and weights that tell them apart by brightness."""
    root = tmp_path_factory.mktemp("labelled")
    write_weights(root / "weights", middle=0.3)
    for name, light in (("dark1", 0.4), ("dark2", 0.5), ("bright1", 1.0), ("bright2", 0.9)):
        Image.fromarray((make.portrait(200) * light).astype(np.uint8)).save(root / f"{name}.png")
    rows = [
        "file,label,identity,kind",
        "dark1.png,real,ann,",
        "dark2.png,real,bob,",
        "bright1.png,fake,ann,swap",
        "bright2.png,fake,bob,lips",
        "gone.png,fake,cid,swap",
    ]
    (root / "all.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (root / "reals.csv").write_text("\n".join(rows[:3]) + "\n", encoding="utf-8")
    return root


def measure(folder: Path, *more: str) -> int:
    return run(["evaluate", str(folder / "all.csv"), "--weights", str(folder / "weights"), *more])


def test_detectors_forgers_and_frames_are_measured(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "figures.json"
    assert measure(folder, "-o", str(out)) == 0
    said, progress = capsys.readouterr()
    lines = said.splitlines()
    assert [line.split()[0] for line in lines if " AUC " in line] == [
        *("gend", "local_features", "sola", "ensemble"),
        *("gend", "local_features", "sola", "ensemble"),
    ]
    swap = "  swap: gend 1.000  local_features 1.000  sola 1.000  ensemble 1.000"
    assert any(line.startswith(swap) for line in lines)
    assert any(line.split() == ["fake", "files", "without", "a", "score", "(unreadable)", "1"]
               for line in lines)  # fmt: skip
    assert len(progress.splitlines()) == 5
    written = json.loads(out.read_text(encoding="utf-8"), parse_constant=refuse)
    assert written["groups"]["ensemble"]["auc"] == written["groups"]["ensemble"]["accuracy"] == 1
    assert written["frames"]["sola"]["real"] == 2
    assert set(written["forgers"]) == {"swap", "lips"}
    assert sum(written["verdicts"].values()) == 5
    assert written["published"] == [] and written["shuffled"] == {}


def test_a_folder_of_fewer_detectors_is_measured_by_those(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = write_weights(tmp_path / "own", middle=0.3)
    table = read_table(own)
    table["detectors"] = {"sola": table["detectors"]["sola"]}
    write_table(own, table)
    assert run(["evaluate", str(folder / "all.csv"), "--weights", str(own)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said if " AUC " in line] == ["sola", "ensemble", "sola", "ensemble"]
    calibrate = ["train", "calibrate", str(folder / "all.csv"), "--weights", str(own)]
    assert run([*calibrate, "--scores", str(tmp_path / "scores.jsonl")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in said] == ["sola", "fusion"]


def test_figures_that_cannot_be_measured_are_null(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The one forgery of this kind cannot be read: there is no AUC."""
    out = folder / "gone.json"
    (folder / "gone.csv").write_text(
        "file,label,identity\ndark1.png,real,ann\ngone.png,fake,cid\n", encoding="utf-8"
    )
    args = ["evaluate", str(folder / "gone.csv"), "--weights", str(folder / "weights"), "-o", str(out)]
    assert run(args) == 0
    assert "AUC nan" in capsys.readouterr().out
    written = json.loads(out.read_text(encoding="utf-8"), parse_constant=refuse)
    assert written["groups"]["ensemble"]["auc"] is None
    assert written["groups"]["ensemble"]["real"] == 1


def test_a_class_that_is_empty_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(folder / "reals.csv"), "--weights", str(folder / "weights")]) == 2
    assert "the class 'fake' is empty" in capsys.readouterr().err


def test_pictures_are_drawn(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure(folder, "--plots", str(tmp_path / "plots")) == 0
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "reliability.png", "roc.png", "scores.png"
    ]  # fmt: skip
    assert "roc.png" in capsys.readouterr().err


def test_kept_scores_are_gone_on_from(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "scores.jsonl"
    assert measure(folder, "--scores", str(kept)) == 0
    first = capsys.readouterr()
    lines = kept.read_text(encoding="utf-8").splitlines(keepends=True)
    kept.write_text("".join(lines[:3]) + lines[3][:40], encoding="utf-8")  # killed in the middle of a line
    assert measure(folder, "--scores", str(kept)) == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert second.err.splitlines() == first.err.splitlines()[3:], "two files were left"
    assert kept.read_text(encoding="utf-8").splitlines(keepends=True) == lines


def test_a_folder_of_both_classes_is_a_corpus(folder: Path, tmp_path: Path) -> None:
    for label, name in (("real", "dark1.png"), ("fake", "bright1.png")):
        (tmp_path / label).mkdir()
        (tmp_path / label / name).symlink_to(folder / name)
    out = tmp_path / "figures.json"
    args = ["evaluate", str(tmp_path), "--weights", str(folder / "weights"), "-o", str(out)]
    assert run(args) == 0
    assert json.loads(out.read_text(encoding="utf-8"))["groups"]["ensemble"]["auc"] == 1


def test_frames_in_random_order_are_scored_for_temporal_detectors(
    folder: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clips.csv").write_text(
        f"file,label\n{clip},real\n{folder}/bright1.png,fake\n", encoding="utf-8"
    )
    out = tmp_path / "figures.json"
    args = ["evaluate", str(tmp_path / "clips.csv"), "--weights", str(folder / "weights"), "-o", str(out)]
    assert run([*args, "--shuffle-frames"]) == 0
    assert "AUC with frames in order, in random order" in capsys.readouterr().out
    shuffled = json.loads(out.read_text(encoding="utf-8"))["shuffled"]
    assert set(shuffled) == {"gml", "global_local", "resnet3d"}
    assert all(one["score_change"] == 0 for one in shuffled.values()), "brightness has no order"


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real that brightens slowly, a fake that flickers, and weights whose 3D network measures changes."""
    root = tmp_path_factory.mktemp("moving")
    write_weights(root / "weights", motion=["resnet3d"])
    lights = {"real": np.linspace(0.4, 1.0, 18), "fake": np.tile([0.8, 0.9], 9)}
    for name, light in lights.items():
        frames = [(make.portrait(200) * value).astype(np.uint8) for value in light]
        make.write_clip(root / f"{name}.mp4", frames)
    (root / "all.csv").write_text("file,label\nreal.mp4,real\nfake.mp4,fake\n", encoding="utf-8")
    return root


def test_a_detector_that_uses_time_loses_by_frames_in_random_order(moving: Path) -> None:
    out = moving / "figures.json"
    args = ["evaluate", str(moving / "all.csv"), "--weights", str(moving / "weights"), "-o", str(out)]
    assert run([*args, "--shuffle-frames"]) == 0
    shuffled = json.loads(out.read_text(encoding="utf-8"))["shuffled"]
    assert shuffled["resnet3d"]["auc"] == 1, "in order only the flicker changes much"
    assert shuffled["resnet3d"]["auc_shuffled"] == 0, "in random order the slow change jumps further"
    assert shuffled["resnet3d"]["difference"] == 1
    assert shuffled["resnet3d"]["score_change"] > 0.1
    assert shuffled["gml"]["score_change"] == shuffled["global_local"]["score_change"] == 0


def test_scores_that_were_kept_without_random_order_are_not_taken_for_such(
    moving: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = moving / "scores.jsonl"
    args = ["evaluate", str(moving / "all.csv"), "--weights", str(moving / "weights"), "--scores", str(kept)]
    assert run(args) == 0
    assert run([*args, "--shuffle-frames"]) == 2
    assert "holds scores of frames in order alone; remove it or name another file" in capsys.readouterr().err
    kept.unlink()
    assert run([*args, "--shuffle-frames"]) == 0
    first = capsys.readouterr().out
    assert "AUC with frames in order, in random order" in first
    assert run([*args, "--shuffle-frames"]) == 0
    assert capsys.readouterr().out == first, "nothing was left to scan"


@pytest.mark.parametrize(
    ("text", "sentence"), [("file\na.mp4\n", "has no column label"), ("file,label\n", "lists no media")]
)
def test_a_corpus_that_cannot_be_used_is_one_sentence(
    text: str, sentence: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    assert run(["evaluate", str(path), "--weights", str(folder / "weights")]) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert len(err.splitlines()) == 1


def test_kept_scores_are_judged_by_the_calibration_of_today(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, worst, figures = tmp_path / "scores.jsonl", tmp_path / "worst.txt", tmp_path / "figures.json"
    assert measure(folder, "--scores", str(scores), "--worst", str(worst)) == 0
    assert [Path(line).name for line in worst.read_text().splitlines()] == [
        "dark2.png", "dark1.png", "bright2.png", "bright1.png"
    ]  # fmt: skip
    kept = [json.loads(line) for line in scores.read_text().splitlines()]
    scores.write_text(
        "".join(json.dumps({**one, "probability": 0.5}) + "\n" for one in kept if one["logits"])
    )
    assert measure(folder, "--scores", str(scores), "-o", str(figures)) == 0
    assert json.loads(figures.read_text())["groups"]["ensemble"]["auc"] == 1, "not those of an earlier one"
    assert "ensemble" in capsys.readouterr().out
