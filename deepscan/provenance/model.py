"""What a file says about its own origin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["valid", "untrusted", "invalid", "not_read"]

SYNTHETIC = frozenset({"trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"})
"""IPTC digital source types of media that a trained model made, in whole or in part."""


@dataclass(frozen=True)
class Manifest:
    """The active C2PA manifest of a file.

    Attributes:
        state: ``valid``: signature and content are intact and a trust anchor vouches for the signer;
            ``untrusted``: both are intact, the signer is unknown; ``invalid``: one of them is broken;
            ``not_read``: there is a manifest, and ``problems`` says why nobody read it.
        signer: name and organization of the signing certificate.
        signed_at: time of the signature by its time stamp, ISO 8601; None without a time stamp.
        generator: the program that made the claim.
        actions: what was done, such as ``c2pa.created``, of this manifest and of its parents.
        source_types: IPTC digital source types, last part of the name only, of this manifest and its parents.
        problems: what is wrong with it, one sentence each.
    """

    state: State
    signer: str | None = None
    signed_at: str | None = None
    generator: str | None = None
    actions: tuple[str, ...] = ()
    source_types: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class GenerationParameters:
    """Settings that an image generator left in a file.

    ``text`` is their beginning; ``place`` says where they stand, such as ``PNG text "parameters"``.
    """

    tool: str
    place: str
    text: str


@dataclass(frozen=True)
class Tag:
    """A program or device that the container names: ``name`` is where, ``value`` is what."""

    name: str
    value: str


@dataclass(frozen=True)
class Provenance:
    """Everything that a file says about its own origin.

    Nothing but a manifest is protected against changes.

    Attributes:
        manifest: the C2PA manifest; None where there is none.
        source_types: IPTC digital source types in XMP, last part of the name only.
        generation: settings of image generators.
        tags: programs and devices that the container names.
        warnings: what could not be read, and what is wrong; one sentence each.
    """

    manifest: Manifest | None = None
    source_types: tuple[str, ...] = ()
    generation: tuple[GenerationParameters, ...] = ()
    tags: tuple[Tag, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def declared(self) -> tuple[tuple[str, str], ...]:
        """Synthetic source types and where each is declared; an invalid manifest declares nothing."""
        manifest = self.manifest
        signed = manifest.source_types if manifest and manifest.state in ("valid", "untrusted") else ()
        found = [(kind, "C2PA manifest") for kind in signed] + [(kind, "XMP") for kind in self.source_types]
        return tuple((kind, place) for kind, place in found if kind in SYNTHETIC)

    @property
    def empty(self) -> bool:
        """There is nothing to say."""
        return not (self.manifest or self.source_types or self.generation or self.tags or self.warnings)
