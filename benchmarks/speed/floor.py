"""The least that a scan could cost: decoding the frames it needs, and the networks alone.

Nothing else is in it: no colour conversion, no face detection, no crops, no Python around them. Both parts
run on one thread, since threads add CPU time of their own; the floor in seconds of wall time is their sum
divided by the number of cores.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
from av.packet import Packet
from av.video.stream import VideoStream
from PIL import Image
from stages import recorded_clips

from deepscan import media
from deepscan.config import ScanConfig
from deepscan.detectors import SPECS
from deepscan.faces.clips import Clip
from deepscan.inference import loading
from deepscan.inference.detector import Detector
from deepscan.scanner import Scanner
from deepscan.weights import Weights

ROUNDING_S = 1e-3


@dataclass(frozen=True)
class Floor:
    """CPU seconds, one thread; ``clips`` is how many inputs the networks were given."""

    decode_s: float
    nets_s: float
    clips: int

    @property
    def cpu_s(self) -> float:
        return self.decode_s + self.nets_s


class FloorMeter:
    """Measures floors, with models that are loaded once."""

    def __init__(self, config: ScanConfig) -> None:
        self._scanner = Scanner(config)
        # As in a scan: the weights of the device that is scanned on, but never more than one thread.
        loaded = loading.load(replace(config, threads=1), Weights(config.weights))
        self._detectors = {name: Detector(SPECS[name], network) for name, network in loaded.items()}

    def measure(self, paths: Sequence[Path]) -> Floor:
        """The floor of scanning these files one after the other, measured once."""
        decode_s = nets_s = 0.0
        count = 0
        for number, path in enumerate(paths):
            with recorded_clips() as clips:
                self._scanner.scan(path)
            decode_s += _decode(path, _wanted_times(path))
            if number == 0:
                _score(self._detectors, clips)  # a first run allocates what the later ones find in place
            nets_s += _score(self._detectors, clips)
            count += len(clips)
        return Floor(decode_s, nets_s, count)


def _score(detectors: dict[str, Detector], clips: Sequence[tuple[str, Clip]]) -> float:
    started_s = time.process_time()
    for name, clip in clips:
        detectors[name].score([clip])
    return time.process_time() - started_s


def _wanted_times(path: Path) -> list[float]:
    """The times of the frames that a scan's plan asks for, seconds."""
    info = media.probe(path)
    return [frame.pts_s for frame in media.frames(path, info, media.plan(info), media.Coverage())]


def _decode(path: Path, wanted_s: Sequence[float]) -> float:
    """CPU seconds to decode the wanted frames and those that they are predicted from, by PyAV alone.

    Of every stretch between keyframes only the part up to the last wanted frame is decoded, and frames
    that no other one refers to are left out unless wanted.
    """
    photo = media.probe(path).kind == "image"
    started_s = time.process_time()
    if photo:
        with Image.open(path) as photo:
            photo.load()
        return time.process_time() - started_s
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder = stream.codec_context
        decoder.thread_type, decoder.thread_count = "NONE", 1
        tick = float(stream.time_base or 0)
        origin = stream.start_time or 0
        wanted = {round(time_s / ROUNDING_S) for time_s in wanted_s}
        for group in _groups(container.demux(stream)):
            times_s = [((p.pts or 0) - origin) * tick for p in group]
            is_wanted = [round(time_s / ROUNDING_S) in wanted for time_s in times_s]
            if True not in is_wanted:
                continue
            decoder.flush_buffers()
            needed = len(is_wanted) - is_wanted[::-1].index(True)
            for packet, now in zip(group[:needed], is_wanted, strict=False):
                decoder.skip_frame = "DEFAULT" if now else "NONREF"
                decoder.decode(packet)
            decoder.decode(None)
    return time.process_time() - started_s


def _groups(packets: Iterable[Packet[VideoStream]]) -> list[list[Packet[VideoStream]]]:
    """Packets from each keyframe up to the next, in decoding order."""
    groups: list[list[Packet[VideoStream]]] = []
    for packet in packets:
        if packet.size and packet.pts is not None:
            if packet.is_keyframe or not groups:
                groups.append([])
            groups[-1].append(packet)
    return groups
