"""What a file says about its own origin, in sentences for a person.

Everything here quotes the file: whoever prints it escapes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from deepscan.text import listed

if TYPE_CHECKING:
    from deepscan.provenance import Manifest
    from deepscan.results import FileReport

EXCERPT_CHARACTERS = 80
STATES = {
    "valid": "valid C2PA manifest",
    "untrusted": "C2PA manifest of an unknown signer",
    "invalid": "invalid C2PA manifest",
}


def declaration(file: FileReport) -> str | None:
    """``declares itself synthetic: trainedAlgorithmicMedia (XMP)``; None where it does not."""
    if file.provenance is None or not file.declared_synthetic:
        return None
    declared = file.provenance.declared
    places = listed(list(dict.fromkeys(place for _, place in declared)))
    return (
        f"declares itself synthetic: {listed(list(dict.fromkeys(kind for kind, _ in declared)))} ({places})"
    )


def sentences(file: FileReport, *, tags: bool = True) -> list[str]:
    """Everything but warnings: declaration, manifest, source types, generation parameters, ``tags``."""
    found = file.provenance
    if found is None:
        return []
    lines = [text for text in (declaration(file),) if text]
    if found.manifest is not None and found.manifest.state != "not_read":
        lines.append(", ".join(_manifest(found.manifest)))
    if found.source_types:
        lines.append(f"source type in XMP: {listed(found.source_types)}")
    lines += [f"{used.tool} parameters in {used.place}: {_excerpt(used.text)}" for used in found.generation]
    if tags and found.tags:
        lines.append("; ".join(f"{tag.name}: {tag.value}" for tag in found.tags))
    return lines


def warnings(file: FileReport) -> tuple[str, ...]:
    """What could not be read, and a signature that is not valid."""
    return () if file.provenance is None else file.provenance.warnings


def brief(file: FileReport) -> str:
    """One line: the declaration, else the manifest, else the generators; empty where there are only tags."""
    found = file.provenance
    if found is None:
        return ""
    lines = declaration(file)
    if found.manifest is not None and found.manifest.state != "not_read":
        facts = _manifest(found.manifest)
        return ", ".join([lines, *facts[:2]] if lines else facts)
    if lines:
        return lines
    if found.source_types:
        return f"source type in XMP: {listed(found.source_types)}"
    names = list(dict.fromkeys(f"{used.tool} parameters in {used.place}" for used in found.generation))
    return listed(names[:2])


def _manifest(manifest: Manifest) -> list[str]:
    return list(_manifest_facts(manifest))


def _manifest_facts(manifest: Manifest) -> Iterator[str]:
    yield STATES[manifest.state]
    if manifest.signer:
        yield f"signed by {manifest.signer}" + (f" at {manifest.signed_at}" if manifest.signed_at else "")
    if manifest.generator:
        yield f"made with {manifest.generator}"
    if manifest.actions:
        yield f"actions {', '.join(manifest.actions[:6])}"
    if manifest.source_types:
        yield f"source type {', '.join(manifest.source_types[:4])}"


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT_CHARACTERS else f"{line[:EXCERPT_CHARACTERS]}…"
