"""Everything that one file says about its own origin, put together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deepscan.provenance.blocks import Blocks, read_blocks
from deepscan.provenance.generation import from_exif, from_png
from deepscan.provenance.manifests import ManifestReader, read_anchors
from deepscan.provenance.model import Manifest, Provenance
from deepscan.provenance.tags import ExifFields, collected, read_exif
from deepscan.provenance.xmp import Xmp, read_xmp


class ProvenanceReader:
    """Reads one file after the other."""

    def __init__(self, trust_anchors: Path | None = None) -> None:
        """``trust_anchors``: PEM file of the certificates that vouch for signers. Raises UsageError."""
        self._manifests = ManifestReader(None if trust_anchors is None else read_anchors(trust_anchors))

    def read(self, path: Path) -> Provenance | None:
        """What a file says about its origin; None where it says nothing. Damage becomes a warning."""
        try:
            blocks = read_blocks(path) if path.is_file() else None
            found = None if blocks is None else self._collect(path, blocks)
        except OSError:
            return None  # the file's status says so
        except Exception as error:  # whatever is odd here, the scan goes on
            return Provenance(warnings=(f"its provenance cannot be read ({type(error).__name__})",))
        return None if found is None or found.empty else found

    def _collect(self, path: Path, blocks: Blocks) -> Provenance:
        manifest = self._manifests.read(path, blocks.mime) if blocks.manifest else None
        xmp = read_xmp(blocks.xmp)
        exif, damaged = _exif(blocks.exif)
        software = [(f"PNG {name}", text) for name, text in blocks.texts if name == "Software"]
        return Provenance(
            manifest=manifest,
            source_types=xmp.source_types,
            generation=(*from_png(blocks.texts), *from_exif(exif.comment, exif.description, exif.software)),
            tags=collected(
                [
                    *blocks.tags,
                    ("EXIF make", exif.make),
                    ("EXIF model", exif.model),
                    ("EXIF software", exif.software),
                    *software,
                    *(("XMP creator tool", tool) for tool in xmp.tools),
                ]
            ),
            warnings=tuple(_warnings(manifest, xmp, damaged)),
        )


def _exif(data: bytes) -> tuple[ExifFields, bool]:
    """The fields, and whether they are damaged."""
    if not data:
        return ExifFields(), False
    try:
        return read_exif(data), False
    except Exception:  # Pillow raises many kinds on a damaged structure
        return ExifFields(), True


def _warnings(manifest: Manifest | None, xmp: Xmp, exif_damaged: bool) -> Iterator[str]:
    if manifest is not None and manifest.state == "invalid":
        why = f" ({'; '.join(manifest.problems)})" if manifest.problems else ""
        yield f"its C2PA manifest is invalid: it or the file was changed after it was signed{why}"
    if manifest is not None and manifest.state == "not_read":
        yield f"it has a C2PA manifest, which was not read: {'; '.join(manifest.problems)}"
    if manifest is None:
        for address in xmp.remote:
            yield f"its C2PA manifest is kept elsewhere and was not fetched ({address[:200]})"
    if xmp.damaged:
        yield "its XMP is damaged and was not read"
    if exif_damaged:
        yield "its EXIF is damaged and was not read"
