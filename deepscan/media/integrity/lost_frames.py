"""Pictures that were put into the decoder and never came out, and pictures that the file itself lacks."""

from __future__ import annotations

import math
from array import array

import numpy as np
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

_EMPTY_PICTURE_BYTES = 19  # MPEG-4 encoders write "as before" in so few bytes; nothing comes out for it
_STEADY_SHARE = 0.9
_JUMP = 1.7


class FrameAccounting:
    """Compares the times of packets with those of the pictures that come of them.

    ``lost`` counts packets for which nothing came although the decoder said nothing either. ``leading``
    holds the times of those before the first picture, whose references may lie before the file's beginning.
    """

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._awaited: set[int] = set()
        self._timeless = 0
        self._started = False
        self._jumped = False
        self._fields = False
        self.lost = 0
        self.leading: list[int] = []

    def fed(self, packet: Packet[VideoStream]) -> None:
        """The decoder took this packet, and was not told to leave out what it can."""
        if packet.is_discard or not self._shows(packet):
            return
        if packet.pts is None:
            self._timeless += 1
        else:
            self._awaited.add(packet.pts)

    def came(self, frame: VideoFrame) -> None:
        """This picture came out; those of earlier times no longer will."""
        self._fields |= bool(frame.interlaced_frame)
        if frame.pts is None:
            self._timeless -= 1
        else:
            self._awaited.discard(frame.pts)
            self._settle({pts for pts in self._awaited if pts < frame.pts})
        self._started, self._jumped = True, False

    def restart(self) -> None:
        """Decoding goes on at another keyframe: what is on its way is dropped on purpose."""
        self._awaited.clear()
        self._timeless = 0
        self._jumped = self._started

    def close(self) -> None:
        """The decoder is empty."""
        self._settle(set(self._awaited))
        if not self._fields:
            self.lost += max(0, self._timeless)

    def _settle(self, gone: set[int]) -> None:
        self._awaited -= gone
        # A packet may hold one field of an interlaced picture: two packets, one picture.
        if self._fields or self._jumped:
            return
        if self._started:
            self.lost += len(gone)
        else:
            self.leading += sorted(gone)

    def _shows(self, packet: Packet[VideoStream]) -> bool:
        if self._codec == "vp8":
            return bool(bytes(packet)[0] & 0x10)  # show_frame (RFC 6386, 9.1): the others are references
        return self._codec != "mpeg4" or packet.size > _EMPTY_PICTURE_BYTES


class LeadingPictures:
    """Pictures stored behind the first keyframe and shown before it.

    An encoder begins with none. Where a film was cut at a keyframe without coding it anew, they refer to what
    is not in the file. ``keyframe`` is the time of the first.
    """

    def __init__(self) -> None:
        self.keyframe: int | None = None
        self._times: set[int] = set()
        self._over = False

    def demuxed(self, packet: Packet[Stream]) -> None:
        """The next packet of the picture, in the order of the file."""
        if self._over or packet.pts is None:
            return
        if self.keyframe is None:
            self.keyframe = packet.pts
            self._over = not packet.is_keyframe
        elif packet.pts < self.keyframe:
            self._times.add(packet.pts)
        else:
            self._over = True

    def __contains__(self, pts: object) -> bool:
        return pts in self._times

    def __len__(self) -> int:
        return len(self._times)


class HiddenFrames:
    """Frames that an edit list hides from players, as lossless trims do; ``shown``: where the others lie."""

    def __init__(self, shown: frozenset[int]) -> None:
        self._places = shown
        self._hidden = array("d")
        self._first_s, self._last_s = math.inf, -math.inf

    def add(self, place: int | None, seconds: float) -> None:
        """Another frame of the file: where it lies, and its time."""
        if place not in self._places:
            self._hidden.append(seconds)
        else:
            self._first_s, self._last_s = min(self._first_s, seconds), max(self._last_s, seconds)

    def sentence(self, frame_s: float) -> str | None:
        """How much is hidden and where; ``frame_s`` is how long a frame is shown."""
        before = sum(time < self._first_s for time in self._hidden)
        after = sum(time > self._last_s for time in self._hidden) if before < len(self._hidden) else 0
        counts = {
            "before the start": before,
            "after the end": after,
            "in between": len(self._hidden) - before - after,
        }
        parts = [f"{count * frame_s:.2g} s {where}" for where, count in counts.items() if count]
        if not parts:
            return None
        counted = "; times count from the first frame that is stored" if before else ""
        return (
            f"{' and '.join(parts)} are hidden from players by an edit list and were looked at too{counted}"
        )


class PictureTimes:
    """The times of all pictures in the file, decoded or not."""

    def __init__(self) -> None:
        self._seconds = array("d")

    def add(self, seconds: float) -> None:
        """Another packet of the picture."""
        self._seconds.append(seconds)

    def jumps(self) -> list[tuple[float, int]]:
        """Where a steady clock skips pictures: seconds before the gap, and how many would fill it.

        Empty where the clock is not steady: then a gap means nothing.
        """
        times = np.unique(np.asarray(self._seconds))
        if len(times) < 8:
            return []
        steps = np.diff(times)
        step = float(np.median(steps))
        if np.mean(np.abs(steps - step) <= max(0.0015, 0.1 * step)) < _STEADY_SHARE - 1 / len(steps):
            return []
        return [(float(times[n]), round(steps[n] / step) - 1) for n in np.flatnonzero(steps > _JUMP * step)]
