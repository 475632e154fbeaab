"""Recipes: YAML files with the settings of a feature set, a CNN, a clustering or a stack.

A recipe is found by path or by name: in the workspace first, then among those
shipped with the package. Every key is checked; an unknown key raises an error
that suggests the nearest one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from hpastack.clusters.settings import DuplicateSettings
from hpastack.cnn import CnnSettings
from hpastack.errors import InputError, shorten
from hpastack.extraction.settings import EmbeddingSettings, HandcraftedSettings
from hpastack.stack.settings import StackRecipe
from hpastack.workspace import Workspace

_PACKAGE = Path(__file__).resolve().parent
_SUFFIXES = (".yaml", ".yml")
# Recipes are untrusted input: larger or deeper ones take PyYAML minutes.
_MAX_CHARACTERS = 200_000
_MAX_DEPTH = 20

Settings = HandcraftedSettings | EmbeddingSettings | CnnSettings | DuplicateSettings | StackRecipe

#: Settings class of each type of recipe.
TYPES: dict[str, type[Settings]] = {
    "handcrafted": HandcraftedSettings,
    "embedding": EmbeddingSettings,
    "cnn": CnnSettings,
    "duplicates": DuplicateSettings,
    "stack": StackRecipe,
}


@dataclass(frozen=True)
class Recipe:
    """A recipe as read: its name, path, type and checked settings."""

    name: str
    path: Path
    type: str
    settings: Settings

    def record(self) -> dict[str, Any]:
        """Return its name, type and settings, to be saved with the result."""
        return {"name": self.name, "type": self.type, **self.settings.record()}


def read_recipe(
    source: str | Path,
    workspace: Workspace,
    *,
    folder: Literal["features", "models"],
    overrides: Sequence[str] = (),
) -> Recipe:
    """Find, read and check a recipe.

    Parameters
    ----------
    source : str or path-like
        A path, or a name such as ``stack`` or ``models/stack.yaml``. A name is
        searched in the workspace first, then among the recipes shipped with the
        package.
    workspace : Workspace
    folder : {"features", "models"}
        Folder of a bare name.
    overrides : sequence of str
        ``key=value``, the value in YAML; they take precedence over the file.

    Returns
    -------
    Recipe
        Named after its file.

    Raises
    ------
    InputError
        If no such recipe is found, it is not valid YAML, or a key or value is invalid for its type.
    """
    path = _find(Path(source), workspace, folder)
    try:
        # utf-8-sig: editors on Windows may write a byte-order mark.
        values = _load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} has no keys; a recipe starts with 'type: ...'")
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise InputError(f"overrides: {override!r} is not KEY=VALUE", "overrides")
        try:
            values[key] = _load(text)
        except (yaml.YAMLError, ValueError):
            raise InputError(
                f"overrides: the value of {override!r} is not valid YAML", "overrides"
            ) from None
    kind = values.pop("type", None)
    if not isinstance(kind, str) or kind not in TYPES:
        raise InputError(f"{path}: unknown type {kind!r}; it must be one of {', '.join(TYPES)}")
    try:
        settings = TYPES[kind](**{str(key): value for key, value in values.items()})
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return Recipe(path.stem, path, kind, settings)


def workspace_recipes(workspace: Workspace, *, folder: Literal["features", "models"]) -> list[Path]:
    """List the recipes of a workspace.

    Parameters
    ----------
    workspace : Workspace
    folder : {"features", "models"}

    Returns
    -------
    list of Path
        The recipes of the workspace, sorted by name; if it has none, those
        shipped with the package.
    """
    return own_recipes(workspace, folder) or sorted(shipped_recipes(folder).glob("*.yaml"))


def own_recipes(workspace: Workspace, folder: str) -> list[Path]:
    """List the recipes in a workspace itself, sorted by name.

    Parameters
    ----------
    workspace : Workspace
    folder : {"features", "models"}

    Returns
    -------
    list of Path
        Its files ``*.yaml`` and ``*.yml``.
    """
    files = (workspace.root / folder).glob("*")
    return sorted(path for path in files if path.suffix in _SUFFIXES)


def contained_recipes(recipes: Sequence[Recipe]) -> dict[str, str]:
    """Find recipes of hand-crafted features whose features another recipe includes.

    Parameters
    ----------
    recipes : sequence of Recipe

    Returns
    -------
    dict of str to str
        Name of a redundant recipe to the name of one that measures all its
        families at the same size: a recipe with more families, or an earlier
        one with the same families.
    """
    handcrafted = [
        (recipe.name, recipe.settings)
        for recipe in recipes
        if isinstance(recipe.settings, HandcraftedSettings)
    ]
    contained = {}
    for position, (name, settings) in enumerate(handcrafted):
        own = set(settings.families)
        for other_position, (other, wider) in enumerate(handcrafted):
            families = set(wider.families)
            if settings.size == wider.size and (
                own < families or (own == families and other_position < position)
            ):
                contained[name] = other
    return contained


def shipped_recipes(folder: str) -> Path:
    """Return the folder of the recipes shipped with the package, features or models."""
    installed = _PACKAGE / "_recipes" / folder
    return installed if installed.is_dir() else _PACKAGE.parent / folder


def _find(source: Path, workspace: Workspace, folder: str) -> Path:
    has_suffix = source.suffix in _SUFFIXES
    names = [source.name] if has_suffix else [source.name + suffix for suffix in _SUFFIXES]
    places = [source.parent, workspace.root / source.parent]
    if source.parent in (Path(), Path(folder)):
        places += [workspace.root / folder, shipped_recipes(folder)]
    for place in places:
        paths = [place / name for name in names if (place / name).is_file()]
        if len(paths) > 1:
            raise InputError(
                f"{paths[0]} and {paths[1]} have the same name; remove or rename one of them"
            )
        if paths:
            return paths[0]
    known = {path.stem for path in own_recipes(workspace, folder)}
    known |= {path.stem for path in shipped_recipes(folder).glob("*.yaml")}
    raise InputError(f"unknown recipe {source}; available: {shorten(sorted(known), 12)}")


class _Loader(yaml.SafeLoader):
    """YAML loader that accepts common notations of numbers and requires unique keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Reject duplicate keys, of which PyYAML would keep the last."""
        lines: dict[str, int] = {}
        for key_node, _ in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in lines:
                raise yaml.YAMLError(f"duplicate key {key!r}, on lines {lines[key]} and {line}")
            lines[key] = line
        return super().construct_mapping(node, deep=deep)


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int | float:
    text = str(loader.construct_scalar(node)).replace("_", "").lower()
    if re.fullmatch("[-+]?[0-9]+", text):
        return int(text)
    value = float(text.replace(".inf", "inf").replace(".nan", "nan"))
    return int(value) if "." not in text and value.is_integer() else value  # 1e3 fields


_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
# PyYAML implements YAML 1.1, in which 2e-1 is text, 012 is 10 and 1:30 is 90.
_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in resolvers if pair[0] not in _NUMBERS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _NUMBERS[1],
    re.compile(
        r"[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?$"
        r"|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)
for _tag in _NUMBERS:
    _Loader.add_constructor(_tag, _number)


def _load(text: str) -> Any:
    """Load YAML; raise `yaml.YAMLError` or `ValueError` if it is invalid or not a recipe."""
    if len(text) > _MAX_CHARACTERS:
        raise yaml.YAMLError(f"a recipe must not have more than {_MAX_CHARACTERS:,} characters")
    depth = 0
    for event in yaml.parse(text, _Loader):
        # A few lines of nested aliases can expand to more values than fit in memory.
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*NAME) are not allowed in a recipe; write the value")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise yaml.YAMLError(f"a recipe must not have more than {_MAX_DEPTH} nested levels")
    return yaml.load(text, _Loader)
