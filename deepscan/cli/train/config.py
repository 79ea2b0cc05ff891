"""``deepscan train fit --config``: options from a TOML file, under the options that are given."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer

from deepscan.cli.old_names import present_key
from deepscan.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIGS = Path(__file__).parents[2] / "training" / "configs"
OF_THE_CALL = frozenset({"config", "cache", "run", "help"})
"""Options that say where a run reads and writes, which a recipe that others repeat does not know."""


def use_config(ctx: typer.Context, name: str | None) -> str | None:
    """Callback of ``--config``: makes what the file says the defaults of all other options.

    Raises:
        UsageError: there is no such file, it is not TOML, or it sets what is no option, or one twice.
    """
    if name is not None and not ctx.resilient_parsing:
        path = find_config(name)
        table = read_config(path)
        twice = [key for key in table if key != present_key(key) and present_key(key) in table]
        if twice:
            raise UsageError(f"{path} sets {present_key(twice[0])} twice: {twice[0]!r} is its former name.")
        settings = {present_key(key): value for key, value in table.items()}
        ctx.default_map = {key: _checked(ctx, path, key, value) for key, value in settings.items()}
    return name


def find_config(name: str) -> Path:
    """The file that ``--config`` names: a path, or a configuration that ships. Raises UsageError."""
    if (path := Path(name)).is_file():
        return path
    shipped = sorted(one.stem for one in CONFIGS.glob("*.toml"))
    if name in shipped:
        return CONFIGS / f"{name}.toml"
    raise UsageError(f"{name}: there is no such file, nor a configuration that ships ({', '.join(shipped)}).")


def read_config(path: Path) -> dict[str, Any]:
    """The options that a file sets, by name. Raises UsageError where it is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read as TOML: {error}.") from None


def _checked(ctx: typer.Context, path: Path, key: str, value: Any) -> Any:
    options = {str(option.name): option for option in ctx.command.params}
    names = sorted(set(options) - OF_THE_CALL)
    if key not in names:
        raise UsageError(
            f"{path} sets {key!r}, which is no setting of `train fit`; there are {', '.join(names)}."
        )
    several = getattr(options[key], "multiple", False) or options[key].nargs != 1
    if several != isinstance(value, list):
        raise UsageError(f"{path}: {key} takes {'a list' if several else 'one value'}, not {value!r}.")
    try:
        options[key].process_value(ctx, value)
    except typer.BadParameter as error:
        raise UsageError(f"{path}: {key}: {error.message}") from None
    return value
