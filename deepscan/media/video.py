"""Video and GIF through FFmpeg: one pass that decodes only what the plan needs.

The whole file is demuxed, which costs next to nothing and proves how far it reaches. Packets between
two wanted moments are held back; when a keyframe turns up before the next wanted moment, what is held
is dropped and decoding starts afresh at the keyframe. That skips as much as seeking would, works alike
for every container, and needs no index to be right. Where no keyframe comes, decoding goes on, leaving
out pictures that no other picture refers to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Literal, cast

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from deepscan.errors import UnreadableMedia
from deepscan.media.container import FFMPEG_LOG
from deepscan.media.edit_lists import Unpack, open_whole
from deepscan.media.frame_selector import Choice, Picker
from deepscan.media.info import END_TOLERANCE_S, Coverage, Frame, MediaInfo, SamplingPlan
from deepscan.media.integrity.containers import Note, trailing_data
from deepscan.media.integrity.monitor import Health
from deepscan.media.nvdec import open_on_gpu
from deepscan.media.rgb import Turns, pixel_aspect, upright_rgb
from deepscan.media.stream import DEFAULT_RATE, Head, open_decoder, picture_stream

_DEMUX_ERRORS = 50
_HELD_PACKETS = 1000
_HELD_BYTES = 64 << 20


def video_frames(
    path: Path,
    info: MediaInfo,
    plan: SamplingPlan,
    coverage: Coverage,
    *,
    head: Head | None = None,
    number: int = 0,
    nvdec: bool = False,
) -> Iterator[Frame]:
    """The frames that the plan asks for; see :meth:`deepscan.media.Medium.frames`.

    Goes on where ``head`` ends, and closes it. ``number`` is that of the video track, as in
    ``picture_stream``.
    """
    head = head or _opened(path, coverage, number, nvdec=nvdec)
    with head.container:
        health = Health(info, head, coverage)
        health.count_messages(head.messages)
        for sentence in trailing_data(path, info.container):
            (health.warn if isinstance(sentence, Note) else health.damage)(sentence)
        yield from _Reader(head, info, plan, coverage, health).frames()
    if not coverage.frames_decoded:
        raise UnreadableMedia(f"{path} holds no frame that can be decoded; fetch the file again.")


def _opened(path: Path, coverage: Coverage, number: int, *, nvdec: bool) -> Head:
    container, shown = open_whole(path)
    if nvdec:
        container.close()
        container = open_on_gpu(path, coverage, number=number, hidden=bool(shown))
    stream = picture_stream(container, path, number)
    messages, decoder = FFMPEG_LOG.take(), open_decoder(stream)
    return Head(container, stream, decoder, [], [], messages, Unpack(stream), shown.get(stream.index))


class _Reader:
    """One pass over one file."""

    def __init__(
        self, head: Head, info: MediaInfo, plan: SamplingPlan, coverage: Coverage, health: Health
    ) -> None:
        self._container = head.container
        self._stream = stream = head.stream
        self._decoder = head.decoder
        self._unpack = head.unpack
        self._aspect = pixel_aspect(stream) if info.kind == "video" else 1.0
        self._read_before = head.packets
        self._decoded_before = dict(head.pictures)
        self._coverage = coverage
        self._health = health
        self._picker = Picker(plan)
        self._turns = Turns()
        self._tick = float(stream.time_base or Fraction(1, 90000))
        self._origin = stream.start_time
        self._interval = 1 / (info.frame_rate or DEFAULT_RATE)
        # The last frame or two, which nobody asked for, show whether the file is whole up to its end.
        self._end_s = (info.duration_s or 0.0) + END_TOLERANCE_S
        # AVI stores decoding order only, raw streams nothing: there the frame rate is the clock.
        self._counts_time = info.container in ("avi", "h264", "hevc")
        self._clock = 0
        self._last_s = -1.0
        self._fed_s = -1.0
        self._held: list[Packet[VideoStream]] = []
        self._held_bytes = 0
        self._fresh = False
        self._behind: tuple[float, VideoFrame, Choice | None] | None = None

    def frames(self) -> Iterator[Frame]:
        """All wanted frames, then the coverage's last word."""
        for packet in self._packets():
            for ready in self._release(packet):
                yield from self._wanted(self._decode(ready))
            if self._coverage.spent:
                self._coverage.stop()
                yield from self._hand_on()
                return
        if self._picker.next_s is not None:
            for ready in self._let_go(self._fed_s):
                yield from self._wanted(self._decode(ready))
        yield from self._wanted(self._drain())
        if self._behind is not None:
            pts_s, frame, choice = self._behind
            self._behind = (pts_s, frame, self._picker.last(choice))
            yield from self._hand_on()
        self._health.count_messages(FFMPEG_LOG.take())
        self._health.conclude(clock_counts=self._counts_time)

    def _drain(self) -> list[VideoFrame]:
        try:
            return self._decoder.decode(None)
        except (av.FFmpegError, ValueError):
            return []

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """Packets of the picture, until the file ends; goes on after an error."""
        failures = 0
        source = chain(self._read_before, self._unpack.packets(self._container))
        while True:
            try:
                packet = next(source)
            except StopIteration:
                break
            except (av.FFmpegError, UnicodeError) as error:
                failures += 1
                lines = [*(line.text for line in FFMPEG_LOG.take()), str(error)]
                self._health.damage(f"the file is damaged ({lines[0]})")
                if failures >= _DEMUX_ERRORS:
                    break
                source = chain(self._unpack.packets(self._container))
                continue
            self._health.count_messages(FFMPEG_LOG.take())
            of_picture = packet.stream_index == self._stream.index
            if packet.size == 0:
                if of_picture and packet.dts is not None:  # AVI: shown as the frame before
                    self._clock += 1
                    self._health.demuxed(packet, self._origin)
                continue
            self._health.demuxed(packet, self._origin)
            if of_picture:
                yield cast("Packet[VideoStream]", packet)

    def _release(self, packet: Packet[VideoStream]) -> list[Packet[VideoStream]]:
        """Packets to decode now: none while nothing near is wanted."""
        wanted_s = self._picker.next_s
        packet_s = self._packet_s(packet)
        if packet_s is None or self._counts_time:
            packet_s = self._clock * self._interval
            return [packet] if wanted_s is not None or packet_s < self._end_s else []
        if wanted_s is None:
            return [packet] if packet_s < self._end_s else []
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
        if self._fresh and ready:
            first_s = self._packet_s(ready[0]) or 0.0
            # Pictures shown before the keyframe but stored after it refer to what was dropped.
            ready = [p for p in ready if (self._packet_s(p) or 0.0) >= first_s]
            self._start_at(ready)
            self._health.jumped(ready[0].pts)
        self._fresh = False
        self._fed_s = max([packet_s, self._fed_s, *(self._packet_s(p) or 0.0 for p in ready)])
        return ready

    def _start_at(self, ready: Sequence[Packet[VideoStream]]) -> None:
        """Decode afresh from the first of these on, unless the probe has just begun with the same ones."""
        begun = zip(ready, self._decoded_before, strict=False)
        if self._decoded_before and all(ours is theirs for ours, theirs in begun):
            return
        self._decoder.flush_buffers()
        self._decoded_before.clear()

    def _decode(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        wanted_s = self._picker.next_s
        packet_s = self._packet_s(packet)
        passing = wanted_s is not None and packet_s is not None and 0.0 <= packet_s < wanted_s
        skip: Literal["NONREF", "DEFAULT"] = "NONREF" if passing and not self._counts_time else "DEFAULT"
        if self._decoder.skip_frame != skip:
            self._decoder.skip_frame = skip
        # Charged before decoding: a packet of which no picture comes may take as long.
        self._coverage.pixels_decoded += self._decoder.width * self._decoder.height
        try:
            before = self._decoded_before.pop(packet, None)
            frames = self._decoder.decode(packet) if before is None else before
        except (av.FFmpegError, ValueError) as error:
            self._health.refused(packet, error)
            frames = []
        else:
            if skip == "DEFAULT":
                self._health.fed(packet)
        self._health.count_messages(FFMPEG_LOG.take(), of=packet)
        return frames

    def _wanted(self, frames: list[VideoFrame]) -> Iterator[Frame]:
        for frame in frames:
            pts_s = self._frame_s(frame)
            shown_s = (frame.duration or 0) * self._tick
            shown_s = shown_s if 0 < shown_s < 60 and not self._counts_time else self._interval
            self._health.decoded(frame, pts_s + shown_s)
            # One frame behind, since only the end of the file tells which frame is the last.
            yield from self._hand_on()
            self._behind = (pts_s, frame, self._picker.choose(pts_s))

    def _hand_on(self) -> Iterator[Frame]:
        if self._behind is None:
            return
        pts_s, frame, choice = self._behind
        self._behind = None
        if choice is not None:
            turn, aspect = self._turns.of(frame), self._aspect

            def picture() -> NDArray[np.uint8]:
                return upright_rgb(frame, turn, aspect)

            yield Frame(choice.index, pts_s, picture, choice.window, choice.even)

    def _frame_s(self, frame: VideoFrame) -> float:
        """Seconds from the start; always later than the frame before."""
        if frame.pts is None or self._counts_time:
            if not self._counts_time:
                self._counts_time = True
                self._clock = round((self._last_s + self._interval) / self._interval)
            pts_s = self._clock * self._interval
            self._clock += 1
            self._health.warn(
                "some or all frames carry no time of their own; times are counted from the frame rate"
            )
        else:
            pts_s = self._seconds(frame.pts)
        if pts_s <= self._last_s:
            self._health.warn("times stand still or run backwards; they are counted on from the frame rate")
            pts_s = self._last_s + self._interval
        self._last_s = max(0.0, round(pts_s, 6))
        return self._last_s

    def _packet_s(self, packet: Packet[VideoStream]) -> float | None:
        return None if packet.pts is None else self._seconds(packet.pts)

    def _seconds(self, ticks: int) -> float:
        if self._origin is None:
            self._origin = ticks
        return (ticks - self._origin) * self._tick
