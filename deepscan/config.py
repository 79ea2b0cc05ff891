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

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from deepscan.errors import UsageError
from deepscan.settings import (
    FRACTION,
    GLOBS,
    PATH,
    SECONDS,
    SWITCH,
    WHOLE,
    BadValue,
    Kind,
    amount,
    choice,
    known,
    nearest,
    parsed,
    setting,
    settings_of,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Device = Literal["auto", "cpu", "cuda", "tensorrt"]
Precision = Literal["auto", "int8", "fp16", "fp32"]
Decoder = Literal["cpu", "nvdec"]
FailOn = Literal["fake", "uncertain", "declared"]

Placed = Literal["cpu", "cuda", "tensorrt"]
"""A device that networks really run on."""
Computed = Literal["int8", "fp16", "fp32"]
"""What a network computes in; ``int8`` is the file as it is."""

ENV_PREFIX = "DEEPSCAN_"
MIN_FACE_PX = 48
"""Narrower faces show the detectors too little to tell."""

INPUT = "Input"
LIMITS = "Limits of each file"
EARLIER = "Earlier runs"


def _all_detectors() -> tuple[str, ...]:
    from deepscan.detectors import SPECS  # with NumPy, which a help page does without

    return tuple(SPECS)


def _detectors(value: Any) -> tuple[str, ...]:
    every = _all_detectors()
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, Iterable):
        raise BadValue("a list of detectors")
    names = [str(name).strip() for item in value for name in str(item).split(",")]
    names = [name.replace("-", "_").lower() for name in names if name]
    if not names:
        raise BadValue(f"at least one of {', '.join(every)}")
    for name in names:
        if name not in every:
            raise BadValue(f"among {', '.join(every)}", nearest(name, every))
    return tuple(name for name in every if name in names)


@dataclass(frozen=True)
class ScanConfig:
    """Settings of a scan; raises UsageError when a value makes no sense.

    A field is all there is to a setting: ``deepscan.settings`` says what derives from it.
    """

    detectors: tuple[str, ...] = setting(
        _all_detectors, Kind(_detectors, metavar="NAMES"), "Detectors to ask, comma-separated."
    )
    device: Device = setting("auto", choice(Device), "Where the networks run.")
    """``auto`` is TensorRT where it is installed and works, else CUDA when that works, else the CPU."""
    precision: Precision = setting(
        "auto",
        choice(Precision),
        "What the networks compute in; auto: int8 on a CPU, fp16 on a GPU.",
    )
    """``int8`` is the files as they ship; they are rewritten to ``fp16`` or ``fp32`` as they are loaded."""
    decoder: Decoder = setting(
        "cpu", choice(Decoder), "What decodes videos; a GPU's decoder hides damage inside pictures."
    )
    threshold: float | None = setting(
        None, FRACTION, "Probability from which a face is fake, instead of the calibrated one."
    )
    max_faces: int = setting(16, WHOLE, "Faces to follow at the same time.")
    """The largest come first."""
    min_face_px: int = setting(
        MIN_FACE_PX, WHOLE, "Skip faces narrower than this.", metavar="PX", option="--min-face"
    )
    face_model: Path | None = setting(None, PATH, "An InsightFace detector, not the shipped one.")
    weights: Path | None = setting(None, PATH, "Weights folder instead of the shipped one.", metavar="DIR")
    jobs: int = setting(1, WHOLE, "Worker processes.", changes_results=False)
    thorough: bool = setting(False, SWITCH, "Look at every frame instead of a sample.")
    fast: bool = setting(
        False, SWITCH, "Ask GenD first, then the cheap detectors, and no others where those are certain."
    )
    fail_on: FailOn = setting(
        "fake",
        choice(FailOn),
        "What makes the exit code 1: fake; or also uncertain, or declared synthetic by the file.",
        changes_results=False,
    )
    threads: int | None = setting(
        None,
        WHOLE,
        "Threads of each worker; by default the workers share the cores that the run may use.",
        option=None,
        changes_results=False,
    )
    timeout: float = setting(
        600.0,
        SECONDS,
        "End a scan that takes longer; 0: never. 600 if not given.",
        panel=LIMITS,
        changes_results=False,
    )
    """This and the next two hold in a run over many files, which scans every file in a worker process."""
    max_memory: int = setting(
        4 << 30,
        amount(1024, "an amount of memory"),
        "End a scan that takes more memory; 0: never. 4G if not given.",
        panel=LIMITS,
        changes_results=False,
    )
    max_size: int = setting(
        0,
        amount(1024, "a size"),
        "Do not open files larger than this, such as 500M.",
        panel=LIMITS,
        changes_results=False,
    )
    pixel_budget: int = setting(
        200 * 10**9,
        amount(1000, "a number of pixels"),
        "Stop after decoding so many pixels, over all frames; 0: never. 200G if not given.",
        panel=LIMITS,
        metavar="COUNT",
    )
    exclude: tuple[str, ...] = setting(
        (),
        GLOBS,
        "Leave out what matches in directories, by name, or by path where it has a /; repeatable.",
        panel=INPUT,
        changes_results=False,
    )
    cache: Path | None = setting(
        None,
        PATH,
        "Keep results here and take over what is known, by content; runs may share it.",
        panel=EARLIER,
        changes_results=False,
    )
    trust_anchors: Path | None = setting(
        None, PATH, "PEM certificates that vouch for those who sign C2PA manifests.", metavar="FILE"
    )
    baseline: Path | None = setting(
        None,
        PATH,
        "Findings accepted before, by content: reported, without a say in the exit code.",
        panel=EARLIER,
        changes_results=False,
    )
    evidence: bool = setting(
        False,
        SWITCH,
        "Keep pictures of the most suspicious moments, for reports that show them.",
        option=None,
    )

    def __post_init__(self) -> None:
        for name, declared in settings_of(type(self)).items():
            value = getattr(self, name)
            if value is not None or not declared.optional:
                object.__setattr__(self, name, parsed(type(self), name, value, "ScanConfig"))
        if self.fast and self.thorough:
            raise UsageError("fast and thorough are opposites; choose one")


Config = TypeVar("Config", bound=ScanConfig)


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> ScanConfig:
    """Settings from every source, by precedence; see ``load_as``."""
    return load_as(ScanConfig, flags, env=env, directory=directory)


def load_as(
    config: type[Config],
    flags: Mapping[str, Any] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Config:
    """Settings from every source, by precedence.

    Args:
        config: whose settings.
        flags: by field name; None values are flags that were not given.
        env: defaults to the process's environment.
        directory: where the search for a configuration file starts; defaults to the current one.

    Raises:
        UsageError: an unknown key, a bad value or an unreadable configuration file.
    """
    settings = from_file(directory or Path.cwd(), config)
    settings.update(from_env(os.environ if env is None else env, config))
    for name, value in (flags or {}).items():
        if value is not None:
            name = known(config, name, "command line")
            settings[name] = parsed(config, name, value, "command line")
    return config(**settings)


def from_env(env: Mapping[str, str], config: type[ScanConfig] = ScanConfig) -> dict[str, Any]:
    """Settings from ``DEEPSCAN_*`` variables; empty variables count as unset."""
    settings = {}
    for variable, value in sorted(env.items()):
        if not variable.startswith(ENV_PREFIX) or not value:
            continue
        name = variable[len(ENV_PREFIX) :].lower()
        if name in settings_of(config):
            settings[name] = parsed(config, name, value, variable)
        elif near := nearest(name, settings_of(config)):
            raise UsageError(f"environment: there is no {variable}; did you mean {ENV_PREFIX}{near.upper()}?")
    return settings


def from_file(directory: Path, config: type[ScanConfig] = ScanConfig) -> dict[str, Any]:
    """Settings from the nearest configuration file, from ``directory`` upwards; empty when there is none."""
    for folder in (directory.resolve(), *directory.resolve().parents):
        for filename in ("deepscan.toml", "pyproject.toml"):
            path = folder / filename
            table = _table(path) if path.is_file() else None
            if table is not None:
                return _from_table(table, path, config)
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


def _from_table(table: Mapping[str, Any], path: Path, config: type[ScanConfig]) -> dict[str, Any]:
    settings = {}
    for key, value in table.items():
        name = known(config, key.replace("-", "_"), str(path))
        found = parsed(config, name, value, str(path))
        settings[name] = path.parent / found if isinstance(found, Path) else found
    return settings
