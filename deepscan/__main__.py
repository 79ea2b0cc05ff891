"""``python -m deepscan``."""

from __future__ import annotations

from deepscan.cli import main

if __name__ == "__main__":
    main()
