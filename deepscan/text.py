"""Text for people and programs: numbers as reports say them, and foreign names made safe.

A file name may hold any byte but ``/`` and NUL: terminal escapes, line breaks, marks that reverse the reading
direction, bytes that are not UTF-8. ``portable`` and ``visible`` make it safe to store and to print.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

UNKNOWN = "unknown"
"""Where nobody said what a model was made of, or under which licence it is."""

SURROGATES = re.compile("[\ud800-\udfff]")

# Control, format (direction marks, zero-width), surrogate, private use, line and paragraph separators.
UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def percent(probability: float) -> str:
    """Whole percents; never 0 % or 100 %, which no detector can know."""
    if probability > 0.99:
        return ">99 %"
    if probability < 0.01:
        return "<1 %"
    return f"{probability:.0%}".replace("%", " %")


def moment(seconds: float) -> str:
    """``3.2 s``, or ``1:03.2`` from a minute on."""
    return f"{seconds:.1f} s" if round(seconds, 1) < 60 else _clock(seconds)


def span(start_s: float, end_s: float, dash: str = "–") -> str:
    """From when to when; one moment when both read the same."""
    start, end = moment(start_s), moment(end_s)
    if start == end:
        return start
    if end.endswith(" s"):
        start = start.removesuffix(" s")
    return f"{start}{dash}{end}"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def counted(count: int, noun: str) -> str:
    """``1 face``, ``3 faces``; for nouns whose plural takes an s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def portable(text: str) -> str:
    r"""Valid Unicode: bytes of a name that are not UTF-8 become ``\xff``; everything else stays."""
    return SURROGATES.sub(lambda found: _escaped(found.group()), text)


def visible(text: str) -> str:
    r"""``portable``, and what acts on a terminal instead of being read becomes ``\x1b``, ``\n`` ..."""
    return "".join(
        _escaped(character) if unicodedata.category(character) in UNPRINTABLE else character
        for character in text
    )


def _clock(seconds: float) -> str:
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    lead = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{lead}:{rest // 10:02}.{rest % 10}"


def _escaped(character: str) -> str:
    # Python hands undecodable bytes of a name over as the surrogates dc80 .. dcff.
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
