"""Make a submission and a report from files of predictions, in one command."""

from __future__ import annotations

import argparse
import filecmp
import importlib.util
import json
import shlex
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from hpastack.catalogue import test_fields, training_fields
from hpastack.errors import InputError, counted, shorten
from hpastack.files import refuse_existing
from hpastack.recipes import Recipe, read_recipe
from hpastack.report.console import interval_text
from hpastack.stack import (
    StackRecipe,
    check_replaceable,
    check_tuning,
    load_stack,
    read_manifest,
)
from hpastack.workspace import Workspace
from pipelines import cluster, ingest, prepare
from pipelines import run as routes
from pipelines._command import command_parser, run_command
from pipelines._file_sets import FileSet, Problem, read_file_sets, set_options
from pipelines._help import CommandParser
from pipelines._options import SKIPPED
from pipelines._output import current, fail, note, report, show, warn
from pipelines._rehearsal import Rehearsal
from pipelines._steps import run_step

# Within the workspace, so that finished files are renamed and not copied.
_STAGING = ".quickstack"
_FOLDERS = ("data", "features", "models", "submissions", "reports")
# More would not help.
_MOST_SHOWN = 200


def make_parser() -> CommandParser:
    """Make the parser of the command."""
    parser = command_parser(
        "quickstack",
        "From files of predictions to a submission and a report: check all files, import them into "
        "a workspace, plan folds, fit the stack, and write the report. All problems are listed at "
        "once, before anything is written. Run it again to resume after an interruption, or with "
        "additional files.",
        "--labels train.csv --test sample_submission.csv --folds folds.csv "
        "--predictions resnet50=r50_oof.csv,r50_test.csv densenet=dn_oof.csv,dn_test.csv "
        "--workspace work",
        recipes=["stack"],
    )
    files = parser.add_argument_group("files")
    _borrow(files, prepare, "--labels", "--test", required=True)
    files.add_argument(
        "--predictions", nargs="+", required=True, metavar="FILE",
        help="predictions of each CNN: NAME=FILE,FILE with the files of the training fields (out "
        "of fold) and of the test fields in any order; or folders and files, which are paired by "
        "their names (resnet50_oof.csv, resnet50_test.npz). All formats of ingest, and stores "
        "(.h5); several tables of the same test fields are taken as those of the fold models",
    )  # fmt: skip
    files.add_argument(
        "--features", nargs="+", default=[], metavar="FILE",
        help="tables of features that use no labels, named like those of --predictions",
    )  # fmt: skip
    files.add_argument(
        "--folds", type=Path, metavar="CSV",
        help="the fold in which each training field was held out (Id,fold) (default: the column "
        "fold of an out-of-fold table)",
    )  # fmt: skip
    _borrow(files, prepare, "--groups", "--vocabulary")
    _borrow(files, cluster, "--pairs")
    how = parser.add_argument_group("how the files are read")
    how.add_argument(
        "--options", action="append", default=[], metavar="SET=OPTIONS",
        help="further options of ingest for the files of one set, or of all predictions (all), as "
        "in --options densenet='--content logits'; may be given several times",
    )  # fmt: skip
    how.add_argument(
        "--rows-in-order", action="store_true",
        help="the rows of arrays without ids (NPY, NPZ) are in the order of --labels or --test, "
        "whichever has the same number of rows",
    )  # fmt: skip
    _borrow(how, ingest, "--allow-missing")
    _borrow(how, cluster, "--group-by", "--accept-split-clusters")
    how.add_argument(
        "--accept-unknown-folds", action="store_true",
        help="use out-of-fold predictions even if their folds are unknown (otherwise an error); "
        "the scores may then be too good, and the output says so",
    )  # fmt: skip
    _borrow(how, prepare, "--on-error")
    what = parser.add_argument_group("output")
    _borrow(what, routes, "--stack")
    what.add_argument(
        "--check-only", action="store_true", help="check the files, and write nothing"
    )
    what.add_argument("--no-report", action="store_true", help="write no HTML report")
    return parser


def _borrow(group: Any, command: ModuleType, *names: str, required: bool = False) -> None:
    """Add options of another command, with the same meaning."""
    for action in command.make_parser()._actions:
        if set(names) & set(action.option_strings):
            action.required = required
            if required:
                # It has no default here.
                action.help = action.help.partition(" (default: ")[0]
            group._add_action(action)


def run(args: argparse.Namespace) -> int:
    """Run the command with parsed options."""
    started = time.perf_counter()
    workspace = Workspace(args.workspace)
    recipes = _recipes(args, workspace)
    sets, problems = _file_sets(args, workspace)
    for file_set in sets:
        show(f"{'features' if file_set.is_features else 'predictions'} {file_set}")
    n_files = sum(len(file_set.files) for file_set in sets)
    show(f"checking {counted(n_files, 'file')}")
    with _staged(workspace) as staged:
        rehearsal = Rehearsal(args, sets, staged, workspace, problems)
        rehearsal.run()
        skipped = rehearsal.skip_failed() if args.on_error == "skip" else []
        problems = [problem for problem in rehearsal.problems if problem not in skipped]
        problems += _conflicts(args, rehearsal, staged, workspace, recipes)
        if problems:
            _fail(problems + skipped, workspace)
        for problem in skipped:
            warn(f"skipped: {problem.text}")
        if args.check_only:
            n_sets = counted(len(rehearsal.sets), "set")
            show(f"{n_sets} without problems; nothing was written")
            return SKIPPED if skipped else 0
        changed = _publish(staged, workspace)
    current().written += map(str, sorted(changed))
    for step in rehearsal.steps:
        show(f"\n$ {step.line}")
        if not changed & set(step.outputs):
            show(f"up to date: {step.outputs[0]}")
            continue
        for line in step.text.splitlines():
            show(line)
    fitted = _fit(args, rehearsal, workspace, recipes)
    reports = [] if args.no_report else _report(args, workspace, recipes, fitted)
    _summarise(rehearsal, workspace, recipes, fitted, reports, time.perf_counter() - started)
    return SKIPPED if skipped else 0


def _recipes(args: argparse.Namespace, workspace: Workspace) -> list[Recipe]:
    recipes = []
    for source in args.stack or ["stack"]:
        recipe = read_recipe(source, workspace, folder="models", overrides=args.overrides)
        if not isinstance(recipe.settings, StackRecipe):
            raise InputError(f"{recipe.path} is not a recipe of type stack")
        check_tuning(recipe.settings.tune)
        recipes.append(recipe)
    return recipes


def _file_sets(
    args: argparse.Namespace, workspace: Workspace
) -> tuple[list[FileSet], list[Problem]]:
    apart = [args.labels, *args.test, args.folds, args.groups, args.vocabulary, *args.pairs]
    places = [path for path in apart if path is not None]
    missing = [Problem(f"{path}: there is no such file") for path in places if not path.is_file()]
    made = [getattr(workspace, name) for name in _FOLDERS]
    predictions, problems = read_file_sets(
        args.predictions, is_features=False, apart=places, made=made
    )
    used = [path for file_set in predictions for path in file_set.files]
    features, of_features = read_file_sets(
        args.features, is_features=True, apart=[*places, *used], made=made
    )
    problems += of_features
    names = {file_set.name.casefold() for file_set in predictions}
    for file_set in features:
        if file_set.name.casefold() in names:
            text = (
                f"{file_set.name}: the name of both predictions and features; give the features "
                "another name, as in --features NAME=FILE"
            )
            problems.append(Problem(text))
    sets = [*predictions, *features]
    return sets, [*missing, *problems, *set_options(args.options, sets)]


@contextmanager
def _staged(workspace: Workspace) -> Iterator[Workspace]:
    """Make a folder in the workspace, and remove it in the end, and the workspace if empty."""
    folder = workspace.root / _STAGING
    was_there = workspace.root.exists()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield Workspace(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if not was_there and not any(workspace.root.iterdir()):
            workspace.root.rmdir()


def _fail(problems: list[Problem], workspace: Workspace) -> None:
    for problem in problems[:_MOST_SHOWN]:
        fail(problem.text, prefix="- ")
    if len(problems) > _MOST_SHOWN:
        fail(f"and {len(problems) - _MOST_SHOWN:,} more", prefix="- ")
    report(problems=[problem.text for problem in problems])
    hint = ""
    if any(option in problem.text for problem in problems for option in _options_of_ingest()):
        hint = "; options of ingest are passed as --options NAME='--OPTION VALUE'"
    raise InputError(
        f"{counted(len(problems), 'problem')}, listed above; nothing was written to "
        f"{workspace.root}{hint}"
    )


def _options_of_ingest() -> set[str]:
    own = {option for action in make_parser()._actions for option in action.option_strings}
    actions = ingest.make_parser()._actions
    return {option for action in actions for option in action.option_strings} - own


def _staged_files(staged: Workspace) -> list[Path]:
    """Return the files to publish, the record of the folds last."""
    files = [path for path in sorted(staged.root.rglob("*")) if path.is_file()]
    return sorted(files, key=lambda path: path.suffix == ".json")


def _stale_files(staged: Workspace, workspace: Workspace) -> list[Path]:
    """Return the files of earlier steps that these steps no longer make."""
    pairs = [
        (getattr(staged, name), getattr(workspace, name)) for name in ("changes", "split_clusters")
    ]
    return [there for here, there in pairs if there.is_file() and not here.is_file()]


def _changed(staged: Workspace, workspace: Workspace) -> list[tuple[Path, Path]]:
    """Return the files to publish that are not in the workspace already, and their places."""
    changed = []
    for path in _staged_files(staged):
        place = workspace.root / path.relative_to(staged.root)
        if not place.is_file() or not filecmp.cmp(path, place, shallow=False):
            changed.append((path, place))
    return changed


def _conflicts(
    args: argparse.Namespace,
    rehearsal: Rehearsal,
    staged: Workspace,
    workspace: Workspace,
    recipes: list[Recipe],
) -> list[Problem]:
    """Name what is in the workspace already and would be replaced."""
    if args.overwrite:
        return []
    changed = [place for _, place in _changed(staged, workspace)]
    replaced = [place for place in changed if place.is_file() and place.suffix != ".png"]
    replaced += _stale_files(staged, workspace)
    conflicts = []
    if replaced:
        conflicts.append(
            f"{shorten(replaced, 20)}: made from other files or options; pass --overwrite "
            "to replace what changed, or another --workspace"
        )
    for recipe in recipes:
        folder = workspace.models / recipe.name
        if not changed and _is_fitted(rehearsal, workspace, recipe):
            continue
        try:
            check_replaceable(folder, overwrite=False)
            refuse_existing(workspace.submissions / f"{recipe.name}.csv", overwrite=False)
        except InputError as error:
            message = str(error).replace("pass overwrite=True", "pass --overwrite to replace it")
            conflicts.append(f"{message}, or another --workspace")
    return [Problem(text) for text in conflicts]


def _publish(staged: Workspace, workspace: Workspace) -> set[Path]:
    """Move what is new into the workspace; return the places."""
    for path in _stale_files(staged, workspace):
        path.unlink()
    record = workspace.folds.with_suffix(".json")
    if any(place == workspace.folds for _, place in _changed(staged, workspace)):
        record.unlink(missing_ok=True)  # never beside other folds
    changed = _changed(staged, workspace)
    for path, place in changed:
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
    return {place for _, place in changed}


def _chosen(rehearsal: Rehearsal, workspace: Workspace, recipe: Recipe) -> list[str]:
    """Return the settings that let a stack ignore other stores of the workspace."""
    own = {file_set.name for file_set in rehearsal.sets}
    others = [path for path in workspace.stores() if path.stem not in own]
    if not others:
        return []
    assert isinstance(recipe.settings, StackRecipe)
    chosen = []
    for key, is_features in (("cnns", False), ("features", True)):
        names = sorted(s.name for s in rehearsal.sets if s.is_features == is_features)
        if getattr(recipe.settings, key) == "auto":
            chosen.append(f"{key}={json.dumps(names)}")
    return chosen


def _is_fitted(rehearsal: Rehearsal, workspace: Workspace, recipe: Recipe) -> bool:
    """Return whether the stack and its submission are there and made from what is there now."""
    folder = workspace.models / recipe.name
    manifest, submission = folder / "stack.json", workspace.submissions / f"{recipe.name}.csv"
    if not (manifest.is_file() and submission.is_file()):
        return False
    try:
        record = read_manifest(folder)["record"]
    except InputError:
        return False
    names = {file_set.name for file_set in rehearsal.sets}
    made_from = [workspace.catalogue, workspace.folds, *(workspace.store(name) for name in names)]
    if not all(path.is_file() for path in made_from):
        return False
    fitted = manifest.stat().st_mtime
    if max(path.stat().st_mtime for path in made_from) > fitted:
        return False
    settings = read_recipe(
        str(recipe.path), workspace, folder="models",
        overrides=[*rehearsal.args.overrides, *_chosen(rehearsal, workspace, recipe)],
    ).settings  # fmt: skip
    assert isinstance(settings, StackRecipe)
    accepted = [*settings.accept_fold_plans, *rehearsal.unknown_folds]
    wanted = {"type": "stack", **settings.record(), "accept_fold_plans": accepted}
    kept = {key: value for key, value in record["recipe"].items() if key in wanted}
    stores = {name: store for name, store in rehearsal.stores.items() if name in record["stores"]}
    return (
        kept == json.loads(json.dumps(wanted))
        and record["stores"] == json.loads(json.dumps(stores))
        and submission.stat().st_mtime >= fitted
    )


def _shared(args: argparse.Namespace, workspace: Workspace) -> list[object]:
    shared: list[object] = ["--workspace", workspace.root]
    return [*shared, "--jobs", args.jobs] if args.jobs else shared


def _fit(
    args: argparse.Namespace, rehearsal: Rehearsal, workspace: Workspace, recipes: list[Recipe]
) -> list[str]:
    """Fit the stacks that are not up to date, and return their names."""
    fitted = []
    for source, recipe in zip(args.stack or ["stack"], recipes):
        if _is_fitted(rehearsal, workspace, recipe):
            show(f"\nup to date: {workspace.models / recipe.name}/")
            continue
        overrides = [*args.overrides, *_chosen(rehearsal, workspace, recipe)]
        words: list[object] = [source, *(f"--set={override}" for override in overrides)]
        words += [f"--accept={name}" for name in rehearsal.unknown_folds]
        words += ["--overwrite"] if args.overwrite else []
        run_step("stack", *words, *_shared(args, workspace))
        fitted.append(recipe.name)
    return fitted


def _report(
    args: argparse.Namespace, workspace: Workspace, recipes: list[Recipe], fitted: list[str]
) -> list[Path]:
    """Write the reports that are not up to date, and return all there are."""
    if importlib.util.find_spec("jinja2") is None:
        show("no report: it needs the extra report; run: pip install 'hpastack[report]'")
        return []
    reports = []
    for recipe in recipes:
        path = workspace.reports / f"{recipe.name}.html"
        folder = workspace.models / recipe.name
        is_older = path.is_file() and (
            path.stat().st_mtime < (folder / "stack.json").stat().st_mtime
        )
        if is_older or recipe.name in fitted or not path.is_file():
            replace = ["--overwrite"] if path.is_file() else []
            run_step("report", folder, *replace, *_shared(args, workspace))
        else:
            show(f"up to date: {path}")
        reports.append(path)
    return reports


def _summarise(
    rehearsal: Rehearsal,
    workspace: Workspace,
    recipes: list[Recipe],
    fitted: list[str],
    reports: list[Path],
    seconds: float,
) -> None:
    """Summarise what was made, where it is, what it scores and what could come next."""
    catalogue = workspace.read_catalogue()
    n_test = len(test_fields(catalogue))
    show(
        f"\n{counted(len(training_fields(catalogue)), 'training field')} and "
        f"{counted(n_test, 'test field')} in {workspace.root}, {seconds / 60:.1f} minutes"
    )
    for recipe in recipes:
        stack = load_stack(workspace.models / recipe.name)
        start = "consensus" if stack.cnns else "prior"
        scores = stack.cv_results_
        show(f"\n{recipe.name}, out of fold, with 95 % intervals:")
        for name, title in (("macro_f1", "macro F1"), ("macro_ap", "macro AP")):
            gain = scores[f"gain_{name}"]
            show(
                f"  {title}  {scores[name]:.4f}{interval_text(scores, name)}; {start} "
                f"{scores[name] - gain:.4f}, difference {gain:+.4f}"
                f"{interval_text(scores, f'gain_{name}')}"
            )
        notes = read_manifest(workspace.models / recipe.name)["record"].get("notes", [])
        for text in [] if recipe.name in fitted else notes:  # those of a new one are shown above
            show(f"  note: {text}")
        submission = workspace.submissions / f"{recipe.name}.csv"
        show(f"  submission  {submission} ({counted(n_test, 'field')})")
        show(f"  stack       {workspace.models / recipe.name}/")
    for path in reports:
        show(f"  report      {path}")
    for text in rehearsal.notes:
        note(text)
    show("\nnext:")
    root = shlex.quote(str(workspace.root))
    if reports:
        show(f"  look at {reports[0]}: each label with its curves, and how far to trust the score")
    name = recipes[0].name
    show(
        "  try other settings: hpastack stack "
        f"{shlex.quote(name)} --set thresholds=global --name other --workspace {root}\n"
        "  add a CNN: this command again, with one more NAME=FILE,FILE and --overwrite; what did "
        "not change is reused"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
