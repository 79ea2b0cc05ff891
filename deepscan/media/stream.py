"""The picture stream of a container: which one, how long, how fast, how large."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from deepscan.errors import UnreadableMedia, UnsupportedMedia
from deepscan.media.container import FFMPEG_LOG, MAX_PIXELS, LogLine, open_container
from deepscan.media.edit_lists import Unpack, open_whole
from deepscan.media.info import MediaInfo
from deepscan.media.rgb import Turn, pixel_aspect, square_size

DEFAULT_RATE = 25.0
COVER_ART = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
_PROBE_PACKETS = 300
_RATES = (0.2, 1000.0)


@dataclass(frozen=True)
class Head:
    """The beginning of a video that is open: what was read until its first picture came.

    Attributes:
        container: open; whoever reads on closes it.
        stream: the picture's.
        decoder: of that stream, as it stands after these packets.
        packets: of all streams.
        pictures: what came of each packet of the picture, in order.
        messages: FFmpeg's error lines while it opened the file.
        unpack: what packets of the picture go through.
        shown: where in the file the frames lie that players show, if an edit list hides others.
    """

    container: InputContainer
    stream: VideoStream
    decoder: VideoCodecContext
    packets: list[Packet[Stream]]
    pictures: list[tuple[Packet[VideoStream], list[VideoFrame]]]
    messages: list[LogLine]
    unpack: Unpack
    shown: frozenset[int] | None = None


class EmptyTrack(UnreadableMedia):
    """A video track that a broadcast announces and does not send."""


def begin_video(path: Path, number: int = 0) -> tuple[MediaInfo, Head | None]:
    """What the video is, from its first frame, and where to read on; None where it is to be read anew.

    ``number`` is that of the video track, as in ``picture_stream``.

    Raises:
        UnreadableMedia: cannot be opened, or no frame decodes.
        UnsupportedMedia: no moving picture in it.
    """
    container, shown = open_whole(path)
    try:
        messages = FFMPEG_LOG.take()
        stream = picture_stream(container, path, number)
        unpack = Unpack(stream)
        head = Head(
            container, stream, open_decoder(stream), [], [], messages, unpack, shown.get(stream.index)
        )
        first, whole = _first_frame(head)
        if first is None and not head.pictures and container.format.name == "mpegts":
            raise EmptyTrack(f"{path} holds a video track with nothing in it; there is nothing to look at.")
        if first is None:
            raise UnreadableMedia(
                f"{path} holds no frame that can be decoded; fetch the file again, or convert it to H.264."
            )
        # What FFmpeg has to say of the beginning must be said to whoever reads it for good.
        whole = whole and not FFMPEG_LOG.take()
        info = _info(path, head, first, number)
        FFMPEG_LOG.take()  # to count the pictures of a file is to read it through
    except BaseException:
        container.close()
        raise
    if whole:
        return info, head
    container.close()
    return info, None


def _info(path: Path, head: Head, first: VideoFrame, number: int) -> MediaInfo:
    container, stream = head.container, head.stream
    turn = Turn.of(first)
    aspect = 1.0 if container.format.name == "gif" else pixel_aspect(stream)
    width, height = turn.size(*square_size(first.width, first.height, aspect))
    codec = head.decoder.name
    rate = _frame_rate(stream)
    duration_s = _declared_s(container, stream) if head.shown is None else _stored_s(stream, rate)
    count = stream.frames or None
    name = _short_name(container, path)
    # An mp4 in fragments may say in its index that it holds nothing: its length is that of what is there.
    declared = bool(duration_s) and (name not in ("mp4", "mov") or count is not None)
    if not duration_s:
        count, duration_s = _counted(path, rate, number)
    if name == "gif" and count == 1:
        return MediaInfo("image", name, codec, width, height, 0, None, None, 1)
    kind: Literal["video", "animation"] = "animation" if name == "gif" else "video"
    expected = count or max(1, round(duration_s * rate))
    turned = turn.clockwise_deg
    parts = _part_names(container)
    return MediaInfo(
        kind,
        name,
        codec,
        width,
        height,
        turned,
        duration_s,
        rate,
        expected,
        length_declared=declared,
        parts=parts,
    )


def _part_names(container: InputContainer) -> tuple[str, ...]:
    """``video track 2`` and so on, counted in the order of the file; none where there is but one."""
    streams = picture_streams(container)
    order = sorted(stream.index for stream in streams)
    names = tuple(f"video track {order.index(stream.index) + 1}" for stream in streams)
    return names if len(names) > 1 else ()


def picture_streams(container: InputContainer) -> list[VideoStream]:
    """Every video track, that which players show first in front: the default one, else the largest.

    Never cover art. What cannot be decoded comes last.
    """
    default = av.stream.Disposition.default
    tracks = [s for s in container.streams.video if not s.disposition & COVER_ART]
    return sorted(
        (s for s in tracks if not _shows_a_frame_of(s, tracks)),
        key=lambda s: (s.codec_context is None, not s.disposition & default, -_area(s), s.index),
    )


def _area(stream: VideoStream) -> int:
    return 0 if stream.codec_context is None else stream.width * stream.height


def _shows_a_frame_of(stream: VideoStream, tracks: list[VideoStream]) -> bool:
    """The still picture of an image sequence is one of its frames."""
    if stream.frames != 1 or stream.duration is not None or len(tracks) == 1:
        return False
    places = {entry.pos for entry in stream.index_entries}
    others = (s for s in tracks if s is not stream and s.frames > 1)
    return bool(places) and any(places <= {entry.pos for entry in s.index_entries} for s in others)


def picture_stream(container: InputContainer, path: Path, number: int = 0) -> VideoStream:
    """The stream to look at: number ``number`` of ``picture_streams``.

    Raises:
        UnsupportedMedia: there is none, or none that can be decoded here.
    """
    streams = picture_streams(container)
    if len(streams) <= number:
        what = "only sound and cover art" if container.streams.video else "no picture, only sound or data"
        raise UnsupportedMedia(f"{path} holds {what}; there is nothing to look at.")
    if streams[number].codec_context is None:
        raise UnsupportedMedia(f"{path} uses a video codec that cannot be decoded here; convert it to H.264.")
    return streams[number]


def open_decoder(stream: VideoStream) -> VideoCodecContext:
    """The stream's decoder, with the pixel limit, on the caller's thread.

    One thread on purpose: with FFmpeg's own threads a damaged picture comes out differently from run
    to run, log lines cannot be told apart, and a reader that is still open when Python exits hangs
    now and then. Decoding releases Python's lock, so a caller can overlap it with other work.
    """
    decoder = stream.codec_context
    decoder.options = {"max_pixels": str(MAX_PIXELS)}
    decoder.thread_type = "NONE"
    decoder.thread_count = 1
    return decoder


def _first_frame(head: Head) -> tuple[VideoFrame | None, bool]:
    """The first picture, and whether ``head`` holds all that led to it: no error, and little of it."""
    source = head.unpack.packets(head.container)
    clean, of_picture = True, 0
    while of_picture < _PROBE_PACKETS:
        try:
            packet = next(source)
            clean = clean and packet.size > 0 and len(head.packets) < _PROBE_PACKETS
            if clean:
                head.packets.append(packet)
            if packet.stream_index != head.stream.index:
                continue
            of_picture += 1
            picture = cast("Packet[VideoStream]", packet)
            frames = head.decoder.decode(picture if picture.size else None)
        except StopIteration:
            break
        except (av.FFmpegError, ValueError):
            clean = False
            continue
        if clean:
            head.pictures.append((picture, frames))
        if frames:
            return frames[0], clean
    return None, False


def _frame_rate(stream: VideoStream) -> float:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and _RATES[0] <= rate <= _RATES[1]:
            return float(rate)
    return DEFAULT_RATE


def _declared_s(container: InputContainer, stream: VideoStream) -> float | None:
    """Declared length of the picture in seconds, from its start; None where nothing is declared."""
    if container.format.name in ("mpeg", "mpegts"):
        return None  # FFmpeg guesses from the last packets that it happens to see, often too short
    if stream.duration and stream.time_base:
        declared_s = float(stream.duration * stream.time_base)
        # FFmpeg shortens a cut-off AVI's duration to what is there, but leaves the count of frames.
        counted_s = stream.frames / _frame_rate(stream) if container.format.name == "avi" else 0.0
        return max(declared_s, counted_s)
    start_s = float((stream.start_time or 0) * (stream.time_base or 0))
    if "matroska" in container.format.name:
        if end_s := _clock_seconds(stream.metadata.get("DURATION", "")):
            return max(0.0, end_s - start_s)
        return max(0.0, container.duration / av.time_base - start_s) if container.duration else None
    return container.duration / av.time_base if container.duration else None


def _clock_seconds(text: str) -> float | None:
    """``00:01:02.500000000`` as seconds; None for anything else."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def _stored_s(stream: VideoStream, rate: float) -> float:
    """Length of all that is stored, from a movie's index; an edit list declares only what players show."""
    times = [entry.timestamp for entry in stream.index_entries]
    return (max(times) - min(times)) * float(stream.time_base or 0) + 1 / rate


def _counted(path: Path, rate: float, number: int) -> tuple[int, float]:
    """Packets and seconds of a file that declares no length, by reading it through."""
    count, first_s, end_s = 0, None, 0.0
    with open_container(path) as container:
        stream = picture_stream(container, path, number)
        tick = float(stream.time_base or Fraction(1, 90000))
        try:
            for packet in container.demux(stream):
                if not packet.size:
                    continue
                count += 1
                if packet.pts is not None:
                    pts_s = packet.pts * tick
                    first_s = pts_s if first_s is None else min(first_s, pts_s)
                    end_s = max(end_s, pts_s + (packet.duration or 0) * tick)
        except av.FFmpegError:
            pass
    spanned_s = end_s - first_s if first_s is not None else 0.0
    return count, spanned_s if spanned_s > 0 else max(1, count) / rate


def _short_name(container: InputContainer, path: Path) -> str:
    """``mp4`` rather than FFmpeg's ``mov,mp4,m4a,3gp,3g2,mj2``."""
    names = container.format.name.split(",")
    if "mp4" in names:
        brand = container.metadata.get("major_brand", "").strip()
        return "mov" if brand in ("", "qt") else "mp4"
    if "webm" in names:
        return "webm" if path.suffix.lower() == ".webm" else "matroska"
    return names[0]
