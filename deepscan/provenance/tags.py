"""Encoder tags: the programs and devices that a container names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deepscan.provenance.model import Tag

VALUE_CHARACTERS = 200
MOST_TAGS = 20

_DESCRIPTION, _MAKE, _MODEL, _SOFTWARE = 0x010E, 0x010F, 0x0110, 0x0131
_EXIF, _USER_COMMENT = 0x8769, 0x9286
_ENCODINGS = {b"ASCII\0\0\0": "utf-8", b"UNICODE\0": "utf-16", b"\0" * 8: "utf-8"}


@dataclass(frozen=True)
class ExifFields:
    """Texts of EXIF; empty where a field is missing."""

    description: str = ""
    make: str = ""
    model: str = ""
    software: str = ""
    comment: str = ""


def read_exif(data: bytes) -> ExifFields:
    """Fields of a TIFF structure. Raises whatever Pillow raises on damage."""
    from PIL import Image

    exif = Image.Exif()
    exif.load(b"Exif\0\0" + data)
    return ExifFields(
        description=_text(exif.get(_DESCRIPTION)),
        make=_text(exif.get(_MAKE)),
        model=_text(exif.get(_MODEL)),
        software=_text(exif.get(_SOFTWARE)),
        comment=_comment(exif.get_ifd(_EXIF).get(_USER_COMMENT)),
    )


def collected(pairs: Iterable[tuple[str, str]]) -> tuple[Tag, ...]:
    """Tags without empty or repeated ones, each cut to ``VALUE_CHARACTERS``."""
    found = (Tag(name, value.strip("\0 \r\n\t")[:VALUE_CHARACTERS]) for name, value in pairs)
    return tuple(dict.fromkeys(tag for tag in found if tag.value))[:MOST_TAGS]


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value.strip("\0 ") if isinstance(value, str) else ""


def _comment(value: object) -> str:
    """UserComment begins with eight bytes that name its encoding; UTF-16 is of either byte order."""
    if not isinstance(value, bytes):
        return _text(value)
    encoding = _ENCODINGS.get(value[:8])
    if encoding is None:
        return _text(value)
    content = value[8:]
    if encoding == "utf-16" and content[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        big = content[0:200:2].count(0) > content[1:200:2].count(0)
        encoding = "utf-16-be" if big else "utf-16-le"
    return content.decode(encoding, "replace").strip("\0 ")
