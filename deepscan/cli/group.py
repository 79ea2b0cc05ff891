"""``deepscan PATH...`` means ``deepscan scan PATH...``."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import Any

from typer.core import TyperGroup

from deepscan.errors import UsageError


class ScanByDefault(TyperGroup):
    """Puts ``scan`` in front when the first argument is neither a command nor one of the group's own options.

    A file that is named like a command is scanned as ``./train``.
    """

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
