"""Media that are whole and yet not what a reader expects: tiles, pages, several tracks, missing end markers.

As in ``make``, every maker writes one file and returns its path.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pillow_heif
from PIL import Image

from tests.media import make
from tests.media.make import Rgb

_NOTHING_NEW = b"\x00\x00\x01\xb6\x51\x00"  # a picture of MPEG-4 part 2 that says "as before"


# ---- photos -------------------------------------------------------------------------------------


def tiled_heic(
    path: Path, size: int = 256, *, orientation: int = 1, upright: bool = False, thumbnail: int = 0
) -> Path:
    """A HEIC photo of four tiles; ``orientation`` (EXIF) becomes the file's own turn and mirror.

    It is stored upright, or with ``upright`` so that the turn rights it.
    """
    undo = {1: 0, 3: 2, 6: 1, 8: 3}[orientation] if upright else 0
    photo = pillow_heif.from_pillow(Image.fromarray(np.rot90(_marked(size), undo)))
    photo[0].info["exif"] = exif(orientation)
    extra = {"thumbnails": [thumbnail]} if thumbnail else {}
    photo.save(path, tile_size=size // 2, quality=90, **extra)
    return path


def heic_of_two(path: Path, size: int = 256) -> Path:
    """Two pictures side by side in one HEIC file."""
    pictures = pillow_heif.from_pillow(Image.fromarray(make.portrait(size)))
    pictures.add_from_pillow(Image.fromarray(make.portrait(size, 0.05)))
    pictures.save(path, quality=90)
    return path


def _marked(size: int) -> Image.Image:
    """The portrait with a white corner in the top left, by which one sees how it lies."""
    rgb = make.portrait(size).copy()
    rgb[: size // 8, : size // 8] = 255
    return Image.fromarray(rgb)


def exif(orientation: int) -> bytes:
    """A header that says how the photo lies."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def pages(path: Path, pictures: Sequence[Rgb], compression: str = "tiff_lzw") -> Path:
    """A TIFF of several pages."""
    first, *rest = [Image.fromarray(picture) for picture in pictures]
    first.save(path, save_all=True, append_images=rest, compression=compression)
    return path


def deep_picture(path: Path, size: int = 256) -> Path:
    """A TIFF or PPM with sixteen bits a channel."""
    deep = make.portrait(size).astype(np.uint16)[:, :, ::-1] * 257
    cv2.imwrite(str(path), deep)
    return path


def camera_raw(path: Path) -> Path:
    """A TIFF that says it is a DNG, with a small preview in front."""
    preview = Image.fromarray(make.portrait(128))
    preview.save(path, format="TIFF", tiffinfo={254: 1, 50706: b"\1\4\0\0"})
    return path


def no_end(path: Path, instead: bytes = b"", *, lose: int = 0, **settings: object) -> Path:
    """A JPEG with ``instead`` in place of its end marker; ``lose`` bytes of the picture are gone too."""
    _marked(256).save(path, format="JPEG", quality=90, **settings)
    body = path.read_bytes().removesuffix(b"\xff\xd9")
    path.write_bytes(body[: len(body) - lose] + instead)
    return path


def samsung_trailer() -> bytes:
    """What a Galaxy phone puts behind a photo: a block and the list of blocks."""
    block = struct.pack("<HHI", 0, 0x0A01, 14) + b"Image_UTC_Data1510000000000"
    listed = b"SEFH" + struct.pack("<III", 107, 1, 0x0A010000) + struct.pack("<II", len(block), len(block))
    return block + listed + struct.pack("<I", len(listed)) + b"SEFT"


# ---- videos -------------------------------------------------------------------------------------


def several_tracks(path: Path, tracks: Sequence[Sequence[Rgb]]) -> Path:
    """A video track for each sequence of frames, all H.264; the first is the default."""
    with av.open(str(path), "w") as output:
        streams = []
        for frames in tracks:
            stream = output.add_stream("libx264", 25, options={"preset": "ultrafast", "g": "12"})
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            streams.append(stream)
        for stream, frames in zip(streams, tracks, strict=True):
            for number, rgb in enumerate(frames):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
                frame.pts = number
                output.mux(stream.encode(frame))
            output.mux(stream.encode())
    return path


def packed_clip(path: Path, count: int = 25, size: int = 128) -> Path:
    """MPEG-4 part 2 as DivX wrote it: a frame and the B frame before it in one packet, then an empty one."""
    plain = path.with_name(f"{path.stem}-plain.avi")
    options = {"bf": "1", "g": "12", "qscale": "2"}
    make.write_clip(plain, make.moving_portrait(count, size), codec="mpeg4", options=options)
    with av.open(str(plain)) as source, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        coded = [(bytes(packet), packet.is_keyframe) for packet in source.demux(video=0) if packet.size]
        coded[0] = _by_divx(coded[0][0]), True
        for number, (content, is_keyframe) in enumerate(_packed(coded)):
            packet = av.Packet(content)
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            packet.is_keyframe = is_keyframe
            output.mux(packet)
    plain.unlink()
    return path


def _by_divx(content: bytes) -> bytes:
    """The first packet, under the name of an encoder that packs."""
    start = content.index(b"\x00\x00\x01\xb2") + 4
    return content[:start] + b"DivX503b1393p" + content[content.index(b"\x00\x00\x01", start) :]


def _packed(coded: Sequence[tuple[bytes, bool]]) -> Iterator[tuple[bytes, bool]]:
    place = 0
    while place < len(coded):
        content, is_keyframe = coded[place]
        behind = coded[place + 1][0] if place + 1 < len(coded) else b""
        if _is_b_picture(behind):
            yield content + behind, is_keyframe
            yield _NOTHING_NEW, False
            place += 2
        else:
            yield content, is_keyframe
            place += 1


def _is_b_picture(content: bytes) -> bool:
    start = content.find(b"\x00\x00\x01\xb6")
    return start >= 0 and content[start + 4] >> 6 == 2


def open_gop_cut(path: Path, count: int = 60, size: int = 128, *, after: int = 1) -> Path:
    """H.264 cut at its keyframe number ``after`` without coding it anew: what leads up to it comes along.

    With 0 it is the whole film.
    """
    whole = path.with_name(f"{path.stem}-whole.mp4")
    gop = "open-gop=1:keyint=12:min-keyint=12:bframes=2:b-adapt=0:scenecut=0:log-level=none"
    options = {"preset": "fast", "x264-params": gop}
    make.write_clip(whole, make.moving_portrait(count, size), options=options)
    with av.open(str(whole)) as source, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        keys = [number for number, packet in enumerate(packets) if packet.is_keyframe]
        kept = packets[keys[after] :]
        shift = min(packet.pts for packet in kept if packet.pts is not None)
        for packet in kept:
            assert packet.pts is not None and packet.dts is not None
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = stream
            output.mux(packet)
    whole.unlink()
    return path


def trimmed_clip(path: Path, hidden_s: float = 1.6, seconds: float = 4.0, size: int = 128) -> Path:
    """An mp4 whose edit list hides its beginning from players, as lossless trims leave it."""
    options = {"preset": "ultrafast", "g": "12", "bf": "0"}
    make.write_clip(path, make.moving_portrait(round(25 * seconds), size), options=options)
    data = bytearray(path.read_bytes())
    place = data.index(b"elst") + 12
    timescale = int.from_bytes(data[data.index(b"mdhd") + 16 : data.index(b"mdhd") + 20], "big")
    data[place : place + 4] = round(1000 * (seconds - hidden_s)).to_bytes(4, "big")
    data[place + 4 : place + 8] = round(timescale * hidden_s).to_bytes(4, "big")
    path.write_bytes(data)
    return path


def oblong_clip(path: Path, aspect: Fraction, seconds: float = 1.0, size: int = 256) -> Path:
    """The moving portrait stored squeezed, so that pixels of this aspect stretch it to what it was."""
    width, height = round(size / max(aspect, 1)), round(size * min(aspect, 1))

    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", 25, options={"preset": "ultrafast", "crf": "15"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for number, rgb in enumerate(make.moving_portrait(round(25 * seconds), size)):
            small = np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BOX))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(small), format="rgb24")
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


def tape_clip(path: Path, count: int = 20) -> Path:
    """DV as PAL camcorders write it: 720 x 576 pixels that are wider than high."""
    wide = np.zeros((576, 768, 3), np.uint8)
    frames = []
    for rgb in make.moving_portrait(count, 576):
        wide[:, 96:672] = rgb
        frames.append(np.asarray(Image.fromarray(wide).resize((720, 576))))
    return make.write_clip(path, frames, codec="dvvideo", container="dv", options={"threads": "1"})


def late_track(path: Path, size: int = 128) -> Path:
    """A transport stream in which a second track begins only half way through."""
    one = make.portrait_clip(path.with_name("one.ts"), 6.0, size=size)
    two = several_tracks(path.with_name("two.ts"), [list(make.moving_portrait(50, size))] * 2)
    path.write_bytes(one.read_bytes() + two.read_bytes())
    one.unlink()
    two.unlink()
    return path
