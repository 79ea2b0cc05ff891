"""Imports go one way: no circle of modules, and no import of a room that lies above.

Every import counts, those in functions and those for type checkers, too. ``from a import b`` is an import of
``a.b`` where that is a module, and of ``a`` where it is not; that Python runs ``a/__init__.py`` before any
module of ``a`` makes no circle.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From top to bottom: a room imports from those below it, and those on one line import nothing of each other.
# ``deepscan`` is the package's own ``__init__``.
ORDER = (
    ("__main__",),
    ("cli",),
    ("batch", "report", "training"),
    ("deepscan",),
    ("scanner",),
    ("inference",),
    ("faces",),
    ("results", "weights"),
    ("provenance",),
    ("ensemble", "media"),
    ("config",),
    ("detectors", "settings", "limits", "onnx_options"),
    ("errors", "text"),
)
PLACE = {room: place for place, rooms in enumerate(ORDER) for room in rooms}

MAY_IMPORT_TORCH = re.compile(
    r"deepscan\.training(\..*)?|deepscan\.detectors\.(resnet_layers|\w+\.(network|recipe))"
)


def modules(root: Path) -> dict[str, Path]:
    """Every module of ``deepscan`` in ``root`` by its dotted name; a package stands for its ``__init__``."""
    found = {}
    for path in sorted((root / "deepscan").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: Collection[str] = ()) -> Iterator[str]:
    """The modules that a file imports, anywhere in it; of those from ``known`` the innermost."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{path}:{node.lineno}: imports here are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module


def graph(root: Path) -> dict[str, set[str]]:
    """What every module of ``deepscan`` imports of it."""
    files = modules(root)
    return {
        name: {found for found in imported(path, files) if found in files} for name, path in files.items()
    }


def room(module: str) -> str:
    """The folder, or the module beside the folders, that a module belongs to."""
    return [*module.split("."), "deepscan"][1]


def circle(edges: dict[str, set[str]]) -> str | None:
    """A circle of imports; None where there is none."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return " <- ".join(error.args[1])
    return None


def upward(edges: dict[str, set[str]]) -> list[str]:
    """The imports that go against the order of the rooms."""
    return [
        f"{module} imports {found}"
        for module, others in edges.items()
        for found in sorted(others)
        if room(module) != room(found) and PLACE[room(module)] >= PLACE[room(found)]
    ]


def test_no_circle() -> None:
    assert circle(graph(ROOT)) is None


def test_no_import_runs_back_up() -> None:
    edges = graph(ROOT)
    unknown = {room(module) for module in edges} - set(PLACE)
    assert not unknown, f"ORDER and docs/architecture.md do not say where these belong: {unknown}"
    assert upward(edges) == []


def test_the_order_is_documented() -> None:
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    lines = page.split("## Imports go one way")[1].split("```")[1].strip().splitlines()[1:]
    documented = tuple(tuple(line.split("#")[0].replace(",", " ").split()) for line in lines)
    assert documented == ORDER


def test_torch_stays_in_training_and_in_the_networks() -> None:
    for name, path in modules(ROOT).items():
        found = {module.partition(".")[0] for module in imported(path)}
        assert "torch" not in found or MAY_IMPORT_TORCH.fullmatch(name), f"{name} imports torch"


def test_a_scan_imports_nothing_that_may_import_torch() -> None:
    for name, others in graph(ROOT).items():
        if not MAY_IMPORT_TORCH.fullmatch(name) and room(name) != "cli":
            assert not [found for found in others if MAY_IMPORT_TORCH.fullmatch(found)], name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("from deepscan.b import x", "import deepscan.a"),
        ("from deepscan import b", "def f():\n    from deepscan.a import y"),
        ("from deepscan.b import x", "if TYPE_CHECKING:\n    from deepscan.a import y"),
    ],
)
def test_a_circle_is_found_by_whatever_road(one: str, other: str, tmp_path: Path) -> None:
    package = tmp_path / "deepscan"
    package.mkdir()
    for name, text in (("__init__", ""), ("a", one), ("b", other)):
        (package / f"{name}.py").write_text(text)
    assert circle(graph(tmp_path)) is not None
    (package / "b.py").write_text("")
    assert circle(graph(tmp_path)) is None


def test_an_import_that_runs_up_is_found() -> None:
    edges = {
        "deepscan.faces.a": {"deepscan.scanner", "deepscan.errors"},
        "deepscan.report.b": {"deepscan.batch.c"},
    }
    assert upward(edges) == [
        "deepscan.faces.a imports deepscan.scanner",
        "deepscan.report.b imports deepscan.batch.c",
    ]
