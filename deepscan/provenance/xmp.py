"""XMP: the IPTC digital source type, the program that made a file, and where a manifest is kept elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

_SOURCE_TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
_CREATOR_TOOL = "{http://ns.adobe.com/xap/1.0/}CreatorTool"
_MANIFEST = "{http://purl.org/dc/terms/}provenance"
_RESOURCE = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}resource"


@dataclass(frozen=True)
class Xmp:
    """What the packets of one file say.

    ``source_types``: last part of the name, such as ``trainedAlgorithmicMedia``. ``remote``: addresses of
    manifests that are kept elsewhere. ``damaged``: packets that are no XML.
    """

    source_types: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()
    damaged: int = 0


def read_xmp(packets: Sequence[bytes]) -> Xmp:
    """Read the packets of a file. Never raises."""
    values: dict[str, list[str]] = {_SOURCE_TYPE: [], _CREATOR_TOOL: [], _MANIFEST: []}
    damaged = 0
    for packet in packets:
        try:
            for name, value in _properties(packet.strip(b"\0 \r\n\t\xef\xbb\xbf")):
                if name in values and value:
                    values[name].append(value)
        except (ElementTree.ParseError, ValueError, LookupError):
            damaged += 1
    kinds = [last_part(value) for value in values[_SOURCE_TYPE]]
    return Xmp(_once(kinds), _once(values[_CREATOR_TOOL]), _once(values[_MANIFEST]), damaged)


def last_part(address: str) -> str:
    """``trainedAlgorithmicMedia`` of the address or the short name that stands for it."""
    return address.strip().rstrip("/").replace(":", "/").rsplit("/", 1)[-1]


def _properties(packet: bytes) -> Iterator[tuple[str, str]]:
    """Names and values, whether written as attributes, elements or resources."""
    if b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        raise ValueError("XMP has no document type")
    for element in ElementTree.fromstring(packet).iter():
        yield from ((name, value.strip()) for name, value in element.attrib.items())
        yield element.tag, (element.get(_RESOURCE) or "".join(element.itertext())).strip()


def _once(values: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
