"""The one place that lists the detectors, in the order in which reports list them.

A detector is a folder beside this file: ``__init__.py`` (``SPEC``, ``VIEWS``) for scans, ``network.py`` and
``recipe.py`` for training.
"""

from __future__ import annotations

from importlib import import_module

from deepscan.detectors import gend, global_local, gml, local_features, resnet3d, sola
from deepscan.detectors.recipe import DetectorRecipe
from deepscan.detectors.spec import DetectorSpec, EvidenceView

DETECTORS = (gend, gml, global_local, sola, resnet3d, local_features)

SPECS: dict[str, DetectorSpec] = {module.SPEC.name: module.SPEC for module in DETECTORS}

VIEWS: dict[str, tuple[EvidenceView, ...]] = {module.SPEC.name: module.VIEWS for module in DETECTORS}


def recipe_of_detector(name: str) -> DetectorRecipe:
    """What training needs to know of a detector. Raises KeyError where there is none of this name."""
    recipe = import_module(f"deepscan.detectors.{SPECS[name].name}.recipe").RECIPE
    assert isinstance(recipe, DetectorRecipe)
    return recipe
