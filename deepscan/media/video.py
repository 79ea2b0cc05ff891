"""Video and GIF through FFmpeg: probe, and one pass that decodes only what the plan needs.

The whole file is demuxed, which costs next to nothing and proves how far it reaches. Packets between
two wanted moments are held back; when a keyframe turns up before the next wanted moment, what is held
is dropped and decoding starts afresh at the keyframe. That skips as much as seeking would, works alike
for every container, and needs no index to be right. Where no keyframe comes, decoding goes on, leaving
out pictures that no other picture refers to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from deepscan.errors import UnreadableMedia, UnsupportedMedia
from deepscan.media.container import FFMPEG_LOG, MAX_PIXELS, open_container
from deepscan.media.info import Coverage, Frame, MediaInfo, SamplingPlan
from deepscan.media.picker import Picker
from deepscan.media.picture import Turn, upright_rgb

_COVER_ART = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
_PROBE_PACKETS = 300
_DEMUX_ERRORS = 50
_HELD_PACKETS = 1000
_HELD_BYTES = 64 << 20
_RATES = (0.2, 1000.0)
_DEFAULT_RATE = 25.0


def probe_video(path: Path) -> MediaInfo:
    """What the video is; decodes its first frame.

    Raises:
        UnreadableMedia: cannot be opened, or no frame decodes.
        UnsupportedMedia: no moving picture in it.
    """
    with open_container(path) as container:
        stream = _picture_stream(container, path)
        decoder = _open_decoder(stream, threads=1)
        first = _first_frame(container, stream, decoder)
        if first is None:
            raise UnreadableMedia(
                f"{path} holds no frame that can be decoded; fetch the file again, or convert it to H.264."
            )
        turn = Turn.of(first)
        width, height = turn.size(first.width, first.height)
        codec = decoder.name
        rate = _frame_rate(stream)
        duration_s = _declared_s(container, stream)
        count = stream.frames or None
        name = _short_name(container, path)
    if not duration_s:
        count, duration_s = _counted(path, rate)
    kind = "video"
    if name == "gif":
        kind = "animation" if (count or 2) > 1 else "image"
    expected = count or max(1, round(duration_s * rate))
    if kind == "image":
        return MediaInfo("image", name, codec, width, height, turn.clockwise_deg, None, None, 1)
    return MediaInfo(
        "animation" if kind == "animation" else "video",
        name,
        codec,
        width,
        height,
        turn.clockwise_deg,
        duration_s,
        rate,
        expected,
    )


def video_frames(path: Path, info: MediaInfo, plan: SamplingPlan, coverage: Coverage) -> Iterator[Frame]:
    """The frames that the plan asks for; see :func:`deepscan.media.frames`."""
    with open_container(path) as container:
        stream = _picture_stream(container, path)
        threads = min(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)
        reader = _Reader(container, stream, _open_decoder(stream, threads), info, Picker(plan), coverage)
        try:
            yield from reader.frames()
        finally:
            reader.drain()
    if not coverage.frames_decoded:
        raise UnreadableMedia(f"{path} holds no frame that can be decoded; fetch the file again.")


class _Reader:
    """One pass over one file."""

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        decoder: VideoCodecContext,
        info: MediaInfo,
        picker: Picker,
        coverage: Coverage,
    ) -> None:
        self._container = container
        self._stream = stream
        self._decoder = decoder
        self._picker = picker
        self._coverage = coverage
        self._tick = float(stream.time_base or Fraction(1, 90000))
        self._origin = stream.start_time
        self._interval = 1 / (info.frame_rate or _DEFAULT_RATE)
        # AVI stores decoding order only, raw streams nothing: there the frame rate is the clock.
        self._counts_time = info.container in ("avi", "h264", "hevc")
        self._clock = 0
        self._last_s = -1.0
        self._fed_s = -1.0
        self._held: list[Packet[VideoStream]] = []
        self._held_bytes = 0
        self._fresh = False
        self._tail: tuple[float, VideoFrame] | None = None
        self._reached_s = 0.0
        self._file_reached_s = 0.0
        self._decoder_lines: list[str] = []

    def frames(self) -> Iterator[Frame]:
        """All wanted frames, then the coverage's last word."""
        for packet in self._packets():
            for ready in self._release(packet):
                yield from self._wanted(self._decode(ready))
        for ready in self._held if self._picker.next_s is not None else []:
            yield from self._wanted(self._decode(ready))
        self._held = []
        yield from self._wanted(self.drain())
        if self._tail is not None and (choice := self._picker.last()):
            pts_s, frame = self._tail
            yield Frame(choice.index, pts_s, upright_rgb(frame), choice.window, choice.even)
        self._conclude()

    def drain(self) -> list[VideoFrame]:
        """What the decoder still holds.

        Also keeps its threads from logging while it is closed, which would wait for Python's lock
        for ever.
        """
        try:
            return self._decoder.decode(None)
        except (av.FFmpegError, ValueError):
            return []

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """Packets of the picture; notes how far the file reaches, goes on after an error."""
        failures = 0
        FFMPEG_LOG.take()
        source = self._container.demux()
        while True:
            try:
                packet = next(source)
            except StopIteration:
                break
            except (av.FFmpegError, UnicodeError) as error:
                failures += 1
                self._damage("the file is damaged", [*FFMPEG_LOG.take(), str(error)][:1])
                if failures >= _DEMUX_ERRORS:
                    break
                source = self._container.demux()
                continue
            lines = FFMPEG_LOG.take()
            if lines:
                self._sort_lines(lines)
            if packet.size == 0:
                self._clock += packet.stream_index == self._stream.index and packet.dts is not None
                continue
            self._note_reach(packet)
            if packet.stream_index == self._stream.index:
                yield packet

    def _release(self, packet: Packet[VideoStream]) -> list[Packet[VideoStream]]:
        """Packets to decode now: none while nothing near is wanted."""
        wanted_s = self._picker.next_s
        packet_s = self._packet_s(packet)
        if packet_s is None or self._counts_time:
            return [packet] if wanted_s is not None else []
        if wanted_s is None:
            return []
        if not self._held and wanted_s <= self._fed_s:
            self._fed_s = max(self._fed_s, packet_s)
            return [packet]
        if packet.is_keyframe and packet_s <= wanted_s:
            self._held, self._held_bytes, self._fresh = [], 0, True
        self._held.append(packet)
        self._held_bytes += packet.size
        decoding_s = packet_s if packet.dts is None else min(packet_s, self._seconds(packet.dts))
        due = decoding_s >= wanted_s or (packet.is_keyframe and packet_s > wanted_s)
        if not due and len(self._held) < _HELD_PACKETS and self._held_bytes < _HELD_BYTES:
            return []
        return self._let_go(packet_s)

    def _let_go(self, packet_s: float) -> list[Packet[VideoStream]]:
        ready, self._held, self._held_bytes = self._held, [], 0
        if self._fresh:
            self.drain()
            self._decoder.flush_buffers()
            first_s = self._packet_s(ready[0]) or 0.0
            # Pictures shown before the keyframe but stored after it refer to what was dropped.
            ready = [p for p in ready if (self._packet_s(p) or 0.0) >= first_s]
        self._fresh = False
        self._fed_s = max([packet_s, self._fed_s, *(self._packet_s(p) or 0.0 for p in ready)])
        return ready

    def _decode(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        wanted_s = self._picker.next_s
        packet_s = self._packet_s(packet)
        passing = wanted_s is not None and packet_s is not None and packet_s < wanted_s
        skip = "NONREF" if passing and not self._counts_time else "DEFAULT"
        if self._decoder.skip_frame != skip:
            self._decoder.skip_frame = skip
        try:
            frames = self._decoder.decode(packet)
        except (av.FFmpegError, ValueError) as error:
            frames = []
            if self._coverage.frames_decoded or packet.is_keyframe:
                self._coverage.frames_failed += 1
                self._decoder_lines.append(str(error))
        self._sort_lines(FFMPEG_LOG.take())
        return frames

    def _wanted(self, frames: list[VideoFrame]) -> Iterator[Frame]:
        for frame in frames:
            pts_s = self._frame_s(frame)
            coverage = self._coverage
            coverage.frames_decoded += 1
            coverage.frames_failed += bool(frame.is_corrupt)
            shown_s = (frame.duration or 0) * self._tick
            shown_s = shown_s if 0 < shown_s < 60 and not self._counts_time else self._interval
            coverage.seconds_covered = max(coverage.seconds_covered, pts_s + shown_s)
            choice = self._picker.choose(pts_s)
            self._tail = None if choice else (pts_s, frame)
            if choice:
                yield Frame(choice.index, pts_s, upright_rgb(frame), choice.window, choice.even)

    def _frame_s(self, frame: VideoFrame) -> float:
        """Seconds from the start; always later than the frame before."""
        if frame.pts is None or self._counts_time:
            if not self._counts_time:
                self._counts_time = True
                self._clock = round((self._last_s + self._interval) / self._interval)
            pts_s = self._clock * self._interval
            self._clock += 1
            self._warn("some or all frames carry no time of their own; times are counted from the frame rate")
        else:
            pts_s = self._seconds(frame.pts)
        if pts_s <= self._last_s:
            self._warn("times stand still or run backwards in this file; they are counted on from the frame rate")
            pts_s = self._last_s + self._interval
        self._last_s = max(0.0, pts_s)
        return self._last_s

    def _packet_s(self, packet: Packet[VideoStream]) -> float | None:
        return None if packet.pts is None else self._seconds(packet.pts)

    def _seconds(self, ticks: int) -> float:
        if self._origin is None:
            self._origin = ticks
        return (ticks - self._origin) * self._tick

    def _note_reach(self, packet: Packet[VideoStream]) -> None:
        ticks = packet.dts if packet.pts is None else packet.pts
        if ticks is None or packet.time_base is None:
            return
        end_s = float((ticks + (packet.duration or 0)) * packet.time_base)
        end_s -= (self._origin or 0) * self._tick
        self._file_reached_s = max(self._file_reached_s, end_s)
        if packet.stream_index == self._stream.index:
            self._reached_s = max(self._reached_s, end_s)

    def _sort_lines(self, lines: list[str]) -> None:
        # A stream that was cut out of a longer one begins with pictures whose references are gone.
        if self._coverage.frames_decoded:
            self._decoder_lines += lines

    def _damage(self, what: str, lines: list[str]) -> None:
        self._coverage.errors_reported += 1
        self._warn(f"{what} ({'; '.join(line.strip() for line in lines if line.strip())})".replace(" ()", ""))

    def _warn(self, sentence: str) -> None:
        if sentence not in self._coverage.warnings:
            self._coverage.warnings.append(sentence)

    def _conclude(self) -> None:
        coverage = self._coverage
        self._sort_lines(FFMPEG_LOG.take())
        if self._decoder_lines:
            coverage.errors_reported += len(self._decoder_lines)
            times = "once" if len(self._decoder_lines) == 1 else f"{len(self._decoder_lines)} times"
            self._warn(f"FFmpeg reports damage {times}, first: {self._decoder_lines[0].strip()}")
        declared_s = coverage.duration_s
        if declared_s is not None and not self._counts_time:
            if self._reached_s > declared_s + max(0.5, 0.02 * declared_s):
                self._warn(f"the file goes on until {self._reached_s:.1f} s, past its declared {declared_s:.1f} s")
                coverage.duration_s = self._reached_s
            elif self._reached_s < declared_s <= self._file_reached_s + 0.5 and self._stream.duration is None:
                # The container declares the length of its longest stream: here the sound's.
                coverage.duration_s = self._reached_s
        coverage.finished = True
        if not coverage.complete and coverage.duration_s and not coverage.frames_failed:
            missing_s = coverage.duration_s - coverage.seconds_covered
            if missing_s > 0.1:
                self._warn(f"the picture ends {missing_s:.1f} s before the declared end; the file may be cut off")


def _picture_stream(container: InputContainer, path: Path) -> VideoStream:
    """The stream to look at: the default one, else the largest; never cover art."""
    streams = [s for s in container.streams.video if not s.disposition & _COVER_ART]
    if not streams:
        what = "only sound and cover art" if container.streams.video else "no picture, only sound or data"
        raise UnsupportedMedia(f"{path} holds {what}; there is nothing to look at.")
    streams = [s for s in streams if s.codec_context is not None]
    if not streams:
        raise UnsupportedMedia(f"{path} uses a video codec that cannot be decoded here; convert it to H.264.")
    return max(
        streams, key=lambda s: (bool(s.disposition & av.stream.Disposition.default), s.width * s.height, -s.index)
    )


def _open_decoder(stream: VideoStream, threads: int) -> VideoCodecContext:
    decoder = stream.codec_context
    decoder.options = {"max_pixels": str(MAX_PIXELS)}
    decoder.thread_type = "AUTO" if threads > 1 else "NONE"
    decoder.thread_count = threads
    return decoder


def _first_frame(
    container: InputContainer, stream: VideoStream, decoder: VideoCodecContext
) -> VideoFrame | None:
    source = container.demux(stream)
    for _ in range(_PROBE_PACKETS):
        try:
            packet = next(source)
            if frames := decoder.decode(packet if packet.size else None):
                return frames[0]
        except StopIteration:
            return None
        except (av.FFmpegError, ValueError):
            continue
    return None


def _frame_rate(stream: VideoStream) -> float:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and _RATES[0] <= rate <= _RATES[1]:
            return float(rate)
    return _DEFAULT_RATE


def _declared_s(container: InputContainer, stream: VideoStream) -> float | None:
    """Declared length of the picture in seconds, from its start."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
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


def _counted(path: Path, rate: float) -> tuple[int, float]:
    """Packets and seconds of a file that declares no length, by reading it through."""
    count, first_s, end_s = 0, None, 0.0
    with open_container(path) as container:
        stream = _picture_stream(container, path)
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
