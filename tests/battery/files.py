"""The bad-media battery, file by file: how each case is made, and what deepscan must say of it.

Every face is called real by the networks of these tests, so that a verdict of ``real`` means that nothing was
noticed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from tests.fixtures import make, odd, spoil

Write = Callable[[Path], object]


@dataclass(frozen=True)
class FileCase:
    """One file.

    Attributes:
        title: what is wrong with it, as in the table of docs/robustness.md.
        file: its name.
        write: makes it.
        status: of its report.
        verdict: None where there is none.
        exit_code: of a run over this file alone.
        complete: does the coverage count as complete; None where there is no coverage.
        says: what the error or one of the warnings contains.
    """

    title: str
    file: str
    write: Write
    status: str
    verdict: str | None
    exit_code: int
    complete: bool | None
    says: str = ""


def whole(title: str, file: str, write: Write, says: str = "") -> FileCase:
    """Odd, but nothing is wrong with it."""
    return FileCase(title, file, write, "scanned", "real", 0, True, says)


def partial(title: str, file: str, write: Write, says: str) -> FileCase:
    """Only a part of it can be seen."""
    return FileCase(title, file, write, "partial", "uncertain", 3, False, says)


def refused(title: str, file: str, write: Write, says: str, status: str = "unreadable") -> FileCase:
    """Nothing of it can be seen."""
    return FileCase(title, file, write, status, None, 3, None, says)


def _beside(path: Path, suffix: str = "", name: str = "whole") -> Path:
    """Where the undamaged file of a case goes: a folder that the case's own folder does not show."""
    folder = path.parent / ".." / "undamaged"
    folder.mkdir(exist_ok=True)
    return folder / f"{path.stem}-{name}{suffix or path.suffix}"


def _clip(seconds: float = 2.0, codec: str = "libx264", **settings: object) -> Write:
    return lambda path: make.portrait_clip(path, seconds, codec=codec, **settings)  # type: ignore[arg-type]


def _spoilt(spoil_copy: Callable[[Path, Path], object], source: Write | None = None) -> Write:
    """Make a whole file, then a spoilt copy of it."""

    def write(path: Path) -> None:
        undamaged = _beside(path)
        (source or _clip())(undamaged)
        spoil_copy(undamaged, path)

    return write


def _twice(source: Write) -> Write:
    return _spoilt(lambda whole_file, path: spoil.appended(whole_file, whole_file, path), source)


def _flip(count: int) -> Callable[[Path, Path], object]:
    return lambda whole_file, path: make.flipped(whole_file, path, count, seed=3)


def _names_another(write: Callable[[Path, Path], Path]) -> Write:
    return lambda path: write(path, make.portrait_clip(_beside(path), 1.0))


def _renamed(write: Callable[[Path], Path], suffix: str) -> Write:
    return lambda path: shutil.move(write(_beside(path, suffix)), path)


def _photo(mode: str) -> Write:
    def write(path: Path) -> None:
        picture = Image.fromarray(make.portrait(256))
        if mode == "RGBA":
            picture.putalpha(200)
        picture.convert(mode).save(path)

    return write


def _deep_png(path: Path) -> None:
    gray = np.asarray(Image.fromarray(make.portrait(256)).convert("L")).astype(np.uint16) * 257
    Image.fromarray(gray).save(path)


def _still(size: int = 256) -> Write:
    return lambda path: Image.fromarray(make.portrait(size)).save(path)


def _pages(path: Path) -> None:
    odd.pages(path, [make.portrait(256)] * 3, "tiff_deflate")


def _two_tracks(path: Path) -> None:
    frames = list(make.moving_portrait(25))
    odd.several_tracks(path, [frames, [frame[:, ::-1] for frame in frames]])


def _ends_with(source: Write, more: bytes) -> Write:
    def write(path: Path) -> None:
        source(path)
        path.write_bytes(path.read_bytes() + more)

    return write


def _lost_cluster(whole_file: Path, path: Path) -> None:
    data = whole_file.read_bytes()
    path.write_bytes(data[: data.rindex(b"\x1f\x43\xb6\x75")])


TS_NOTE = "states no length"
HIDDEN_CUT = "cut exactly between two pictures"
FAST = make.faststart

FILES: Sequence[FileCase] = (
    # Text that FFmpeg would follow to another file.
    refused("ffconcat text named .mp4", "concat.mp4", _names_another(make.ffconcat), "it holds text"),
    refused("m3u8 text named .mp4", "playlist.mp4", _names_another(make.playlist), "it holds text"),
    refused("zero bytes", "empty.mp4", lambda p: p.touch(), "empty (zero bytes)"),
    # Cut off.
    partial("mp4 cut off", "cut.mp4", _spoilt(make.cut_off, FAST), "cut off"),
    partial("mkv cut off", "cut.mkv", _spoilt(make.cut_off), "cut off"),
    partial("webm cut off", "cut.webm", _spoilt(make.cut_off, _clip(codec="libvpx")), "cut off"),
    partial("avi cut off", "cut.avi", _spoilt(make.cut_off), "cut off"),
    partial("gif cut off", "cut.gif", _spoilt(make.cut_off, make.animated_gif), "cut off"),
    partial("ts cut off", "cut.ts", _spoilt(make.cut_off), "cut off"),
    partial(
        "mpg cut off", "cut.mpg", _spoilt(make.cut_off, _clip(codec="mpeg2video")), "FFmpeg reports damage"
    ),
    partial(f"mkv {HIDDEN_CUT}", "between.mkv", _spoilt(spoil.cut_between_pictures), "cut off"),
    partial("mkv, last cluster gone", "cluster.mkv", _spoilt(_lost_cluster, _clip(20.0, size=96)), "cut off"),
    whole(f"ts {HIDDEN_CUT} (cannot be known)", "between.ts", _spoilt(spoil.cut_between_pictures), TS_NOTE),
    whole(
        "mp4 in fragments, last one gone (cannot be known)",
        "fragments.mp4",
        _spoilt(lambda a, b: spoil.cut_before_box(a, b, b"moof"), make.fragmented),
        TS_NOTE,
    ),
    refused("moov box missing", "no-moov.mp4", _spoilt(make.cut_off), "the moov box, is missing"),
    FileCase(
        "photo cut off",
        "cut.jpg",
        _spoilt(make.cut_off, make.photo),
        "unreadable",
        None,
        3,
        False,
        "damaged photo",
    ),
    # Damaged.
    partial("a zeroed hole, tif", "hole.tif", _spoilt(spoil.hole, _pages), "damaged between bytes"),
    partial("1 byte flipped, mkv", "flip1.mkv", _spoilt(_flip(1)), "check sum does not match"),
    partial("20 bytes flipped, mp4", "flip20.mp4", _spoilt(_flip(20), FAST), "FFmpeg reports damage"),
    partial("300 bytes flipped, mp4", "flip300.mp4", _spoilt(_flip(300), FAST), "FFmpeg reports damage"),
    partial("wrong check sum, png", "sum.png", _spoilt(spoil.wrong_checksum, _photo("RGB")), "check sum"),
    partial("a zeroed hole", "hole.mp4", _spoilt(spoil.hole, FAST), "FFmpeg reports damage"),
    partial("a zeroed hole, ts", "hole.ts", _spoilt(spoil.hole), "parts of packets are missing"),
    # More than one movie.
    partial("two mp4 in one file", "two.mp4", _twice(_clip()), "another movie begins"),
    partial("two mkv in one file", "two.mkv", _twice(_clip()), "after the end of the movie"),
    partial("two ts in one file", "two.ts", _twice(_clip()), "the clock starts again"),
    partial("two gif in one file", "two.gif", _twice(make.animated_gif), "after the end of the animation"),
    partial("two jpg in one file", "two.jpg", _twice(make.photo), "after the end of the picture"),
    partial("two bmp in one file", "two.bmp", _twice(_still()), "after the end of the picture"),
    partial(
        "a film in place of a jpg's end marker",
        "film-behind.jpg",
        lambda p: odd.no_end(
            p, make.portrait_clip(_beside(p, ".mp4"), 0.2).read_bytes().replace(b"\xff", b"")
        ),
        "something else lies in its place",
    ),
    # Pictures that are not read.
    refused("camera raw", "raw.dng", odd.camera_raw, "camera raw file", "unsupported"),
    refused(
        "Photoshop", "layers.psd", lambda p: p.write_bytes(b"8BPS" + bytes(99)), "Photoshop", "unsupported"
    ),
    # Nothing to look at.
    refused("no frames", "zero.mp4", spoil.without_frames, "holds no picture", "unsupported"),
    refused("sound only", "sound.m4a", make.sound, "holds no picture", "unsupported"),
    refused(
        "cover art only",
        "cover.mp3",
        lambda p: make.sound(p, cover=True),
        "only sound and cover art",
        "unsupported",
    ),
    FileCase("nobody in it", "nobody.mp4", make.faceless_clip, "no_face", None, 3, True),
    # Odd, but whole.
    whole("raw h264, no times", "raw.h264", _clip(container="h264"), "no time of their own"),
    whole("picture changes its size", "resized.h264", make.resized_clip),
    whole("uneven frame rate", "vfr.mp4", make.uneven_clip),
    whole("turned by 90 degrees", "turned90.mp4", lambda p: make.rotated_clip(p, 90)),
    whole("turned by 180 degrees", "turned180.mp4", lambda p: make.rotated_clip(p, 180)),
    whole("turned by 270 degrees", "turned270.mp4", lambda p: make.rotated_clip(p, 270)),
    whole("10 bit", "deep.mkv", _clip(codec="libx265", pix_fmt="yuv420p10le")),
    whole("HDR (PQ)", "hdr.mkv", spoil.hdr_clip, "HDR picture"),
    whole("odd size", "odd.mp4", _clip(size=255, pix_fmt="yuv444p")),
    whole("alpha", "alpha.webm", _clip(codec="libvpx-vp9", pix_fmt="yuva420p")),
    whole("gray", "gray.mp4", _clip(pix_fmt="gray")),
    whole("4:4:4", "444.mp4", _clip(pix_fmt="yuv444p")),
    whole("alpha, png", "alpha.png", _photo("RGBA")),
    whole("gray, jpg", "gray.jpg", _photo("L")),
    whole("16 bit gray, png", "deep.png", _deep_png),
    whole("animated webp", "animated.webp", lambda p: make.animated_webp(p, 20)),
    whole("animated gif", "animated.gif", lambda p: make.animated_gif(p, 20)),
    whole("animated png", "animated.png", lambda p: make.animated_png(p, 20)),
    whole("mp4 named .jpg", "film.jpg", _renamed(make.portrait_clip, ".mp4")),
    whole("jpg named .mp4", "photo.mp4", _renamed(make.photo, ".jpg")),
    whole("HEIC of four tiles", "tiles.heic", odd.tiled_heic),
    whole(
        "HEIC of four tiles, turned", "turned.heic", lambda p: odd.tiled_heic(p, orientation=6, upright=True)
    ),
    whole("two pictures in one HEIC", "two.heic", odd.heic_of_two),
    whole("AVIF photo", "still.avif", _still()),
    whole("bmp", "photo.bmp", _still()),
    whole("jp2", "photo.jp2", _still()),
    whole("tga", "photo.tga", _still()),
    whole("three pages, tif", "pages.tif", _pages),
    whole("16 bit, tif", "deep.tif", odd.deep_picture),
    whole("16 bit, ppm", "deep.ppm", odd.deep_picture),
    whole("dv, oblong pixels", "tape.dv", odd.tape_clip),
    whole("mxf", "film.mxf", _clip(1.0, codec="mpeg2video")),
    whole("two video tracks, mp4", "tracks.mp4", _two_tracks),
    whole("two video tracks, ts", "tracks.ts", _two_tracks),
    whole("oblong pixels, mp4", "oblong.mp4", lambda p: odd.oblong_clip(p, Fraction(2))),
    whole("packed B frames, avi", "packed.avi", lambda p: odd.packed_clip(p, size=256)),
    whole(
        "cut at a keyframe of an open group, mp4",
        "open-gop.mp4",
        lambda p: odd.open_gop_cut(p, size=256),
        "they refer to what is not there",
    ),
    whole(
        "start hidden by an edit list, mp4",
        "trimmed.mp4",
        lambda p: odd.trimmed_clip(p, size=256),
        "1.6 s before the start are hidden from players",
    ),
    whole("jpg without end marker", "no-end.jpg", odd.no_end, "all pixels are there"),
    whole(
        "jpg with a phone's trailer for an end marker",
        "phone.jpg",
        lambda p: odd.no_end(p, odd.samsung_trailer()),
        "all pixels are there",
    ),
    whole(
        "jpg with a line end behind it", "line-end.jpg", _ends_with(make.photo, b"\r\n"), "too few to hold"
    ),
    # Bombs.
    refused("16000 x 16000 png", "huge.png", make.huge_png, "67 megapixels"),
    FileCase("400 frames of 4K in 75 kB", "vast.webm", spoil.vast_clip, "no_face", None, 3, True),
)
