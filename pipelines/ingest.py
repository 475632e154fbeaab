"""Import predictions or features made elsewhere into a store."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hpastack.catalogue import read_catalogue, test_fields, training_fields
from hpastack.errors import InputError, counted, shorten
from hpastack.files import refuse_existing
from hpastack.folds import fold_digest, read_fold_table
from hpastack.store import (
    FORMER_KINDS,
    KINDS,
    StoreHeader,
    binarised,
    binary,
    check_coverage,
    check_feature_columns,
    check_plausible,
    check_probabilities,
    columns_of_targets,
    equal_targets,
    is_binary,
    is_label_like,
    is_unlike_labels,
    numbers,
    prediction_matrix,
    read_table,
    stacked_members,
    table_digest,
    write_store,
)
from hpastack.workspace import Workspace
from pipelines._command import check_name, command_parser, run_command
from pipelines._help import CommandParser
from pipelines._output import note, report, show, warn, wrote

# What may be missing for a field; predictions exist for every field.
_WITH_GAPS = ("features", "scores")


def make_parser() -> CommandParser:
    """Return the parser of the command."""
    parser = command_parser(
        "ingest",
        "Import predictions or features made elsewhere into features/NAME.h5: tables (CSV, "
        "Excel, parquet) with one column per label or feature, label sets (Id,Predicted), or "
        "NPY/NPZ with --ids.",
        "oof.csv test.csv --name resnet50 --kind out_of_fold --folds folds.csv",
    )
    add = parser.add_argument
    add(
        "tables", nargs="+", type=Path, metavar="PREDICTIONS",
        help="one or more files, whose rows are concatenated",
    )  # fmt: skip
    add("--name", required=True, help="name of the store")
    add(
        "--kind", required=True, choices=_Kinds(KINDS), metavar="KIND",
        help="how the values depend on labels: target_free (no label was used), out_of_fold (from "
        "models that were not trained on the field) or in_sample (anything else)",
    )  # fmt: skip
    add(
        "--content", choices=("probabilities", "logits", "scores", "features"),
        default="probabilities", metavar="WHAT",
        help="type of the values: %(choices)s (default: %(default)s; label sets are recognised); "
        "scores are any numbers per label that are not predictions",
    )  # fmt: skip
    add(
        "--folds", type=Path, metavar="CSV",
        help="fold of each training field (Id,fold), for --kind out_of_fold",
    )  # fmt: skip
    add(
        "--members", nargs="+", type=Path, default=[], metavar="FILE",
        help="tables of the test fields, one per fold model; the store has their mean as the "
        "values of the test fields, and each of them",
    )  # fmt: skip
    add(
        "--ids", action="append", default=[], metavar="FILE",
        help="ids of the rows of an NPY/NPZ file: one per line, or a table with Id; repeat for "
        "each such file in the same order, those of --members last (default: NAME.ids.txt next to "
        "NAME.npy)",
    )  # fmt: skip
    add("--key", help="name of the array, for an NPZ file with several")
    add(
        "--max", type=float, metavar="VALUE",
        help="maximum of the values: votes from 0 to VALUE are divided by it",
    )  # fmt: skip
    add(
        "--drop", nargs="+", default=[], metavar="COLUMN",
        help="columns of the tables to ignore, such as row numbers",
    )  # fmt: skip
    add(
        "--keep", nargs="+", default=[], metavar="COLUMN",
        help="columns that are features although they look like row numbers, ids or labels",
    )  # fmt: skip
    add(
        "--allow-missing", action="store_true",
        help="allow missing features or scores: empty cells, and fields of the catalogue that are "
        "missing from the tables, become NaN",
    )  # fmt: skip
    add(
        "--threshold", type=float, metavar="VALUE",
        help="turn predictions into label sets: a field has each label whose value is at least "
        "VALUE (default, if training fields have label sets and test fields other values: each "
        "label becomes as frequent in test fields as in training fields)",
    )  # fmt: skip
    add(
        "--as-is", action="store_true",
        help="accept values as --content although they look like something else",
    )  # fmt: skip
    return parser


class _Kinds(tuple[str, ...]):
    """The kinds of stores; their former names are accepted, but not listed."""

    def __contains__(self, kind: object) -> bool:
        return super().__contains__(kind) or kind in FORMER_KINDS


def run(args: argparse.Namespace) -> None:
    """Run the command with parsed options."""
    if args.kind in FORMER_KINDS:
        note(f"--kind {args.kind} is now --kind {FORMER_KINDS[args.kind]}")
        args.kind = FORMER_KINDS[args.kind]
    workspace = Workspace(args.workspace)
    path = workspace.store(args.name)
    check_name(args.name)
    refuse_existing(path, args.overwrite)
    if args.folds and args.kind != "out_of_fold":
        raise InputError("--folds needs --kind out_of_fold")
    if args.max is not None and args.max <= 0:
        raise InputError("--max must be above 0")
    if args.allow_missing and args.content not in _WITH_GAPS:
        raise InputError("--allow-missing needs --content features or scores")
    if args.threshold is not None and (args.content == "features" or args.members):
        raise InputError("--threshold needs predictions or scores, without --members")

    catalogue = read_catalogue(workspace.catalogue) if workspace.catalogue.is_file() else None
    if args.members:
        _check_members_wanted(args, catalogue)
    if args.content == "features" and args.kind == "out_of_fold":
        # Each dimension has another meaning in each fold, so that a booster would learn noise.
        raise InputError(
            "features of kind out_of_fold would mix vectors of the encoders of different folds; "
            "import their predictions (--content logits), or features of one encoder that was not "
            "trained on labels of these fields (--kind target_free)"
        )

    tables, contents = _read(args, workspace)
    if args.kind == "out_of_fold" and args.folds is None:
        warn(
            "out of fold, but with unknown folds: a stack uses it only with --accept "
            f"{args.name}; pass the folds with --folds CSV"
        )
    whole = _joined(tables[: len(args.tables)])
    whole, content, threshold = _one_content(args, whole, contents, catalogue)
    members = None
    if args.members:
        of_members = tables[len(args.tables) :]
        _check_members(of_members, args.members, whole.index, catalogue)
        members = stacked_members(of_members, args.members)
        mean = members.mean(axis=0, dtype=np.float64)
        whole = pd.concat([whole, pd.DataFrame(mean, of_members[0].index, whole.columns)])
    if catalogue is not None:
        _warn_of_targets(args, whole, content, catalogue)
        whole = _covering(args, whole, catalogue)
    image_ids, columns = list(whole.index), list(whole.columns)
    values = whole.to_numpy(dtype=np.float32)
    fold = _folds(args, image_ids, catalogue)
    header = StoreHeader(
        kind=args.kind,
        content=content,
        columns=columns,
        recipe={"type": "ingest", "name": args.name, "content": content, **threshold},
        made_from=table_digest(image_ids, values, members),
        fold_plan="" if fold is None else _plan_digest(image_ids, fold),
        vocabulary=None if content == "features" else list(workspace.vocabulary()),
        allow_nan=bool(np.isnan(values).any()),
    )
    write_store(
        path, header, image_ids, values, fold=fold, members=members, overwrite=args.overwrite
    )
    kept = f", {counted(len(members), 'member')}" if members is not None else ""
    wrote(
        f"{path}: {content} of {counted(len(image_ids), 'field')}, "
        f"{counted(len(columns), 'column')}, {args.kind}{kept}",
        path,
    )
    report(
        content=content, kind=args.kind, n_fields=len(image_ids), n_columns=len(columns),
        n_members=0 if members is None else len(members), n_missing=int(np.isnan(values).sum()),
    )  # fmt: skip


def _read(args, workspace) -> tuple[list[pd.DataFrame], list[str]]:
    """Return the tables and then the members, all with the columns of the store, and types."""
    ids = list(args.ids)
    tables: list[pd.DataFrame] = []
    contents = []
    names: set[str] = set()
    for table_path in [*args.tables, *args.members]:
        is_matrix = table_path.suffix in (".npy", ".npz")
        table = read_table(table_path, ids=ids.pop(0) if is_matrix and ids else None, key=args.key)
        names.update(map(str, table.columns))
        table = table.loc[:, [str(column) not in args.drop for column in table.columns]]
        table, content = as_columns(table, table_path, args, workspace)
        if tables and list(table.columns) != list(tables[0].columns):
            raise InputError(f"{table_path}: its columns differ from those of {args.tables[0]}")
        contents.append(content)
        tables.append(table)
    if ids:
        raise InputError(f"--ids {shorten(ids)}: more files of ids than NPY/NPZ files")
    for option, columns in (("--drop", args.drop), ("--keep", args.keep)):
        unknown = [column for column in columns if column not in names]
        if unknown:
            raise InputError(
                f"{option} {unknown[0]!r}: no table has such a column; they have {shorten(names)}"
            )
    return tables, contents


def as_columns(table: pd.DataFrame, where, args, workspace) -> tuple[pd.DataFrame, str]:
    """Return the columns of a table as those of the store, and the type of their values."""
    if args.content == "features":
        check_feature_columns(table, where, keep=args.keep)
        # Columns written by `store --export` begin with the name of the store already.
        columns = [
            str(column) if str(column).startswith(f"{args.name}__") else f"{args.name}__{column}"
            for column in table.columns
        ]
        values = numbers(table, where, allow_nan=args.allow_missing)
        return pd.DataFrame(values, table.index, columns), "features"
    vocabulary = workspace.vocabulary()
    are_scores = args.content == "scores"
    try:
        values, are_label_sets = prediction_matrix(table, vocabulary, where, allow_nan=are_scores)
    except InputError as error:
        if workspace.vocabulary_file.is_file():
            raise
        raise InputError(
            f"{error} (labels are the {len(vocabulary)} of HPA 2018, as there is no "
            f"{workspace.vocabulary_file}; for others run: "
            "hpastack prepare --vocabulary FILE)"
        ) from None
    content = "label_sets" if are_label_sets and not are_scores else args.content
    if args.max is not None:
        values = values / args.max
    if content == "probabilities":
        check_probabilities(values, list(table.index), where)
    if not args.as_is:
        check_plausible(values, content, where)
    columns = [f"{args.name}__{k}" for k in range(len(vocabulary))]
    return pd.DataFrame(values, table.index, columns), content


def _one_content(
    args, whole: pd.DataFrame, contents: list[str], catalogue: pd.DataFrame | None
) -> tuple[pd.DataFrame, str, dict[str, object]]:
    """Return values of one type for all fields, that type, and the threshold used."""
    content = "scores" if args.content == "scores" else "label_sets"
    if args.threshold is not None:
        values = (whole >= args.threshold).astype(float).where(whole.notna())
        show(f"label sets: a field has the labels whose values are at least {args.threshold:g}")
        return values, content, {"threshold": args.threshold}
    values = whole.to_numpy(copy=True)
    if args.content != "features" and not args.members and catalogue is not None:
        is_train = whole.index.isin(training_fields(catalogue).index)
        if (
            is_train.any() and not is_train.all()
            and not is_binary(values[~is_train]) and _are_label_sets(values, is_train, args)
        ):  # fmt: skip
            values[is_train] = binary(values[is_train])
            n_known = (~np.isnan(values[is_train])).sum(axis=0)
            prevalence = np.nansum(values[is_train], axis=0) / np.maximum(n_known, 1)
            values[~is_train] = binarised(values[~is_train], prevalence)
            show(
                "label sets: training fields have labels only, so that test fields get labels too: "
                "each label goes to the fields with its largest values, as frequently as in "
                "training fields (alternative: --threshold VALUE)"
            )
            table = pd.DataFrame(values, whole.index, whole.columns)
            return table, content, {"threshold": "prevalence"}
    if len(set(contents)) == 1:
        return whole, contents[0], {}
    if is_binary(values) and not args.members:
        return whole, content, {}
    mixed = f"the files contain {' and '.join(sorted(set(contents)))}"
    if args.members:
        raise InputError(f"{mixed}; with --members, all must have the same type of values")
    raise InputError(
        f"{mixed}; import one of them for all fields, or turn all into label sets with "
        "--threshold VALUE (label sets of training fields can be combined with tables of test "
        "fields once there is a catalogue: hpastack prepare)"
    )


def _are_label_sets(values: np.ndarray, is_train: np.ndarray, args) -> bool:
    """Return whether training fields have label sets while test fields have other values."""
    of_train, of_test = values[is_train], values[~is_train]
    if is_binary(of_train):
        return True
    are_logits = args.content == "logits"
    if not (
        is_label_like(of_train, are_logits=are_logits)
        and is_unlike_labels(of_test, are_logits=are_logits)
    ):
        return False
    if not args.as_is and len(np.unique(of_train[~np.isnan(of_train)])) == 2:
        return True
    warn(
        f"{args.name}: training fields have practically only two values, test fields others, so "
        "what a stack learns from the former does not apply to the latter; import both as the same "
        "type of values, or turn both into label sets with --threshold VALUE"
    )
    return False


def _warn_of_targets(args, whole: pd.DataFrame, content: str, catalogue: pd.DataFrame) -> None:
    """Warn if the predictions or features of training fields equal their targets."""
    if args.kind == "in_sample":
        return
    train = training_fields(catalogue)
    train = train.loc[train.index.isin(whole.index) & (train["target"] != "")]
    sets = [[int(label) for label in target.split()] for target in train["target"]]
    n_labels = 1 + max(map(max, sets), default=-1)
    if content != "features":
        if n_labels > whole.shape[1]:
            return  # of another vocabulary, which the stack rejects
        n_labels = whole.shape[1]
    y = np.zeros((len(train), n_labels), dtype=bool)
    for row, labels in enumerate(sets):
        y[row, labels] = True
    if content == "features":
        if equal := columns_of_targets(whole.loc[train.index], y):
            named = [f"{column} (label {label})" for column, label in equal.items()]
            warn(
                f"{args.name}: the values of training fields equal a target: {shorten(named)}; "
                "scores of a stack on them would be far too optimistic. Import the table without "
                "these columns (--drop COLUMN)"
            )
        return
    values = whole.loc[train.index].to_numpy(dtype=float)
    if equal_targets(values, y, are_logits=content == "logits"):
        warn(
            f"{args.name}: the values of training fields equal their targets, as out-of-fold "
            "predictions never do; scores of a stack on them would be far too optimistic. Import "
            "predictions of models that were not trained on the field"
        )


def _covering(args, whole: pd.DataFrame, catalogue: pd.DataFrame) -> pd.DataFrame:
    """Return the table with all fields of the catalogue; missing ones are an error or NaN."""
    where = shorten([*args.tables, *args.members], 3)
    missing = catalogue.index.difference(whole.index, sort=False)
    if args.allow_missing and len(missing):
        show(f"NaN: {counted(len(missing), 'field')} of the catalogue missing from the tables")
        whole = whole.reindex([*whole.index, *missing])
    remedy = "--allow-missing sets these to NaN" if args.content in _WITH_GAPS else ""
    check_coverage(list(whole.index), catalogue, where, remedy=remedy)
    tests = test_fields(catalogue).index
    if args.kind == "out_of_fold" and len(tests) and not whole.index.isin(tests).any():
        warn(
            f"{where}: no test fields, so that a stack can only be fitted without a submission "
            "(stack --no-submission); add the table of the test fields"
        )
    return whole


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    whole = pd.concat(tables)
    if not whole.index.is_unique:
        duplicates = whole.index[whole.index.duplicated()]
        raise InputError(f"ids in more than one file: {shorten(duplicates)}")
    return whole


def _check_members_wanted(args: argparse.Namespace, catalogue: pd.DataFrame | None) -> None:
    if args.kind != "out_of_fold" or args.folds is None:
        raise InputError(
            "--members are the models of the folds; pass --kind out_of_fold and --folds as well"
        )
    if args.content in ("features", "scores"):
        raise InputError(f"--members needs predictions, not --content {args.content}")
    if catalogue is None:
        raise InputError(
            "--members needs a catalogue, to distinguish test fields from training fields; run: "
            "hpastack prepare"
        )


def _check_members(
    tables: list[pd.DataFrame],
    paths: list[Path],
    others: pd.Index,
    catalogue: pd.DataFrame | None,
) -> None:
    for table, path in zip(tables, paths):
        trained = _training_of(table.index, catalogue)
        if trained:
            raise InputError(
                f"{path}: {counted(len(trained), 'training field')} in a table of --members: "
                f"{shorten(trained)}; members are tables of test fields"
            )
        duplicates = table.index[table.index.isin(others)]
        if len(duplicates):
            raise InputError(
                f"{path}: {counted(len(duplicates), 'id is', 'ids are')} in the other tables "
                f"as well: {shorten(duplicates)}; pass test fields with --members only"
            )


def _folds(args, image_ids, catalogue) -> np.ndarray | None:
    if args.folds is None:
        return None
    training = _training_of(image_ids, catalogue)
    if not training:
        raise InputError(f"--folds {args.folds}: the tables have no training fields")
    return read_fold_table(args.folds, training).reindex(image_ids, fill_value=-1).to_numpy()


def _training_of(image_ids, catalogue: pd.DataFrame | None) -> list[str]:
    """Return the training fields among the ids; all of them if there is no catalogue."""
    if catalogue is None:
        return list(image_ids)
    training = training_fields(catalogue).index
    ids = pd.Index(image_ids)
    return list(ids[ids.isin(training)])


def _plan_digest(image_ids, fold: np.ndarray) -> str:
    held_out = pd.Series(fold, index=image_ids)
    held_out = held_out[held_out >= 0]
    return fold_digest(held_out.index, held_out)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
