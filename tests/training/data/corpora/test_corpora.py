"""Corpora in the layouts in which they are handed out, as tiny trees of one generated clip."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from deepscan.errors import UsageError
from deepscan.training.data.corpora import (
    UNUSED,
    Source,
    choose_side,
    need_classes,
    only_kinds,
    read_corpora,
    read_corpus,
)
from deepscan.training.data.corpora.source import connected

ProcessRank = Callable[[str], Path]


@pytest.fixture
def place(tmp_path: Path, clip: Path) -> ProcessRank:
    """Puts the clip at a path below the corpus."""

    def put(name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, path)
        return path

    return put


def by_name(rows: list[Source], root: Path) -> dict[str, Source]:
    return {row.file.relative_to(root).as_posix(): row for row in rows}


FF = "original_sequences/youtube/{}/videos/{}.mp4"
SWAP = "manipulated_sequences/{}/{}/videos/{}.mp4"


@pytest.fixture
def faceforensics(tmp_path: Path, place: ProcessRank) -> Path:
    for compression in ("raw", "c23"):
        for number in ("000", "003", "071"):
            place(FF.format(compression, number))
        place(SWAP.format("Deepfakes", compression, "000_003"))
    place(SWAP.format("FaceShifter", "c40", "003_000"))
    place("manipulated_sequences/Deepfakes/masks/videos/000_003.mp4")
    place("original_sequences/actors/c23/videos/01__exit_phone_room.mp4")
    place(SWAP.format("DeepFakeDetection", "c23", "01_02__exit_phone_room__YVGY8LOK"))
    for side, pairs in (("train", [["000", "003"]]), ("val", []), ("test", [["071", "054"]])):
        (tmp_path / f"{side}.json").write_text(json.dumps(pairs), encoding="utf-8")
    return tmp_path


def test_faceforensics_methods_compressions_masks_and_splits(faceforensics: Path) -> None:
    rows = by_name(read_corpus(faceforensics), faceforensics)
    assert len(rows) == 11, "masks are no videos"
    swap = rows[SWAP.format("Deepfakes", "c23", "000_003")]
    assert (swap.label, swap.identity, swap.kind, swap.split) == (
        "fake",
        "ffpp:000",
        "Deepfakes c23",
        "train",
    )
    assert swap.mask == faceforensics / "manipulated_sequences/Deepfakes/masks/videos/000_003.mp4"
    assert rows[SWAP.format("Deepfakes", "raw", "000_003")].kind == "Deepfakes c0"
    assert rows[SWAP.format("FaceShifter", "c40", "003_000")].kind == "FaceShifter c40"
    assert rows[SWAP.format("FaceShifter", "c40", "003_000")].mask is None
    real = rows[FF.format("c23", "000")]
    assert (real.label, real.kind, real.source) == ("real", "original c23", "FaceForensics++")
    donor = rows[FF.format("raw", "003")]
    assert real.group == swap.group == donor.group, "a swap ties two people together"
    assert rows[FF.format("raw", "071")].group != real.group
    assert (rows[FF.format("raw", "071")].split, donor.split) == ("test", "train")


def test_dfd_in_the_same_tree_stands_together(faceforensics: Path) -> None:
    rows = [row for row in read_corpus(faceforensics) if row.source == "DFD"]
    assert {(row.label, row.identity, row.split) for row in rows} == {
        ("real", "dfd:01", ""),
        ("fake", "dfd:01", ""),
    }
    assert len({row.group for row in rows}) == 1


def test_kinds_and_sides_narrow_a_corpus(faceforensics: Path) -> None:
    rows = read_corpus(faceforensics)
    assert {row.kind for row in only_kinds(rows, ["*c23"])} == {
        "original c23", "Deepfakes c23", "DeepFakeDetection c23"
    }  # fmt: skip
    assert {row.identity for row in choose_side(rows, "auto")} == {"ffpp:071"}
    assert len(choose_side(rows, "all")) == len(rows)
    with pytest.raises(UsageError, match="no official val side"):
        choose_side(rows, "val")
    with pytest.raises(UsageError, match="no file is of the kind"):
        read_corpora([faceforensics], ["*c99"])
    with pytest.raises(UsageError, match="training needs fake media, and there are none"):
        need_classes([row for row in rows if row.label == "real"], ("real", "fake"), "training")


def test_a_damaged_split_file_is_an_error(faceforensics: Path) -> None:
    (faceforensics / "test.json").write_text("[1, 2", encoding="utf-8")
    with pytest.raises(UsageError, match=r"test\.json is no list of pairs"):
        read_corpus(faceforensics)


@pytest.fixture
def celeb(tmp_path: Path, place: ProcessRank) -> Path:
    for name in ("Celeb-real/id0_0000", "Celeb-real/id1_0007", "YouTube-real/00170", "YouTube-real/00171"):
        place(f"{name}.mp4")
    for name in ("id0_id1_0000", "id1_id0_0007", "id1_id2_0007", "id1_id0_0003"):
        place(f"Celeb-synthesis/{name}.mp4")
    (tmp_path / "List_of_testing_videos.txt").write_text(
        "1 Celeb-real/id1_0007.mp4\n1 YouTube-real/00170.mp4\n0 Celeb-synthesis/id1_id0_0007.mp4\n",
        encoding="utf-8",
    )
    return tmp_path


def test_celeb_df_honours_its_test_list_and_leaves_out_what_shares_a_clip(celeb: Path) -> None:
    rows = by_name(read_corpus(celeb), celeb)
    assert {name: row.split for name, row in rows.items()} == {
        "Celeb-real/id0_0000.mp4": "",
        "Celeb-real/id1_0007.mp4": "test",
        "YouTube-real/00170.mp4": "test",
        "YouTube-real/00171.mp4": "",
        "Celeb-synthesis/id0_id1_0000.mp4": "",
        "Celeb-synthesis/id1_id0_0007.mp4": "test",
        "Celeb-synthesis/id1_id2_0007.mp4": UNUSED,
        "Celeb-synthesis/id1_id0_0003.mp4": "",
    }
    assert rows["Celeb-synthesis/id0_id1_0000.mp4"].identity == rows["Celeb-real/id0_0000.mp4"].identity
    assert rows["Celeb-synthesis/id1_id0_0003.mp4"].label == "fake"
    assert len(choose_side(list(rows.values()), "auto")) == 3


def test_celeb_df_without_its_list_ties_everyone_who_was_swapped(celeb: Path) -> None:
    (celeb / "List_of_testing_videos.txt").unlink()
    rows = read_corpus(celeb)
    assert {row.split for row in rows} == {""}
    celebrities = {row.group for row in rows if "youtube" not in row.identity}
    assert len(celebrities) == 1
    assert len({row.group for row in rows}) == 3


def test_a_test_list_of_another_corpus_is_an_error(celeb: Path) -> None:
    (celeb / "List_of_testing_videos.txt").write_text("1 Celeb-real/id77_0000.mp4\n", encoding="utf-8")
    with pytest.raises(UsageError, match="none of its videos is in"):
        read_corpus(celeb)
    (celeb / "List_of_testing_videos.txt").write_text("Celeb-real/id1_0007.mp4\n", encoding="utf-8")
    with pytest.raises(UsageError, match="is damaged: its lines are a label and a video"):
        read_corpus(celeb)


def test_dfdc_parts_stand_together_and_missing_videos_are_passed_over(
    tmp_path: Path, place: ProcessRank
) -> None:
    for part in ("dfdc_train_part_0", "dfdc_train_part_1"):
        for name in ("a.mp4", "b.mp4"):
            place(f"{part}/{name}")
        table = {
            "a.mp4": {"label": "FAKE", "split": "train", "original": "b.mp4"},
            "b.mp4": {"label": "REAL", "split": "train"},
            "gone.mp4": {"label": "REAL", "split": "train"},
        }
        (tmp_path / part / "metadata.json").write_text(json.dumps(table), encoding="utf-8")
    rows = by_name(read_corpus(tmp_path), tmp_path)
    assert len(rows) == 4
    fake, real = rows["dfdc_train_part_0/a.mp4"], rows["dfdc_train_part_0/b.mp4"]
    assert (fake.label, real.label) == ("fake", "real")
    assert fake.identity == real.identity != rows["dfdc_train_part_1/b.mp4"].identity
    assert {row.group for row in rows.values()} == {"dfdc:dfdc_train_part_0", "dfdc:dfdc_train_part_1"}
    one = read_corpus(tmp_path / "dfdc_train_part_0")
    assert {row.group for row in one} == {row.identity for row in one}


def test_the_dfdc_preview_names_people_and_honours_its_sets(tmp_path: Path, place: ProcessRank) -> None:
    table = {
        "original_videos/1/r.mp4": {"label": "real", "set": "train", "target_id": 1},
        "method_A/1_2/f.mp4": {"label": "fake", "set": "train", "target_id": 1, "swapped_id": 2},
        "method_A/3_4/g.mp4": {"label": "fake", "set": "test", "target_id": 3, "swapped_id": 4},
        "method_B/5_4/h.mp4": {"label": "fake", "set": "train", "target_id": 5, "swapped_id": 4},
    }
    for name in table:
        place(name)
    (tmp_path / "dataset.json").write_text(json.dumps(table), encoding="utf-8")
    rows = by_name(read_corpus(tmp_path), tmp_path)
    assert [rows[name].split for name in table] == ["", "", "test", UNUSED], "4 is in the test set"
    assert rows["method_A/1_2/f.mp4"].kind == "method_A"
    assert rows["method_A/1_2/f.mp4"].group == rows["original_videos/1/r.mp4"].group
    (tmp_path / "dataset.json").write_text('{"a.mp4": {"label": "maybe"}}', encoding="utf-8")
    place("a.mp4")
    with pytest.raises(UsageError, match="the label 'maybe' is neither"):
        read_corpus(tmp_path)


def test_damaged_or_empty_dfdc_metadata_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "metadata.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UsageError, match="is damaged: it is no table of videos"):
        read_corpus(tmp_path)
    (tmp_path / "metadata.json").write_text('{"gone.mp4": {"label": "REAL"}}', encoding="utf-8")
    with pytest.raises(UsageError, match="none of its videos"):
        read_corpus(tmp_path)


def test_deeperforensics_names_the_video_below_and_ties_by_actor(tmp_path: Path, place: ProcessRank) -> None:
    for variant in ("end_to_end", "end_to_end_level_5"):
        for name in ("000_M101", "001_M101", "002_W004"):
            place(f"manipulated_videos/{variant}/{name}.mp4")
    place("source_videos/M101/light_up/neutral/camera_front/M101_light_up_neutral_camera_front.mp4")
    splits = tmp_path / "lists" / "splits"
    splits.mkdir(parents=True)
    (splits / "train.txt").write_text("000_M101.mp4\n001_M101.mp4\n", encoding="utf-8")
    (splits / "test.txt").write_text("002_W004.mp4\n", encoding="utf-8")
    rows = by_name(read_corpus(tmp_path), tmp_path)
    assert len(rows) == 6 and {row.label for row in rows.values()} == {"fake"}
    one = rows["manipulated_videos/end_to_end/000_M101.mp4"]
    assert (one.identity, one.group, one.kind, one.split) == (
        "ffpp:000", "deeperforensics:M101", "end_to_end", "train"
    )  # fmt: skip
    assert rows["manipulated_videos/end_to_end_level_5/002_W004.mp4"].split == "test"


def test_any_folder_with_both_classes(tmp_path: Path, place: ProcessRank) -> None:
    for name in ("Real/ann/1.mp4", "Real/2.mp4", "fake/ann/1.mp4", "fake/deep/2/2.mp4", "fake/2.mp4"):
        place(name)
    (tmp_path / "fake" / "notes.txt").write_text("no media", encoding="utf-8")
    rows = by_name(read_corpus(tmp_path), tmp_path)
    assert {name: (row.label, row.identity) for name, row in rows.items()} == {
        "Real/ann/1.mp4": ("real", "ann"),
        "Real/2.mp4": ("real", "2"),
        "fake/ann/1.mp4": ("fake", "ann"),
        "fake/deep/2/2.mp4": ("fake", "deep"),
        "fake/2.mp4": ("fake", "2"),
    }
    assert len({row.file for row in rows.values()}) == 5, "files of one name are told apart by their path"


def test_an_empty_class_and_a_strange_folder_are_errors(tmp_path: Path, place: ProcessRank) -> None:
    place("corpus/real/1.mp4")
    (tmp_path / "corpus" / "fake").mkdir()
    with pytest.raises(UsageError, match="the class 'fake' is empty"):
        read_corpus(tmp_path / "corpus")
    (tmp_path / "strange" / "sub").mkdir(parents=True)
    with pytest.raises(UsageError, match="is no corpus: it has neither folders real/ and fake/ nor"):
        read_corpus(tmp_path / "strange")
    (tmp_path / "hollow" / "manipulated_videos").mkdir(parents=True)
    with pytest.raises(UsageError, match="has the folders of deeperforensics, and no video"):
        read_corpus(tmp_path / "hollow")


def test_a_file_of_two_corpora_counts_once(tmp_path: Path, place: ProcessRank) -> None:
    place("real/1.mp4")
    (tmp_path / "list.csv").write_text("file,label\nreal/1.mp4,real\n", encoding="utf-8")
    assert len(read_corpora([tmp_path, tmp_path / "list.csv"])) == 1


def test_people_are_tied_by_chains_of_swaps() -> None:
    tied = connected([("c", "d"), ("a", "b"), ("b", "c"), ("x", "x")])
    assert tied == {"a": "a", "b": "a", "c": "a", "d": "a", "x": "x"}


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "clips.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_only_file_and_label_are_needed(tmp_path: Path) -> None:
    (row,) = read_corpus(table(tmp_path, "file,label\na/b.mp4,fake\n"))
    assert row == Source(tmp_path / "a/b.mp4", "fake", "a/b.mp4", "clips", "", "")
    (row,) = read_corpus(table(tmp_path, "file,label,identity,tool\nb.mp4,real,ann,blender\n"))
    assert (row.identity, row.kind) == ("ann", "blender")
    (row,) = read_corpus(table(tmp_path, "file,label,split,mask\nb.mp4,fake,test,m.mp4\n"))
    assert (row.split, row.mask) == ("test", tmp_path / "m.mp4")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "lists no media"),
        ("file,label\n", "lists no media"),
        ("path,label\na.mp4,real\n", "has no column file"),
        ("a,b\n1,2\n", "has no column file, label"),
        ("file,label\na.mp4,real\nb.mp4,Fake\n", "label 'Fake' is neither 'real' nor 'fake'"),
        ("file,label,split\na.mp4,real,dev\n", "split 'dev' is neither 'train' nor 'val' nor 'test'"),
    ],
)
def test_a_table_that_cannot_be_used_is_an_error(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=sentence):
        read_corpus(table(tmp_path, text))
