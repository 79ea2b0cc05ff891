"""Two folders in, weights out that a scan loads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepscan.cli import run
from deepscan.errors import UsageError
from deepscan.training import pipeline
from deepscan.training.data.corpora import Source
from deepscan.training.data.prepare import Sample
from deepscan.training.pipeline import Plan, config_of, read_plan, sided, trainable
from deepscan.training.synthesis.generators import load_generators
from deepscan.weights import read_manifest
from tests.fixtures import make

pytestmark = pytest.mark.slow


def row(label: str, identity: str) -> Source:
    return Source(Path(f"{label}-{identity}.mp4"), label, identity, "mine", "", "")


def test_a_quarter_of_the_people_is_kept_out_whole() -> None:
    rows = [row(label, f"p{n}") for n in range(40) for label in ("real", "fake")]
    sides = {(one.label, one.identity): one.split for one in sided(rows)}
    assert sum(side == "val" for side in sides.values()) == 20
    assert all(sides["real", f"p{n}"] == sides["fake", f"p{n}"] for n in range(40))
    assert [one.split for one in sided(rows)] == [one.split for one in sided(rows)]
    again = sided(rows, ["p1"])
    assert {one.identity for one in again if one.split == "val"} == {"p1"}


def test_classes_of_different_people_are_split_each() -> None:
    rows = [*(row("real", f"r{n}") for n in range(12)), *(row("fake", f"f{n}") for n in range(4))]
    for label, wanted in (("real", 3), ("fake", 2)):
        assert sum(one.split == "val" for one in sided(rows) if one.label == label) == wanted
    with pytest.raises(UsageError, match="there are 3 fake people or files; at least 4 are needed"):
        sided(rows[:-1])


def test_a_detector_needs_clips_on_both_sides() -> None:
    samples = [
        Sample("a", "window", "real", "p", "s", "train"),
        Sample("b", "photo", "real", "q", "s", "val"),
        Sample("c", "window", "fake", "r", "s", "val"),
    ]
    assert trainable("sola", samples) and not trainable("resnet3d", samples)


def test_few_steps_warm_up_briefly() -> None:
    assert config_of("gml", 30, "cpu").warmup == 4
    assert config_of("gml", 5000, "cpu").warmup == 100
    assert config_of("gml", 30, "cpu").single_frames and not config_of("sola", 30, "cpu").single_frames


def test_the_plan_is_kept_and_a_damaged_one_is_an_error(tmp_path: Path) -> None:
    assert read_plan(tmp_path) is None
    (tmp_path / "plan.json").write_text(
        '{"validated": ["p"], "steps": {"sola": 7}, "hours": 1}', encoding="utf-8"
    )
    assert read_plan(tmp_path) == Plan(("p",), {"sola": 7}, 1.0)
    (tmp_path / "plan.json").write_text('{"steps": {}}', encoding="utf-8")
    with pytest.raises(UsageError, match=r"plan\.json is damaged"):
        read_plan(tmp_path)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photos of each class; the forged ones have a bright patch over the mouth."""
    root = tmp_path_factory.mktemp("media")
    for label in ("real", "fake"):
        (root / label).mkdir()
    for number in range(8):
        picture = make.portrait(240, turn_deg=2.0 * number - 8).copy()
        Image.fromarray(picture).save(root / "real" / f"{number}.png")
        picture[105:135, 105:150] = np.minimum(picture[105:135, 105:150].astype(int) + 90, 255).astype(
            np.uint8
        )
        Image.fromarray(picture).save(root / "fake" / f"{number}.png")
    return root


def test_media_become_weights_in_one_go_and_again_there_is_nothing_to_do(
    media: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "weights-mine"
    command = ["train", "run", str(media / "real"), str(media / "fake"), "--out", str(out)]
    command += ["--detectors", "local_features", "--device", "cpu", "--licence", "CC0-1.0"]
    assert run([*command, "--steps", "2"]) == 0
    said, progress = capsys.readouterr()
    assert f"scan with them: deepscan FILE --weights {out} --detectors local_features" in said
    assert progress.count("faces ") == 16 and progress.count("score ") == 4
    assert "train  local_features: step 2 of 2" in progress
    manifest = read_manifest(out)
    assert list(manifest.detectors) == ["local_features"]
    entry = manifest.detectors["local_features"]
    assert entry.training_data == "6 genuine and 6 forged files of 6 people; sources: real and fake"
    assert (entry.model.licence, entry.data_licences) == ("CC0-1.0", "unknown")
    assert entry.recipe == "deepscan train run: 2 steps"
    assert set(manifest.faces) == {"retinaface_mnet025", "facemesh_468"}
    evaluated = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    assert set(evaluated["groups"]) == {"local_features", "ensemble"}
    assert list(evaluated["sources"]) == ["real and fake"], "reals and forgeries of one source are compared"
    assert {path.name for path in (out / "plots").iterdir()} == {"roc.png", "reliability.png", "scores.png"}
    assert "fusion" in (out / "manifest.toml").read_text(encoding="utf-8")
    plan = json.loads((out / "work" / "plan.json").read_text(encoding="utf-8"))
    assert plan["steps"] == {"local_features": 2} and len(plan["validated"]) == 2
    assert load_generators(out / "work" / "cache", "val"), "forgeries are drawn by the generators that ship"

    before = (out / "local_features.onnx").read_bytes()
    monkeypatch.setattr(pipeline, "ship", lambda *_: pytest.fail("exported again"))
    assert run(command) == 0, "the plan says how many steps"
    again, progress = capsys.readouterr()
    assert again == said
    assert "faces " not in progress and "score " not in progress and "train " not in progress
    assert (out / "local_features.onnx").read_bytes() == before

    photo = str(media / "real" / "0.png")
    assert run(["scan", "--json", "--weights", str(out), "--detectors", "local_features", photo]) in (0, 1, 3)
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert file["status"] == "scanned" and list(file["tracks"][0]["detectors"]) == ["local_features"]


def test_an_empty_folder_is_one_sentence(
    media: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none").mkdir()
    args = ["train", "run", str(media / "real"), str(tmp_path / "none"), "--out", str(tmp_path / "out")]
    assert run(args) == 2
    err = capsys.readouterr().err
    assert "the class 'fake' is empty" in err and len(err.splitlines()) == 1
