"""Files that are broken, odd or hostile in one particular way; see ``make.cut_off`` and ``make.flipped``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

from tests.media import make

PQ, BT2020 = 16, 9  # numbers of ITU-T H.273


def cut_between_pictures(source: Path, path: Path, keep: float = 0.5) -> Path:
    """Everything before a packet of the picture, with nothing of that packet left."""
    with av.open(str(source)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size and packet.pos]
    path.write_bytes(source.read_bytes()[: places[round(len(places) * keep)]])
    return path


def cut_before_box(source: Path, path: Path, kind: bytes) -> Path:
    """An mp4 up to the last box of this kind."""
    data = source.read_bytes()
    path.write_bytes(data[: data.rindex(kind) - 4])
    return path


def hole(source: Path, path: Path, start: float = 0.5, end: float = 0.6) -> Path:
    """A copy in which a stretch is zero, as after a failed download or on a bad disk."""
    data = bytearray(source.read_bytes())
    first, last = round(len(data) * start), round(len(data) * end)
    data[first:last] = bytes(last - first)
    path.write_bytes(data)
    return path


def appended(first: Path, second: Path, path: Path) -> Path:
    """Two files in one, the second behind the end of the first."""
    path.write_bytes(first.read_bytes() + second.read_bytes())
    return path


def wrong_checksum(source: Path, path: Path) -> Path:
    """A PNG whose last check sum does not match; the picture itself is whole."""
    data = bytearray(source.read_bytes())
    data[data.rindex(b"IEND") - 5] ^= (
        0xFF  # a chunk begins with its length, so this is what ends the one before
    )
    path.write_bytes(data)
    return path


def without_frames(path: Path) -> Path:
    """A movie with a picture stream and not one picture in it."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", 25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        output.start_encoding()
    return path


def hdr_clip(path: Path, seconds: float = 1.0) -> Path:
    """A portrait in ten bits, tagged as HDR10 (PQ, BT.2020)."""

    def tag(frame: av.VideoFrame) -> None:
        frame.color_trc, frame.color_primaries, frame.colorspace = PQ, BT2020, BT2020

    frames = make.moving_portrait(round(seconds * 25))
    options = {"preset": "ultrafast", "x265-params": "log-level=none:transfer=16:colorprim=9:colormatrix=9"}
    return make.write_clip(path, frames, codec="libx265", pix_fmt="yuv420p10le", options=options, tag=tag)


def vast_clip(path: Path, frames: int = 400, width: int = 3840, height: int = 2160) -> Path:
    """An empty picture of 4K that never changes: seconds of decoding out of a few kilobytes.

    One coded picture that says "as before" is repeated, so that making it takes no time.
    """
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libvpx", 25, options={"deadline": "realtime", "cpu-used": "16"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        empty = av.VideoFrame(width, height, "yuv420p")
        for plane in empty.planes:
            plane.update(bytes([128]) * plane.buffer_size)
        coded = []
        for number in range(3):
            empty.pts = number
            coded += [bytes(packet) for packet in stream.encode(empty)]
        coded += [bytes(packet) for packet in stream.encode()]
        first, same = coded[0], coded[-1]
        for number in range(frames):
            packet = av.Packet(first if number == 0 else same)
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            packet.duration, packet.is_keyframe = 1, number == 0
            output.mux(packet)
    return path


def named(folder: Path, content: bytes, names: Sequence[bytes]) -> list[Path]:
    """Copies under names of any bytes; those that the file system refuses are left out."""
    written = []
    for name in names:
        path = folder / os.fsdecode(name)
        try:
            path.write_bytes(content)
        except OSError:
            continue
        written.append(path)
    return written
