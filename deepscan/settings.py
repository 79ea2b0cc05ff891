"""What a setting is: its kind of value, its default, and everything that other places derive from it.

A setting is a field of a dataclass, declared with ``setting``. Its name is its key in TOML files, its name
in the environment (``DEEPSCAN_`` and the name in capitals) and, with dashes, its option on the command line.
``cli.setting_options`` makes the options, ``config.load`` reads the sources, ``batch.cache`` hashes what
changes results.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

from deepscan.errors import UsageError

T = TypeVar("T")

_KEY = "deepscan.setting"
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True)
class Kind:
    """A kind of value.

    Attributes:
        parse: any source's value -> the setting's; raises BadValue.
        option_type: what the command line hands to ``parse``; ``bool`` makes a switch without a value.
        metavar: what stands for the value in a help page.
    """

    parse: Callable[[Any], Any]
    option_type: Any = str
    metavar: str | None = None


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        kind: of its value.
        help: what it does, in one line.
        panel: heading of the help page under which its option stands.
        metavar: what stands for its value there.
        option: its option on the command line; None: it has none.
        changes_results: results for other values of it are other results, so caches keep them apart.
        optional: None is a value of it.
    """

    kind: Kind
    help: str
    panel: str
    metavar: str | None
    option: str | None
    changes_results: bool
    optional: bool


class BadValue(ValueError):
    """A value that a setting cannot take; carries what it can take and a nearby right one."""

    def __init__(self, expected: str, meant: str | None = None) -> None:
        super().__init__(expected)
        self.expected = expected
        self.meant = meant


def setting(
    default: T | Callable[[], T],
    kind: Kind,
    help: str,
    *,
    panel: str = "Settings",
    metavar: str | None = None,
    option: str | None = "",
    changes_results: bool = True,
) -> T:
    """A field of a dataclass that is a setting.

    Args:
        default: its value where no source says anything, or a function that gives it.
        kind: of its value.
        help: what it does, in one line.
        panel: heading of the help page under which its option stands.
        metavar: what stands for its value there; by default the kind's.
        option: by default the field's name with dashes; None: it has none.
        changes_results: False only where every value of it gives the same report of a file.
    """
    declared = Setting(
        kind, help, panel, metavar or kind.metavar, option, changes_results, optional=default is None
    )
    metadata = {_KEY: declared}
    made = (
        field(default_factory=default, metadata=metadata)
        if callable(default)
        else field(default=default, metadata=metadata)
    )
    return made


def settings_of(owner: type[Any]) -> Mapping[str, Setting]:
    """The settings of a dataclass by name, in the order of its fields; every field must be one."""
    return {entry.name: entry.metadata[_KEY] for entry in fields(owner)}


def known(owner: type[Any], name: str, source: str) -> str:
    """``name``, which must be a setting's. Raises UsageError, which names the source."""
    settings = settings_of(owner)
    if name in settings:
        return name
    near = nearest(name, settings)
    hint = f"did you mean {near}?" if near else f"known settings: {', '.join(settings)}."
    raise UsageError(f"{source}: there is no setting {name}; {hint}")


def parsed(owner: type[Any], name: str, value: Any, source: str) -> Any:
    """The value that a setting takes. Raises UsageError, which names source, setting and value."""
    try:
        return settings_of(owner)[name].kind.parse(value)
    except BadValue as bad:
        end = f"; did you mean {bad.meant}?" if bad.meant else "."
        shown = str(value) if isinstance(value, str | Path | int | float) else repr(value)
        raise UsageError(f"{source}: {name} must be {bad.expected}, not {shown!r}{end}") from None


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The one of ``words`` that ``word`` may be a misspelling of; None where none is close."""
    return next(iter(get_close_matches(word, list(words), n=1, cutoff=0.6)), None)


def choice(literal: Any) -> Kind:
    """One of the words of a ``Literal``."""
    allowed = get_args(literal)

    def parse(value: Any) -> str:
        text = str(value).strip().lower()
        if text not in allowed:
            raise BadValue(f"one of {', '.join(allowed)}", nearest(text, allowed))
        return text

    return Kind(parse, metavar="|".join(allowed))


def amount(unit: int, what: str) -> Kind:
    """A whole number, or one with K, M, G or T behind it; ``unit`` is that of K: 1000 or 1024."""

    def parse(value: Any) -> int:
        if isinstance(value, int | str) and not isinstance(value, bool):
            found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", str(value).strip().lower())
            if found:
                power = " kmgt".index(found[2] or " ")
                return round(float(found[1]) * unit**power) if power else round(float(found[1]))
        raise BadValue(f"{what}, such as 500M or 2G, 0 for no limit")

    return Kind(parse, metavar="SIZE")


def _whole(value: Any) -> int:
    expected = "a whole number, 1 or more"
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadValue(expected)
    try:
        number = int(value)
    except ValueError:
        raise BadValue(expected) from None
    if number < 1:
        raise BadValue(expected)
    return number


def _fraction(value: Any) -> float:
    return _number(value, "a number from 0 to 1", highest=1)


def _seconds(value: Any) -> float:
    return _number(value, "a number of seconds, 0 for no limit")


def _number(value: Any, expected: str, highest: float = math.inf) -> float:
    """A finite number from 0 to ``highest``."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BadValue(expected)
    try:
        number = float(value)
    except ValueError:
        raise BadValue(expected) from None
    if not math.isfinite(number) or not 0 <= number <= highest:
        raise BadValue(expected)
    return number


def _globs(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, Iterable):
        raise BadValue("a list of globs")
    return tuple(str(pattern) for pattern in value if str(pattern))


def _switch(value: Any) -> bool:
    word = str(value).strip().lower()
    if isinstance(value, bool | str) and word in (*_TRUE, *_FALSE):
        return word in _TRUE
    raise BadValue("true or false")


def _path(value: Any) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise BadValue("a path")
    return Path(value).expanduser()


WHOLE = Kind(_whole, int, "N")
FRACTION = Kind(_fraction, float, "0..1")
SECONDS = Kind(_seconds, float, "SECONDS")
GLOBS = Kind(_globs, list[str], "GLOB")
SWITCH = Kind(_switch, bool)
PATH = Kind(_path, Path, "FILE")
