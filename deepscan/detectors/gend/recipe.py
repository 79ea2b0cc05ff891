"""GenD: what training, rounding and comparing need to know of it."""

from __future__ import annotations

from deepscan.detectors.recipe import DetectorRecipe

RECIPE = DetectorRecipe(network="GenD", paper=None)
