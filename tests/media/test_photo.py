"""Photos of every kind that a person may hand in: tiles, pages, depth, missing and further ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deepscan.errors import UnreadableMedia, UnsupportedMedia
from deepscan.media import Coverage, Frame, MediaInfo, begin, is_media
from deepscan.media.integrity.containers import heif
from tests.fixtures import make, odd, spoil


def read(path: Path) -> tuple[MediaInfo, list[tuple[str, Frame]], Coverage]:
    """Every part of a file."""
    medium = begin(path)
    coverage = Coverage(medium.info.duration_s)
    parts = medium.parts(coverage)
    return medium.info, [(name, frame) for name, frames in parts for frame in frames], coverage


def only_picture(path: Path) -> np.ndarray:
    info, ((name, frame),), coverage = read(path)
    assert (info.kind, info.duration_s, name) == ("image", None, "")
    assert coverage.complete, coverage
    assert frame.rgb.shape == (info.height, info.width, 3)
    assert is_media(path)
    return frame.rgb


def away(rgb: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(rgb.astype(int) - expected).mean())


# ---- HEIC and AVIF ------------------------------------------------------------------------------

TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda rgb: rgb,
    2: lambda rgb: rgb[:, ::-1],
    3: lambda rgb: rgb[::-1, ::-1],
    6: lambda rgb: np.rot90(rgb, -1),
    7: lambda rgb: rgb[::-1, ::-1].transpose(1, 0, 2),
    8: lambda rgb: np.rot90(rgb, 1),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_tiles_are_put_together_turned_and_mirrored(orientation: int, tmp_path: Path) -> None:
    stored = only_picture(odd.tiled_heic(tmp_path / "stored.heic"))
    path = odd.tiled_heic(tmp_path / "photo.heic", orientation=orientation)
    assert stored[:24, :24].mean() > 240
    assert away(stored[32:], make.portrait(256)[32:]) < 6
    assert away(only_picture(path), TURNS[orientation](stored)) < 1


@pytest.mark.parametrize("orientation", TURNS)
def test_an_avif_photo_is_a_photo_and_upright(orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "photo.avif"
    Image.fromarray(make.portrait(256)).save(path, exif=odd.exif(orientation))
    expected = TURNS[orientation](make.portrait(256))
    assert away(only_picture(path), expected) < 6
    assert read(path)[2].warnings == []


def test_a_thumbnail_is_no_further_picture(tmp_path: Path) -> None:
    path = odd.tiled_heic(tmp_path / "photo.heic", thumbnail=64)
    assert b"thmb" in path.read_bytes()
    assert only_picture(path).shape == (256, 256, 3)


def test_every_picture_of_a_collection_is_looked_at(tmp_path: Path) -> None:
    info, found, coverage = read(odd.heic_of_two(tmp_path / "two.heic"))
    assert info.parts == ("picture 1", "picture 2")
    assert away(found[0][1].rgb, make.portrait(256)) < 6
    assert away(found[1][1].rgb, make.portrait(256, 0.05)) < 6
    assert coverage.complete


def test_an_image_sequence_stays_a_video(tmp_path: Path) -> None:
    path = tmp_path / "moving.avif"
    first, *rest = [Image.fromarray(frame) for frame in make.moving_portrait(20, 96)]
    first.save(path, save_all=True, append_images=rest, duration=40)
    info, found, coverage = read(path)
    assert (info.kind, info.parts) == ("video", ())
    assert len(found) > 16
    assert coverage.complete, coverage


def test_a_heic_photo_in_another_coding_is_unsupported(tmp_path: Path) -> None:
    path = odd.tiled_heic(tmp_path / "photo.heic")
    path.write_bytes(path.read_bytes().replace(b"infe\2\0\0\0", b"infe\2\0\0\0").replace(b"hvc1", b"vvc1"))
    with pytest.raises(UnsupportedMedia, match="coding that is not read"):
        read(path)


@pytest.mark.parametrize("lost", [1, 2000])
def test_a_heic_photo_that_is_cut_off_is_not_clean(lost: int, tmp_path: Path) -> None:
    path = odd.tiled_heic(tmp_path / "photo.heic")
    path.write_bytes(path.read_bytes()[:-lost])
    try:
        assert not read(path)[2].complete
    except UnreadableMedia as error:
        assert "photo.heic" in str(error)


def test_a_tile_that_does_not_decode_is_not_passed_over(tmp_path: Path) -> None:
    path = odd.tiled_heic(tmp_path / "photo.heic")
    data = bytearray(path.read_bytes())
    place = data.index(b"mdat") + 4
    data[place : place + 8] = bytes(8)
    path.write_bytes(data)
    try:
        coverage = read(path)[2]
    except UnreadableMedia:
        return
    assert not coverage.complete


# ---- TIFF, BMP and others ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.bmp", "a.tif", "a.tiff", "a.jp2", "a.j2k", "a.ppm", "a.pnm", "a.tga"])
def test_what_a_viewer_shows_is_read(name: str, tmp_path: Path) -> None:
    Image.fromarray(make.portrait(128)).save(tmp_path / name)
    assert away(only_picture(tmp_path / name), make.portrait(128)) < 1


@pytest.mark.parametrize("name", ["a.bmp", "a.tif", "a.jp2", "a.j2k", "a.ppm", "a.tga"])
@pytest.mark.parametrize("lost", [200, 3000])
def test_a_picture_that_is_cut_off_is_not_clean(name: str, lost: int, tmp_path: Path) -> None:
    path = tmp_path / name
    Image.fromarray(make.portrait(128)).save(path)
    path.write_bytes(path.read_bytes()[:-lost])
    try:
        assert not read(path)[2].complete
    except UnreadableMedia as error:
        assert name in str(error)


@pytest.mark.parametrize("name", ["a.bmp", "a.jp2", "a.j2k", "a.ppm", "a.png", "a.jpg"])
def test_a_second_picture_behind_the_first_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    Image.fromarray(make.portrait(128)).save(path)
    path.write_bytes(path.read_bytes() * 2)
    try:
        coverage = read(path)[2]
    except UnreadableMedia:
        return
    assert not coverage.complete
    assert coverage.warnings


@pytest.mark.parametrize("name", ["a.bmp", "a.ppm", "a.png", "a.jpg", "a.j2k"])
def test_a_line_end_behind_a_picture_is_no_damage(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    Image.fromarray(make.portrait(128)).save(path)
    path.write_bytes(path.read_bytes() + b"\r\n")
    coverage = read(path)[2]
    assert coverage.complete
    assert any("2 byte(s) follow after the end" in line for line in coverage.warnings)


def test_every_page_of_a_tiff_is_looked_at(tmp_path: Path) -> None:
    shown = [make.portrait(size) for size in (128, 96, 160)]
    info, found, coverage = read(odd.pages(tmp_path / "scan.tif", shown))
    assert info.parts == ("page 1", "page 2", "page 3")
    assert [name for name, _ in found] == list(info.parts)
    assert all(away(frame.rgb, rgb) < 1 for (_, frame), rgb in zip(found, shown, strict=True))
    assert (coverage.complete, coverage.frames_decoded) == (True, 3)


@pytest.mark.parametrize("compression", ["tiff_deflate", "tiff_lzw"])
def test_a_damaged_later_page_leaves_the_file_incomplete(
    compression: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shown = [make.portrait(96), make.portrait(96, 0.1)]
    whole = odd.pages(tmp_path / "whole.tif", shown, compression)
    path = spoil.hole(whole, tmp_path / "scan.tif", 0.7, 0.9)
    assert not read(path)[2].complete
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["deep.tif", "deep.ppm"])
def test_sixteen_bits_a_channel(name: str, tmp_path: Path) -> None:
    assert away(only_picture(odd.deep_picture(tmp_path / name)), make.portrait(256)) < 1


@pytest.mark.parametrize("name", ["raw.dng", "raw.tif", "raw.nef"])
def test_a_camera_raw_file_is_named_as_such(name: str, tmp_path: Path) -> None:
    path = odd.camera_raw(tmp_path / name)
    assert is_media(path)
    with pytest.raises(UnsupportedMedia, match="is a camera raw file"):
        begin(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.psd", b"8BPS\0\1"),
        ("a.jxl", b"\xff\x0a"),
        ("noname", b"\0\0\0\x0cJXL \r\n\x87\n"),
        ("a.exr", b"v/1\x01"),
        ("a.cr3", b"\0\0\0\x18ftypcrx \0\0\0\1"),
        ("a.svg", b"<svg><image href='data:image/png;base64,AAAA'/></svg>"),
    ],
)
def test_a_picture_that_is_not_read_is_unsupported(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content + bytes(600))
    assert is_media(tmp_path / name)
    with pytest.raises(UnsupportedMedia, match="which deepscan does not read"):
        begin(tmp_path / name)


def test_a_drawing_without_photos_is_no_media(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text("<svg><path d='M0 0'/></svg>")
    assert not is_media(tmp_path / "a.svg")


# ---- JPEG without an end marker -------------------------------------------------------------------

CODED: dict[str, dict[str, object]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_blocks": 8},
}


@pytest.mark.parametrize("trailer", [b"", b"\r\n", odd.samsung_trailer()])
@pytest.mark.parametrize("coded", CODED)
def test_a_jpeg_that_lacks_only_its_end_marker_is_whole(coded: str, trailer: bytes, tmp_path: Path) -> None:
    whole = tmp_path / "whole.jpg"
    path = odd.no_end(tmp_path / "photo.jpg", trailer, **CODED[coded])
    whole.write_bytes(odd.no_end(tmp_path / "bare.jpg", **CODED[coded]).read_bytes() + b"\xff\xd9")
    np.testing.assert_array_equal(only_picture(path), only_picture(whole))
    assert read(path)[2].warnings == ["the end marker is missing; all pixels are there"]


@pytest.mark.parametrize("trailer", [b"", odd.samsung_trailer()])
@pytest.mark.parametrize("lose", [1, 2, 40, 4000])
@pytest.mark.parametrize("coded", CODED)
def test_a_jpeg_that_is_cut_off_is_not_clean(coded: str, lose: int, trailer: bytes, tmp_path: Path) -> None:
    path = odd.no_end(tmp_path / "photo.jpg", trailer, lose=lose, **CODED[coded])
    try:
        assert not read(path)[2].complete
    except UnreadableMedia as error:
        assert "photo.jpg" in str(error)


def test_a_progressive_jpeg_cut_between_two_scans_is_not_clean(tmp_path: Path) -> None:
    path = odd.no_end(tmp_path / "photo.jpg", progressive=True)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"\xff\xda")])
    with pytest.raises(UnreadableMedia, match="damaged photo"):
        read(path)


def test_a_film_in_place_of_the_end_marker_is_not_passed_over(tmp_path: Path) -> None:
    film = make.portrait_clip(tmp_path / "film.mp4", 0.2).read_bytes().replace(b"\xff", b"\xfe")
    path = odd.no_end(tmp_path / "photo.jpg", film)
    assert not read(path)[2].complete


def test_what_hides_behind_a_phones_trailer_is_named(tmp_path: Path) -> None:
    """The trailer lists what lies in it; a second photo before it is not among that."""
    photo = make.photo(tmp_path / "photo.jpg")
    plain = photo.read_bytes()
    photo.write_bytes(plain + odd.samsung_trailer())
    assert read(photo)[2].complete
    photo.write_bytes(plain + plain + odd.samsung_trailer())
    assert not read(photo)[2].complete


def test_an_entry_of_a_heic_list_that_damage_cut_short_is_passed_over() -> None:
    whole = b"\0\0\0\x15infe" + b"\2\0\0\0" + b"\0\1" + b"\0\0" + b"hvc1" + b"\0"
    short = b"\0\0\0\x0ainfe" + b"\2\0"
    found = heif.Items()
    heif._read_info(found, b"\0" * 6 + short + whole)
    assert {number: item.kind for number, item in found.items.items()} == {1: b"hvc1"}
