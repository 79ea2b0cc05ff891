"""Is a container whole, down to its last byte?

Decoders resynchronise: they skip what they do not understand, stop at what looks like the end and say
nothing. These walks follow the lengths that a container states of its own parts, from the first byte to the
last, and name what does not fit: a part that reaches past the end of the file, bytes where a part should
begin, a check sum that does not match, bytes left after the end (another movie, perhaps). Nothing is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from deepscan.media.integrity.containers.bitmaps import walk_bitmap, walk_portable_map, walk_targa
from deepscan.media.integrity.containers.bytes_at import Bytes, Note
from deepscan.media.integrity.containers.gif import walk_gif
from deepscan.media.integrity.containers.heif import walk_heif
from deepscan.media.integrity.containers.isobmff import walk_boxes
from deepscan.media.integrity.containers.jpeg import walk_jpeg
from deepscan.media.integrity.containers.jpeg2000 import walk_jpeg2000
from deepscan.media.integrity.containers.matroska import walk_matroska
from deepscan.media.integrity.containers.mpegts import walk_transport_stream
from deepscan.media.integrity.containers.png import walk_png
from deepscan.media.integrity.containers.riff import walk_riff
from deepscan.media.integrity.containers.tiff import walk_tiff

__all__ = ["Bytes", "Note", "trailing_data"]

_WALKS: dict[str, Callable[[Bytes], Iterator[str]]] = {
    "mp4": walk_boxes,
    "mov": walk_boxes,
    "matroska": walk_matroska,
    "webm": walk_matroska,
    "avi": walk_riff,
    "webp": walk_riff,
    "gif": walk_gif,
    "jpeg": walk_jpeg,
    "jpeg2000": walk_jpeg2000,
    "tiff": walk_tiff,
    "bmp": walk_bitmap,
    "ppm": walk_portable_map,
    "tga": walk_targa,
    "heif": walk_heif,
    "avif": walk_heif,
    "png": walk_png,
    "mpegts": walk_transport_stream,
}
_MOST = 5


def trailing_data(path: Path, container: str) -> list[str]:
    """What does not fit in a file's structure, as sentences; the first few. A ``Note`` is no damage.

    Args:
        path: the file.
        container: name of the container, as in ``MediaInfo``; one that is not known here gives nothing.

    Raises:
        OSError: the file cannot be read any more.
    """
    walk = _WALKS.get(container)
    if walk is None:
        return []
    with path.open("rb") as file:
        found = walk(Bytes(file))
        return [sentence for sentence, _ in zip(found, range(_MOST), strict=False)]
