"""Still photos and animated WebP or PNG, through Pillow (FFmpeg decodes no animated WebP)."""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from deepscan.errors import UnreadableMedia, UnsupportedMedia
from deepscan.media.container import MAX_PIXELS
from deepscan.media.frame_selector import Choice, Picker
from deepscan.media.heif import AVIF, HEIF, ffmpeg_messages, open_heif, still_format, unread_pictures
from deepscan.media.info import Coverage, Frame, MediaInfo, SamplingPlan
from deepscan.media.integrity.containers import Bytes, Note, trailing_data
from deepscan.media.integrity.containers.jpeg import NO_END
from deepscan.media.integrity.containers.tiff import is_camera_raw
from deepscan.media.integrity.jpeg_end import ALL_THERE, mended
from deepscan.media.library_messages import overheard
from deepscan.media.sniff import photo_format, read_head
from deepscan.media.unsupported import unread_kind

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its errors go to the terminal

_ANIMATED = ("PNG", "WEBP", "GIF")
_EXIF_ORIENTATION = 0x0112
_EXIF_CLOCKWISE = {3: 180, 4: 180, 5: 90, 6: 90, 7: 270, 8: 270}
_DEFAULT_FRAME_S = 0.1  # what browsers show a frame for that names no duration
_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    SyntaxError,
    RuntimeError,
    struct.error,
    KeyError,
    IndexError,
    TypeError,
)
"""What Pillow's readers raise over a damaged file."""


def shows_through_pillow(info: MediaInfo) -> bool:
    """Photos and animations that Pillow decodes; everything else is FFmpeg's."""
    return info.kind == "image" or info.container in ("webp", "png")


def probe_photo(path: Path, pixel_budget: int = 0) -> MediaInfo | None:
    """What the photo or animation is; None for a file that is not one.

    Raises:
        UnreadableMedia: broken, or more pixels than the limit.
        UnsupportedMedia: a picture of a kind that is not read.
    """
    name = _format(path)
    if name is None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, in which nobody here is interested
            return _probed(path, name, pixel_budget)
    except _BROKEN as error:
        raise _broken(path) from error


def _format(path: Path) -> str | None:
    """Pillow's name of the format, or ``HEIF``."""
    suffix = path.suffix
    head = read_head(path, 16 << 20 if suffix.lower() == ".svg" else 1024)
    if kind := unread_kind(head, suffix):
        raise _unsupported(path, kind)
    name = photo_format(head, suffix)
    if name == "TIFF":
        with path.open("rb") as file:
            if is_camera_raw(Bytes(file)):
                raise _unsupported(path, "camera raw file")
    return name or still_format(path, head)


def _unsupported(path: Path, kind: str) -> UnsupportedMedia:
    return UnsupportedMedia(
        f"{path} is a {kind}, which deepscan does not read; save it as JPEG, PNG or TIFF and scan that."
    )


def _probed(path: Path, name: str, pixel_budget: int) -> MediaInfo:
    with _open(path, name) as image:
        container = name.lower()
        count = int(getattr(image, "n_frames", 1))
        turn = image.getexif().get(_EXIF_ORIENTATION, 1)
        width, height = image.size if turn not in (5, 6, 7, 8) else image.size[::-1]
        if name not in _ANIMATED or count == 1:
            rotation = _EXIF_CLOCKWISE.get(turn, 0)
            parts = _pages(path, name, count)
            return MediaInfo(
                "image", container, container, width, height, rotation, None, None, 1, parts=parts
            )
    times = _times(path, name, count, pixel_budget)
    rate = count / times[-1]
    return MediaInfo("animation", container, container, width, height, 0, times[-1], rate, count)


def _pages(path: Path, name: str, count: int) -> tuple[str, ...]:
    """Names of the pictures that lie side by side in a file; none where there is but one."""
    if name not in ("TIFF", HEIF) or count == 1:
        return ()
    word = "page" if name == "TIFF" else "picture"
    return tuple(f"{word} {number + 1}" for number in range(count))


def photo_frames(
    path: Path, info: MediaInfo, plan: SamplingPlan, coverage: Coverage, number: int = 0
) -> Iterator[Frame]:
    """The frames of a photo or animation; see :meth:`deepscan.media.Medium.frames`.

    ``number`` is that of the page, or of the picture in a file that holds several side by side.
    """
    name = info.container.upper()
    if number == 0:
        _check(path, info, coverage)
    picker = Picker(plan)
    held: tuple[float, Choice | None, Image.Image] | None = None
    with _open(path, name) as image:
        if info.kind == "image":
            with overheard(name == "TIFF") as messages:
                rgb = _page(path, image, number)
            if messages:
                coverage.errors_reported += len(messages)
                coverage.warnings.append(
                    f"libtiff reports damage: {messages[0].partition(': ')[2] or messages[0]}"
                )
            coverage.frames_decoded = 1
            coverage.finished = True
            yield Frame(0, 0.0, rgb, 0, True)
            return
        end_s = 0.0
        for number in range(info.frames_expected or 1):
            try:
                image.seek(number)
                image.load()
            except _BROKEN as error:
                coverage.frames_failed += 1
                coverage.warnings.append(f"the animation breaks off at frame {number} ({error})")
                break
            pts_s, end_s = round(end_s, 6), end_s + _shown_s(image)
            coverage.frames_decoded += 1
            coverage.pixels_decoded += image.width * image.height
            coverage.seconds_covered = round(end_s, 6)
            # One frame behind, since only the end of the file tells which frame is the last.
            if held is not None and held[1] is not None:
                yield _frame(path, held[0], held[1], held[2])
            held = (pts_s, picker.choose(pts_s), image.copy())
            if coverage.spent and number + 1 < (info.frames_expected or 1):
                coverage.stop()
                return
        if held is not None and (choice := picker.last(held[1])):
            yield _frame(path, held[0], choice, held[2])
    coverage.finished = True
    if not coverage.frames_decoded:
        raise UnreadableMedia(f"{path} holds no frame that can be decoded; fetch the file again.")


def _check(path: Path, info: MediaInfo, coverage: Coverage) -> None:
    """Is the file whole? What is not goes into ``coverage``."""
    sentences = trailing_data(path, info.container)
    if NO_END in sentences and mended(path):
        sentences = [ALL_THERE]
    if info.container == HEIF.lower():
        sentences += [f"FFmpeg reports damage: {line}" for line in ffmpeg_messages(path)[:1]]
    if info.container in (HEIF.lower(), AVIF.lower()):
        unread = unread_pictures(path, max(1, len(info.parts)))
        sentences += [f"{unread} more picture(s) in this file were not looked at"] if unread else []
    coverage.errors_reported += sum(not isinstance(sentence, Note) for sentence in sentences)
    coverage.warnings += sentences


def _page(path: Path, image: Image.Image, number: int) -> NDArray[np.uint8]:
    try:
        if number:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image.seek(number)
    except _BROKEN as error:
        raise _broken(path) from error
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(path)
    return _rgb(path, image)


def _frame(path: Path, pts_s: float, choice: Choice, image: Image.Image) -> Frame:
    return Frame(choice.index, pts_s, _rgb(path, image), choice.window, choice.even)


def _open(path: Path, name: str) -> Image.Image:
    """Open without decoding; the pixel limit is checked against the header."""
    try:
        with warnings.catch_warnings():
            # Pillow's own limits only warn, or are higher than this one.
            warnings.simplefilter("ignore")
            source = (mended(path) if name == "JPEG" else None) or path
            image = open_heif(path) if name == HEIF else Image.open(source, formats=(name,))
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except (UnidentifiedImageError, *_BROKEN) as error:
        raise _broken(path) from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise _too_large(path)
    return image


def _rgb(path: Path, image: Image.Image) -> NDArray[np.uint8]:
    """Decode, turn upright, lay transparent parts on white: ``(H, W, 3)`` uint8."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("I", "I;16", "I;16B", "F"):
                return _gray16(upright)
            if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
                upright = upright.convert("RGBA")
                white = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(white, upright)
            return np.array(upright.convert("RGB"), dtype=np.uint8)
    except _BROKEN as error:
        raise _broken(path) from error


def _gray16(image: Image.Image) -> NDArray[np.uint8]:
    """Sixteen-bit gray to ``(H, W, 3)`` uint8: Pillow's own conversion would clip at 255."""
    deep = np.asarray(image, dtype=np.float64)
    gray = np.clip(deep / (257.0 if deep.max(initial=0.0) > 255 else 1.0), 0, 255).astype(np.uint8)
    return np.repeat(gray[:, :, None], 3, axis=2)


def _times(path: Path, name: str, count: int, pixel_budget: int) -> list[float]:
    """End of every frame, seconds; ``(count,)``, guessed from where it breaks off or spends the budget."""
    ends: list[float] = []
    with _open(path, name) as image:
        for number in range(count):
            if 0 < pixel_budget <= number * image.width * image.height:
                break
            try:
                image.seek(number)
                image.load()  # WebP names a frame's duration only once it is decoded
            except _BROKEN:
                break
            ends.append(round((ends[-1] if ends else 0.0) + _shown_s(image), 6))
    if not ends:
        raise _broken(path)
    # A broken animation keeps its declared length, so that the missing part shows in the coverage.
    return ends + [ends[-1] / len(ends) * (n + 1) for n in range(len(ends), count)]


def _shown_s(image: Image.Image) -> float:
    shown_ms = float(image.info.get("duration") or 0.0)
    return shown_ms / 1000 if shown_ms > 0 else _DEFAULT_FRAME_S


def _too_large(path: Path) -> UnreadableMedia:
    return UnreadableMedia(
        f"{path} has more than the limit of {MAX_PIXELS / 1e6:.0f} megapixels; scan a smaller copy."
    )


def _broken(path: Path) -> UnreadableMedia:
    return UnreadableMedia(f"{path} is a damaged photo that cannot be decoded; fetch the file again.")
