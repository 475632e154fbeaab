"""Fit stacks on stored predictions and features, and write their submissions."""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Sequence

import pandas as pd

from hpastack.catalogue import catalogue_digest, corrected_fields, test_fields, training_fields
from hpastack.clusters import read_leaks, strongest_twins
from hpastack.errors import InputError, counted
from hpastack.files import refuse_existing
from hpastack.folds import FoldPlan
from hpastack.labels import Vocabulary, replace_labels, write_submission
from hpastack.recipes import read_recipe
from hpastack.report.console import scores_text
from hpastack.report.seconds import write_seconds
from hpastack.stack import (
    GatheredStores,
    PredictionWarning,
    StackClassifier,
    StackRecipe,
    check_replaceable,
    check_tuning,
    choose_stores,
    gather_stores,
    label_fields,
    merge_notes,
    notes_on_columns,
    notes_on_labels,
    notes_on_means,
    original_label_scores,
    read_prior_shift,
    without_columns,
    write_explanations,
)
from hpastack.workspace import Workspace
from pipelines._command import check_name, command_parser, run_command
from pipelines._help import CommandParser
from pipelines._options import LEAST_FOLDS, add_options
from pipelines._steps import accepted_splits


def make_parser() -> CommandParser:
    """Make the parser of the command."""
    parser = command_parser(
        "stack",
        "Fit boosters and logistic regressions on the CNN consensus out of fold, score their blend "
        "nested, and write models/NAME/ and submissions/NAME.csv. What does not depend on a "
        "changed setting is taken over from the last time.",
        "models/stack.yaml --set thresholds=global",
        recipes=["stack"],
    )
    parser.add_argument("recipes", nargs="*", default=["stack"], metavar="RECIPE",
                        help="recipes of stacks, one after the other "
                        "(default: models/stack.yaml)")  # fmt: skip
    add_options(parser, "--accept")
    parser.add_argument("--name", metavar="NAME",
                        help="of the stack and its submission (default: that of the recipe), so "
                        "that one recipe with another --set makes another")  # fmt: skip
    parser.add_argument("--no-submission", action="store_true",
                        help="fit without test fields")  # fmt: skip
    parser.add_argument("--apply-leaks", action="store_true",
                        help="give test fields of the submission that have a twin among the "
                        "training fields (data/leaks.csv) its labels; noted")  # fmt: skip
    parser.add_argument("--tune", type=int, metavar="N",
                        help="settings of the trees to try; as --set tune=N")  # fmt: skip
    parser.add_argument("--explain", action="store_true",
                        help="write what each column adds to each label, and the reasons for each "
                        "label of the submission, to reports/")  # fmt: skip
    parser.add_argument("--drop-columns", nargs="+", default=[], metavar="COL",
                        help="columns of features (STORE__COLUMN) that the stack does not see; as "
                        "the recipe key drop_columns")  # fmt: skip
    parser.add_argument("--no-cache", action="store_true",
                        help="fit everything anew, and keep nothing for the next time")  # fmt: skip
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the command with parsed options."""
    workspace = Workspace(args.workspace)
    recipes = _read_recipes(args, workspace)
    catalogue = workspace.read_catalogue()
    plan = workspace.read_folds(catalogue)
    if plan.n_folds < LEAST_FOLDS:
        raise InputError(
            f"{workspace.folds}: {plan.n_folds} folds; a stack needs at least three folds: one to "
            "score, one to choose on, one to learn from; run: python -m pipelines.cluster "
            "--n-splits 5 --overwrite, and make out-of-fold stores again"
        )
    notes_on_folds = [note] if (note := accepted_splits(plan, workspace.folds)) else []
    vocabulary = workspace.vocabulary()
    train, test = training_fields(catalogue), test_fields(catalogue)
    before = corrected_fields(workspace.changes, catalogue)["before"]
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
    shifts = {
        name: read_prior_shift(settings.prior_shift, vocabulary, workspace.root)
        for name, settings in recipes.items()
    }
    for name, settings in recipes.items():
        if len(recipes) > 1:
            print(f"\n{name}:")
        accepted = [*settings.accept_fold_plans, *args.accept]
        dropped = [*settings.drop_columns, *args.drop_columns]
        inputs = gather_stores(
            choose_stores(workspace.features, cnns=settings.cnns, features=settings.features),
            [*train.index, *test.index],
            vocabulary,
            made_from=catalogue_digest(catalogue),
            plan=plan,
            accept=accepted,
        )
        inputs.notes.extend(notes_on_folds)
        inputs = without_columns(inputs, dropped)
        targets = vocabulary.indicator(train["target"])
        for warning in notes_on_columns(inputs, list(train.index), list(test.index), targets):
            print(f"warning: {warning}", file=sys.stderr)
            inputs.notes.append(warning)
        stack = _fit(settings, inputs, train, plan, vocabulary, workspace, args)
        inputs.notes.extend(notes_on_labels(stack))
        inputs.notes.extend(_notes_on_corrections(stack, train, before, vocabulary))
        labels, seconds = None, {"fit": sum(stack.fit_seconds_.values())}
        if not test.empty:
            inputs.notes.extend(notes_on_means(inputs))
            started = time.perf_counter()
            said = label_fields(stack, inputs, list(test.index), shifts[name])
            seconds["predict"] = time.perf_counter() - started
            inputs.notes.extend(said.notes)
            labels = said.labels
            if twins is not None:
                labels = _apply_leaks(labels, twins, vocabulary, inputs)
        inputs.notes[:] = merge_notes(inputs.notes, inputs.stores)
        record = {
            "recipe": {
                "type": "stack",
                **settings.record(),
                "accept_fold_plans": accepted,
                **({"drop_columns": dropped} if dropped else {}),
            },
            "stores": inputs.stores,
            "notes": inputs.notes,
            "vocabulary": list(vocabulary),
        }
        folder = workspace.models / name
        stack.save(folder, record=record, overwrite=args.overwrite)
        written = f"{folder}/ (the stack)"
        if labels is None:
            written += "; no submission, as requested"
        else:
            submission = workspace.submissions / f"{name}.csv"
            write_submission(submission, list(labels.index), labels, vocabulary)
            written += f" and {submission} ({counted(len(labels), 'field')})"
        of_members = {member: {"fit": taken} for member, taken in stack.fit_seconds_.items()}
        write_seconds(workspace.reports, name, {**of_members, "stack": seconds})
        print(scores_text(stack))
        for note in inputs.notes:
            print(f"note: {note}")
        if args.explain:
            seen, new = inputs.table.loc[train.index], inputs.table.loc[test.index]
            for path in write_explanations(stack, seen, new, workspace.reports / name):
                print(f"wrote {path}")
        print(f"wrote {written}")


def _read_recipes(args: argparse.Namespace, workspace: Workspace) -> dict[str, StackRecipe]:
    """Read the recipes by name, and refuse to lose what they made before."""
    recipes: dict[str, StackRecipe] = {}
    if args.name is not None:
        check_name(args.name)
        if len(args.recipes) > 1:
            raise InputError("--name is of one recipe; fit the others by themselves")
    overrides = args.overrides + ([] if args.tune is None else [f"tune={args.tune}"])
    for source in args.recipes:
        recipe = read_recipe(source, workspace, folder="models", overrides=overrides)
        if not isinstance(recipe.settings, StackRecipe):
            raise InputError(f"{recipe.path} is not a recipe of type stack")
        name = args.name or recipe.name
        if name in recipes:
            raise InputError(f"two recipes are called {name}; outputs are named after them")
        check_replaceable(workspace.models / name, args.overwrite)
        submission = workspace.submissions / f"{name}.csv"
        if not args.no_submission:
            refuse_existing(submission, args.overwrite)
        check_tuning(recipe.settings.tune)
        recipes[name] = recipe.settings
    return recipes


def _fit(
    settings: StackRecipe,
    inputs: GatheredStores,
    train: pd.DataFrame,
    plan: FoldPlan,
    vocabulary: Vocabulary,
    workspace: Workspace,
    args: argparse.Namespace,
) -> StackClassifier:
    y = pd.DataFrame(vocabulary.indicator(train["target"]), train.index, list(vocabulary))
    stack = StackClassifier(
        cnns=inputs.cnns,
        logits=inputs.logits,
        scores=inputs.scores,
        embeddings=inputs.embeddings,
        random_state=settings.seed,
        n_splits=plan.n_folds,
        n_jobs=args.jobs or -1,
        cache=None if args.no_cache else workspace.models / ".cache",
        verbose=True,
        **settings.parameters(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PredictionWarning)  # a note on columns says it
        return stack.fit(
            inputs.table.loc[train.index], y, groups=plan.groups, folds=plan.frame["fold"]
        )


def _notes_on_corrections(
    stack: StackClassifier, train: pd.DataFrame, before: pd.Series, vocabulary: Vocabulary
) -> list[str]:
    """Return the scores on corrected and on original labels, where labels were corrected."""
    if before.empty:
        return []
    targets = train["target"].copy()
    targets[before.index] = before
    original, corrected = (
        pd.DataFrame(vocabulary.indicator(t, allow_empty=True), train.index, list(vocabulary))
        for t in (targets, train["target"])
    )
    on_corrected, on_original = (
        f"macro F1 {row.macro_f1:.4f}, macro AP {row.macro_ap:.4f}, Brier {row.brier:.4f}"
        for row in original_label_scores(stack, corrected, original).itertuples()
    )
    return [
        f"labels of {counted(len(before), 'training field')} were corrected. Out of fold on the "
        f"corrected labels: {on_corrected}; on the original ones: {on_original}. Corrections that "
        "a model chose flatter it, also where they are wrong"
    ]


def _apply_leaks(
    labels: pd.DataFrame, twins: pd.DataFrame, vocabulary: Vocabulary, inputs: GatheredStores
) -> pd.DataFrame:
    """Give leaked test fields the labels of their twins, and note how many."""
    used = strongest_twins(twins)
    replaced = replace_labels(labels, used["twin_target"], vocabulary)
    n_changed = int((replaced != labels).any(axis=1).sum())
    sources = ", ".join(f"{n} {name}" for name, n in used["twin_source"].value_counts().items())
    inputs.notes.append(
        f"--apply-leaks: {counted(len(used), 'test field')} of the submission "
        f"{'carries' if len(used) == 1 else 'carry'} the labels of a "
        f"training twin ({sources or 'none'}); {n_changed} of them differ from what the stack "
        "predicts. The cross-validated scores know nothing of this."
    )
    return replaced


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
