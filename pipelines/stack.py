"""Fit stacks on stored predictions and features, and write their submissions."""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence

import numpy as np
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
from pipelines._output import note, report, show, table_width, warn, wrote
from pipelines._steps import accepted_splits


def make_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "stack",
        "Fit boosters and logistic regressions on the CNN consensus out of fold, score their blend "
        "by nested cross-validation, and write models/NAME/ and submissions/NAME.csv. What does "
        "not depend on a changed setting is reused from the last run.",
        "models/stack.yaml --set thresholds=global",
        recipes=["stack"],
    )
    parser.add_argument("recipes", nargs="*", default=["stack"], metavar="RECIPE",
                        help="recipes of stacks, fitted one after the other "
                        "(default: models/stack.yaml)")  # fmt: skip
    add_options(parser, "--accept")
    parser.add_argument("--name", metavar="NAME",
                        help="name of the stack and its submission (default: that of the recipe), "
                        "to keep a variant made with --set separately")  # fmt: skip
    parser.add_argument("--no-submission", action="store_true",
                        help="fit only; write no submission")  # fmt: skip
    parser.add_argument("--apply-leaks", action="store_true",
                        help="in the submission, give test fields with a near-duplicate among the "
                        "training fields (data/leaks.csv) its labels; the output says "
                        "so")  # fmt: skip
    parser.add_argument("--tune", type=int, metavar="N",
                        help="number of tree settings to try; same as --set tune=N")  # fmt: skip
    parser.add_argument("--explain", action="store_true",
                        help="write the contribution of each column to each label, and the reasons "
                        "for each label of the submission, to reports/")  # fmt: skip
    parser.add_argument("--drop-columns", nargs="+", default=[], metavar="COL",
                        help="columns of features (STORE__COLUMN) to exclude; same as the recipe "
                        "key drop_columns")  # fmt: skip
    parser.add_argument("--no-cache", action="store_true",
                        help="fit everything again, and keep nothing for the next run")  # fmt: skip
    add_options(parser, "--wide")
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
            "score, one to choose on, one to learn from; run: hpastack cluster "
            "--n-splits 5 --overwrite, and make out-of-fold stores again"
        )
    notes_on_folds = [text] if (text := accepted_splits(plan, workspace.folds)) else []
    vocabulary = workspace.vocabulary()
    train, test = training_fields(catalogue), test_fields(catalogue)
    before = corrected_fields(workspace.changes, catalogue)["before"]
    if args.no_submission:
        test = test.iloc[:0]
    elif test.empty:
        raise InputError("the catalogue has no test fields; to fit without, pass --no-submission")
    leaked = None
    if args.apply_leaks:
        if args.no_submission:
            raise InputError("--apply-leaks changes the submission; omit --no-submission")
        place = workspace.require(workspace.leaks, "hpastack cluster")
        leaked = read_leaks(place, catalogue)
    shifts = {
        name: read_prior_shift(settings.prior_shift, vocabulary, workspace.root)
        for name, settings in recipes.items()
    }
    figures: list[dict[str, object]] = []
    for name, settings in recipes.items():
        if len(recipes) > 1:
            show(f"\n{name}:")
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
            warn(warning)
            inputs.notes.append(warning)
        stack = _fit(settings, inputs, train, plan, vocabulary, workspace, args)
        inputs.notes.extend(notes_on_labels(stack))
        inputs.notes.extend(_notes_on_corrections(stack, train, before, vocabulary))
        labels, seconds = None, {"fit": sum(stack.fit_seconds_.values())}
        if not test.empty:
            inputs.notes.extend(notes_on_means(inputs))
            started = time.perf_counter()
            outputs = label_fields(stack, inputs, list(test.index), shifts[name])
            seconds["predict"] = time.perf_counter() - started
            inputs.notes.extend(outputs.notes)
            labels = outputs.labels
            if leaked is not None:
                labels = _apply_leaks(labels, leaked, vocabulary, inputs)
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
        written, paths = f"{folder}/ (the stack)", [folder]
        if labels is None:
            written += "; no submission, as requested"
        else:
            submission = workspace.submissions / f"{name}.csv"
            write_submission(submission, list(labels.index), labels, vocabulary)
            paths.append(submission)
            written += f" and {submission} ({counted(len(labels), 'field')})"
        of_members = {member: {"fit": taken} for member, taken in stack.fit_seconds_.items()}
        write_seconds(workspace.reports, name, {**of_members, "stack": seconds})
        scores = scores_text(stack, wide=args.wide, width=table_width())
        show(scores, wrapped=not args.wide)
        for text in inputs.notes:
            note(text)
        if args.explain:
            seen, new = inputs.table.loc[train.index], inputs.table.loc[test.index]
            for path in write_explanations(stack, seen, new, workspace.reports / name):
                wrote(f"wrote {path}", path)
        wrote(f"wrote {written}", *paths)
        figures.append(_figures(name, stack, 0 if labels is None else len(labels)))
        report(stacks=figures)


def _figures(name: str, stack: StackClassifier, n_test: int) -> dict[str, object]:
    """Return the scores of a stack, for ``--json``."""
    start = "consensus" if stack.cnns else "prior"
    scores = {key: value for key, value in stack.cv_results_.items() if np.size(value) <= 2}
    table = stack.label_table_[["positives", f"{start}_f1", "stack_f1", "stack_ap", "threshold"]]
    return {
        "name": name, "n_test": n_test, **scores,
        "labels": {label: row.to_dict() for label, row in table.iterrows()},
    }  # fmt: skip


def _read_recipes(args: argparse.Namespace, workspace: Workspace) -> dict[str, StackRecipe]:
    """Return the recipes by name; existing output of theirs is an error without --overwrite."""
    recipes: dict[str, StackRecipe] = {}
    if args.name is not None:
        check_name(args.name)
        if len(args.recipes) > 1:
            raise InputError("--name needs a single recipe; fit the others separately")
    overrides = args.overrides + ([] if args.tune is None else [f"tune={args.tune}"])
    for source in args.recipes:
        recipe = read_recipe(source, workspace, folder="models", overrides=overrides)
        if not isinstance(recipe.settings, StackRecipe):
            raise InputError(f"{recipe.path} is not a recipe of type stack")
        name = args.name or recipe.name
        if name in recipes:
            raise InputError(f"duplicate recipe {name}; outputs are named after their recipe")
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
        warnings.simplefilter("ignore", PredictionWarning)  # a note on columns covers it
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
        f"corrected labels: {on_corrected}; on the original ones: {on_original}. Corrections "
        "selected by a model favour that model, even if they are wrong"
    ]


def _apply_leaks(
    labels: pd.DataFrame, leaked: pd.DataFrame, vocabulary: Vocabulary, inputs: GatheredStores
) -> pd.DataFrame:
    """Return labels in which leaked test fields have those of their duplicates; note how many."""
    used = strongest_twins(leaked)
    replaced = replace_labels(labels, used["twin_target"], vocabulary)
    n_changed = int((replaced != labels).any(axis=1).sum())
    sources = ", ".join(f"{n} {name}" for name, n in used["twin_source"].value_counts().items())
    inputs.notes.append(
        f"--apply-leaks: {counted(len(used), 'test field')} of the submission "
        f"{'carries' if len(used) == 1 else 'carry'} the labels of a "
        f"near-duplicate training field ({sources or 'none'}); {n_changed} of them differ from "
        "what the stack predicts. The cross-validated scores do not include this."
    )
    return replaced


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
