"""What stands between a container and its pictures: an edit list, two pictures in one packet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from deepscan.media.container import open_container

_PICTURE_START = b"\0\0\1\xb6"


def open_whole(path: Path) -> tuple[InputContainer, dict[int, frozenset[int]]]:
    """Open a file so that all frames come that are stored in it.

    An edit list tells players to leave out frames, as lossless trims do. Where one does, the file is opened
    without regard to it.

    Returns:
        The container, and for each video stream of which frames are hidden, by its index, the places in the
        file of those that players show.

    Raises:
        UnreadableMedia: see ``open_container``.
    """
    container = open_container(path)
    if "mp4" not in container.format.name:
        return container, {}
    shown = {stream.index: _places(stream) for stream in container.streams.video}
    if all(stream.frames <= len(shown[stream.index]) for stream in container.streams.video):
        return container, {}
    container.close()
    container = open_container(path, hidden=True)
    stored = {stream.index: _places(stream) for stream in container.streams.video}
    return container, {
        index: shown.get(index, places)
        for index, places in stored.items()
        if not places <= shown.get(index, places)
    }


def _places(stream: VideoStream) -> frozenset[int]:
    """Where the frames lie that the container hands out to be shown."""
    return frozenset(entry.pos for entry in stream.index_entries if not entry.is_discard)


class Unpack:
    """What the packets of the picture go through before they are decoded: one picture in each.

    Encoders of MPEG-4 part 2 put a frame and the B frame that is shown before it into one packet, and an
    empty one behind it. Such packets are parted and lose their times, which do not tell the two apart. All
    others stay as they are.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._may_be_packed = stream.codec_context is not None and stream.codec_context.name == "mpeg4"
        self._filter: BitStreamFilterContext | None = None

    def packets(self, container: InputContainer) -> Iterator[Packet[Stream]]:
        """Packets of all streams, from where the container stands."""
        for packet in container.demux():
            if self._may_be_packed and packet.stream_index == self._stream.index and packet.size:
                yield from self._parted(packet)
            else:
                yield packet

    def _parted(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        if self._filter is None and bytes(packet).count(_PICTURE_START) > 1:
            self._filter = BitStreamFilterContext("mpeg4_unpack_bframes", self._stream)
        if self._filter is None:
            yield packet
            return
        for single in self._filter.filter(packet):
            single.pts = None
            yield single
