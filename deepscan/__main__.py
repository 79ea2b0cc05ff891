"""``python -m deepscan``, and the command ``deepscan``."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; one that cannot even be loaded is an error, exit code 2, and no forgery."""
    try:
        from deepscan.cli import main as command_line
    except (ImportError, OSError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        print(f"deepscan: the command line cannot be loaded ({reason})", file=sys.stderr)
        sys.exit(2)
    command_line()


if __name__ == "__main__":
    main()
