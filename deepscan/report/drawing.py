"""Bars, time spans and thumbnails, drawn with what the terminal can show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from deepscan.text import span

BAR_CELLS = 16
EIGHTHS = " ▏▎▍▌▋▊▉"
THUMBNAIL_CELLS = 12  # wide; half as many lines, because a cell shows two pixels one above the other


class Drawing:
    """Draws for one console; plain ASCII where its encoding is not Unicode."""

    def __init__(self, console: Console) -> None:
        self._unicode = not console.options.ascii_only
        self.pictures = (
            self._unicode
            and console.is_terminal
            and not console.no_color
            and console.color_system == "truecolor"
        )
        self.dot = "·" if self._unicode else "-"

    def bar(self, probability: float, *, dim: bool = False) -> Text:
        """A bar ``BAR_CELLS`` wide for a probability in [0, 1]."""
        eighths = round(min(max(probability, 0.0), 1.0) * BAR_CELLS * 8)
        if self._unicode:
            filled = "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
            text = filled + "░" * (BAR_CELLS - len(filled))
        else:
            filled = "#" * round(eighths / 8)
            text = filled + "." * (BAR_CELLS - len(filled))
        colour = "red" if probability >= 0.5 else "green"
        return Text(text, style="dim" if dim else colour)

    def span(self, start_s: float, end_s: float) -> str:
        """From when to when; one moment when both read the same."""
        return span(start_s, end_s, "–" if self._unicode else "-")

    def thumbnail(self, pixels: NDArray[np.uint8] | None) -> Text | None:
        """``(S, S, 3)`` RGB as half blocks; None where the terminal cannot show it or there is none."""
        if pixels is None or not self.pictures:
            return None
        step = pixels.shape[0] // THUMBNAIL_CELLS
        if step == 0:
            return None
        side = step * THUMBNAIL_CELLS
        blocks = pixels[:side, :side].reshape(THUMBNAIL_CELLS, step, THUMBNAIL_CELLS, step, 3)
        small = blocks.mean(axis=(1, 3)).astype(int).tolist()
        text = Text(no_wrap=True)
        for row in range(0, THUMBNAIL_CELLS - 1, 2):
            for upper, lower in zip(small[row], small[row + 1], strict=True):
                text.append("▀", Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower)))
            text.append("\n")
        text.rstrip()
        return text
