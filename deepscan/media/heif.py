"""HEIC and AVIF photos: which files are such, and how they are read.

AVIF is Pillow's. HEIC is read by libheif, through pillow-heif: it puts tiles and overlays together, turns
and mirrors as the file says, and passes over depth, gain maps and thumbnails. What it decodes is decoded by
FFmpeg as well, which names damage that libheif covers up.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import cast

import av
from PIL import Image

from deepscan.errors import UnreadableMedia, UnsupportedMedia
from deepscan.media.container import FFMPEG_LOG, open_container
from deepscan.media.integrity.containers import Bytes
from deepscan.media.integrity.containers.heif import Items, read_items

HEIF, AVIF = "HEIF", "AVIF"
_READ = {b"hvc1": HEIF, b"av01": AVIF}


def still_format(path: Path, head: bytes) -> str | None:
    """``HEIF`` or ``AVIF`` for a photo; None for a movie, an image sequence, or another kind of file.

    Raises:
        UnsupportedMedia: a photo that cannot be put together here.
    """
    if head[4:8] != b"ftyp":
        return None
    with path.open("rb") as file:
        found = read_items(Bytes(file))
    if found is None:
        return None
    coding = found.coding(found.primary)
    if len(coding) == 1 and (name := _READ.get(next(iter(coding)))):
        return name
    if not coding:
        raise UnreadableMedia(f"{path} is a damaged photo that cannot be decoded; fetch the file again.")
    kinds = ", ".join(sorted(kind.decode("latin-1") for kind in coding))
    raise UnsupportedMedia(
        f"{path} is a photo in a coding that is not read ({kinds}); save it as JPEG or PNG and scan that."
    )


def open_heif(path: Path) -> Image.Image:
    """Open a HEIC photo without decoding it; its frames are the pictures that it holds side by side.

    Raises:
        SyntaxError: it is damaged.
    """
    import pillow_heif  # a library of 6 MB that few files need

    pillow_heif.options.DECODE_THREADS = 1
    return cast("Image.Image", pillow_heif.HeifImageFile(path))  # type: ignore[no-untyped-call]


def ffmpeg_messages(path: Path) -> list[str]:
    """Messages of FFmpeg about the coded pictures of a HEIC photo, each once."""
    messages: list[str] = []
    # Only libheif can judge a photo that FFmpeg cannot part into its pictures.
    with suppress(UnreadableMedia, av.FFmpegError, ValueError), open_container(path) as container:
        FFMPEG_LOG.take()
        streams = [s for s in container.streams.video if s.codec_context is not None]
        for stream in streams:
            stream.codec_context.thread_type = "NONE"
        for packet in container.demux(streams):
            try:
                packet.decode()
            except (av.FFmpegError, ValueError) as error:
                messages.append(str(error))
    messages += [line.text for line in FFMPEG_LOG.take() if line.source == "hevc"]
    return list(dict.fromkeys(messages))


def unread_pictures(path: Path, count: int) -> int:
    """How many pictures a viewer may show that are not among the ``count`` that are read."""
    with path.open("rb") as file:
        found = read_items(Bytes(file)) or Items()
    return max(0, len(found.pictures) - count)
