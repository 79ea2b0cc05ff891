"""Former names of options of ``deepscan train``: they work for one release and stand in no help page."""

from __future__ import annotations

from typing import Any, Final

from typer.core import TyperCommand

RENAMED: Final = {
    "--own-share": "--corpus-fraction",
    "--stills": "--single-frames",
    "--no-stills": "--no-single-frames",
    "--sharpness": "--sam-rho",
    "--evenness": "--score-variance",
    "--family": "--manipulation",
    "--enlarger": "--super-resolver",
    "--stretches": "--segments",
    "--rehearsal": "--synthetic",
}
"""Former name of an option, and its present one; ``train fit --config`` reads keys by the same table."""


class RenamedOptions(TyperCommand):
    """A command whose options may be given by their former names."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put present names in place of former ones, then parse."""
        return super().parse_args(ctx, [_present(arg) for arg in args])


def present_key(key: str) -> str:
    """The present name of a key in a configuration file, such as ``corpus_fraction`` for ``own_share``."""
    option = RENAMED.get(f"--{key.replace('_', '-')}")
    return option[2:].replace("-", "_") if option else key


def _present(arg: str) -> str:
    option, equals, value = arg.partition("=")
    return RENAMED.get(option, option) + equals + value
