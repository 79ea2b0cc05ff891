"""Probe, plan, frames, coverage: what a user's file gives."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from deepscan.errors import UnreadableMedia, UnsupportedMedia
from deepscan.media import (
    EVEN_FRAMES,
    WINDOW_FRAMES,
    Coverage,
    Frame,
    MediaInfo,
    frames,
    is_media,
    plan,
    probe,
)
from tests.fixtures import make


def read(path: Path, *, thorough: bool = False) -> tuple[MediaInfo, list[Frame], Coverage]:
    info = probe(path)
    coverage = Coverage(info.duration_s)
    return info, list(frames(path, info, plan(info, thorough=thorough), coverage)), coverage


def windows(found: list[Frame]) -> list[list[Frame]]:
    count = 1 + max((f.window for f in found if f.window is not None), default=-1)
    return [[f for f in found if f.window == n] for n in range(count)]


# ---- containers ---------------------------------------------------------------------------------

CONTAINERS: dict[str, Callable[[Path], Path]] = {
    "a.mp4": lambda p: make.portrait_clip(p, 1.0),
    "a.mov": lambda p: make.portrait_clip(p, 1.0),
    "a.mkv": lambda p: make.portrait_clip(p, 1.0),
    "vp9.webm": lambda p: make.portrait_clip(p, 1.0, codec="libvpx-vp9"),
    "h264.avi": lambda p: make.portrait_clip(p, 1.0),
    "mpeg4.avi": lambda p: make.portrait_clip(p, 1.0, codec="mpeg4"),
    "a.mpg": lambda p: make.portrait_clip(p, 1.0, codec="mpeg2video"),
    "a.ts": lambda p: make.portrait_clip(p, 1.0),
    "raw.h264": lambda p: make.portrait_clip(p, 1.0, container="h264"),
    "a.gif": lambda p: make.animated_gif(p, 25, 128, 40),
    "a.webp": lambda p: make.animated_webp(p, 25, 128, 40),
    "ten-bit.mkv": lambda p: make.portrait_clip(p, 1.0, codec="libx265", pix_fmt="yuv420p10le"),
    "444.mp4": lambda p: make.portrait_clip(p, 1.0, pix_fmt="yuv444p"),
    "gray.mp4": lambda p: make.portrait_clip(p, 1.0, pix_fmt="gray"),
    "odd.mp4": lambda p: make.portrait_clip(p, 1.0, size=255, pix_fmt="yuv444p"),
    "alpha.webm": lambda p: make.portrait_clip(p, 1.0, codec="libvpx-vp9", pix_fmt="yuva420p"),
    "fragments.mp4": lambda p: make.fragmented(p, 1.0),
    "live.webm": lambda p: make.portrait_clip(p, 1.0, codec="libvpx", muxing={"live": "1"}),
    "mjpeg.avi": lambda p: make.portrait_clip(p, 1.0, codec="mjpeg", pix_fmt="yuvj420p"),
    "sound.ts": lambda p: make.sounding_clip(p, 1.0, 1.0),
    "sound.avi": lambda p: make.sounding_clip(p, 1.0, 1.0),
    "longer-sound.mkv": lambda p: make.sounding_clip(p, 1.0, 2.0),
    "longer-sound.mp4": lambda p: make.sounding_clip(p, 1.0, 2.0),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_container_is_read_whole_with_times_in_order(name: str, tmp_path: Path) -> None:
    path = CONTAINERS[name](tmp_path / name)
    info, found, coverage = read(path)

    assert is_media(path)
    assert info.kind == ("animation" if path.suffix in (".gif", ".webp") else "video")
    assert coverage.complete, coverage
    assert coverage.frames_failed == 0
    assert coverage.seconds_covered == pytest.approx(1.0, abs=0.02)
    assert {f.rgb.shape for f in found} == {(info.height, info.width, 3)}
    assert {f.rgb.dtype for f in found} == {np.dtype(np.uint8)}
    assert all(f.rgb.flags.c_contiguous for f in found)
    assert [f.index for f in found] == list(range(len(found)))
    for frame in found:
        # The picture itself says which frame it is: time, order and picture belong together.
        assert frame.pts_s == pytest.approx(make.frame_number(frame.rgb) / 25, abs=0.003)
    assert len(windows(found)) == 1
    assert len(windows(found)[0]) == WINDOW_FRAMES
    assert sum(f.even for f in found) == EVEN_FRAMES


def test_a_transport_stream_with_a_damaged_beginning_is_still_taken(tmp_path: Path) -> None:
    data = bytearray(make.portrait_clip(tmp_path / "whole.ts", 1.0).read_bytes())
    data[:600] = bytes(600)
    path = tmp_path / "damaged.ts"
    path.write_bytes(data)
    assert is_media(path)


def test_a_recording_that_starts_in_the_middle_of_a_stream_is_read(tmp_path: Path) -> None:
    path = make.portrait_clip(tmp_path / "whole.ts", 2.0)
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size and packet.pos]
    (tmp_path / "joined.ts").write_bytes(path.read_bytes()[places[5] :])
    _, found, coverage = read(tmp_path / "joined.ts")
    assert make.frame_number(found[0].rgb) == 12  # the next keyframe
    assert coverage.complete
    assert any("the first 0.28 s cannot be decoded" in line for line in coverage.warnings), coverage


def test_frames_that_an_edit_list_hides_are_looked_at_and_named(tmp_path: Path) -> None:
    """The track's header, its edit list and so what players show are cut down to 0.4 s of 2 s."""
    data = bytearray(make.portrait_clip(tmp_path / "whole.mp4", 2.0).read_bytes())
    place = data.index(b"elst") + 12
    assert data[place : place + 4] == (2000).to_bytes(4, "big")
    data[place : place + 4] = (400).to_bytes(4, "big")
    path = tmp_path / "hidden.mp4"
    path.write_bytes(data)
    _, found, coverage = read(path)
    assert coverage.complete
    assert coverage.frames_decoded == 50
    assert make.frame_number(found[-1].rgb) == 49
    assert any("1.6 s after the end are hidden from players" in line for line in coverage.warnings), coverage


@pytest.mark.parametrize("announced", [True, False])
def test_what_follows_a_photo_must_be_announced_in_it(announced: bool, tmp_path: Path) -> None:
    """Phones put a short film behind a photo and say so in its header."""
    photo = make.photo(tmp_path / "photo.jpg").read_bytes()
    film = make.portrait_clip(tmp_path / "film.mp4", 0.2).read_bytes()
    told = b'<x:xmpmeta GCamera:MotionPhoto="1"/>' if announced else b"<x:xmpmeta/>"
    segment = b"\xff\xe1" + (len(told) + 2).to_bytes(2, "big") + told
    path = tmp_path / "both.jpg"
    path.write_bytes(photo[:2] + segment + photo[2:] + film)
    assert read(path)[2].complete is announced


def test_name_says_nothing(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "holiday.txt"
    path.write_bytes(clip.read_bytes())
    assert is_media(path)
    assert read(path)[2].complete


def test_name_that_looks_like_an_address_is_only_a_name(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("concat:a|b é.mp4")
    path.write_bytes(clip.read_bytes())
    assert probe(path).duration_s == pytest.approx(2.0)


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_name_that_is_not_utf8(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    try:
        path.write_bytes(clip.read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert read(path)[2].complete


# ---- photos -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("orientation", "turned"), [(1, 0), (3, 180), (6, 90), (8, 270)])
def test_photo_is_upright(orientation: int, turned: int, tmp_path: Path) -> None:
    info, found, coverage = read(make.photo(tmp_path / "p.jpg", orientation=orientation))

    assert (info.kind, info.container, info.rotation_deg) == ("image", "jpeg", turned)
    assert (info.width, info.height, info.duration_s) == (256, 384, None)
    (frame,) = found
    assert (frame.index, frame.pts_s, frame.window, frame.even) == (0, 0.0, 0, True)
    assert frame.rgb.shape == (384, 256, 3)
    assert frame.rgb[:24, :24].mean() > 240
    assert frame.rgb[300:].mean() < 10
    assert coverage.complete
    assert coverage.frames_decoded == 1


@pytest.mark.parametrize("suffix", [".png", ".webp", ".gif"])
def test_still_photo_formats(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"p{suffix}"
    make.Image.fromarray(make.portrait(128)).save(path)
    info, found, coverage = read(path)
    assert info.kind == "image"
    assert len(found) == 1
    assert np.abs(found[0].rgb.astype(int) - make.portrait(128)).mean() < 12
    assert coverage.complete


def test_a_webp_frame_whose_name_is_damaged_is_missed(tmp_path: Path) -> None:
    whole = make.animated_webp(tmp_path / "whole.webp", 6)
    data = whole.read_bytes()
    assert read(whole)[2].complete
    second = data.index(b"ANMF", data.index(b"ANMF") + 4)
    spoilt = tmp_path / "spoilt.webp"
    spoilt.write_bytes(data[:second] + b"ANMX" + data[second + 4 :])
    coverage = read(spoilt)[2]
    assert not coverage.complete
    assert any("'ANMX'" in warning and "not looked at" in warning for warning in coverage.warnings)


def test_transparent_photo_lies_on_white(tmp_path: Path) -> None:
    make.Image.new("RGBA", (64, 64), (200, 0, 0, 0)).save(tmp_path / "clear.png")
    assert read(tmp_path / "clear.png")[1][0].rgb.min() == 255


def test_deep_gray_photo_keeps_its_tones(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    make.Image.fromarray(ramp).save(tmp_path / "deep.png")
    rgb = read(tmp_path / "deep.png")[1][0].rgb
    assert 120 < rgb.mean() < 135


# ---- rotation, colour, sizes --------------------------------------------------------------------


@pytest.mark.parametrize("turned", [90, 180, 270])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_rotated_video_comes_upright(turned: int, suffix: str, tmp_path: Path) -> None:
    info, found, coverage = read(make.rotated_clip(tmp_path / f"r{suffix}", turned))

    assert (info.width, info.height, info.rotation_deg) == (256, 384, turned)
    assert coverage.complete
    assert all(f.rgb.shape == (384, 256, 3) for f in found)
    assert np.abs(found[0].rgb[20:256].astype(int) - next(make.moving_portrait(1))[20:]).mean() < 6
    assert found[0].rgb[300:].mean() < 10


@pytest.mark.parametrize(("matrix", "name"), [(1, "ITU709"), (5, "ITU601")])
def test_colours_follow_the_stream_tags(matrix: int, name: str, tmp_path: Path) -> None:
    colours = [(220, 30, 30), (30, 200, 30), (30, 30, 220), (200, 150, 120)]
    bars = np.repeat(np.array([colours], np.uint8), 64, axis=1).repeat(64, axis=0)
    path = tmp_path / "bars.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", 25, options={"crf": "5"})
        stream.height, stream.width, stream.pix_fmt = 64, 256, "yuv444p"
        stream.codec_context.colorspace = matrix
        frame = av.VideoFrame.from_ndarray(bars, format="rgb24")
        frame = frame.reformat(format="yuv444p", dst_colorspace=name)
        frame.colorspace, frame.pts = matrix, 0
        output.mux([*stream.encode(frame), *stream.encode()])
    (found,) = read(path)[1]
    centres = found.rgb[32, 32::64].astype(int)
    assert np.abs(centres - colours).max() <= 3


def test_picture_that_changes_size_is_handed_on(tmp_path: Path) -> None:
    _, found, coverage = read(make.resized_clip(tmp_path / "resized.h264"))
    assert {f.rgb.shape for f in found} == {(256, 256, 3), (192, 192, 3)}
    assert coverage.complete


# ---- times, windows, even frames ----------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_windows_are_consecutive_and_do_not_overlap(suffix: str, tmp_path: Path) -> None:
    path = make.portrait_clip(tmp_path / f"long{suffix}", 12.0, size=96)
    info, found, coverage = read(path)

    taken = windows(found)
    assert [len(w) for w in taken] == [WINDOW_FRAMES] * 3
    for window in taken:
        assert np.allclose(np.diff([f.pts_s for f in window]), 0.04, atol=0.002)
    assert taken[0][0].pts_s == 0.0
    assert taken[-1][-1].pts_s > 12.0 - 0.2
    assert len({f.pts_s for f in found}) == len(found)
    for frame in found:
        assert make.frame_number(frame.rgb) == round(frame.pts_s * 25) % 100

    even = [f.pts_s for f in found if f.even]
    assert len(even) == EVEN_FRAMES
    assert even[0] == 0.0
    assert even[-1] == pytest.approx(12.0 - 0.04, abs=0.005)
    assert np.allclose(np.diff(even), 11.96 / 11, atol=0.081)

    # A keyframe every 12 frames: what lies between the wanted moments is not decoded.
    assert coverage.frames_decoded < 0.7 * 300
    assert coverage.complete
    assert info.frames_expected == 300


def test_uneven_frame_rate_keeps_its_own_times(tmp_path: Path) -> None:
    _, found, coverage = read(make.uneven_clip(tmp_path / "vfr.mp4"))
    steps = np.cumsum([0.0, *[0.04] * 30, *([0.02, 0.06] * 15)])
    for frame in found:
        assert np.abs(steps - frame.pts_s).min() < 0.002
    assert len(windows(found)[-1]) == WINDOW_FRAMES
    assert coverage.complete


def test_stream_without_times_is_timed_by_its_frame_rate_and_says_so(tmp_path: Path) -> None:
    path = make.portrait_clip(tmp_path / "raw.h264", 1.0, container="h264")
    _, found, coverage = read(path)
    assert np.allclose(np.diff([f.pts_s for f in windows(found)[0]]), 0.04)
    assert any("no time" in line for line in coverage.warnings)


def test_short_file_is_tiled(clip: Path) -> None:
    _, found, _ = read(clip)
    assert [f.pts_s for f in found if f.window is not None] == pytest.approx(
        [n * 0.04 for n in range(50) if n not in (16, 33)], abs=1e-6
    )


def test_fewer_frames_than_a_window(tmp_path: Path) -> None:
    _, found, coverage = read(make.portrait_clip(tmp_path / "five.mp4", 0.2))
    assert [f.window for f in found] == [0] * 5
    assert [f.even for f in found] == [True] * 5
    assert coverage.complete


def info_of(duration_s: float) -> MediaInfo:
    return MediaInfo("video", "mp4", "h264", 640, 480, 0, duration_s, 25.0, round(duration_s * 25))


def test_plan_grows_slowly_and_has_a_cap() -> None:
    counts = {s: len(plan(info_of(float(s))).window_starts_s) for s in (1, 2, 10, 60, 300, 7200)}
    assert counts == {1: 1, 2: 3, 10: 3, 60: 8, 300: 12, 7200: 12}
    for seconds in counts:
        wanted = plan(info_of(float(seconds)))
        assert len(wanted.even_s) == EVEN_FRAMES
        starts = np.array(wanted.window_starts_s)
        assert (np.diff(starts) > WINDOW_FRAMES / 25 - 0.021).all()
        assert starts[-1] + WINDOW_FRAMES / 25 <= seconds


def test_inner_windows_begin_at_even_moments() -> None:
    wanted = plan(info_of(60.0))
    assert len(wanted.window_starts_s) == 8
    assert set(wanted.window_starts_s[:-1]) <= set(wanted.even_s)


def test_windows_that_fill_a_file_stay_where_they_are() -> None:
    wanted = plan(info_of(2.0))
    assert wanted.window_starts_s == pytest.approx((0, 0.67, 1.34))


def test_thorough_takes_every_frame(tmp_path: Path) -> None:
    path = make.portrait_clip(tmp_path / "t.mp4", 3.0, size=96)
    _, found, coverage = read(path, thorough=True)
    assert len(found) == 75
    assert [f.window for f in found] == [n // WINDOW_FRAMES for n in range(75)]
    assert sum(f.even for f in found) == EVEN_FRAMES
    assert coverage.complete


# ---- what cannot be seen whole ------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make.faststart(tmp_path_factory.mktemp("whole") / "whole.mp4", 4.0)


def test_cut_off_mp4_is_incomplete(whole: Path, tmp_path: Path) -> None:
    assert read(whole)[2].complete
    info, found, coverage = read(make.cut_off(whole, tmp_path / "cut.mp4"))
    assert info.duration_s == pytest.approx(4.0)
    assert found
    assert not coverage.complete
    assert 1.0 < coverage.seconds_covered < 3.0
    assert any("before the declared end" in line for line in coverage.warnings)


@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", "libx264"), (".webm", "libvpx"), (".avi", "mpeg4")])
def test_cut_off_file_is_incomplete(suffix: str, codec: str, tmp_path: Path) -> None:
    path = make.portrait_clip(tmp_path / f"whole{suffix}", 2.0, size=128, codec=codec)
    _, found, coverage = read(make.cut_off(path, tmp_path / f"cut{suffix}"))
    assert found
    assert not coverage.complete
    assert coverage.warnings


def test_damage_in_the_middle_is_incomplete(whole: Path, tmp_path: Path) -> None:
    _, found, coverage = read(make.flipped(whole, tmp_path / "flipped.mp4", 20, seed=1))
    assert found
    assert not coverage.complete
    assert coverage.frames_failed or coverage.errors_reported


def test_reader_left_early_is_incomplete(clip: Path) -> None:
    info = probe(clip)
    coverage = Coverage(info.duration_s)
    reader = frames(clip, info, plan(info), coverage)
    next(reader)
    reader.close()
    assert not coverage.complete


def test_index_cut_away_is_unreadable(clip: Path, tmp_path: Path) -> None:
    path = make.cut_off(clip, tmp_path / "no-moov.mp4")
    assert is_media(path)
    with pytest.raises(UnreadableMedia, match=r"no-moov\.mp4 .*moov box, is missing"):
        probe(path)


def test_zero_bytes(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    assert is_media(path)  # its name claims so: it must show up in a report
    with pytest.raises(UnreadableMedia, match=r"empty\.mp4 is empty"):
        probe(path)


def test_text_named_mp4(tmp_path: Path) -> None:
    path = tmp_path / "note.mp4"
    path.write_text("Dear diary, this is not a film.\n" * 40)
    with pytest.raises(UnreadableMedia, match=r"note\.mp4 .*it holds text"):
        probe(path)


@pytest.mark.parametrize("write", [make.ffconcat, make.playlist])
def test_text_that_names_another_file_does_not_open_it(
    write: Callable[[Path, Path], Path], clip: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "list.mp4", clip)
    with av.open(str(clip)) as target:  # the target itself is fine; only the detour is refused
        assert target.streams.video
    with pytest.raises(UnreadableMedia, match=r"list\.mp4"):
        probe(path)


def test_missing_folder_and_pipe(tmp_path: Path) -> None:
    with pytest.raises(UnreadableMedia, match="does not exist"):
        probe(tmp_path / "nowhere.mp4")
    with pytest.raises(UnreadableMedia, match="is a folder"):
        probe(tmp_path)
    assert not is_media(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.mp4")
        assert not is_media(tmp_path / "pipe.mp4")
        with pytest.raises(UnreadableMedia, match="not a regular file"):
            probe(tmp_path / "pipe.mp4")


def test_no_permission(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "locked.mp4"
    path.write_bytes(clip.read_bytes())
    path.chmod(0)
    if os.access(path, os.R_OK):  # root may read everything: let the system say no all the same
        monkeypatch.setattr("builtins.open", _refuse)
    assert is_media(path)
    with pytest.raises(UnreadableMedia, match=r"locked\.mp4 may not be read"):
        probe(path)


def _refuse(path: object, *args: object, **kwargs: object) -> None:
    raise PermissionError(13, "Permission denied", str(path))


@pytest.mark.parametrize("name", ["tone.m4a", "tone.mp4", "tone.mp3"])
def test_sound_only_is_unsupported(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedMedia, match=r"tone\.\w+ holds no picture"):
        probe(make.sound(tmp_path / name))


@pytest.mark.parametrize("name", ["song.mp3", "song.mp4"])
def test_cover_art_is_not_a_video(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedMedia, match="only sound and cover art"):
        probe(make.sound(tmp_path / name, cover=True))


def test_damaged_photo(portrait_photo: Path, tmp_path: Path) -> None:
    path = make.cut_off(portrait_photo, tmp_path / "half.jpg")
    with pytest.raises(UnreadableMedia, match=r"half\.jpg is a damaged photo"):
        read(path)


def test_photo_above_the_pixel_limit_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    for side in (9000, 16000):
        with pytest.raises(UnreadableMedia, match="67 megapixels"):
            probe(make.huge_png(tmp_path / "huge.png", side))


def test_what_is_not_media(tmp_path: Path) -> None:
    for name, content in {
        "a.txt": b"hello",
        "a.ts": b"export const x: number = 1;\n" * 20,
        "a.bin": bytes(range(256)) * 4,
        "a.zip": b"PK\x03\x04" + bytes(400),
        "empty": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
        assert not is_media(tmp_path / name), name


def test_damage_reports_do_not_leak_to_the_terminal(
    whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    read(make.flipped(whole, tmp_path / "leak.mp4", 20, seed=2))
    seen = capfd.readouterr()
    assert (seen.out, seen.err) == ("", "")
