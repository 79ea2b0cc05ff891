"""Broken, odd and hostile input: what deepscan says of it, and with which exit code."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from deepscan.cli.exit_codes import exit_code
from deepscan.config import ScanConfig
from deepscan.media import Coverage, frames, is_media, plan, probe
from deepscan.scanner import FileReport, Scanner
from tests.battery.files import FILES, FileCase
from tests.battery.runs import RUNS, RunCase, run
from tests.fixtures import make, spoil
from tests.fixtures.doubles import write_weights

pytestmark = pytest.mark.slow

needs_posix_names = pytest.mark.skipif(
    sys.platform in ("darwin", "win32"), reason="file names must be Unicode, or may not hold these characters"
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks that call every face real."""
    return write_weights(tmp_path_factory.mktemp("weights"), middle=2.0)


@pytest.fixture(scope="module")
def scanner(weights: Path) -> Scanner:
    return Scanner(ScanConfig(weights=weights, device="cpu"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Empty, with room beside it."""
    (tmp_path / "battery").mkdir()
    return tmp_path / "battery"


@pytest.fixture(scope="module")
def battery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files of the battery are made, each once."""
    folder = tmp_path_factory.mktemp("files") / "battery"
    folder.mkdir()
    return folder


def made(case: FileCase, battery: Path) -> Path:
    path = battery / case.file
    if not path.exists():
        case.write(path)
    return path


def said(report: FileReport) -> str:
    warnings = report.coverage.warnings if report.coverage else []
    return "\n".join(filter(None, [report.error, *warnings]))


@pytest.mark.parametrize("case", FILES, ids=lambda case: case.title)
def test_file(case: FileCase, scanner: Scanner, battery: Path) -> None:
    path = made(case, battery)
    report = scanner.scan(path)
    assert (report.status, report.verdict) == (case.status, case.verdict), said(report)
    assert exit_code([report], "fake") == case.exit_code
    assert (report.coverage.complete if report.coverage else None) is case.complete
    assert case.says in said(report)
    assert (report.error is None) is (case.status in ("scanned", "partial", "no_face"))
    # Sound is no media to walk folders for; everything else must be taken when a folder is scanned.
    assert is_media(path) or case.file.endswith((".m4a", ".mp3"))


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_a_turned_face_is_cut_upright(turned: int, scanner: Scanner, tmp_path: Path) -> None:
    upright = scanner.scan(make.rotated_clip(tmp_path / "upright.mp4", 0))
    report = scanner.scan(make.rotated_clip(tmp_path / "turned.mp4", turned))
    (expected,), (track,) = upright.tracks, report.tracks
    assert expected.thumbnail is not None and track.thumbnail is not None
    assert np.abs(expected.thumbnail.astype(int) - track.thumbnail).mean() < 12
    assert track.face_width_px == pytest.approx(expected.face_width_px, rel=0.1)


def test_permission_denied(scanner: Scanner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make.photo(tmp_path / "locked.jpg")
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read everything: let the system say no all the same

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr("builtins.open", refuse)
    report = scanner.scan(path)
    assert (report.status, report.verdict, exit_code([report], "fake")) == ("unreadable", None, 3)
    assert "may not be read by this user" in str(report.error)


def test_a_vast_video_stops_at_the_pixel_budget(tmp_path: Path) -> None:
    path = spoil.vast_clip(tmp_path / "vast.webm", frames=50, width=1920, height=1080)
    info = probe(path)
    coverage = Coverage(info.duration_s, pixel_budget=20 * 1920 * 1080)
    assert list(frames(path, info, plan(info), coverage))
    assert 15 < coverage.frames_decoded < 25
    assert not coverage.complete
    assert any("not read to the end" in warning for warning in coverage.warnings)


def test_a_vast_animation_stops_at_the_pixel_budget(tmp_path: Path) -> None:
    path = make.animated_webp(tmp_path / "vast.webp", 12, 96)
    info = probe(path)
    coverage = Coverage(info.duration_s, pixel_budget=5 * 96 * 96)
    assert list(frames(path, info, plan(info), coverage))
    assert coverage.frames_decoded == 5
    assert not coverage.complete
    assert any("not read to the end" in warning for warning in coverage.warnings)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
def test_a_png_of_gigabytes_takes_no_memory(scanner: Scanner, tmp_path: Path) -> None:
    path = make.huge_png(tmp_path / "huge.png")
    before_kb = peak_kb()
    scanner.scan(path)
    assert peak_kb() - before_kb < 50_000


def peak_kb() -> int:
    """Most memory that this process ever held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


@needs_posix_names
@pytest.mark.parametrize("case", RUNS, ids=lambda case: case.title)
def test_run(case: RunCase, folder: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    result = run(case, folder, weights, "--json")
    assert (result.exit_code, case.says in result.err) == (case.exit_code, True), result.err
    if case.files is None:
        assert result.out == ""
    else:
        paths = [file["path"] for file in json.loads(result.out)["files"]]
        assert len(paths) == len(set(paths)) == case.files
    assert "Traceback" not in result.err
    assert not (folder / "pwned").exists()


@needs_posix_names
@pytest.mark.parametrize("form", [(), ("-v",), ("-q", "--threshold", "0"), ("--jsonl",), ("--json",)])
def test_no_name_reaches_the_terminal_as_it_is(form: tuple[str, ...], folder: Path, weights: Path) -> None:
    hostile = next(case for case in RUNS if case.title.startswith("names"))
    result = run(hostile, folder, weights, *form)
    printed = result.out + result.err
    assert "photo.jpg" in printed
    assert not {"\x1b", "\x07", "\u202e"} & set(printed)
    assert printed.encode()  # no lone surrogate
    assert "line\nbreak" not in printed


def test_all_files_in_one_run(battery: Path, weights: Path) -> None:
    expected = {made(case, battery).name: case.status for case in FILES}
    (battery / "vast.webm").unlink()  # takes long, and a folder makes no difference to it
    expected.pop("vast.webm")
    case = RunCase("all", lambda *_: [str(battery), "--weights", str(weights)], 3, len(expected))
    result = run(case, battery, weights, "--json", "--detectors", "sola")
    assert result.exit_code == case.exit_code
    reports = {Path(file["path"]).name: file["status"] for file in json.loads(result.out)["files"]}
    taken = {name: status for name, status in expected.items() if not name.endswith((".m4a", ".mp3"))}
    assert {name: status for name, status in reports.items() if name in taken} == taken
    assert list(reports) == sorted(reports)
