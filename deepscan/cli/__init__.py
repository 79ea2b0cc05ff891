"""The command line: flags become settings, results become output and an exit code.

This package is the only place that prints. It imports nothing heavy by itself, so that ``--help`` and shell
completion answer at once; each command loads what it needs when it runs.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Annotated, ClassVar, NoReturn

import typer

from deepscan import limits
from deepscan.cli import doctor, evaluate, scan, schema, streams, train, weights
from deepscan.cli.exit_codes import ERROR
from deepscan.cli.group import MARKUP, ScanByDefault
from deepscan.errors import DeepscanError


class Commands(ScanByDefault):
    """All commands, in the order of the help page."""

    sources: ClassVar = {
        "scan": scan.scan,
        "doctor": doctor.doctor,
        "evaluate": evaluate.evaluate,
        "schema": schema.schema,
        "weights": weights.app,
        "train": train.app,
    }


app = typer.Typer(
    name="deepscan",
    cls=Commands,
    rich_markup_mode=MARKUP,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from deepscan import __version__

        typer.echo(f"deepscan {__version__}")
        raise typer.Exit


@app.callback()
def deepscan(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Say whether the faces in videos and photos were forged.

    `deepscan PATH...` means `deepscan scan PATH...`.
    """


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    streams.prepare()
    code = run(sys.argv[1:] if args is None else args)
    error = streams.flushed()
    if error is not None and not isinstance(error, BrokenPipeError):
        code = _complain(f"standard output cannot be written ({error.strerror})")
    sys.exit(ERROR if error is not None else code)


def run(args: Sequence[str]) -> int:
    """Run the command line; whatever happens, the answer is one of the documented exit codes."""
    streams.fit_columns(os.environ)
    try:
        return int(
            typer.main.get_command(app).main(list(args), prog_name="deepscan", standalone_mode=False) or 0
        )
    except typer.TyperException as error:
        return _complain(error.format_message())
    except DeepscanError as error:
        return _complain(str(error))
    except typer.Abort:
        return _complain("interrupted")
    except SystemExit as error:
        # Typer exits with 1 when nobody reads the output any more, and here 1 would mean a forgery.
        return ERROR if error.code not in (0, None) else 0
    except Exception as error:
        if _verbose(args):
            import traceback

            traceback.print_exc()
        limit = limits.named(error)
        if limit is not None:
            return _complain(f"nothing is decided: {limit}")
        return _complain(
            f"internal error, nothing is decided ({type(error).__name__}: {error}); -v shows where"
        )


def _complain(message: str) -> int:
    """One sentence on stderr; Typer has said everything already where the message is empty."""
    from deepscan.text import visible

    if message:
        typer.echo(f"deepscan: {visible(message)}", err=True)
    return ERROR


def _verbose(args: Sequence[str]) -> bool:
    return any(re.fullmatch(r"-[a-zA-Z]*v[a-zA-Z]*|--verbose", arg) for arg in args)
