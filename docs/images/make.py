"""Draws the README's pictures anew: ``python docs/images/make.py`` (needs Chromium)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COLUMNS = 80
PAGE_PX = (1000, 1500)
COLOURS = 128


def main() -> None:
    """Scan the examples once; draw what the terminal shows and what the HTML page looks like."""
    browser = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
    if browser is None:
        sys.exit("Chromium is not installed.")
    with tempfile.TemporaryDirectory() as place:
        page = Path(place) / "report.html"
        command = [sys.executable, "-m", "deepscan", "examples/", "--no-progress", "--html", str(page)]
        shown = {**os.environ, "COLUMNS": str(COLUMNS), "FORCE_COLOR": "1"}
        said = subprocess.run(command, cwd=ROOT, env=shown, check=False, capture_output=True, text=True)
        draw_terminal(said.stdout, HERE / "terminal.svg")
        draw_page(browser, page, HERE / "page.png")


def draw_terminal(report: str, target: Path) -> None:
    """An SVG without the web font that rich would fetch."""
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    console.print(Text("$ deepscan examples/"))
    console.print(Text.from_ansi(report.rstrip()))
    svg = console.export_svg(title="deepscan")
    target.write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL), encoding="utf-8")


def draw_page(browser: str, page: Path, target: Path) -> None:
    """The upper part of the page, as a PNG of few colours."""
    with tempfile.TemporaryDirectory() as place:
        shot = Path(place) / "page.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        size = f"--window-size={PAGE_PX[0]},{PAGE_PX[1]}"
        command = [browser, *options, size, f"--screenshot={shot}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True)
        Image.open(shot).convert("RGB").quantize(COLOURS).save(target, optimize=True)


if __name__ == "__main__":
    main()
