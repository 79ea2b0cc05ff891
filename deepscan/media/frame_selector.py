"""Selects the frames of a sampling plan from a stream of times."""

from __future__ import annotations

from dataclasses import dataclass, replace

from deepscan.media.info import WINDOW_FRAMES, SamplingPlan

_ROUNDING_S = 1e-4


@dataclass(frozen=True)
class Choice:
    """A wanted frame: its index among the wanted, its window, and whether it stands for an even moment."""

    index: int
    window: int | None
    even: bool


class Picker:
    """Takes the time of every frame in order and selects those of the plan."""

    def __init__(self, plan: SamplingPlan) -> None:
        self._plan = plan
        self._starts = list(plan.window_starts_s)
        self._even = list(plan.even_s)
        self._window = -1
        self._left = 0
        self._index = 0

    @property
    def next_s(self) -> float | None:
        """No frame before this time is wanted; None once nothing is wanted any more."""
        if self._plan.everything or self._left:
            return 0.0
        ahead = [times[0] for times in (self._starts, self._even) if times]
        return min(ahead) - _ROUNDING_S if ahead else None

    def choose(self, pts_s: float) -> Choice | None:
        """Is the frame at this time wanted? Call once for each frame, in order."""
        window = self._in_window(pts_s)
        even = False
        while self._even and self._even[0] <= pts_s + _ROUNDING_S:
            self._even.pop(0)
            even = True
        return self._chosen(window, even) if window is not None or even else None

    def last(self, choice: Choice | None) -> Choice | None:
        """At the end of the file: the last frame answers to even moments that are still open.

        Args:
            choice: the selection made for that frame before.
        """
        if not self._even:
            return choice
        self._even.clear()
        return replace(choice, even=True) if choice else self._chosen(None, True)

    def _in_window(self, pts_s: float) -> int | None:
        if not self._left:
            due = bool(self._starts) and self._starts[0] <= pts_s + _ROUNDING_S
            if not due and not self._plan.everything:
                return None
            if self._starts:
                self._starts.pop(0)
            self._window += 1
            self._left = WINDOW_FRAMES
        self._left -= 1
        return self._window

    def _chosen(self, window: int | None, even: bool) -> Choice:
        self._index += 1
        return Choice(self._index - 1, window, even)
