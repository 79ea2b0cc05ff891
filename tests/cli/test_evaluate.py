"""``deepscan evaluate``: figures on stdout and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deepscan.cli import run
from tests.doubles import write_weights
from tests.media import make


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


def test_detectors_and_kinds_are_measured(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "figures.json"
    args = ["evaluate", str(folder / "all.csv"), "--weights", str(folder / "weights"), "-o", str(out)]
    assert run(args) == 0
    said, progress = capsys.readouterr()
    names = [line.partition(" AUC")[0].strip() for line in said.splitlines() if " AUC " in line]
    assert names == ["local_features", "sola", "ensemble", "ensemble, lips", "ensemble, swap"]
    assert "AUC 1.000" in said.splitlines()[0]
    assert any(line.split() == ["fake", "files", "without", "a", "score", "(unreadable)", "1"]
               for line in said.splitlines())  # fmt: skip
    assert len(progress.splitlines()) == 5
    written = json.loads(out.read_text(encoding="utf-8"), parse_constant=refuse)
    assert set(written) == {"groups", "verdicts"}
    assert written["groups"]["ensemble"]["auc"] == 1
    assert sum(written["verdicts"].values()) == 5


def test_figures_that_cannot_be_measured_are_null(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "reals.json"
    args = ["evaluate", str(folder / "reals.csv"), "--weights", str(folder / "weights"), "-o", str(out)]
    assert run(args) == 0
    assert "AUC nan" in capsys.readouterr().out
    written = json.loads(out.read_text(encoding="utf-8"), parse_constant=refuse)
    assert written["groups"]["ensemble"]["auc"] is None
    assert written["groups"]["ensemble"]["real"] == 2


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
