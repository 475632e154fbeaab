"""List the available recipes, or copy one into the workspace to edit it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from hpastack.errors import InputError, shorten
from hpastack.extraction import EmbeddingSettings, HandcraftedSettings
from hpastack.files import publish_text, refuse_existing
from hpastack.recipes import Recipe, own_recipes, read_recipe, shipped_recipes
from hpastack.workspace import Workspace
from pipelines._command import check_name, command_parser, run_command
from pipelines._help import CommandParser
from pipelines._output import answer, wrote

_FOLDERS: tuple[Literal["features", "models"], ...] = ("features", "models")


def make_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "recipes",
        "List the recipes of the workspace and those that come with the package; or copy one to "
        "features/ or models/ of the workspace, to edit it.",
        "stack --name stack_of_mine",
    )
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="recipe to copy")
    parser.add_argument("--name", help="name of the copy (default: that of the recipe)")
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the command with parsed options."""
    workspace = Workspace(args.workspace)
    if args.recipe is None:
        if args.name is not None:
            raise InputError("--name needs a RECIPE to copy")
        for folder in _FOLDERS:
            _list(workspace, folder)
        return
    recipe = _read(args.recipe, workspace)
    name = args.name or recipe.name
    check_name(name)
    of_features = isinstance(recipe.settings, HandcraftedSettings | EmbeddingSettings)
    folder = "features" if of_features else "models"
    target = workspace.root / folder / f"{name}.yaml"
    refuse_existing(target, args.overwrite)
    # The first line is the command that runs the recipe.
    first, line_break, rest = recipe.path.read_text(encoding="utf-8-sig").partition("\n")
    first = first.replace(f"{folder}/{recipe.path.name}", f"{folder}/{target.name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    publish_text(target, first + line_break + rest)
    wrote(f"wrote {target}, a copy of {recipe.path}", target)


def _read(source: str, workspace: Workspace) -> Recipe:
    """Return a recipe of either folder."""
    found: list[Recipe] = []
    errors: list[InputError] = []
    for folder in _FOLDERS:
        try:
            recipe = read_recipe(source, workspace, folder=folder)
        except InputError as error:
            errors.append(error)
        else:
            found += [] if recipe.path in [other.path for other in found] else [recipe]
    if not found:
        # The error of an invalid recipe, not that the other folder has no such recipe.
        is_there = [error for error in errors if not str(error).startswith("unknown recipe")]
        if is_there:
            raise is_there[0]
        raise InputError(f"unknown recipe {source}; run: hpastack recipes")
    if len(found) > 1:
        raise InputError(
            f"{source} is ambiguous: {shorten([recipe.path for recipe in found])}; add the folder"
        )
    return found[0]


def _list(workspace: Workspace, folder: Literal["features", "models"]) -> None:
    own = own_recipes(workspace, folder)
    names = {path.stem for path in own}
    shipped = sorted(shipped_recipes(folder).glob("*.yaml"))
    listed: list[tuple[Path, str]] = [(path, str(path)) for path in own]
    listed += [(path, "comes with the package") for path in shipped if path.stem not in names]
    for path, place in listed:
        try:
            kind = read_recipe(path, workspace, folder=folder).type
        except InputError as error:
            kind, place = "not valid", str(error)
        answer(f"{folder + '/' + path.stem:<28} {kind:<12} {place}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
