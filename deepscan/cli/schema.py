"""``deepscan schema``: what the JSON reports look like."""

from __future__ import annotations

from typing import Annotated

import typer


def schema(
    jsonl: Annotated[bool, typer.Option("--jsonl", help="That of one line of `--jsonl`.")] = False,
) -> None:
    """Print the JSON Schema of the JSON report."""
    from deepscan.report.json import dumps, line_schema
    from deepscan.report.json import schema as document_schema

    typer.echo(dumps(line_schema() if jsonl else document_schema(), indent=2))
