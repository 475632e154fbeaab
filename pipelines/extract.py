"""Compute feature sets from fields by recipe: hand-crafted features and embeddings."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from hpastack.catalogue import catalogue_digest
from hpastack.errors import InputError, counted
from hpastack.extraction import (
    EmbeddingSettings,
    Extraction,
    HandcraftedSettings,
    extract_embeddings,
    extract_features,
    fields_without_nuclei,
    n_smaller,
    store_record,
    store_state,
)
from hpastack.features import columns_of_stains
from hpastack.fields import STAINS, find_packed
from hpastack.fields.paths import require_stains, stains_of
from hpastack.files import differing_settings
from hpastack.parallel import BACKENDS, Shard, backend, environment_shard
from hpastack.recipes import (
    Recipe,
    contained_recipes,
    read_recipe,
    workspace_recipes,
)
from hpastack.store import open_store
from hpastack.workspace import Workspace
from pipelines._command import command_parser, run_command
from pipelines._help import CommandParser
from pipelines._options import SKIPPED, add_options
from pipelines._output import note, report, show, warn, wrote


def make_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "extract",
        "Compute feature sets from fields and write them to features/. Without RECIPE: every "
        "recipe of the workspace whose store is missing or out of date.",
        "features/texture.yaml --set size=1024",
        recipes=["handcrafted", "embedding"],
    )
    parser.add_argument(
        "recipes",
        nargs="*",
        metavar="RECIPE",
        help="recipes of feature sets: files such as features/texture.yaml, or their names",
    )
    add_options(parser, "--device", "--limit", "--on-error")
    parser.add_argument(
        "--shard", metavar="I/N",
        help="process only every N-th field, starting with the I-th (from 0), to share the work "
        "among machines with one workspace; the last to finish publishes the store (default: "
        "RANK/WORLD_SIZE or SLURM_ARRAY_TASK_ID/COUNT if set; 0/1 is all fields)",
    )  # fmt: skip
    parser.add_argument(
        "--backend", choices=BACKENDS, metavar="WHERE",
        help="where hand-crafted features are computed: in threads, in processes (loky), or on a "
        "dask or ray cluster; for embeddings, use --shard (default: threads, or processes if "
        "there is enough work for them to be faster)",
    )  # fmt: skip
    parser.add_argument(
        "--address", metavar="PLACE",
        help="address of a running cluster: tcp://host:8786 (dask), auto or ray://host:10001 (ray) "
        "(default: a cluster is started on this machine)",
    )  # fmt: skip
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command with parsed options."""
    workspace = Workspace(args.workspace)
    recipes = _recipes(args, workspace)
    shard, source = _shard(args)
    catalogue = workspace.read_catalogue().head(args.limit)
    made_from = catalogue_digest(catalogue)
    for recipe in recipes:
        _check_stains(recipe, catalogue, named=bool(args.recipes))
    records = {
        recipe.name: store_record(recipe.record(), workspace.root, catalogue) for recipe in recipes
    }
    if not args.overwrite:
        recipes = [
            recipe
            for recipe in recipes
            if _is_wanted(
                recipe, records[recipe.name], made_from, workspace,
                # Another process may have finished it before this one started.
                bool(args.recipes) and shard.count == 1,
            )
        ]  # fmt: skip
    for recipe in recipes:
        _note_small_fields(recipe, catalogue)
    with backend(args.backend, args.address, args.jobs):
        made = [
            _make(recipe, records[recipe.name], catalogue, workspace, shard, args)
            for recipe in recipes
        ]
    for extraction in made:
        if extraction.skipped:
            warn(
                f"{extraction.path}: {counted(len(extraction.skipped), 'field')} skipped, "
                + (
                    "to be listed when all shards are done"
                    if extraction.n_missing
                    else f"listed in {extraction.skipped_path}"
                )
            )
        if extraction.n_missing:
            hint = ""
            if source:
                hint = (
                    f". The shard is from {source}: if each task of the array runs another recipe, "
                    "run it again with --shard 0/1"
                )
            show(
                f"{extraction.path}: shard {shard} is done, {extraction.n_missing} of "
                f"{counted(len(catalogue), 'field is', 'fields are')} left to other shards; the "
                f"last to finish publishes the store{hint}"
            )
    published = [extraction for extraction in made if not extraction.n_missing]
    for extraction in published:
        n_bare = fields_without_nuclei(extraction.path)
        if n_bare:
            warn(
                f"{extraction.path}: no nucleus was found in {n_bare} of "
                f"{counted(extraction.n_fields, 'field')}; features of cells are NaN there. Is "
                "blue the stain of the nuclei, and in focus?"
            )
    if published:
        wrote(
            "wrote "
            + ", ".join(
                f"{one.path} ({counted(one.n_fields, 'field')}, {counted(one.n_columns, 'column')})"
                for one in published
            ),
            *(one.path for one in published),
        )
    elif not made:
        show(f"nothing to do: every feature set of {workspace.features} is up to date")
    report(
        shard=str(shard),
        stores=[
            {
                "path": one.path, "n_fields": one.n_fields, "n_columns": one.n_columns,
                "n_missing": one.n_missing, "n_skipped": len(one.skipped),
            }
            for one in made
        ],
    )  # fmt: skip
    return SKIPPED if any(extraction.skipped for extraction in made) else 0


def _shard(args: argparse.Namespace) -> tuple[Shard, str]:
    """Return the shard of this process, and the environment variable that sets it, if any."""
    if args.shard is not None:
        return Shard.parse(args.shard), ""
    shard, source = environment_shard()
    if source:
        show(f"shard {shard}, from {source}; --shard 0/1 processes all fields")
    return shard, source


def _recipes(args: argparse.Namespace, workspace: Workspace) -> list[Recipe]:
    """Return the requested recipes, or all that no other contains; hand-crafted ones first."""
    if args.overrides and not args.recipes:
        raise InputError("--set needs a RECIPE")
    sources = args.recipes or workspace_recipes(workspace, folder="features")
    recipes = [
        read_recipe(source, workspace, folder="features", overrides=args.overrides)
        for source in sources
    ]
    for recipe in recipes:
        if not isinstance(recipe.settings, HandcraftedSettings | EmbeddingSettings):
            raise InputError(f"{recipe.path} is not a recipe of type handcrafted or embedding")
    names = [recipe.name for recipe in recipes]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"duplicate recipe {name}")
    if not args.recipes:
        contained = contained_recipes(recipes)
        for other in dict.fromkeys(contained.values()):
            skipped = [name for name in contained if contained[name] == other]
            show(
                f"skipped, as {other} includes their features: {', '.join(skipped)}; to compute "
                "one anyway, run: hpastack extract NAME"
            )
        recipes = [recipe for recipe in recipes if recipe.name not in contained]
    return sorted(recipes, key=lambda recipe: isinstance(recipe.settings, EmbeddingSettings))


def _check_stains(recipe: Recipe, catalogue: pd.DataFrame, *, named: bool) -> None:
    """Check that the fields have the stains that a recipe needs, before any work."""
    stains = stains_of(catalogue)
    if stains == STAINS:
        return
    settings: Any = recipe.settings
    try:
        if isinstance(settings, HandcraftedSettings):
            columns_of_stains(settings.families, stains)
            return
        from hpastack.backbones import expected_stains

        seen = expected_stains(settings.backbone, settings.weights, settings.stains)
        require_stains(catalogue, seen, f"backbone {settings.backbone}")
    except InputError as error:
        how = "set this with --set or in the recipe" if named else "name the recipes to extract"
        raise InputError(f"{recipe.path}: {error} ({how})") from None


def _note_small_fields(recipe: Recipe, catalogue: pd.DataFrame) -> None:
    """Print which fields a recipe measures as they are, where sizes are mixed."""
    settings: Any = recipe.settings
    if not isinstance(settings, HandcraftedSettings) or settings.enlarge:
        return
    n_small = n_smaller(catalogue, settings.size)
    if 0 < n_small < len(catalogue):
        note(
            f"{recipe.name}: {n_small:,} of {counted(len(catalogue), 'field')} are smaller "
            f"than {settings.size} px and measured as they are; --set enlarge=true brings all to "
            "the same scale"
        )


def _is_wanted(
    recipe: Recipe, record: dict[str, Any], made_from: str, workspace: Workspace, named: bool
) -> bool:
    """Return whether a store is to be made; an existing one may be an error."""
    path = workspace.store(recipe.name)
    state = store_state(path, record, made_from)
    if state == "missing":
        return True
    if state == "current" and not named:
        show(f"{path} is up to date")
        return False
    if named and state == "current":
        raise InputError(f"{path} is up to date; pass --overwrite to make it again")
    if named or state == "other":
        with open_store(path) as store:
            differing = differing_settings(store.recipe, record, "the store", "the recipe")
            differing = differing or "other fields, or columns of another version"
        state_text = "exists, but is out of date"
        remedy = "pass --overwrite to make it again"
        if state == "other":
            state_text = f"was not made by {recipe.path}"
            remedy = "rename one of them, or pass --overwrite"
        raise InputError(f"{path} {state_text} ({differing}); {remedy}")
    show(f"{path} is out of date and is made again")
    return True


def _make(
    recipe: Recipe,
    record: dict[str, Any],
    catalogue: pd.DataFrame,
    workspace: Workspace,
    shard: Shard,
    args: argparse.Namespace,
) -> Extraction:
    settings: Any = recipe.settings
    path = workspace.store(recipe.name)
    shared: dict[str, Any] = {
        "record": record,
        "jobs": args.jobs,
        "shard": shard,
        "on_error": args.on_error,
        # Whether it may be replaced was decided before the work started.
        "overwrite": True,
    }
    if isinstance(settings, HandcraftedSettings):
        return extract_features(
            path, catalogue, settings.families, size=settings.pixels, enlarge=settings.enlarge,
            **shared,
        )  # fmt: skip
    options = asdict(settings)
    if settings.statistics is not None:
        options["statistics"] = {
            stain: tuple(pair) for stain, pair in record["stain_statistics"].items()
        }
    packed = find_packed(workspace.packed)
    return extract_embeddings(
        path, catalogue, **options, packed=packed, device=args.device, **shared
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
