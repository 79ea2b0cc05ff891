"""The detectors: what each looks at, how its evidence is read, its network and its recipe."""

from __future__ import annotations

from deepscan.detectors.registry import SPECS, VIEWS

__all__ = ["SPECS", "VIEWS"]
