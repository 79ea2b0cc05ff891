"""One file through the whole pipeline, with tiny networks that call bright faces fake."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage.data import astronaut

import deepscan
from deepscan import media
from deepscan.config import ScanConfig
from deepscan.detectors import SPECS
from deepscan.errors import ScoreError, WeightsError
from deepscan.results import NOT_NEEDED
from deepscan.scanner import FileReport, Scanner
from tests.fixtures import make
from tests.fixtures.doubles import write_weights

REPOSITORY = Path(__file__).parents[1]
RATE = 25
CLIPWISE = ("gml", "global_local", "resnet3d")
Picture = NDArray[np.uint8]


@cache
def head(brightness: str) -> Picture:
    """The astronaut's head, 190 px high (its face is about 120 px), made bright or dark."""
    pixels = astronaut()[25:215, 150:300].astype(np.float32)
    gain, offset = {"bright": (0.5, 127), "dark": (0.5, 0), "plain": (1, 0)}[brightness]
    return (pixels * gain + offset).astype(np.uint8)


def scene(index: int, **heads: tuple[str, int]) -> Picture:
    """A grey 640 x 320 frame; each head is (brightness, x) and drifts to the right."""
    canvas = np.full((320, 640, 3), 100, np.uint8)
    canvas += np.random.default_rng(0).integers(0, 40, canvas.shape, np.uint8)
    for brightness, x in heads.values():
        picture = head(brightness)
        x += index // 4
        canvas[60 : 60 + picture.shape[0], x : x + picture.shape[1]] = picture
    return canvas


def film(path: Path, *, frames: int = 40, **heads: tuple[str, int]) -> Path:
    pictures = (scene(index, **heads) for index in range(frames))
    return make.write_clip(path, pictures, fps=RATE, codec="mpeg4", options={"b": "4M"})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights"), middle=0.45)


@pytest.fixture(scope="module")
def config(root: Path) -> ScanConfig:
    return ScanConfig(weights=root, device="cpu", threads=1)


@pytest.fixture(scope="module")
def scanner(config: ScanConfig) -> Scanner:
    return Scanner(config)


@pytest.fixture(scope="module")
def two_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("films") / "two.mp4", left=("dark", 40), right=("bright", 440))


def test_of_two_faces_the_forged_one_is_named(scanner: Scanner, two_faces: Path) -> None:
    report = scanner.scan(two_faces)
    assert (report.path, report.status, report.verdict, report.error) == (
        str(two_faces),
        "scanned",
        "fake",
        None,
    )
    assert len(report.tracks) == 2
    by_brightness = sorted(report.tracks, key=lambda t: float(np.mean(t.thumbnail)))  # type: ignore[arg-type]
    real, fake = by_brightness
    assert (real.verdict, fake.verdict) == ("real", "fake")
    assert report.probability == fake.probability
    assert fake.probability is not None and fake.probability > 0.8
    for track in report.tracks:
        assert [d.name for d in track.detectors] == list(SPECS)
        assert all(d.reason is None and d.scores and d.peak in d.scores for d in track.detectors)
        assert all(score.track_id == track.id for d in track.detectors for score in d.scores)
        assert (track.start_s, track.end_s) == pytest.approx((0.0, 39 / RATE), abs=0.05)
        assert 70 < track.face_width_px < 150
        assert track.thumbnail is not None and track.thumbnail.shape == (48, 48, 3)
    assert report.coverage is not None and report.coverage.complete
    assert report.media is not None and report.media.kind == "video"


def test_same_file_same_scores_whatever_else_is_scanned(
    scanner: Scanner, config: ScanConfig, two_faces: Path, tmp_path: Path
) -> None:
    other = film(tmp_path / "other.mp4", frames=20, one=("plain", 200))
    first = scanner.scan(two_faces)
    scanner.scan(other)
    assert scanner.scan(two_faces) == first
    assert Scanner(replace(config, threads=2)).scan(two_faces) == first
    assert Scanner(replace(config, detectors=("sola",))).scan(two_faces).tracks[0].detectors == tuple(
        d for d in first.tracks[0].detectors if d.name == "sola"
    )


def test_evidence_is_the_same_whatever_the_number_of_threads(
    scanner: Scanner, config: ScanConfig, two_faces: Path
) -> None:
    one, two = (
        Scanner(replace(config, evidence=True, threads=threads)).scan(two_faces) for threads in (1, 2)
    )
    assert one == two == scanner.scan(two_faces)
    for mine, other in zip(one.tracks, two.tracks, strict=True):
        assert mine.evidence is not None and other.evidence is not None
        moments = mine.evidence.moments
        assert [m.detector for m in moments] == [m.detector for m in other.evidence.moments] == list(SPECS)
        for moment, same in zip(moments, other.evidence.moments, strict=True):
            assert (moment.time_s, moment.score) == (same.time_s, same.score)
            np.testing.assert_array_equal(moment.picture, same.picture)
            for heat, equal in zip(moment.heats, same.heats, strict=True):
                np.testing.assert_array_equal(heat.values, equal.values)


def test_thorough_looks_at_every_window(scanner: Scanner, config: ScanConfig, tmp_path: Path) -> None:
    path = film(tmp_path / "long.mp4", frames=112, one=("plain", 200))
    sampled, thorough = scanner.scan(path), Scanner(replace(config, thorough=True)).scan(path)
    clips = [
        len(detector.scores)
        for report in (sampled, thorough)
        for detector in report.tracks[0].detectors
        if detector.name == "resnet3d"
    ]
    assert clips == [3, 7]


def test_fast_stops_where_it_is_certain_and_says_who_did_not_run(config: ScanConfig, tmp_path: Path) -> None:
    path = film(tmp_path / "bright.mp4", frames=20, one=("bright", 200))
    (track,) = Scanner(replace(config, fast=True)).scan(path).tracks
    reasons = {detector.name: detector.reason for detector in track.detectors}
    ran = {name for name, reason in reasons.items() if reason is None}
    assert {"gend"} <= ran < set(SPECS)
    assert "gml" not in ran, "the most expensive one"
    assert {reason for reason in reasons.values() if reason} == {NOT_NEEDED}
    assert track.verdict == "fake"


def photo(path: Path, brightness: str = "bright") -> Path:
    Image.fromarray(scene(0, one=(brightness, 200))).save(path)
    return path


def test_a_photo_is_scored_by_the_detectors_of_single_frames(scanner: Scanner, tmp_path: Path) -> None:
    report = scanner.scan(photo(tmp_path / "photo.png"))
    (track,) = report.tracks
    assert (report.status, report.verdict) == ("scanned", "fake")
    for detector in track.detectors:
        if detector.name in CLIPWISE:
            assert detector.probability is None
            assert detector.reason is not None and detector.reason.startswith("needs ")
        else:
            assert len(detector.scores) == 1


def test_a_photo_is_scored_by_a_network_that_takes_clips_of_any_length(tmp_path: Path) -> None:
    root = write_weights(tmp_path / "weights", any_length=["gml"])
    (track,) = Scanner(ScanConfig(weights=root, device="cpu")).scan(photo(tmp_path / "photo.png")).tracks
    ran = {detector.name: len(detector.scores) for detector in track.detectors if detector.reason is None}
    assert ran == {"gend": 1, "gml": 1, "sola": 1, "local_features": 1}


def test_a_face_that_nothing_could_score_is_never_called_real(config: ScanConfig, tmp_path: Path) -> None:
    report = Scanner(replace(config, detectors=("gml",))).scan(photo(tmp_path / "photo.png", "dark"))
    assert (report.status, report.verdict, report.probability) == ("scanned", "uncertain", None)
    (track,) = report.tracks
    assert (track.verdict, track.probability) == (None, None)
    assert track.detectors[0].reason == "needs 8 frames, every second of 15, with this face; it has 1"


def test_a_detector_of_weight_zero_is_reported_and_not_counted(tmp_path: Path) -> None:
    """The detector that has everything the wrong way round loses its say, not its row."""
    gains, picture = {"sola": -12.0}, photo(tmp_path / "photo.png")
    counted, muted = (
        Scanner(
            ScanConfig(weights=write_weights(tmp_path / f"{weight}", gains=gains, weights={"sola": weight}))
        )
        for weight in (1.0, 0.0)
    )
    with_it, without = counted.scan(picture), muted.scan(picture)
    assert with_it.probability is not None and without.probability is not None
    assert with_it.probability < without.probability
    assert with_it.tracks[0].detectors == without.tracks[0].detectors


@pytest.mark.parametrize(("brightness", "verdict"), [("dark", "uncertain"), ("bright", "fake")])
def test_a_file_that_breaks_off_is_partial_and_never_real(
    scanner: Scanner, tmp_path: Path, brightness: str, verdict: str
) -> None:
    whole = film(tmp_path / "whole.avi", frames=60, one=(brightness, 200))
    broken = tmp_path / "broken.avi"
    broken.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert scanner.scan(whole).verdict == {"dark": "real", "bright": "fake"}[brightness]
    report = scanner.scan(broken)
    assert (report.status, report.verdict) == ("partial", verdict)
    assert report.tracks


def test_no_face(scanner: Scanner, tmp_path: Path) -> None:
    report = scanner.scan(film(tmp_path / "empty.mp4", frames=20))
    assert (report.status, report.verdict, report.probability, report.tracks) == ("no_face", None, None, ())
    assert report.coverage is not None and report.coverage.complete


def test_small_faces_are_listed_as_skipped(config: ScanConfig, two_faces: Path) -> None:
    report = Scanner(replace(config, min_face_px=300)).scan(two_faces)
    assert (report.status, report.tracks) == ("no_face", ())
    (skipped,) = report.skipped
    assert skipped.count == 2
    assert "300 px" in skipped.reason


def test_a_face_left_out_while_another_is_judged_keeps_the_file_from_being_real(
    config: ScanConfig, tmp_path: Path
) -> None:
    small = np.asarray(Image.fromarray(head("dark")).resize((110, 140)))
    pictures = [scene(index, one=("dark", 40)) for index in range(20)]
    for picture in pictures:
        picture[60 : 60 + small.shape[0], 440 : 440 + small.shape[1]] = small
    path = make.write_clip(tmp_path / "dark.mp4", pictures, fps=RATE, codec="mpeg4", options={"b": "4M"})
    whole = Scanner(config).scan(path)
    assert (whole.verdict, len(whole.tracks), whole.unjudged) == ("real", 2, 0)
    widths = sorted(track.face_width_px for track in whole.tracks)
    between = sum(widths) // 2
    for short, option in (
        (replace(config, max_faces=1), "--max-faces 2"),
        (replace(config, min_face_px=between), "--min-face"),
    ):
        report = Scanner(short).scan(path)
        assert (report.status, report.verdict, len(report.tracks)) == ("scanned", "uncertain", 1)
        (skipped,) = report.skipped
        assert (skipped.large, report.unjudged) == (1, 1)
        assert skipped.judge_with is not None and skipped.judge_with.startswith(option)
    least_px = int(skipped.judge_with.split()[-1])
    assert len(Scanner(replace(config, min_face_px=least_px)).scan(path).tracks) == 2


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("ffconcat version 1.0\nfile other.mp4\n")


def nothing(path: Path) -> None:
    pass


def sound(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        samples.sample_rate = 16000
        container.mux(stream.encode(samples))
        container.mux(stream.encode())


@pytest.mark.parametrize(
    ("make", "status"),
    [(empty, "unreadable"), (text, "unreadable"), (nothing, "unreadable"), (sound, "unsupported")],
)
def test_a_file_that_cannot_be_looked_at_says_why(
    scanner: Scanner, tmp_path: Path, make: Callable[[Path], None], status: str
) -> None:
    path = tmp_path / "file.mp4"
    make(path)
    report = scanner.scan(path)
    assert (report.status, report.verdict, report.probability) == (status, None, None)
    assert report.error and "\n" not in report.error


def test_a_score_that_is_no_number_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    root = write_weights(tmp_path / "weights", gains={"sola": float("nan")})
    with pytest.raises(ScoreError, match=r"photo\.png: sola: returned nan"):
        Scanner(ScanConfig(weights=root, device="cpu")).scan(photo(tmp_path / "photo.png"))


def test_an_altered_network_stops_the_scanner_before_it_starts(tmp_path: Path) -> None:
    root = write_weights(tmp_path / "weights")
    (root / "resnet3d.onnx").write_bytes((root / "sola.onnx").read_bytes())
    with pytest.raises(WeightsError, match="resnet3d is not the one in the manifest"):
        Scanner(ScanConfig(weights=root, device="cpu"))


def test_the_python_api(config: ScanConfig, scanner: Scanner, two_faces: Path) -> None:
    report = deepscan.scan(str(two_faces), config)
    assert callable(deepscan.scan)
    assert isinstance(report, FileReport)
    assert deepscan.FileReport is FileReport and deepscan.ScanConfig is ScanConfig
    assert report == scanner.scan(two_faces)


def run(code: str, *arguments: object) -> str:
    """Run code in a fresh interpreter; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_file_that_fails_while_it_is_read_is_unreadable(
    scanner: Scanner, two_faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It vanished, its disk fails, or the system lets nobody open more files."""

    def gone(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files", str(two_faces))

    monkeypatch.setattr(media, "begin", gone)
    report = scanner.scan(two_faces)
    assert (report.status, report.verdict) == ("unreadable", None)
    assert report.error == f"{two_faces} cannot be read (Too many open files)"


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "{'numpy', 'cv2', 'av', 'onnxruntime', 'insightface', 'torch'}"
    assert run(f"import sys, deepscan; print(sorted({heavy} & set(sys.modules)))") == "[]"


def test_a_scan_never_imports_torch_and_opens_no_socket(root: Path, two_faces: Path) -> None:
    printed = run(
        """
        import sys

        def no_network(event, arguments):
            if event.startswith(("socket.", "urllib.", "http.", "ftplib.", "smtplib.")):
                print(event, arguments)  # whoever catches every error would swallow one that is raised here

        sys.addaudithook(no_network)
        from pathlib import Path
        import deepscan

        config = deepscan.ScanConfig(weights=Path(sys.argv[1]), device="cpu", threads=1)
        print(deepscan.scan(sys.argv[2], config).verdict)
        banned = {"torch", "torchvision", "tensorflow", "jax", "ray"}
        print(sorted(banned & set(sys.modules)))
        """,
        root,
        two_faces,
    )
    assert printed.splitlines() == ["fake", "[]"]
