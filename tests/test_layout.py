"""The layout of the library: what lies where, and which imports are allowed.

The order of the stations and the reasons are in ``docs/architecture.md``.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "hpastack"

#: A station imports only from those before it.
STATIONS = (
    "errors", "settings", "files", "parallel", "labels", "fields", "catalogue", "download",
    "synthetic", "store", "features", "pictures", "backbones", "extraction", "clusters", "folds",
    "metrics", "boosting", "calibration", "similarity", "cnn", "stack", "plot", "review", "report",
    "workspace", "recipes",
)  # fmt: skip
ROOT_MODULES = {"__init__", "errors", "settings", "workspace", "recipes"}
#: Modules that are the only place to import an optional dependency; other stations use them.
DOORS = {
    "hpastack.backbones._torch",
    "hpastack.cnn._lightning",
    "hpastack.pictures._matplotlib",
}
#: What only they import, with the parts that one module needs alone and late.
BEHIND_DOORS = {"lightning", "matplotlib", "safetensors", "timm", "torch", "torchvision"}
LATE = {("hpastack.cnn.history", "torch.utils.tensorboard")}
MAX_LINES = 450


def module_name(path: Path) -> str:
    parts = path.relative_to(LIBRARY.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def imports_of(tree: ast.Module, modules: set[str]) -> list[tuple[str, str | None]]:
    """Return the modules of the library that a module imports, each with the imported name.

    Imports inside functions and under ``TYPE_CHECKING`` count. The name is None where a
    module itself is imported.
    """
    imported: list[tuple[str, str | None]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            imported += [(name, None) for name in names if name.split(".")[0] == "hpastack"]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            source = node.module or ""
            if source.split(".")[0] != "hpastack":
                continue
            for alias in node.names:
                submodule = f"{source}.{alias.name}"
                imported.append((submodule, None) if submodule in modules else (source, alias.name))
    return imported


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules of a cycle of imports, in order; empty where there is none."""
    finished: set[str] = set()

    def visit(module: str, road: list[str]) -> list[str]:
        if module in road:
            return road[road.index(module) :] + [module]
        if module in finished:
            return []
        for target in sorted(graph[module]):
            if cycle := visit(target, [*road, module]):
                return cycle
        finished.add(module)
        return []

    for module in sorted(graph):
        if cycle := visit(module, []):
            return cycle
    return []


PATHS = {module_name(path): path for path in sorted(LIBRARY.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in PATHS.items()}
IMPORTS = {name: imports_of(tree, set(PATHS)) for name, tree in TREES.items()}


def station_of(module: str) -> str:
    """Return the station of a module; the root of the package is no station."""
    return module.split(".")[1] if "." in module else ""


def test_the_root_holds_its_five_modules_and_the_stations():
    files = {path.stem for path in LIBRARY.glob("*.py")}
    folders = {path.name for path in LIBRARY.iterdir() if path.is_dir()} - {"__pycache__"}
    assert files == ROOT_MODULES
    assert folders | files - {"__init__"} == set(STATIONS)


def test_the_architecture_page_describes_the_stations_in_this_order():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    sections = [line[4:] for line in page.splitlines() if line.startswith("### ")]
    assert tuple(sections) == STATIONS


@pytest.mark.parametrize("module", sorted(PATHS))
def test_a_module_imports_only_stations_to_the_left(module):
    rank = {station: number for number, station in enumerate(STATIONS)}
    for target, name in IMPORTS[module]:
        if station_of(module) in ("", station_of(target)):
            continue
        if target == "hpastack":
            assert name == "__version__", f"import {name} from its station"
            continue
        assert rank[station_of(target)] < rank[station_of(module)], f"{target} lies to the right"


def test_there_is_no_import_cycle():
    graph = {
        module: {target for target, _ in imported if target != "hpastack"}
        for module, imported in IMPORTS.items()
    }
    assert find_cycle(graph) == []


@pytest.mark.parametrize(
    "graph, cycle",
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, ["b", "c", "b"]),
        ({"a": {"a"}}, ["a", "a"]),
    ],
)
def test_cycles_are_found(graph, cycle):
    assert find_cycle(graph) == cycle


def test_imports_inside_functions_and_of_modules_are_seen():
    source = (
        "from hpastack import errors, __version__\n"
        "def f():\n    from hpastack.store import reading, open_store\n"
    )
    modules = {"hpastack", "hpastack.errors", "hpastack.store", "hpastack.store.reading"}
    assert imports_of(ast.parse(source), modules) == [
        ("hpastack.errors", None),
        ("hpastack", "__version__"),
        ("hpastack.store.reading", None),
        ("hpastack.store", "open_store"),
    ]


@pytest.mark.parametrize("module", sorted(PATHS))
def test_other_stations_use_public_names_only(module):
    for target, name in IMPORTS[module]:
        if station_of(module) == station_of(target) or target in DOORS or target == "hpastack":
            continue
        parts = target.split(".") + ([name] if name else [])
        assert not any(part.startswith("_") for part in parts), f"{target}: {name} is private"


@pytest.mark.parametrize("module", sorted(set(PATHS) - DOORS))
def test_optional_libraries_come_through_their_doors(module):
    found = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    direct = {name for name in found if name.split(".")[0] in BEHIND_DOORS}
    assert {(module, name) for name in direct} <= LATE


@pytest.mark.parametrize("module", sorted(n for n, p in PATHS.items() if p.stem == "__init__"))
def test_a_package_only_hands_on_names(module):
    assert len(PATHS[module].read_text().splitlines()) <= 60
    for node in TREES[module].body:
        assert not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef), (
            f"{module} defines {node.name}"
        )


@pytest.mark.parametrize("module", sorted(PATHS))
def test_a_module_is_short_enough_to_be_read(module):
    assert len(PATHS[module].read_text().splitlines()) < MAX_LINES


def test_every_station_that_needs_no_torch_has_tests_that_make_check_core_runs():
    tests = ROOT / "tests"
    # Errors are those of the other stations.
    for station in set(STATIONS) - {"errors", "backbones"}:
        paths = [*(tests / station).rglob("test_*.py"), tests / f"test_{station}.py"]
        texts = [path.read_text(encoding="utf-8") for path in paths if path.is_file()]
        assert any(re.search(r"mark\.core", text) for text in texts), station
