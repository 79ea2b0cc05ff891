"""The PNG files of ``--save-evidence``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from deepscan.report.evidence_files import EvidenceFiles
from deepscan.report.heatmaps import heat_rgba, overlay
from tests.fixtures.pictures import with_pictures
from tests.fixtures.sample import real, run, scanned


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def test_each_moment_is_a_crop_and_a_picture_per_map(tmp_path: Path) -> None:
    report = EvidenceFiles(tmp_path)
    file = with_pictures(scanned("dir/a.mp4"))
    report.begin(run([file]))
    report.file(real("plain.mp4"))
    report.file(file)
    report.end(run([file]))
    assert [path.name for path in tmp_path.iterdir()] == ["0002-a.mp4"], "the first has no pictures"
    folder = tmp_path / "0002-a.mp4"
    assert len(list(folder.glob("face1-*.png"))) == len(list(folder.iterdir())) == 6 + 7
    evidence = file.tracks[0].evidence
    assert evidence is not None
    gml = evidence.moments[1]
    crop = pixels(folder / f"face1-gml-{gml.time_s:.2f}s.png")
    np.testing.assert_array_equal(crop, gml.picture)
    heated = pixels(folder / f"face1-gml-{gml.time_s:.2f}s-anomaly.png")
    assert heated.shape == crop.shape
    assert not np.array_equal(heated, crop)


def test_heat_is_clear_where_nothing_was_found() -> None:
    file = with_pictures(scanned())
    evidence = file.tracks[0].evidence
    assert evidence is not None
    forged_pixels = evidence.moments[-1]
    heat = forged_pixels.heats[0]
    assert heat_rgba(np.zeros((4, 4), np.float32))[:, :, 3].max() == 0
    nothing = overlay(forged_pixels.picture, np.zeros_like(heat.values), heat.view)
    np.testing.assert_array_equal(nothing, forged_pixels.picture)
    shown = overlay(forged_pixels.picture, np.ones_like(heat.values), heat.view)
    changed = np.any(shown != forged_pixels.picture, axis=2)
    assert not changed[:15].any(), "the rim is not covered by the map"
    assert changed[20:100, 20:100].all()


def test_a_later_run_replaces_the_files(tmp_path: Path) -> None:
    file = with_pictures(scanned("a.mp4"))
    for _ in range(2):
        report = EvidenceFiles(tmp_path)
        report.file(file)
    report.file(replace(file, path="../../b.mp4"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0001-a.mp4", "0002-b.mp4"]
    assert not list(tmp_path.rglob("*.part"))
