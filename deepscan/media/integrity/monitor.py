"""How whole a video is: what demuxer, decoder and clock of a file report, put into its coverage."""

from __future__ import annotations

import math
from fractions import Fraction

from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from deepscan.media.container import LogLine
from deepscan.media.info import Coverage, MediaInfo, tolerance_s
from deepscan.media.integrity.lost_frames import FrameAccounting, HiddenFrames, LeadingPictures, PictureTimes
from deepscan.media.stream import DEFAULT_RATE, Head

# Containers that can be cut anywhere, so that the first pictures may refer to what is not in the file.
_CUT_ANYWHERE = frozenset({"mpegts", "mpeg", "mpegvideo", "h264", "hevc", "m4v", "obu", "vc1", "rm", "dv"})
# Containers that state how many pictures they hold.
_COUNTED = frozenset({"mp4", "mov", "avi"})
# Nothing but coded pictures, one after the other: every byte belongs to one.
_BARE = frozenset({"h264", "hevc", "mjpeg", "mpegvideo", "m4v"})
_BACK_S = 0.5
_REORDERED_S = 60.0
_NO_SUCH_REFERENCE = "mmco: unref"
_HDR_TRANSFERS = (16, 18)  # PQ and HLG, numbers of ITU-T H.273
_NO_LENGTH = "this kind of file states no length: a clean cut between two pictures would go unnoticed"


class Health:
    """Collects what happens to one file; ``conclude`` sums it up.

    What makes the file incomplete goes into ``frames_failed`` and ``errors_reported`` of the coverage, what a
    person should know besides into its warnings.
    """

    def __init__(self, info: MediaInfo, head: Head, coverage: Coverage) -> None:
        container, stream = head.container, head.stream
        self._info = info
        self._coverage = coverage
        self._stream = stream
        self._format = container.format.name
        sounds = [s.codec_context for s in (*container.streams.audio, *container.streams.subtitles)]
        self._not_pictures = {context.name for context in sounds if context is not None}
        self._rate = info.frame_rate or DEFAULT_RATE
        self._tick = float(stream.time_base or Fraction(1, 90000))
        self._accounting = FrameAccounting(head.decoder.name)
        self._hidden = None if head.shown is None else HiddenFrames(head.shown)
        self._leading = LeadingPictures()
        self._times = PictureTimes()
        self._packets = 0
        self._bytes_outside = container.size if info.container in _BARE else 0
        self._last_dts_s = -math.inf
        self._reached_s = 0.0
        self._file_reached_s = 0.0
        self._lines: list[str] = []
        self._leading_lines: list[str] = []
        self._orphaned: int | None = None  # time of a keyframe before which pictures were not decoded
        if not info.length_declared:
            self.warn(_NO_LENGTH)

    def warn(self, sentence: str) -> None:
        """Something to know; each sentence once."""
        if sentence not in self._coverage.warnings:
            self._coverage.warnings.append(sentence)

    def damage(self, sentence: str) -> None:
        """Something that makes the file incomplete."""
        self._coverage.errors_reported += 1
        self.warn(sentence)

    def demuxed(self, packet: Packet[Stream], origin: int | None) -> None:
        """A packet of any stream; ``origin`` is where the picture's clock begins."""
        if packet.is_corrupt and packet.size:
            self.damage("the file is damaged: parts of packets are missing")
        of_picture = packet.stream_index == self._stream.index
        self._packets += of_picture
        if of_picture:
            self._leading.demuxed(packet)
            if packet.pts in self._leading:
                self._orphaned = self._leading.keyframe
        self._bytes_outside -= packet.size
        ticks = packet.dts if packet.pts is None else packet.pts
        if not packet.size or ticks is None or packet.time_base is None:
            return
        start_s = float(ticks * packet.time_base) - (origin or 0) * self._tick
        end_s = start_s + float((packet.duration or 0) * packet.time_base)
        self._file_reached_s = max(self._file_reached_s, end_s)
        if of_picture:
            self._reached_s = max(self._reached_s, end_s)
            if packet.pts is not None:
                self._times.add(start_s)
                if self._hidden is not None and packet.pts not in self._leading:
                    self._hidden.add(packet.pos, start_s)
            if packet.dts is not None:
                self._follow_clock(packet.dts * self._tick, ticks * self._tick)

    def _follow_clock(self, dts_s: float, pts_s: float) -> None:
        if abs(pts_s - dts_s) > _REORDERED_S:
            self.damage("times are damaged: frames are to be shown long before or after they are decoded")
        if dts_s < self._last_dts_s - _BACK_S:
            # What follows would be taken for moments that were already looked at.
            self.damage("the clock starts again: another recording follows, or times are damaged")
        self._last_dts_s = dts_s

    def count_messages(self, lines: list[LogLine], *, of: Packet[VideoStream] | None = None) -> None:
        """FFmpeg's lines while it opened or read the file, or while it decoded a packet, ``of``."""
        if of is not None and of.is_keyframe and of.pts != self._orphaned:
            self._orphaned = None
        for line in lines:
            if line.source == self._format:
                self.damage(f"the file is damaged ({line.text})")
            elif line.source in self._not_pictures:
                continue
            elif self._orphaned is not None and line.text.startswith(_NO_SUCH_REFERENCE):
                continue  # "no longer refer to that picture", said of one that never came
            elif of is not None and of.pts in self._leading:
                self._leading_lines.append(line.text)
            elif (of is not None and of.is_keyframe) or self._counts():
                self._lines.append(line.text)

    def refused(self, packet: Packet[VideoStream], error: Exception) -> None:
        """The decoder raised an error for this packet."""
        if packet.pts in self._leading:
            self._leading_lines.append(str(error))
        elif self._counts() or packet.is_keyframe:
            self._coverage.frames_failed += 1
            self._lines.append(str(error))

    def fed(self, packet: Packet[VideoStream]) -> None:
        """The decoder took this packet and its picture was requested."""
        self._accounting.fed(packet)

    def jumped(self, keyframe: int | None) -> None:
        """Decoding goes on at a keyframe of this time, without what came before it."""
        self._accounting.restart()
        self._orphaned = keyframe

    def decoded(self, frame: VideoFrame, end_s: float) -> None:
        """A picture came out, shown until ``end_s``."""
        self._accounting.came(frame)
        coverage = self._coverage
        coverage.frames_decoded += 1
        coverage.frames_failed += bool(frame.is_corrupt)
        coverage.seconds_covered = max(coverage.seconds_covered, round(end_s, 6))
        if frame.color_trc in _HDR_TRANSFERS:
            self.warn("HDR picture, looked at without tone mapping: scores may be less reliable")

    def _counts(self) -> bool:
        """A stream that was cut out of a longer one begins with pictures whose references are gone."""
        return self._coverage.frames_decoded > 0 or self._info.container not in _CUT_ANYWHERE

    def conclude(self, *, clock_counts: bool) -> None:
        """The reader came to the end; ``clock_counts``: times are counted from the frame rate."""
        coverage = self._coverage
        if not self._may_be_missing(len(self._leading)):
            self._lines += self._leading_lines
        if self._lines:
            coverage.errors_reported += len(self._lines)
            times = "once" if len(self._lines) == 1 else f"{len(self._lines)} times"
            self.warn(f"FFmpeg reports damage {times}, first: {self._lines[0]}")
        self._count_losses()
        if coverage.duration_s is not None and not clock_counts:
            coverage.duration_s = self._true_duration_s(coverage.duration_s)
        coverage.finished = True
        if not coverage.complete and coverage.duration_s:
            missing_s = coverage.duration_s - coverage.seconds_covered
            if missing_s > 0.1:
                self.warn(f"the picture ends {missing_s:.1f} s before the declared end: cut off?")

    def _may_be_missing(self, pictures: int) -> bool:
        """So few pictures at the beginning may refer to what was cut off before them."""
        return pictures / self._rate <= tolerance_s(self._coverage.duration_s or 0.0)

    def _count_losses(self) -> None:
        accounting, coverage = self._accounting, self._coverage
        accounting.close()
        cut_anywhere = self._info.container in _CUT_ANYWHERE
        missing = [pts for pts in accounting.leading if cut_anywhere or pts in self._leading]
        if self._may_be_missing(len(missing)):
            accounting.lost += len(accounting.leading) - len(missing)
            if missing:
                leading_s = len(missing) / self._rate
                self.warn(f"the first {leading_s:.2f} s cannot be decoded: they refer to what is not there")
        else:
            accounting.lost += len(accounting.leading)
        if accounting.lost:
            coverage.frames_failed += accounting.lost
            self.warn(f"{accounting.lost} frame(s) could not be decoded; the decoder does not say why")
        declared = min(self._stream.frames, len(self._stream.index_entries))
        if self._info.container in _COUNTED and self._packets < declared:
            self.damage(f"the file holds {self._packets} of the {declared} frames that it declares")
        if self._hidden is not None and (sentence := self._hidden.sentence(1 / self._rate)):
            self.warn(sentence)
        if self._bytes_outside > 0:
            self.damage(f"{self._bytes_outside} bytes of the file belong to no picture")
        if self._info.container not in _COUNTED and (jumps := self._times.jumps()):
            at_s, count = jumps[0]
            more = f" and {len(jumps) - 1} more time(s)" if len(jumps) > 1 else ""
            # Recorders that drop frames write Matroska or WebM, whose structure shows what was lost.
            # Broadcasts drop none, and nothing else would show it there.
            say = self.damage if self._info.container in _CUT_ANYWHERE else self.warn
            say(f"the clock jumps over {count} frame(s) after {at_s:.2f} s{more}: lost, or never recorded")

    def _true_duration_s(self, declared_s: float) -> float:
        if self._reached_s > declared_s + tolerance_s(declared_s):
            self.damage(
                f"the file goes on to {self._reached_s:.1f} s, past the declared {declared_s:.1f} s:"
                " the rest was not looked at"
            )
            return self._reached_s
        if self._reached_s < declared_s <= self._file_reached_s + 0.5 and self._stream.duration is None:
            # The container declares the length of its longest stream: here the sound's.
            return self._reached_s
        return declared_s
