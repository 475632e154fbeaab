"""Fit a stack on stored predictions and features, and write its submission."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hpastack.catalogue import catalogue_digest, read_catalogue
from hpastack.clusters import read_leaks, strongest_twins
from hpastack.errors import InputError
from hpastack.folds import FoldPlan, check_plan, read_fold_plan
from hpastack.labels import Vocabulary
from hpastack.models.stack_files import check_replaceable, save_stack
from hpastack.models.stack_inputs import StackInputs, gather_stores
from hpastack.models.stacking import StackClassifier
from hpastack.recipes import StackRecipe, read_recipe
from hpastack.store import open_store
from hpastack.submission import replace_labels, write_submission
from hpastack.workspace import Workspace
from pipelines._command import command_parser, run_command

# Keys of the recipe that say which columns there are; the rest are parameters of the estimator.
_COLUMN_KEYS = ("type", "cnns", "features", "accept_fold_plans", "seed")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    parser = command_parser(
        "stack",
        "Fit per-label LightGBM and XGBoost on the CNN consensus out of fold, score them, and "
        "write models/NAME/ and submissions/NAME.csv.",
        "python -m pipelines.stack models/stack.yaml --set thresholds=global",
        recipe=True,
    )
    parser.add_argument("recipe", nargs="?", default="stack", metavar="RECIPE",
                        help="recipe of a stack (default: models/stack.yaml)")  # fmt: skip
    parser.add_argument("--accept", action="append", default=[], metavar="STORE",
                        help="use this out-of-fold store though its fold plan is unknown or splits "
                        "clusters; the output says so")  # fmt: skip
    parser.add_argument("--no-submission", action="store_true",
                        help="fit without test fields")  # fmt: skip
    parser.add_argument("--apply-leaks", action="store_true",
                        help="give test fields of the submission that have a twin among the "
                        "training fields (data/leaks.csv) its labels; noted")  # fmt: skip
    return run_command(parser, _run, argv)


def _run(args: argparse.Namespace) -> None:
    workspace = Workspace(args.workspace)
    recipe = read_recipe(args.recipe, workspace, folder="models", overrides=args.overrides)
    if not isinstance(recipe.settings, StackRecipe):
        raise InputError(f"{recipe.path} is not a recipe of type stack")
    folder = workspace.models / recipe.name
    submission = workspace.submissions / f"{recipe.name}.csv"
    check_replaceable(folder, args.overwrite)
    if not args.no_submission and submission.exists() and not args.overwrite:
        raise InputError(f"{submission} exists; give --overwrite to replace it")

    catalogue = read_catalogue(
        workspace.require(workspace.catalogue, "python -m pipelines.prepare")
    )
    plan = read_fold_plan(workspace.require(workspace.folds, "python -m pipelines.cluster"))
    vocabulary = workspace.vocabulary()
    train = catalogue[catalogue["split"] == "train"]
    test = catalogue[catalogue["split"] == "test"]
    check_plan(plan, train.index, vocabulary.indicator(train["target"], allow_empty=True))
    if args.no_submission:
        test = test.iloc[:0]
    elif test.empty:
        raise InputError("the catalogue has no test fields; give --no-submission to fit without")
    twins = None
    if args.apply_leaks:
        if args.no_submission:
            raise InputError("--apply-leaks changes the submission; leave out --no-submission")
        place = workspace.require(workspace.leaks, "python -m pipelines.cluster")
        twins = read_leaks(place, catalogue)
    accepted = [*recipe.settings.accept_fold_plans, *args.accept]
    inputs = gather_stores(
        _chosen_stores(recipe.settings, workspace),
        [*train.index, *test.index],
        vocabulary,
        made_from=catalogue_digest(catalogue),
        plan=plan,
        accept=accepted,
    )
    stack = _fit(recipe.settings, inputs, train, plan, vocabulary, args.jobs)
    labels = None if test.empty else stack.predict(inputs.table.loc[test.index])
    if labels is not None and twins is not None:
        labels = _apply_leaks(labels, twins, vocabulary, inputs)

    used = {**recipe.settings.record(), "accept_fold_plans": accepted}
    record = {
        "recipe": used,
        "stores": inputs.stores,
        "notes": inputs.notes,
        "vocabulary": list(vocabulary),
    }
    save_stack(stack, folder, record=record, overwrite=args.overwrite)
    _print_scores(stack, inputs)
    print(f"wrote {folder}/ (the stack)", end="")
    if labels is None:
        print("; no submission, as asked")
    else:
        write_submission(submission, list(labels.index), labels, vocabulary)
        print(f" and {submission} ({len(labels):,} fields)")


def _chosen_stores(settings: StackRecipe, workspace: Workspace) -> list[Path]:
    predictions: list[Path] = []
    features: list[Path] = []
    for path in workspace.stores():
        with open_store(path) as store:
            (features if store.content == "features" else predictions).append(path)
    chosen = []
    for wanted, found in ((settings.cnns, predictions), (settings.features, features)):
        if wanted == "auto":
            chosen += found
        else:
            chosen += [workspace.store(name) for name in wanted]
    if not chosen:
        raise InputError(
            f"no stores in {workspace.features}; make some with extract, finetune or ingest"
        )
    return chosen


def _fit(
    settings: StackRecipe,
    inputs: StackInputs,
    train: pd.DataFrame,
    plan: FoldPlan,
    vocabulary: Vocabulary,
    jobs: int | None,
) -> StackClassifier:
    y = pd.DataFrame(vocabulary.indicator(train["target"]), train.index, list(vocabulary))
    parameters = settings.model_dump(exclude=set(_COLUMN_KEYS))
    stack = StackClassifier(
        cnns=inputs.cnns,
        logits=inputs.logits,
        random_state=settings.seed,
        n_splits=plan.n_folds,
        n_jobs=jobs or -1,
        verbose=True,
        **parameters,
    )
    frame = plan.frame
    return stack.fit(inputs.table.loc[train.index], y, groups=frame["cluster"], folds=frame["fold"])


def _apply_leaks(
    labels: pd.DataFrame, twins: pd.DataFrame, vocabulary: Vocabulary, inputs: StackInputs
) -> pd.DataFrame:
    """Give leaked test fields the labels of their twins, and note how many."""
    used = strongest_twins(twins)
    replaced = replace_labels(labels, used["twin_target"], vocabulary)
    n_changed = int((replaced != labels).any(axis=1).sum())
    sources = ", ".join(f"{n} {name}" for name, n in used["twin_source"].value_counts().items())
    inputs.notes.append(
        f"--apply-leaks: {len(used)} test fields of the submission carry the labels of a "
        f"training twin ({sources or 'none'}); {n_changed} of them differ from what the stack "
        "predicts. The cross-validated scores know nothing of this."
    )
    return replaced


def _print_scores(stack: StackClassifier, inputs: StackInputs) -> None:
    with pd.option_context("display.width", 120, "display.max_columns", None):
        print(stack.label_table_.to_string(float_format="{:.3f}".format))
        print("\nout of fold, thresholds chosen out of fold:")
        print(stack.comparison_.to_string(float_format="{:.4f}".format))
    scores = stack.cv_results_
    for name, title in (("macro_f1", "macro F1"), ("macro_ap", "macro average precision")):
        interval = scores.get(f"{name}_interval")
        text = f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""
        print(f"{title}: {scores[name]:.4f}{text} (naive: {scores[f'naive_{name}']:.4f})")
    for note in inputs.notes:
        print(f"note: {note}")


if __name__ == "__main__":
    raise SystemExit(main())
