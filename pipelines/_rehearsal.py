"""The commands up to the stack, run in a folder of their own, with every problem collected."""

from __future__ import annotations

import importlib
import io
import os
import shlex
import shutil
from argparse import Namespace
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpastack.catalogue import COLUMNS, catalogue_digest, test_fields, training_fields
from hpastack.catalogue.table import OPTIONAL_COLUMNS
from hpastack.errors import InputError, counted, shorten
from hpastack.files import has_column, named_column, read_id_table, read_text_table
from hpastack.folds import read_fold_table
from hpastack.labels import Vocabulary
from hpastack.stack import gather_stores
from hpastack.store import equal_targets, is_binary, open_store, prediction_matrix, read_table
from hpastack.workspace import Workspace
from pipelines import ingest
from pipelines._file_sets import FileSet, Problem
from pipelines._help import options_of
from pipelines._options import LEAST_FOLDS
from pipelines.cluster import DEFAULT_GROUPS

_FOLD = ("fold",)
_MATRICES = (".npy", ".npz")


@dataclass(frozen=True)
class Step:
    """A command that was run in the staging folder.

    Parameters
    ----------
    line : str
        Its command line in the workspace.
    text : str
        What it printed.
    outputs : tuple of Path
        The files that it makes in the workspace, those that depend on nothing else.
    """

    line: str
    text: str
    outputs: tuple[Path, ...]


@dataclass
class _Table:
    """What a file holds, as far as it could be read."""

    path: Path
    ids: pd.Index
    fold: pd.Series | None = None
    fold_column: str = ""
    are_logits_like: bool = False
    are_probability_like: bool = False


@dataclass
class Rehearsal:
    """Make the catalogue, clusters, folds and stores in a folder beside the workspace.

    Parameters
    ----------
    args : Namespace
        Options of ``quickstack``.
    sets : list of FileSet
    staged : Workspace
        Where everything is written.
    workspace : Workspace
        What messages name instead; its recipes and vocabulary are used.
    problems : list of Problem
        Those of the options; what is wrong with the files is added.
    """

    args: Namespace
    sets: list[FileSet]
    staged: Workspace
    workspace: Workspace
    problems: list[Problem]
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: Sets of predictions whose folds are unknown.
    unknown_folds: list[str] = field(default_factory=list)
    #: What the stack will keep of each store.
    stores: dict[str, dict[str, Any]] = field(default_factory=dict)
    _catalogue: pd.DataFrame | None = None
    #: The set whose column fold gives the folds.
    _fold_source: str = ""
    _tables: dict[str, list[_Table]] = field(default_factory=dict)
    #: How many ids the tables of labels and of test fields have.
    _n_ids: dict[Path, int] = field(default_factory=dict)

    def run(self) -> None:
        """Run the commands as far as the files allow; `problems` has what is wrong."""
        if self.args.vocabulary is not None and not self.args.vocabulary.is_file():
            return  # columns cannot be told without the names
        self._prepare()
        self._catalogue = self.staged.read_catalogue() if self.staged.catalogue.is_file() else None
        unusable = {problem.of_set for problem in self.problems}
        for file_set in self.sets:
            self._tables[file_set.name] = []
            if file_set.name in unusable:
                continue
            n_problems = len(self.problems)
            self._tables[file_set.name] = self._read(file_set)
            if self._catalogue is not None:
                self._check_ids(file_set, self._catalogue)
            self._check_mix(file_set, n_problems)
        folds = self._folds_file()
        can_fold = folds is not None or self.args.folds is None
        has_folds = self._catalogue is not None and can_fold and self._cluster(folds)
        failed = {problem.of_set for problem in self.problems}
        for file_set in self.sets:
            if file_set.name not in failed:
                self._bring_in(file_set, folds if has_folds else None)
        if self._catalogue is not None:
            self._check_copies()
            self._check_targets(self._catalogue)
            if has_folds:
                self._check_stores(self._catalogue)

    def skip_failed(self) -> list[Problem]:
        """Skip the sets with problems of their own, and return these problems.

        Where no other predictions are left, or a failed set has the folds of all, no set is
        skipped.
        """
        failed = {problem.of_set for problem in self.problems} - {""}
        kept = [file_set for file_set in self.sets if file_set.name not in failed]
        if self._fold_source in failed or all(file_set.is_features for file_set in kept):
            return []
        for name in failed:
            self.staged.store(name).unlink(missing_ok=True)
            self.stores.pop(name, None)
        self.sets = kept
        self.unknown_folds = [name for name in self.unknown_folds if name not in failed]
        self.steps = [
            step for step in self.steps
            if not {self.workspace.store(name) for name in failed} & set(step.outputs)
        ]  # fmt: skip
        return [problem for problem in self.problems if problem.of_set]

    def _add_error(
        self, error: InputError | OSError, path: Path, of_set: str, remedy: str = ""
    ) -> None:
        """Add an error of the library, with the options of ``ingest`` for its parameters."""
        parameters = error.parameters if isinstance(error, InputError) else ()
        named = ", ".join(options_of(parameters, ingest.make_parser()))
        text = f"{of_set}: {_message(error, path)}{f' ({named})' if named else ''}{remedy}"
        self._add(text, of_set, parameters)

    def _add(self, text: str, of_set: str = "", parameters: tuple[str, ...] = ()) -> None:
        text = " ".join(text.replace(str(self.staged.root), str(self.workspace.root)).split())
        problem = Problem(text, of_set, parameters)
        if problem not in self.problems:
            self.problems.append(problem)

    def _step(
        self, command: str, words: Sequence[object], *outputs: Path, of_set: str = ""
    ) -> bool:
        """Run a command in the staging folder; return whether it succeeded."""
        texts = [str(word) for word in words]
        texts += ["--jobs", str(self.args.jobs)] if self.args.jobs else []
        module = importlib.import_module(f"pipelines.{command}")
        out, errors = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(errors):
            try:
                status = module.main([*texts, "--workspace", str(self.staged.root)])
            except SystemExit as ended:  # an error in --options
                status = int(ended.code or 0)
        if status == 130:
            raise KeyboardInterrupt
        said = errors.getvalue().splitlines()
        if status:
            message = said[-1].partition(": error: ")[2] or said[-1]
            message = message.partition(" (options: ")[0]
            self._add(f"{of_set}: {message}" if of_set else message, of_set)
            return False
        text = "\n".join([*said, *out.getvalue().splitlines()])
        line = shlex.join([*texts, "--workspace", str(self.workspace.root)])
        self.steps.append(
            Step(
                f"hpastack {command} {line}",
                text.replace(str(self.staged.root), str(self.workspace.root)),
                outputs,
            )
        )
        return True

    def _prepare(self) -> None:
        args = self.args
        words: list[object] = ["--labels", args.labels]
        for path in args.test:
            words += ["--test", path]
        if args.groups is not None and args.groups.is_file():
            words += ["--groups", args.groups]
        if args.vocabulary is not None:
            words += ["--vocabulary", args.vocabulary]
        elif self.workspace.vocabulary_file.is_file():
            self.staged.data.mkdir(parents=True)
            shutil.copyfile(self.workspace.vocabulary_file, self.staged.vocabulary_file)
        needed = [args.labels, *args.test, *([args.vocabulary] if args.vocabulary else [])]
        if not all(path.is_file() for path in needed):
            return  # which is a problem already
        outputs = (self.workspace.catalogue, self.workspace.vocabulary_file)
        if not self._step("prepare", words, *outputs) and args.vocabulary is not None:
            # The other files can be checked all the same, if the names can be read.
            try:
                names = Vocabulary.read(args.vocabulary).names
            except (InputError, OSError):
                return
            self.staged.data.mkdir(parents=True, exist_ok=True)
            self.staged.vocabulary_file.write_text("\n".join(names), encoding="utf-8")

    def _read(self, file_set: FileSet) -> list[_Table]:
        """Read the files of a set, naming what is wrong with each."""
        name = file_set.name
        if file_set.is_store:
            try:
                with open_store(file_set.files[0]) as store:
                    return [_Table(file_set.files[0], pd.Index(store.image_ids))]
            except (InputError, OSError) as error:
                self._add(f"{name}: {file_set.files[0]}: {error}", name)
                return []
        if self.args.rows_in_order and "--ids" not in file_set.options:
            self._name_rows(file_set)
        words = [*map(str, file_set.files), *self._ingest_words(file_set), *file_set.options]
        errors = io.StringIO()
        with redirect_stderr(errors):
            try:
                options = ingest.make_parser().parse_args(words)
            except SystemExit:
                message = errors.getvalue().partition(": error: ")[2].partition(" (options: ")[0]
                self._add(f"{name}: --options: {message}", name)
                return []
        tables, ids = [], list(options.ids)
        for path in file_set.files:
            own_ids = ids.pop(0) if path.suffix in _MATRICES and ids else None
            table = self._read_table(file_set, path, options, own_ids)
            if table is not None:
                tables.append(table)
        return tables

    def _read_table(
        self, file_set: FileSet, path: Path, options: Namespace, ids: str | None
    ) -> _Table | None:
        name = file_set.name
        try:
            table = read_table(path, ids=ids, key=options.key)
        except (InputError, OSError) as error:
            remedy = ""
            if path.suffix in _MATRICES and _lacks_ids(error):
                remedy = (
                    "; or, if its rows are in the order of --labels or --test, pass --rows-in-order"
                )
            self._add_error(error, path, name, remedy)
            try:  # duplicate ids may be unknown ones as well
                raw = read_text_table(path)
                id_column = named_column(raw, ("id", "image_id"), path)
                return _Table(path, pd.Index(raw[id_column]).unique())
            except (InputError, OSError):
                return None
        facts = _Table(path, table.index)
        if not file_set.is_features and has_column(table, _FOLD):
            try:
                facts.fold_column = str(named_column(table, _FOLD, path))
            except InputError as error:
                self._add(f"{name}: {error}", name)
                return facts
            facts.fold = table[facts.fold_column].astype(str)
            table = table.drop(columns=facts.fold_column)
        if table.shape[1] == 0:
            remedy = "; if these are the folds, pass them with --folds" if facts.fold_column else ""
            self._add(f"{name}: {path} has no column of predictions{remedy}", name)
            return facts
        dropped = [str(column) in options.drop for column in table.columns]
        table = table.loc[:, [not is_dropped for is_dropped in dropped]]
        try:
            values = ingest.as_columns(table, path, options, self.staged)[0].to_numpy()
        except InputError as error:
            self._add_error(error, path, name)
            if file_set.is_features:
                return facts
            try:
                values, _ = prediction_matrix(table, self.staged.vocabulary(), path)
            except InputError:
                return facts
        if not file_set.is_features and options.content in ("probabilities", "logits"):
            facts.are_logits_like = bool((values < 0).any())
            is_within = bool(((values >= 0) & (values <= 1)).all())
            facts.are_probability_like = is_within and not is_binary(values)
        return facts

    def _ingest_words(self, file_set: FileSet) -> list[str]:
        words = ["--name", file_set.name]
        if not file_set.is_features:
            return [*words, "--kind", "out_of_fold"]
        words += ["--kind", "target_free", "--content", "features"]
        return [*words, "--allow-missing"] if self.args.allow_missing else words

    def _name_rows(self, file_set: FileSet) -> None:
        """Add the tables whose ids the rows of matrices without ids have."""
        bare = []
        for path in file_set.files:
            if path.suffix in _MATRICES and not path.with_suffix(".ids.txt").is_file():
                try:
                    read_table(path)
                except (InputError, OSError) as error:
                    if _lacks_ids(error):
                        bare.append(path)
        words: list[str] = []
        for source in (self.args.labels, *self.args.test):
            if bare and source not in self._n_ids:
                try:
                    self._n_ids[source] = len(read_id_table(source))
                except (InputError, OSError):
                    return  # which is a problem of the labels
        for path in bare:
            n_rows = _n_rows(path)
            fitting = [source for source, n_ids in self._n_ids.items() if n_ids == n_rows]
            if len(fitting) != 1:
                listed = ", ".join(f"{source} {n_ids:,}" for source, n_ids in self._n_ids.items())
                self._add(
                    f"{file_set.name}: {path} has {n_rows:,} rows, and the tables of ids have: "
                    f"{listed}; name the one that lists its rows with --options "
                    f"{file_set.name}='--ids FILE'",
                    file_set.name,
                )
                return
            words += ["--ids", str(fitting[0])]
        # `ingest` takes the ids for the first matrices.
        others = [path for path in file_set.files if path not in bare]
        if bare:
            file_set.files[:] = [*bare, *others]
        file_set.options += words

    def _check_ids(self, file_set: FileSet, catalogue: pd.DataFrame) -> None:
        name, tables = file_set.name, self._tables[file_set.name]
        train, test = training_fields(catalogue).index, test_fields(catalogue).index
        tests = shorten(self.args.test)
        for table in tables:
            unknown = table.ids[~table.ids.isin(catalogue.index)]
            if len(unknown):
                self._add(
                    f"{name}: {table.path}: {counted(len(unknown), 'id is', 'ids are')} neither in "
                    f"{self.args.labels} nor in {tests}: {shorten(unknown)}; remove these rows, or "
                    "name the tables that have them",
                    name,
                )
        if len(tables) < len(file_set.files):
            return  # what could not be read is not missing
        everything = pd.Index(np.concatenate([table.ids for table in tables]))
        files = shorten(file_set.files, 3)
        for fields, what, source in (
            (train, "training", str(self.args.labels)),
            (test, "test", tests),
        ):
            missing = fields[~fields.isin(everything)]
            if not len(missing) or (file_set.is_features and self.args.allow_missing):
                continue
            if len(missing) == len(fields):
                remedy = f"add the table of the {what} fields: NAME=FILE,FILE"
                text = f"no {what} field of {source} is in {files}"
            else:
                remedy = f"add their rows, or remove these fields from {source}"
                text = (
                    f"{files}: {len(missing):,} of {counted(len(fields), f'{what} field')} of "
                    f"{source} missing: {shorten(missing)}"
                )
            if file_set.is_features:
                remedy += "; or pass --allow-missing, which sets these to NaN"
            self._add(f"{name}: {text}; {remedy}", name)
        if not self._members(file_set, test):
            self._check_overlaps(file_set)

    def _members(self, file_set: FileSet, test: pd.Index) -> list[Path]:
        """Return the tables of the same test fields, one for each model of the folds."""
        tables = [table for table in self._tables[file_set.name] if table.ids.isin(test).all()]
        if file_set.is_features or len(tables) < 2:
            return []
        first = set(tables[0].ids)
        same = all(set(table.ids) == first for table in tables)
        return [table.path for table in tables] if same else []

    def _check_overlaps(self, file_set: FileSet) -> None:
        tables = self._tables[file_set.name]
        for position, table in enumerate(tables):
            for other in tables[:position]:
                shared = table.ids.intersection(other.ids)
                if len(shared):
                    self._add(
                        f"{file_set.name}: {other.path} and {table.path} share "
                        f"{counted(len(shared), 'id')}: {shorten(shared)}; each field has one row "
                        "in the files of a set, so omit one file or remove rows",
                        file_set.name,
                    )

    def _check_mix(self, file_set: FileSet, n_problems: int) -> None:
        """Replace what each file says of its values where only some of them are logits."""
        tables = self._tables[file_set.name]
        logits = [table.path for table in tables if table.are_logits_like]
        probabilities = [table.path for table in tables if table.are_probability_like]
        if not (logits and probabilities):
            return
        self.problems[n_problems:] = [
            problem
            for problem in self.problems[n_problems:]
            if problem.parameters[:1] != ("content",)
        ]
        self._add(
            f"{file_set.name}: {shorten(logits, 3)} has values below 0, as logits have, and "
            f"{shorten(probabilities, 3)} only values from 0 to 1, as probabilities have; pass the "
            "same for training and test fields",
            file_set.name,
        )

    def _folds_file(self) -> Path | None:
        """Return the table of the folds, and check that all that is known of them agrees."""
        predictions = [s for s in self.sets if not s.is_features]
        train = None if self._catalogue is None else training_fields(self._catalogue).index
        with_column = {
            file_set.name: table
            for file_set in predictions
            for table in self._tables[file_set.name]
            if table.fold is not None and (train is None or table.ids.isin(train).any())
        }
        folds, known = self.args.folds, set(with_column)
        if folds is not None and not folds.is_file():
            return None
        if folds is not None:
            known = {file_set.name for file_set in predictions}
            try:
                reference = read_fold_table(folds, train) if train is not None else None
            except (InputError, OSError) as error:
                self._add(_message(error, folds))
                reference = None
        elif with_column:
            self._fold_source, table = next(iter(with_column.items()))
            folds, reference = table.path, table.fold
        else:
            reference = None
        if reference is not None:
            wanted = pd.to_numeric(reference, errors="coerce")
            for name, table in with_column.items():
                own = pd.to_numeric(pd.Series(table.fold), errors="coerce").reindex(wanted.index)
                other = wanted.index[(own.notna() & (own != wanted)).to_numpy()]
                if len(other):
                    self._add(
                        f"{name}: the column {table.fold_column!r} of {table.path} has other folds "
                        f"than {folds} for {counted(len(other), 'field')}: {shorten(other)}; a "
                        "stack needs predictions of the same folds, or "
                        f"--options {name}='--drop {table.fold_column}' if {folds} is right",
                        name,
                    )
        self.unknown_folds = [
            s.name for s in predictions if s.name not in known and not _has_folds(s)
        ]
        if self.unknown_folds and not self.args.accept_unknown_folds:
            self._add(
                f"{shorten(self.unknown_folds, 20)}: the folds of these predictions are unknown: "
                "no --folds, and no column fold in their tables. So it cannot be checked that "
                "each field was predicted by a model trained without its duplicates, and the "
                "score of the stack may be too good. Pass the folds with --folds CSV (Id,fold), or "
                "use --accept-unknown-folds; then the output and the report say so",
                self.unknown_folds[0] if len(self.unknown_folds) == 1 else "",
            )
        for file_set in predictions:
            n_members = len(self._members_of(file_set))
            if n_members and file_set.name in self.unknown_folds:
                self._add(
                    f"{file_set.name}: {n_members} tables have the same test fields. Tables of the "
                    "fold models need --folds CSV; otherwise pass their mean",
                    file_set.name,
                )
        return folds

    def _members_of(self, file_set: FileSet) -> list[Path]:
        if self._catalogue is None:
            return []
        return self._members(file_set, test_fields(self._catalogue).index)

    def _cluster(self, folds: Path | None) -> bool:
        args, words = self.args, list[object]()
        recipe = self.workspace.models / "duplicates.yaml"
        words += [recipe] if recipe.is_file() else []
        words += ["--no-images"]
        words += ["--folds", folds] if folds is not None else []
        words += ["--accept-split-clusters"] if args.accept_split_clusters else []
        words += ["--group-by", *args.group_by] if args.group_by is not None else []
        for path in filter(Path.is_file, args.pairs):
            words += ["--pairs", path]
        assert self._catalogue is not None
        known = (*COLUMNS, *OPTIONAL_COLUMNS)
        groups = [column for column in self._catalogue.columns if column not in known]
        used = DEFAULT_GROUPS if args.group_by is None else args.group_by
        unused = [column for column in groups if column not in used]
        if args.groups is not None and args.group_by is None and len(unused) == len(groups):
            self._add(
                f"{args.groups}: no column is named {' or '.join(DEFAULT_GROUPS)}, so nothing "
                f"would keep its fields together; choose from {shorten(groups, 20)} with "
                "--group-by COLUMN"
            )
        elif unused:
            self.notes.append(
                f"columns that keep no fields together: {shorten(unused, 20)} (--group-by COLUMN)"
            )
        outputs = (self.workspace.clusters, self.workspace.pairs, self.workspace.folds)
        if not self._step("cluster", words, *outputs):
            self._explain_split_clusters()
            return False
        plan = self.staged.read_folds()
        if plan.n_folds < LEAST_FOLDS:
            self._add(
                f"{folds}: {plan.n_folds} folds; a stack needs at least three folds: one to score, "
                "one to choose on, one to learn from"
            )
            return False
        return True

    def _explain_split_clusters(self) -> None:
        """Name the remedy for folds that split clusters where they cannot be made anew."""
        text = self.problems[-1].text
        if " splits " in text and "--accept-split-clusters" in text:
            self.problems[-1] = Problem(
                f"{text.partition('; ')[0]}. The models of one fold were trained on "
                "duplicates of fields of another one, so scores are too good; use predictions of "
                "models trained on folds that keep clusters whole, or pass "
                "--accept-split-clusters; then the output says so"
            )

    def _bring_in(self, file_set: FileSet, folds: Path | None) -> None:
        path = self.staged.store(file_set.name)
        if file_set.is_store:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file_set.files[0], path)
            target = self.workspace.store(file_set.name)
            line = shlex.join(["cp", str(file_set.files[0]), str(target)])
            self.steps.append(Step(line, "", (target,)))
            return
        members = self._members_of(file_set)
        words: list[object] = [path for path in file_set.files if path not in members]
        words += self._ingest_words(file_set)
        if folds is not None and file_set.name not in self.unknown_folds:
            words += [] if file_set.is_features else ["--folds", folds]
        options = list(file_set.options)
        for table in self._tables[file_set.name]:
            if table.fold_column and "--drop" in options:
                options.insert(options.index("--drop") + 1, table.fold_column)
            elif table.fold_column:
                options += ["--drop", table.fold_column]
        words += options
        words += ["--members", *members] if members else []
        target = self.workspace.store(file_set.name)
        if self._step("ingest", words, target, of_set=file_set.name):
            # It tells of --accept, which quickstack gives.
            step = self.steps[-1]
            lines = [line for line in step.text.splitlines() if "unknown folds" not in line]
            self.steps[-1] = Step(step.line, "\n".join(lines), step.outputs)

    def _check_copies(self) -> None:
        """Name sets that are copies of another one."""
        seen: dict[tuple[str, str], str] = {}
        for file_set in self._made_sets():
            with open_store(self.staged.store(file_set.name)) as store:
                key = (store.content, store.made_from)
            if store.made_from and key in seen and not file_set.is_store:
                self._add(
                    f"{file_set.name}: the same values as {seen[key]}; name the right files, or "
                    "omit one",
                    file_set.name,
                )
            seen.setdefault(key, file_set.name)

    def _check_targets(self, catalogue: pd.DataFrame) -> None:
        """Name predictions of training fields that are their targets."""
        train = training_fields(catalogue)
        y = self.staged.vocabulary().indicator(train["target"], allow_empty=True)
        for file_set in self._made_sets():
            if file_set.is_features:
                continue
            with open_store(self.staged.store(file_set.name)) as store:
                if not set(train.index) <= set(store.image_ids):
                    continue
                values = store.to_frame(list(train.index)).to_numpy(dtype=float)
                are_logits = store.content == "logits"
            if values.shape == y.shape and equal_targets(values, y, are_logits=are_logits):
                self._add(
                    f"{file_set.name}: {shorten(file_set.files, 3)}: the values of training fields "
                    "equal their targets, as out-of-fold predictions never do; use predictions of "
                    "models that were not trained on the field",
                    file_set.name,
                )

    def _check_stores(self, catalogue: pd.DataFrame) -> None:
        """Check each store as the stack does."""
        plan, vocabulary = self.staged.read_folds(), self.staged.vocabulary()
        accept = self.unknown_folds
        for file_set in self._made_sets():
            path = self.staged.store(file_set.name)
            try:
                self.stores |= gather_stores(
                    [path],
                    list(catalogue.index),
                    vocabulary,
                    made_from=catalogue_digest(catalogue),
                    plan=plan,
                    accept=[name for name in accept if name == file_set.name],
                ).stores
            except InputError as error:
                message = str(error).replace(str(path), str(file_set.files[0]))
                remedy = ""
                if file_set.is_store:
                    remedy = (
                        "; a store fits a workspace of the same fields and folds: pass the folds "
                        "that it was made with (data/folds.csv of its workspace) with --folds, or "
                        "pass its values as a table (hpastack store NAME --export)"
                    )
                self._add(f"{file_set.name}: {message}{remedy}", file_set.name)

    def _made_sets(self) -> list[FileSet]:
        failed = {problem.of_set for problem in self.problems}
        return [s for s in self.sets if s.name not in failed and self.staged.store(s.name).exists()]


def _has_folds(file_set: FileSet) -> bool:
    if not file_set.is_store:
        return False
    try:
        with open_store(file_set.files[0]) as store:
            return store.fold is not None or store.kind != "out_of_fold"
    except (InputError, OSError):
        return True  # which is said elsewhere


def _lacks_ids(error: InputError | OSError) -> bool:
    return isinstance(error, InputError) and "ids" in error.parameters


def _n_rows(path: Path) -> int:
    loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    if isinstance(loaded, np.lib.npyio.NpzFile):
        with loaded:
            loaded = loaded[loaded.files[0]]
    return len(loaded)


def _message(error: InputError | OSError, path: str | os.PathLike[str]) -> str:
    if isinstance(error, InputError):
        return str(error)
    return f"{error.filename or path}: {error.strerror}"
