"""Fine-tune a CNN once per fold, and predict out of fold."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from hpastack.catalogue import training_fields
from hpastack.cnn import CnnSettings
from hpastack.errors import InputError, counted, shorten
from hpastack.fields import find_packed
from hpastack.files import refuse_existing
from hpastack.folds import read_fold_plan
from hpastack.labels import Vocabulary
from hpastack.recipes import read_recipe
from hpastack.store import open_store
from hpastack.workspace import Workspace
from pipelines._command import command_parser, run_command
from pipelines._help import CommandParser
from pipelines._options import add_options
from pipelines._output import mute, report, show, wrote

if TYPE_CHECKING:
    from hpastack.cnn import Processes


# Settings of a recipe that affect predictions only.
_PREDICTING = ("views", "crops", "batch_size")


def make_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "finetune",
        "Fine-tune a timm backbone once per fold of data/folds.csv and write its predictions to "
        "features/: out of fold for training fields, the mean over the folds for test fields.",
        "models/cnn_densenet121.yaml --set size=768",
        recipes=["cnn"],
    )
    parser.add_argument(
        "recipe", metavar="RECIPE", help="recipe of type cnn: a path, or a name in models/"
    )
    add_options(parser, "--device")
    parser.add_argument(
        "--fold", type=int, nargs="+", metavar="K", dest="folds",
        help="train only these folds, to share the work among machines; the last to finish writes "
        "the predictions",
    )  # fmt: skip
    parser.add_argument(
        "--keep-every", type=float, default=300.0, metavar="SECONDS",
        help="time between saves of the training state, which is also saved after each epoch "
        "(default: 300)",
    )  # fmt: skip
    parser.add_argument(
        "--predict-only", action="store_true",
        help="do not train; apply the stored checkpoints in models/RECIPE/",
    )  # fmt: skip
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the command with parsed options."""
    # Imported below, so that --help and errors in the recipe need no torch.
    workspace = Workspace(args.workspace)
    recipe = read_recipe(args.recipe, workspace, folder="models", overrides=args.overrides)
    if not isinstance(recipe.settings, CnnSettings):
        raise InputError(f"{recipe.path} is not a recipe of type cnn")
    settings = _located(recipe.settings, workspace)
    from hpastack.cnn import process_group

    with process_group(args.device) as processes:
        if not processes.is_first:
            mute()
        _finetune(args, workspace, recipe.name, settings, processes)


def _finetune(
    args: argparse.Namespace, workspace: Workspace, name: str, settings: CnnSettings,
    processes: Processes,
) -> None:  # fmt: skip
    from hpastack.cnn import finetune_folds, predict_store

    catalogue = workspace.read_catalogue()
    vocabulary = workspace.vocabulary()
    folder, store_path = workspace.models / name, workspace.store(name)
    if store_path.exists() and not args.overwrite:
        # If a run was killed after the predictions, their scores are still missing.
        lacks_scores = _lacks_scores(folder, store_path)
        # All processes check before the first one writes them.
        processes.wait()
        if not lacks_scores:
            refuse_existing(store_path, args.overwrite)
        if processes.is_first:
            _write_scores(folder, store_path, catalogue, vocabulary)
        return
    # All processes check before any of them makes it.
    processes.wait()
    options = {
        "jobs": args.jobs, "packed": find_packed(workspace.packed), "overwrite": args.overwrite,
        "processes": processes,
    }  # fmt: skip
    plan = None
    if not args.predict_only:
        plan = workspace.read_folds(catalogue)
        trained = finetune_folds(
            folder, catalogue, plan, vocabulary, settings, folds=args.folds,
            keep_seconds=args.keep_every, **options,
        )  # fmt: skip
        if trained is None:
            if processes.is_first:
                show(f"{folder}.parts: trained; other folds are still to be trained, with --fold")
            return
    else:
        _check_overrides(args.overrides)
        _check_labels(folder, vocabulary)
        if workspace.folds.is_file():
            plan = read_fold_plan(workspace.folds)
    predict_store(
        folder, catalogue, store_path, plan=plan, views=settings.views, crops=settings.crops,
        batch_size=settings.batch_size, **options,
    )  # fmt: skip
    if processes.is_first:
        _write_scores(folder, store_path, catalogue, vocabulary)


def _check_overrides(overrides: Sequence[str]) -> None:
    shaping = [o for o in overrides if o.partition("=")[0] not in _PREDICTING]
    if shaping:
        raise InputError(
            f"--set {shaping[0]}: with --predict-only, only {', '.join(_PREDICTING)} can be set"
        )


def _check_labels(folder: Path, vocabulary: Vocabulary) -> None:
    from hpastack.cnn import read_checkpoint

    names = read_checkpoint(folder).vocabulary
    if names != tuple(vocabulary):
        raise InputError(
            f"{folder} was trained for the labels {shorten(names)}, which differ from those of "
            "this workspace or are in another order; see data/vocabulary.txt"
        )


def _lacks_scores(folder: Path, store_path: Path) -> bool:
    from hpastack.cnn import MANIFEST, SCORES, read_checkpoint

    if (folder / SCORES).is_file() or not (folder / MANIFEST).is_file():
        return False
    try:
        with open_store(store_path) as store:
            return store.recipe.get("checkpoints") == read_checkpoint(folder).digests
    except InputError:
        return False


def _write_scores(
    folder: Path, store_path: Path, catalogue: pd.DataFrame, vocabulary: Vocabulary
) -> None:
    from hpastack.cnn import PLAN, write_scores

    training = training_fields(catalogue)
    n_test = len(catalogue) - len(training)
    macro = None
    done = f"{len(training)} training and {counted(n_test, 'test field')}"
    if len(training):
        with open_store(store_path) as store:
            logits = store.to_frame(training.index).to_numpy()
        scores = write_scores(
            folder, read_fold_plan(folder / PLAN), vocabulary.indicator(training["target"]), logits,
            vocabulary.names, list(training.index),
        )  # fmt: skip
        macro = scores.iloc[-1]
        done += (
            f", out-of-fold macro average precision {macro.average_precision:.3f} "
            f"[{macro.low:.3f}, {macro.high:.3f}]"
        )
    wrote(
        f"{store_path}: predictions of {done} (weights and scores by label: {folder})", store_path,
        folder,
    )  # fmt: skip
    report(n_train=len(training), n_test=n_test)
    if macro is not None:
        report(macro_ap=macro.average_precision, macro_ap_interval=[macro.low, macro.high])


def _located(settings: CnnSettings, workspace: Workspace) -> CnnSettings:
    """Return settings with the path of a file of weights, relative to the workspace."""
    if settings.weights in ("pretrained", "random"):
        return settings
    place = workspace.root / Path(settings.weights).expanduser()
    return replace(settings, weights=str(place))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
