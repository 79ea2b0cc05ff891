"""One detector, one folder: what belongs to a detector stands there and in the registry's list alone."""

from __future__ import annotations

import ast
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from deepscan import detectors
from deepscan.detectors import SPECS, VIEWS, registry
from deepscan.detectors.recipe import DetectorRecipe, Recipe
from deepscan.detectors.registry import DETECTORS, recipe_of_detector
from deepscan.training.recipes import described, recipe_of

PACKAGE = Path(detectors.__file__).parents[1]


@pytest.mark.parametrize("name", SPECS)
def test_every_detector_has_a_whole_folder(name: str) -> None:
    folder = PACKAGE / "detectors" / name
    assert {"__init__.py", "network.py", "recipe.py"} <= {path.name for path in folder.iterdir()}
    assert recipe_of_detector(name).network in (folder / "network.py").read_text(encoding="utf-8")
    assert tuple(view.output for view in VIEWS[name]) == SPECS[name].evidence


def test_every_folder_is_in_the_registry() -> None:
    folders = {path.parent.name for path in (PACKAGE / "detectors").glob("*/__init__.py")}
    assert folders == set(SPECS) == {module.__name__.rpartition(".")[2] for module in DETECTORS}


def test_no_other_module_keeps_a_table_of_detectors() -> None:
    """A dictionary or a tuple with two of their names would have to be known to whoever adds one."""
    tables = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
            named = {item.value for item in items if isinstance(item, ast.Constant)} & set(SPECS)
            if len(named) > 1:
                tables.append(f"{path.relative_to(PACKAGE)}:{node.lineno} {sorted(named)}")
    assert tables == []


def test_a_new_detector_needs_its_folder_and_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = ModuleType("deepscan.detectors.new.recipe")
    recipe.RECIPE = DetectorRecipe(network="New", paper=Recipe(steps=7))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "deepscan.detectors.new", ModuleType("deepscan.detectors.new"))
    monkeypatch.setitem(sys.modules, recipe.__name__, recipe)
    monkeypatch.setitem(registry.SPECS, "new", replace(SPECS["sola"], name="new", title="New"))
    assert recipe_of("paper", "new").steps == 7
    assert "New, recipe paper" in described("paper", "new")
    assert recipe_of_detector("new").roundings, "it is rounded as others are, where it says nothing"
