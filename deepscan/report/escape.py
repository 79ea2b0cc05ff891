"""Names and messages that come from outside, made safe to print and to store.

A file name may hold any byte but ``/`` and NUL: terminal escapes, line breaks, marks that reverse the reading
direction, bytes that are not UTF-8.
"""

from __future__ import annotations

import re
import unicodedata

SURROGATES = re.compile("[\ud800-\udfff]")

# Control, format (direction marks, zero-width), surrogate, private use, line and paragraph separators.
UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def portable(text: str) -> str:
    r"""Valid Unicode: bytes of a name that are not UTF-8 become ``\xff``; everything else stays."""
    return SURROGATES.sub(lambda found: _escaped(found.group()), text)


def visible(text: str) -> str:
    r"""``portable``, and what acts on a terminal instead of being read becomes ``\x1b``, ``\n`` ..."""
    return "".join(
        _escaped(character) if unicodedata.category(character) in UNPRINTABLE else character
        for character in text
    )


def _escaped(character: str) -> str:
    # Python hands undecodable bytes of a name over as the surrogates dc80 .. dcff.
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
