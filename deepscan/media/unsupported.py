"""Pictures that a viewer shows and deepscan does not read: named as such, never passed over."""

from __future__ import annotations

_MAGIC = (
    (b"\xff\x0a", "JPEG XL picture"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL picture"),
    (b"II\xbc", "JPEG XR picture"),
    (b"8BPS", "Photoshop picture"),
    (b"gimp xcf", "GIMP picture"),
    (b"v/1\x01", "OpenEXR picture"),
    (b"#?RADIANCE", "Radiance picture"),
    (b"#?RGBE", "Radiance picture"),
    (b"BPG\xfb", "BPG picture"),
    (b"FLIF", "FLIF picture"),
    (b"DDS ", "DDS picture"),
    (b"qoif", "QOI picture"),
    (b"P7\n", "PAM picture"),
    (b"PF\n", "PFM picture in colour"),
    (b"II*\0\x10\0\0\0CR", "camera raw file"),
    (b"FUJIFILMCCD-RAW", "camera raw file"),
    (b"IIU\0", "camera raw file"),
    (b"IIRO", "camera raw file"),
    (b"IIRS", "camera raw file"),
    (b"MMOR", "camera raw file"),
    (b"FOVb", "camera raw file"),
    (b"\0MRM", "camera raw file"),
    (b"\xb7\xd8\x00\x20\x37\x49\xda\x11", "recording of Windows Media Center"),
)
_NAMED_MAGIC = (
    (".ico", b"\0\0\1\0", "Windows icon"),
    (".icns", b"icns", "macOS icon"),
    (".pcx", b"\x0a", "PCX picture"),
    (".sgi", b"\x01\xda", "SGI picture"),
)
"""Too little to go by without the name."""
# fmt: off
_RAW_SUFFIXES = frozenset({
    ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".pef", ".srw", ".3fr",
    ".fff", ".iiq", ".erf", ".mef", ".mos", ".dcr", ".kdc", ".rwl", ".rw2", ".raf", ".orf", ".x3f",
    ".mrw", ".gpr",
})
SUFFIXES = frozenset({
    *_RAW_SUFFIXES, ".jxl", ".jxr", ".wdp", ".hdp", ".psd", ".psb", ".xcf", ".exr", ".hdr", ".bpg",
    ".flif", ".dds", ".pam", ".qoi", ".pcx", ".sgi", ".ico", ".icns", ".wtv", ".svgz",
})
# fmt: on
_CAMERA_RAW = "camera raw file"


def unread_kind(head: bytes, suffix: str = "") -> str | None:
    """What kind of picture this is, told from its first bytes, if it is one that deepscan does not read.

    A camera raw file may look like a TIFF: there ``suffix`` tells. Of drawings only those count that show a
    photo somewhere in ``head``.
    """
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[4:12] == b"ftypcrx ":
        return _CAMERA_RAW
    if suffix.lower() in _RAW_SUFFIXES and head[:4] in (b"II*\0", b"MM\0*"):
        return _CAMERA_RAW
    for named, magic, kind in _NAMED_MAGIC:
        if suffix.lower() == named and head.startswith(magic):
            return kind
    drawn = suffix.lower() == ".svgz" or (suffix.lower() == ".svg" and b"<image" in head)
    return "drawing with photos in it" if drawn else None
