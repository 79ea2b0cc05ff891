"""Settings of a scan, and where they come from.

Precedence: command-line flags > ``DEEPSCAN_*`` environment > configuration file > defaults.

The configuration file is the nearest one, from the current directory upwards: ``deepscan.toml`` (keys
at the top level), or ``pyproject.toml`` with a ``[tool.deepscan]`` table; ``deepscan.toml`` wins in the
same directory. Only one file is read. Paths in it are relative to it. Keys may be spelt ``max-faces`` or
``max_faces``; the environment's names are ``DEEPSCAN_MAX_FACES`` and so on, lists separated by commas.

An unknown key is an error. An unknown ``DEEPSCAN_*`` variable is one only when it looks like a misspelt
setting, because variables of that prefix may belong to somebody else.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from deepscan.detectors import SPECS
from deepscan.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Device = Literal["auto", "cpu", "cuda", "tensorrt"]
Precision = Literal["auto", "int8", "fp16", "fp32"]
Decoder = Literal["cpu", "nvdec"]
FailOn = Literal["fake", "uncertain", "declared"]

DEVICES = ("auto", "cpu", "cuda", "tensorrt")
PRECISIONS = ("auto", "int8", "fp16", "fp32")
DECODERS = ("cpu", "nvdec")
FAIL_ON = ("fake", "uncertain", "declared")
ENV_PREFIX = "DEEPSCAN_"
MIN_FACE_PX = 48
"""Narrower faces show the detectors too little to tell."""


@dataclass(frozen=True)
class ScanConfig:
    """Settings of a scan; raises UsageError when a value makes no sense.

    Attributes:
        detectors: which detectors take part, in report order.
        device: where the networks run; ``auto`` is TensorRT where it is installed and works, else CUDA when
            that works, else the CPU.
        precision: what the networks compute in: ``int8`` as they ship, or rewritten to ``fp16`` or ``fp32``
            as they are loaded; ``auto`` is int8 on a CPU and fp16 on a GPU.
        decoder: what decodes videos; ``nvdec`` is an NVIDIA GPU's, which conceals damage inside pictures.
        threshold: probability from which a track is fake, in [0, 1]; None: the calibrated one.
        max_faces: faces followed at the same time, the largest first.
        min_face_px: narrower faces are skipped, and listed as such.
        face_model: an InsightFace detector to use instead of the shipped one.
        jobs: worker processes.
        thorough: look at every frame instead of a sample.
        fast: ask GenD first, then the cheap detectors, and no others where those are certain.
        fail_on: what makes the exit code 1, besides ``fake``: ``uncertain``, or ``declared``, a file that
            declares itself synthetic.
        weights: weights folder to use instead of the shipped one.
        threads: threads per worker; None: the cores this process may use, shared among the workers.
        timeout: seconds that a file may take; 0: no limit. This and the next two hold in a run over many
            files, where every file is scanned in a worker process.
        max_memory: bytes of memory that a worker may use; 0: no limit.
        max_size: bytes that a file may have; larger ones are not opened; 0: no limit.
        pixel_budget: pixels that may be decoded of a file, over all its frames; 0: no limit.
        exclude: globs; what matches in walked directories is left out.
        baseline: file of findings that were accepted before and do not fail the run.
        cache: file in which results are kept by content, for the next run.
        trust_anchors: PEM file of the certificates that vouch for those who sign C2PA manifests.
        evidence: keep pictures of the most suspicious moments, for reports that show them.
    """

    detectors: tuple[str, ...] = tuple(SPECS)
    device: Device = "auto"
    precision: Precision = "auto"
    decoder: Decoder = "cpu"
    threshold: float | None = None
    max_faces: int = 16
    min_face_px: int = MIN_FACE_PX
    face_model: Path | None = None
    jobs: int = 1
    thorough: bool = False
    fast: bool = False
    fail_on: FailOn = "fake"
    weights: Path | None = None
    threads: int | None = None
    timeout: float = 600.0
    max_memory: int = 4 << 30
    max_size: int = 0
    pixel_budget: int = 200 * 10**9
    exclude: tuple[str, ...] = ()
    baseline: Path | None = None
    cache: Path | None = None
    trust_anchors: Path | None = None
    evidence: bool = False

    def __post_init__(self) -> None:
        for name in SETTINGS:
            value = getattr(self, name)
            if value is not None or name not in OPTIONAL:
                object.__setattr__(self, name, _parse(name, value, "ScanConfig"))
        if self.fast and self.thorough:
            raise UsageError("fast and thorough are opposites; choose one")


class _Bad(ValueError):
    """A value that a setting cannot take; carries what it can take and a nearby right one."""

    def __init__(self, expected: str, meant: str | None = None) -> None:
        super().__init__(expected)
        self.expected = expected
        self.meant = meant


def _choice(*allowed: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        text = str(value).strip().lower()
        if text not in allowed:
            raise _Bad(f"one of {', '.join(allowed)}", _near(text, allowed))
        return text

    return parse


def _whole(value: Any) -> int:
    expected = "a whole number, 1 or more"
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _Bad(expected)
    try:
        number = int(value)
    except ValueError:
        raise _Bad(expected) from None
    if number < 1:
        raise _Bad(expected)
    return number


def _fraction(value: Any) -> float:
    return _number(value, "a number from 0 to 1", highest=1)


def _seconds(value: Any) -> float:
    return _number(value, "a number of seconds, 0 for no limit")


def _number(value: Any, expected: str, highest: float = math.inf) -> float:
    """A finite number from 0 to ``highest``."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _Bad(expected)
    try:
        number = float(value)
    except ValueError:
        raise _Bad(expected) from None
    if not math.isfinite(number) or not 0 <= number <= highest:
        raise _Bad(expected)
    return number


def _amount(unit: int, what: str) -> Callable[[Any], int]:
    """A whole number, or one with K, M, G or T behind it; ``unit`` is that of K: 1000 or 1024."""

    def parse(value: Any) -> int:
        if isinstance(value, int | str) and not isinstance(value, bool):
            found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", str(value).strip().lower())
            if found:
                power = " kmgt".index(found[2] or " ")
                return round(float(found[1]) * unit**power) if power else round(float(found[1]))
        raise _Bad(f"{what}, such as 500M or 2G, 0 for no limit")

    return parse


def _globs(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, Iterable):
        raise _Bad("a list of globs")
    return tuple(str(pattern) for pattern in value if str(pattern))


def _flag(value: Any) -> bool:
    word = str(value).strip().lower()
    if isinstance(value, bool | str) and word in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        return word in ("1", "true", "yes", "on")
    raise _Bad("true or false")


def _path(value: Any) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise _Bad("a path")
    return Path(value).expanduser()


def _detectors(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, Iterable):
        raise _Bad("a list of detectors")
    names = [str(name).strip() for item in value for name in str(item).split(",")]
    names = [name.replace("-", "_").lower() for name in names if name]
    if not names:
        raise _Bad(f"at least one of {', '.join(SPECS)}")
    for name in names:
        if name not in SPECS:
            raise _Bad(f"among {', '.join(SPECS)}", _near(name, SPECS))
    return tuple(name for name in SPECS if name in names)


SETTINGS: Mapping[str, Callable[[Any], Any]] = {
    "detectors": _detectors,
    "device": _choice(*DEVICES),
    "precision": _choice(*PRECISIONS),
    "decoder": _choice(*DECODERS),
    "threshold": _fraction,
    "max_faces": _whole,
    "min_face_px": _whole,
    "face_model": _path,
    "jobs": _whole,
    "thorough": _flag,
    "fast": _flag,
    "fail_on": _choice(*FAIL_ON),
    "weights": _path,
    "threads": _whole,
    "timeout": _seconds,
    "max_memory": _amount(1024, "an amount of memory"),
    "max_size": _amount(1024, "a size"),
    "pixel_budget": _amount(1000, "a number of pixels"),
    "exclude": _globs,
    "baseline": _path,
    "cache": _path,
    "trust_anchors": _path,
    "evidence": _flag,
}
OPTIONAL = frozenset(field.name for field in fields(ScanConfig) if field.default is None)


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> ScanConfig:
    """Settings from every source, by precedence.

    Args:
        flags: by field name; None values are flags that were not given.
        env: defaults to the process's environment.
        directory: where the search for a configuration file starts; defaults to the current one.

    Raises:
        UsageError: an unknown key, a bad value or an unreadable configuration file.
    """
    settings = from_file(directory or Path.cwd())
    settings.update(from_env(os.environ if env is None else env))
    for name, value in (flags or {}).items():
        if value is not None:
            known = _known(name, "command line")
            settings[known] = _parse(known, value, "command line")
    return ScanConfig(**settings)


def from_env(env: Mapping[str, str]) -> dict[str, Any]:
    """Settings from ``DEEPSCAN_*`` variables; empty variables count as unset."""
    settings = {}
    for variable, value in sorted(env.items()):
        if not variable.startswith(ENV_PREFIX) or not value:
            continue
        name = variable[len(ENV_PREFIX) :].lower()
        if name in SETTINGS:
            settings[name] = _parse(name, value, variable)
        elif near := _near(name, SETTINGS):
            raise UsageError(f"environment: there is no {variable}; did you mean {ENV_PREFIX}{near.upper()}?")
    return settings


def from_file(directory: Path) -> dict[str, Any]:
    """Settings from the nearest configuration file, from ``directory`` upwards; empty when there is none."""
    for folder in (directory.resolve(), *directory.resolve().parents):
        for filename in ("deepscan.toml", "pyproject.toml"):
            path = folder / filename
            table = _table(path) if path.is_file() else None
            if table is not None:
                return _from_table(table, path)
    return {}


def _table(path: Path) -> Mapping[str, Any] | None:
    """The deepscan settings of one file; None when a pyproject.toml has none."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: this configuration file cannot be read ({error}).") from error
    if path.name == "deepscan.toml":
        return document
    tool = document.get("tool")
    table = tool.get("deepscan") if isinstance(tool, Mapping) else None
    if table is not None and not isinstance(table, Mapping):
        raise UsageError(f"{path}: tool.deepscan must be a table.")
    return table


def _from_table(table: Mapping[str, Any], path: Path) -> dict[str, Any]:
    settings = {}
    for key, value in table.items():
        name = _known(key.replace("-", "_"), str(path))
        parsed = _parse(name, value, str(path))
        settings[name] = path.parent / parsed if isinstance(parsed, Path) else parsed
    return settings


def _known(name: str, source: str) -> str:
    if name in SETTINGS:
        return name
    near = _near(name, SETTINGS)
    hint = f"did you mean {near}?" if near else f"known settings: {', '.join(SETTINGS)}."
    raise UsageError(f"{source}: there is no setting {name}; {hint}")


def _parse(name: str, value: Any, source: str) -> Any:
    try:
        return SETTINGS[name](value)
    except _Bad as bad:
        end = f"; did you mean {bad.meant}?" if bad.meant else "."
        shown = str(value) if isinstance(value, str | Path | int | float) else repr(value)
        raise UsageError(f"{source}: {name} must be {bad.expected}, not {shown!r}{end}") from None


def _near(word: str, words: Iterable[str]) -> str | None:
    return next(iter(get_close_matches(word, list(words), n=1, cutoff=0.6)), None)
