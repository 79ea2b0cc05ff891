"""``deepscan PATH...`` means ``deepscan scan PATH...``; a command's options are built when it is used."""

from __future__ import annotations

import inspect
import os
from collections import UserDict
from collections.abc import Callable, Mapping
from copy import copy
from difflib import get_close_matches
from typing import Any, ClassVar, Final

import typer
from typer.core import TyperCommand, TyperGroup

from deepscan.errors import UsageError

MARKUP: Final = "markdown"
"""Lets paragraphs flow with the width of the terminal."""


Source = typer.Typer | Callable[..., None]
"""What a command is built from."""


class OnDemand(UserDict[str, Any]):
    """Commands by name; each is built from its ``Source`` when it is first asked for.

    Typer builds options from signatures; nobody shall wait for those of a command that was not called.
    """

    def __init__(self, sources: Mapping[str, Source]) -> None:
        super().__init__()
        self.data = dict(sources)

    def __getitem__(self, name: str) -> Any:
        found = self.data[name]
        if not isinstance(found, TyperCommand | TyperGroup):
            found = self.data[name] = _built(name, found)
        return found


class ScanByDefault(TyperGroup):
    """Puts ``scan`` in front when the first argument is neither a command nor one of the group's own options.

    A file that is named like a command is scanned as ``./train``. A subclass names its commands' sources.
    """

    sources: ClassVar[Mapping[str, Source]] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = OnDemand(self.sources)

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, in the order of the help page."""
        return list(self.commands)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help page, for which names and help texts are enough."""
        page = copy(self)
        page.commands = {
            name: TyperCommand(name, help=inspect.cleandoc(_help_of(source)))
            for name, source in self.sources.items()
        }
        super(ScanByDefault, page).format_help(ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Raises UsageError when the first argument is no file and looks like a misspelt command."""
        if args and not self._is_own(ctx, args[0]):
            if not args[0].startswith("-") and not os.path.lexists(args[0]) and not ctx.resilient_parsing:
                self._suggest(ctx, args[0])
            args = ["scan", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """The group's own completions and those of ``scan``."""
        scan = self.commands["scan"]
        own = super().shell_complete(ctx, incomplete)
        with scan.make_context("scan", [], parent=ctx, resilient_parsing=True) as inner:
            more = scan.shell_complete(inner, incomplete)
        return list({item.value: item for item in [*more, *own]}.values())

    def _is_own(self, ctx: Any, first: str) -> bool:
        options = {name for param in self.get_params(ctx) for name in (*param.opts, *param.secondary_opts)}
        return first in self.commands or first.partition("=")[0] in options

    def _suggest(self, ctx: Any, word: str) -> None:
        near = get_close_matches(word, self.list_commands(ctx), n=1)
        if near:
            raise UsageError(f"{word}: no such file; did you mean `{near[0]}`?")


def _help_of(source: Source) -> str:
    return str(source.info.help if isinstance(source, typer.Typer) else source.__doc__)


def _built(name: str, source: Source) -> Any:
    if isinstance(source, typer.Typer):
        app = source
    else:
        app = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)
        app.command(name)(source)
    command = typer.main.get_command(app)
    command.name = name
    return command
