"""Where JPEG, PNG, WebP and the box formats (AVIF, HEIC, MP4, MOV) keep what is said about a file.

Walks the structure from block to block and reads only metadata: never pixels, never samples, and of each
block at most ``MOST_BYTES``. Damage ends the walk; what was found until then stays.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from deepscan.media.integrity.containers.bytes_at import Bytes
from deepscan.media.integrity.containers.heif import read_items
from deepscan.media.integrity.containers.isobmff import boxes

MOST_BYTES = 4 << 20
MOST_BLOCKS = 10_000

_XMP_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_PNG = "XML:com.adobe.xmp"
_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_TEXT_BOXES = {
    b"\xa9swr": "software",
    b"\xa9too": "encoder",
    b"\xa9enc": "encoder",
    b"\xa9mak": "make",
    b"\xa9mod": "model",
}
_TEXT_KEYS = {
    "com.apple.quicktime.software": "software",
    "com.apple.quicktime.make": "make",
    "com.apple.quicktime.model": "model",
    "com.android.version": "android",
    "com.android.manufacturer": "make",
    "com.android.model": "model",
}


@dataclass
class Blocks:
    """Raw metadata of one file.

    Attributes:
        mime: media type of the container, as C2PA names it.
        manifest: it embeds a C2PA manifest.
        xmp: packets, as they stand.
        exif: the TIFF structure, without ``Exif\\0\\0`` before it; empty where there is none.
        texts: keyword and text of PNG's text chunks.
        tags: name and text of a box format's software fields.
    """

    mime: str = ""
    manifest: bool = False
    xmp: list[bytes] = field(default_factory=list)
    exif: bytes = b""
    texts: list[tuple[str, str]] = field(default_factory=list)
    tags: list[tuple[str, str]] = field(default_factory=list)


def read_blocks(path: Path) -> Blocks | None:
    """The metadata of a file; None for other formats. Raises OSError."""
    with path.open("rb") as file:
        data = Bytes(file)
        head = data.at(0, 16)
        walk = _walker(head)
        if walk is None:
            return None
        found = Blocks()
        walk(data, found)
        return found


def _walker(head: bytes) -> Callable[[Bytes, Blocks], None] | None:
    if head.startswith(b"\xff\xd8\xff"):
        return _jpeg
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp
    return _boxes if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip") else None


def _jpeg(data: Bytes, found: Blocks) -> None:
    found.mime = "image/jpeg"
    place = 2
    for _ in range(MOST_BLOCKS):
        head = data.at(place, 4)
        if len(head) < 4 or head[0] != 0xFF or head[1] == 0xDA:
            return
        if head[1] in (0xFF, 0x01) or 0xD0 <= head[1] <= 0xD8:  # padding; markers without a length
            place += 1 if head[1] == 0xFF else 2
            continue
        length = int.from_bytes(head[2:], "big")
        if head[1] == 0xE1:
            content = data.at(place + 4, length - 2)
            if content.startswith(_XMP_JPEG):
                found.xmp.append(content[len(_XMP_JPEG) :])
            elif content.startswith(b"Exif\0"):
                found.exif = found.exif or content[6:]
        elif head[1] == 0xEB:
            found.manifest |= b"jumb" in data.at(place + 4, 64) and b"c2pa" in data.at(place + 4, 128)
        place += 2 + length


def _png(data: Bytes, found: Blocks) -> None:
    found.mime = "image/png"
    place = 8
    for _ in range(MOST_BLOCKS):
        head = data.at(place, 8)
        if len(head) < 8:
            return
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind == b"caBX":
            found.manifest = True
        elif kind == b"eXIf":
            found.exif = data.at(place + 8, min(length, MOST_BYTES))
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            _png_text(kind, data.at(place + 8, min(length, MOST_BYTES)), found)
        place += 12 + length


def _png_text(kind: bytes, content: bytes, found: Blocks) -> None:
    keyword, _, rest = content.partition(b"\0")
    name, encoding, packed = keyword.decode("latin-1"), "latin-1", kind == b"zTXt"
    if packed:
        rest = rest[1:]
    elif kind == b"iTXt":
        packed, encoding = rest[:1] == b"\1", "utf-8"
        rest = rest[2:].split(b"\0", 2)[-1]
    if packed:
        try:
            rest = zlib.decompressobj().decompress(rest, MOST_BYTES)
        except zlib.error:
            return
    if name == _XMP_PNG:
        found.xmp.append(rest)
    else:
        found.texts.append((name, rest.decode(encoding, "replace")))


def _webp(data: Bytes, found: Blocks) -> None:
    found.mime = "image/webp"
    place = 12
    for _ in range(MOST_BLOCKS):
        head = data.at(place, 8)
        if len(head) < 8:
            return
        kind, length = head[:4], int.from_bytes(head[4:], "little")
        if kind == b"C2PA":
            found.manifest = True
        elif kind == b"XMP ":
            found.xmp.append(data.at(place + 8, min(length, MOST_BYTES)))
        elif kind == b"EXIF":
            found.exif = data.at(place + 8, min(length, MOST_BYTES)).removeprefix(b"Exif\0\0")
        place += 8 + length + length % 2


def _boxes(data: Bytes, found: Blocks) -> None:
    brands = data.at(4, 4 + 60)
    found.mime = "video/quicktime" if brands[4:8] == b"qt  " or brands[:4] != b"ftyp" else "video/mp4"
    if brands[4:8] in (b"avif", b"avis"):
        found.mime = "image/avif"
    elif brands[4:8] in (b"heic", b"heix", b"mif1", b"msf1", b"heim", b"heis", b"hevc", b"hevx"):
        found.mime = "image/avif" if b"avif" in brands else "image/heic"
    for kind, start, end in _some(data, 0, data.size):
        if kind == b"uuid":
            name = data.at(start, 16)
            found.manifest |= name == _C2PA_UUID
            if name == _XMP_UUID:
                found.xmp.append(data.at(start + 16, min(end - start - 16, MOST_BYTES)))
        elif kind == b"moov":
            _movie(data, start, end, found)
    if found.mime.startswith("image/"):
        _items(data, found)


def _some(data: Bytes, start: int, end: int) -> list[tuple[bytes, int, int]]:
    return [box for box, _ in zip(boxes(data, start, end), range(MOST_BLOCKS), strict=False)]


def _movie(data: Bytes, start: int, end: int, found: Blocks) -> None:
    """Fields of ``moov``: user data of QuickTime, the item list of iTunes, and Apple's keys."""
    for kind, inner, stop in _some(data, start, end):
        if kind == b"udta":
            for name, at, to in _some(data, inner, stop):
                content = data.at(at, min(to - at, MOST_BYTES))
                if name == b"XMP_":
                    found.xmp.append(content)
                elif name in _TEXT_BOXES:
                    found.tags.append((_TEXT_BOXES[name], content[4:].decode("utf-8", "replace")))
                elif name == b"meta":
                    _meta(data, at, to, found)
        elif kind == b"meta":
            _meta(data, inner, stop, found)


def _meta(data: Bytes, start: int, end: int, found: Blocks) -> None:
    skip = 0 if data.at(start + 4, 4) in (b"hdlr", b"keys", b"ilst") else 4  # QuickTime's has no version
    inside = {kind: (at, to) for kind, at, to in _some(data, start + skip, end)}
    keys: list[str] = []
    if b"keys" in inside:
        at, to = inside[b"keys"]
        keys = [data.at(a, b - a).decode("utf-8", "replace") for _, a, b in _some(data, at + 8, to)]
    if b"ilst" not in inside:
        return
    for kind, at, to in _some(data, *inside[b"ilst"]):
        number = int.from_bytes(kind, "big") - 1
        name = _TEXT_BOXES.get(kind) or (_TEXT_KEYS.get(keys[number]) if 0 <= number < len(keys) else None)
        if name is None:
            continue
        for inner, a, b in _some(data, at, to):
            if inner == b"data" and int.from_bytes(data.at(a, 4), "big") == 1:
                found.tags.append(
                    (name, data.at(a + 8, min(b - a - 8, MOST_BYTES)).decode("utf-8", "replace"))
                )


def _items(data: Bytes, found: Blocks) -> None:
    """XMP and EXIF of AVIF and HEIC are items, as pictures are."""
    listed = read_items(data)
    for item in listed.items.values() if listed else ():
        if item.kind not in (b"mime", b"Exif") or not item.extents:
            continue
        left, content = MOST_BYTES, b""
        for start, end in item.extents[:MOST_BLOCKS]:
            piece = data.at(start, min(end - start, left))
            content, left = content + piece, left - len(piece)
        if item.kind == b"mime" and b"xmpmeta" in content:
            found.xmp.append(content)
        elif item.kind == b"Exif":
            skip = 4 + int.from_bytes(content[:4], "big")
            found.exif = found.exif or content[skip:].removeprefix(b"Exif\0\0")
