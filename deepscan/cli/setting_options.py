"""Options that are made from settings: a field of ``ScanConfig`` is all that an option needs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any

import typer

from deepscan.settings import Setting, settings_of


def with_settings(
    owner: type[Any], panels: Sequence[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for every setting of ``owner``.

    The command takes them as ``**settings``: by name, None where the command line says nothing.

    Args:
        owner: a dataclass of settings.
        panels: headings of the help page in their order; the command's own options come first under each.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        settings = settings_of(owner).items()
        made = [_option(name, entry) for name, entry in settings if entry.option is not None]
        options = sorted([*own, *made], key=lambda option: _place(option, panels))

        @wraps(command)
        def run(**values: Any) -> None:
            command(**values)  # Typer reads the signature below

        named = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options]
        run.__signature__ = signature.replace(parameters=named)  # type: ignore[attr-defined]
        run.__annotations__ = {option.name: option.annotation for option in options}
        del run.__wrapped__  # Typer would read its annotations
        return run

    return decorate


def _option(name: str, setting: Setting) -> inspect.Parameter:
    kind = setting.kind
    spelling = setting.option or f"--{name.replace('_', '-')}"
    info = typer.Option(spelling, metavar=setting.metavar, help=setting.help, rich_help_panel=setting.panel)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind.option_type | None, info],
    )


def _place(option: inspect.Parameter, panels: Sequence[str]) -> int:
    """Its panel's place; arguments and options of no panel come first."""
    infos = getattr(option.annotation, "__metadata__", ())
    panel = next((info.rich_help_panel for info in infos), None)
    return panels.index(panel) + 1 if panel in panels else 0
