"""python -m pipelines.finetune: fine-tune a CNN once a fold, and predict out of fold."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hpastack.catalogue import read_catalogue
from hpastack.errors import InputError
from hpastack.folds import check_plan, read_fold_plan
from hpastack.metrics import macro_average_precision
from hpastack.models.cnn_settings import CnnSettings
from hpastack.recipes import CnnRecipe, read_recipe
from hpastack.store import open_store
from hpastack.workspace import Workspace
from pipelines._command import command_parser, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process if left out.

    Returns
    -------
    int
        Exit status.
    """
    parser = command_parser(
        "finetune",
        "Fine-tune a timm backbone once for each fold of data/folds.csv, and write its "
        "predictions:\nout of fold for training fields, the mean of the folds for test fields.",
        "python -m pipelines.finetune models/cnn_densenet121.yaml --set size=768",
        recipe=True,
    )
    parser.add_argument("recipe", help="a recipe of type cnn: a path, or a name in models/")
    parser.add_argument(
        "--device", default="auto", help="auto (a GPU where there is one), cpu, cuda, cuda:1, mps"
    )
    parser.add_argument(
        "--predict-only", action="store_true",
        help="train nothing: apply the stored checkpoints in models/RECIPE/",
    )  # fmt: skip
    return run_command(parser, _run, argv)


def _run(args: argparse.Namespace) -> None:
    # Here, so that --help and a mistake in the recipe need no torch.
    workspace = Workspace(args.workspace)
    recipe = read_recipe(args.recipe, workspace, folder="models", overrides=args.overrides)
    if not isinstance(recipe.settings, CnnRecipe):
        raise InputError(f"{recipe.path} is no recipe of type cnn")
    settings = CnnSettings(**_located(recipe.settings.model_dump(exclude={"type"}), workspace))
    from hpastack.models.cnn import finetune_folds
    from hpastack.models.cnn_prediction import predict_store

    catalogue = read_catalogue(
        workspace.require(workspace.catalogue, "python -m pipelines.prepare IMAGES")
    )
    vocabulary = workspace.vocabulary()
    folder, store_path = workspace.models / recipe.name, workspace.store(recipe.name)
    if store_path.exists() and not args.overwrite:
        raise InputError(f"{store_path} exists; give --overwrite to replace it")
    options = {"device": args.device, "jobs": args.jobs, "overwrite": args.overwrite}
    plan = None
    if not args.predict_only:
        plan = read_fold_plan(workspace.require(workspace.folds, "python -m pipelines.cluster"))
        train = catalogue[catalogue["split"] == "train"]
        check_plan(plan, train.index, vocabulary.indicator(train["target"], allow_empty=True))
        finetune_folds(folder, catalogue, plan, vocabulary, settings, **options)
    elif workspace.folds.is_file():
        plan = read_fold_plan(workspace.folds)
    predict_store(
        folder, catalogue, store_path, plan=plan, views=settings.views,
        batch_size=settings.batch_size, **options,
    )  # fmt: skip
    training = catalogue[catalogue["split"] == "train"]
    n_test = len(catalogue) - len(training)
    done = f"{len(training)} training and {n_test} test fields"
    if len(training):
        with open_store(store_path) as store:
            logits = store.to_frame(training.index).to_numpy()
        score = macro_average_precision(vocabulary.indicator(training["target"]), logits)
        done += f", out-of-fold macro average precision {score:.3f}"
    print(f"{store_path}: predictions of {done} (weights: {folder})")


def _located(values: dict, workspace: Workspace) -> dict:
    """Look for a file of weights from the workspace on."""
    if values["weights"] not in ("pretrained", "random"):
        values["weights"] = str(workspace.root / Path(values["weights"]).expanduser())
    return values


if __name__ == "__main__":
    sys.exit(main())
