"""Decoding on an NVIDIA GPU (NVDEC), only where it was requested.

The GPU's decoder conceals what is damaged inside a picture without a report; FFmpeg's own decoders report it,
and that is what tells a whole file from a damaged one. So the CPU decodes by default, and a file that a GPU
decoded carries a warning. Structure, packets, times and lost frames are checked alike.
"""

from __future__ import annotations

from pathlib import Path

from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer

from deepscan.errors import UnreadableMedia
from deepscan.media.container import open_container
from deepscan.media.info import Coverage
from deepscan.media.stream import picture_stream

HIDES_DAMAGE = "decoded by the GPU (--decoder nvdec), which conceals damage inside pictures"
NO_NVDEC = "the GPU's decoder does not come up (--decoder nvdec), so the CPU decoded this file"
NOT_THIS = "the GPU's decoder does not know this codec (--decoder nvdec), so the CPU decoded this file"


def has_nvdec() -> bool:
    """Whether this build of FFmpeg can hand videos to NVDEC; not whether a GPU is there to take them."""
    return "cuda" in hwdevices_available()


def open_on_gpu(path: Path, coverage: Coverage, *, number: int, hidden: bool) -> InputContainer:
    """As ``open_container``, for a GPU to decode; ``coverage`` records the outcome.

    ``number`` is that of the video track, as in ``picture_stream``.

    The frames come in main memory. Profiles that the GPU lacks are left to FFmpeg's decoder on the way.
    """
    container = _opened(path, hidden)
    if container is None:
        coverage.warnings.append(NO_NVDEC)
        return open_container(path, hidden=hidden)
    on_gpu = picture_stream(container, path, number).codec_context.is_hwaccel
    coverage.warnings.append(HIDES_DAMAGE if on_gpu else NOT_THIS)
    return container


def _opened(path: Path, hidden: bool) -> InputContainer | None:
    """None where there is no such decoder, or its device cannot be opened."""
    if not has_nvdec():
        return None
    try:
        return open_container(path, HWAccel("cuda", allow_software_fallback=True), hidden=hidden)
    except UnreadableMedia:
        return None  # if the file is to blame, opening it for the CPU reports that
