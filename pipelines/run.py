"""Run a whole route: all steps it needs, in order, without those that are up to date."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import pandas as pd

from hpastack.catalogue import catalogue_digest
from hpastack.cnn import CnnSettings
from hpastack.errors import InputError
from hpastack.extraction import (
    HandcraftedSettings,
    handcrafted_record,
    store_record,
    store_state,
)
from hpastack.files import refuse_existing
from hpastack.recipes import contained_recipes, own_recipes, read_recipe, workspace_recipes
from hpastack.stack import read_manifest
from hpastack.workspace import Workspace
from pipelines._command import command_parser, run_command
from pipelines._help import CommandParser
from pipelines._options import add_options
from pipelines._steps import kept_settings, run_step


def make_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "run",
        "Run a whole route in a prepared workspace.\n"
        "  fast      stored predictions -> boosters, calibration, submission (minutes)\n"
        "  ordinary  stored checkpoints -> predictions and features -> the stored stack applied\n"
        "  retrain   clusters, folds, CNNs, features and stack from scratch",
        "--route fast --overwrite",
        recipes=["stack"],
    )
    parser.add_argument(
        "--route",
        required=True,
        choices=("fast", "ordinary", "retrain"),
        help="route to run, see above",
    )
    parser.add_argument(
        "--stack", action="append", metavar="STACK",
        help="recipe of the stack (default: stack); can be repeated, for several submissions",
    )  # fmt: skip
    parser.add_argument(
        "--cnn", action="append", metavar="CNN",
        help="recipe of a CNN to train (default: all in models/ of the workspace); can be repeated",
    )  # fmt: skip
    add_options(parser, "--accept", "--device")
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the command with parsed options."""
    workspace = Workspace(args.workspace)
    stacks = args.stack or ["stack"]
    fitting = [f"--set={override}" for override in args.overrides]
    fitting += [f"--accept={store}" for store in args.accept]
    if fitting and args.route == "ordinary":
        raise InputError(
            f"{fitting[0].partition('=')[0]} has no effect on route ordinary, which fits no stack"
        )
    for name in stacks:
        submission = workspace.submissions / f"{name}.csv"
        refuse_existing(submission, args.overwrite)
    catalogue = workspace.read_catalogue()
    shared = ["--workspace", workspace.root]
    if args.jobs:
        shared += ["--jobs", args.jobs]
    replace = ["--overwrite"] if args.overwrite else []

    if args.route == "ordinary":
        for name in stacks:
            _apply(workspace, name, catalogue, args, shared, replace)
        return
    workspace.require_training_fields(catalogue)
    if args.route == "retrain":
        cnns = args.cnn or _cnn_recipes(workspace)
        if not cnns:
            raise InputError(f"no recipe of a CNN in {workspace.models}; pass one with --cnn")
        run_step("cluster", *shared, *replace)
        for cnn in cnns:
            run_step("finetune", cnn, "--device", args.device, *shared, *replace)
        _extract_all(workspace, catalogue, args, shared)
    elif not workspace.folds.is_file():
        run_step("cluster", *shared, *_without_images(catalogue))
    run_step("stack", *stacks, *fitting, *shared, *replace)


def _apply(
    workspace: Workspace,
    stack: str,
    catalogue: pd.DataFrame,
    args: argparse.Namespace,
    shared: list,
    replace: list,
) -> None:
    """Make the stores that the stack needs from stored weights, and apply it; train nothing."""
    folder = workspace.models / stack
    workspace.require(folder / "stack.json", f"hpastack stack {stack}")
    digest = catalogue_digest(catalogue)
    for name, made in read_manifest(folder)["record"]["stores"].items():
        recipe, path = made["recipe"], workspace.store(name)
        if (workspace.models / name / "cnn.json").is_file():
            run_step(
                "finetune", name, "--predict-only", "--overwrite", "--device", args.device, *shared
            )
        elif recipe.get("type") in ("handcrafted", "embedding"):
            if recipe["type"] == "handcrafted":
                recipe = handcrafted_record(recipe, catalogue)
            if store_state(path, recipe, digest) != "current":
                run_step(
                    "extract", name, *kept_settings(recipe), "--overwrite",
                    "--device", args.device, *shared,
                )  # fmt: skip
        else:
            maker = "neighbours" if recipe.get("type") == "neighbours" else "ingest"
            workspace.require(path, f"hpastack {maker} ... --name {name}")
    run_step("predict", folder, *shared, *replace)


def _extract_all(
    workspace: Workspace, catalogue: pd.DataFrame, args: argparse.Namespace, shared: list
) -> None:
    if own_recipes(workspace, "features"):
        run_step("extract", "--device", args.device, *shared)
        return
    # Without own recipes: those of the package that need no downloaded weights.
    digest = catalogue_digest(catalogue)
    recipes = [
        read_recipe(path, workspace, folder="features")
        for path in workspace_recipes(workspace, folder="features")
    ]
    contained = contained_recipes(recipes)
    for recipe in recipes:
        if not isinstance(recipe.settings, HandcraftedSettings) or recipe.name in contained:
            continue
        record = store_record(recipe.record(), workspace.root, catalogue)
        if store_state(workspace.store(recipe.name), record, digest) != "current":
            run_step("extract", recipe.name, "--overwrite", *shared)


def _cnn_recipes(workspace: Workspace) -> list[str]:
    return [
        path.stem
        for path in own_recipes(workspace, "models")
        if isinstance(read_recipe(path, workspace, folder="models").settings, CnnSettings)
    ]


def _without_images(catalogue: pd.DataFrame) -> list[str]:
    has_images = (catalogue["red"] != "").any()
    return [] if has_images else ["--no-images"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
