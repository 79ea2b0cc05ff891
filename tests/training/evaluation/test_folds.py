"""Every file is scored by networks that learnt nothing from its fold."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepscan.config import ScanConfig
from deepscan.errors import UsageError
from deepscan.training.data.corpora import read_corpus
from deepscan.training.evaluation.folds import joined, score_by_folds
from deepscan.training.evaluation.scoring import RegionScanner, ScoredFile, score_files
from tests.fixtures import make
from tests.fixtures.doubles import write_weights


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One photo of fold 0, in a folder of the table's name."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "own").mkdir()
    make.photo(folder / "own" / "a.jpg")
    path = folder / "own.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "label", "family", "generator", "identity", "fold", "x", "y", "w", "h"])
        writer.writerow(["a.jpg", "real", "studio", "film", "ann", "0", "", "", "", ""])
    return path


def test_a_table_names_regions_folds_and_generators(table: Path) -> None:
    (row,) = read_corpus(table)
    assert row.file.parent.name == "own", "media may lie in a folder of the table's name"
    assert (row.fold, row.manipulation, row.generator, row.region) == (0, "studio", "film", None)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [("fold", "first", "fold 'first' is no whole number"), ("w", "0", "empty part of the picture")],
)
def test_odd_columns_are_named(table: Path, tmp_path: Path, column: str, value: str, message: str) -> None:
    row = {"file": "a.jpg", "label": "real", "fold": "0", "x": "0", "y": "0", "w": "9", "h": "9"} | {
        column: value
    }
    path = tmp_path / "odd.csv"
    path.write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n")
    with pytest.raises(UsageError, match=message):
        read_corpus(path)


def test_scores_of_two_sets_of_detectors_are_joined() -> None:
    one = ScoredFile("a", 1, "p", "s", "", "scanned", 0.7, {"gend": 1.0}, others=({"gend": -1.0},))
    other = ScoredFile("a", 1, "p", "s", "", "scanned", None, {"gml": 2.0}, others=({"gml": 0.5},))
    both = joined(one, other)
    assert both.logits == {"gend": 1.0, "gml": 2.0}
    assert both.others == ({"gend": -1.0, "gml": 0.5},)
    assert both.probability == 0.7
    with pytest.raises(UsageError, match="two scans found different faces"):
        joined(one, ScoredFile("a", 1, "p", "s", "", "scanned", None, {}))


def test_a_fold_without_weights_is_named(table: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no weights for this fold"):
        score_by_folds(read_corpus(table), tmp_path, tmp_path / "scores.jsonl")


def test_every_file_is_scored_by_the_weights_of_its_fold(table: Path, tmp_path: Path) -> None:
    photo = table.parent / "own" / "a.jpg"
    corpus = tmp_path / "two.csv"
    (tmp_path / "b.jpg").write_bytes(photo.read_bytes())
    corpus.write_text(
        f"file,label,identity,fold\n{photo},real,ann,0\nb.jpg,fake,bob,1\n{photo.parent.parent}/x,real,c,\n"
    )
    for fold, middle in ((0, 0.2), (1, 0.8)):
        (tmp_path / str(fold)).mkdir()
        write_weights(tmp_path / str(fold), middle=middle)
    rows = read_corpus(corpus)
    first, second = score_by_folds(rows, tmp_path, tmp_path / "scores.jsonl", device="cpu")
    assert (first.fold, second.fold) == (0, 1), "the row without a fold is left out"
    assert first.logits["sola"] > 0 > second.logits["sola"], "the same picture, other weights"
    assert (tmp_path / "scores-0.jsonl").exists() and (tmp_path / "scores-1.jsonl").exists()


def test_a_region_is_all_that_a_scan_of_the_row_sees(tmp_path: Path) -> None:
    portrait = make.portrait()
    side = np.concatenate([portrait, portrait // 2], axis=1)
    Image.fromarray(side).save(tmp_path / "both.png")
    Image.fromarray(portrait // 2).save(tmp_path / "right.png")
    height, width = portrait.shape[:2]
    (tmp_path / "t.csv").write_text(
        f"file,label,x,y,w,h\nboth.png,fake,{width},0,{width},{height}\nright.png,fake,,,,\n"
    )
    (tmp_path / "w").mkdir()
    scanner = RegionScanner(ScanConfig(weights=write_weights(tmp_path / "w"), device="cpu"))
    region, alone = score_files(read_corpus(tmp_path / "t.csv"), scanner)
    assert region.logits["sola"] == pytest.approx(alone.logits["sola"])
    assert not region.others
