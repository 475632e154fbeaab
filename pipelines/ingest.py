"""Bring predictions or features made elsewhere into a store."""

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

# What may be missing for a field: a model of predictions has always been asked.
_WITH_GAPS = ("features", "scores")


def make_parser() -> CommandParser:
    """Make the parser of the command."""
    parser = command_parser(
        "ingest",
        "Bring predictions or features made elsewhere into features/NAME.h5: tables (CSV, "
        "Excel, parquet) with a column for each label or feature, label sets (Id,Predicted), or "
        "NPY/NPZ with --ids.",
        "oof.csv test.csv --name resnet50 --kind out_of_fold --folds folds.csv",
    )
    add = parser.add_argument
    add(
        "tables", nargs="+", type=Path, metavar="PREDICTIONS",
        help="one or more files; their rows are put together",
    )  # fmt: skip
    add("--name", required=True, help="name of the store")
    add(
        "--kind", required=True, choices=_Kinds(KINDS), metavar="KIND",
        help="what the values know of the labels: %(choices)s",
    )  # fmt: skip
    add(
        "--content", choices=("probabilities", "logits", "scores", "features"),
        default="probabilities", metavar="WHAT",
        help="what the values are: %(choices)s (default: %(default)s; label sets are "
        "recognised); scores: any numbers, one column per label, which are not predictions",
    )  # fmt: skip
    add(
        "--folds", type=Path, metavar="CSV",
        help="fold of each training field (Id,fold), for out-of-fold tables",
    )  # fmt: skip
    add(
        "--members", nargs="+", type=Path, default=[], metavar="FILE",
        help="tables of the test fields, one for each model of the folds; their mean stands for "
        "the test fields, and each is kept",
    )  # fmt: skip
    add(
        "--ids", action="append", default=[], metavar="FILE",
        help="ids of the rows of an NPY/NPZ: one per line, or a table with Id; once for each such "
        "file, in their order; those of --members come last (default: NAME.ids.txt beside "
        "NAME.npy)",
    )  # fmt: skip
    add("--key", help="array of an NPZ that holds several")
    add(
        "--max", type=float, metavar="VALUE",
        help="values are votes from 0 to VALUE; they are divided by it",
    )  # fmt: skip
    add(
        "--drop", nargs="+", default=[], metavar="COLUMN",
        help="columns of the tables that are left out, such as row numbers",
    )  # fmt: skip
    add(
        "--keep", nargs="+", default=[], metavar="COLUMN",
        help="columns that are features though they look like row numbers, ids or labels",
    )  # fmt: skip
    add(
        "--allow-missing", action="store_true",
        help="features and scores may be missing: fields of the catalogue that the tables lack and "
        "empty cells become NaN",
    )  # fmt: skip
    add(
        "--threshold", type=float, metavar="VALUE",
        help="turn predictions into label sets: a field has the labels whose values are at least "
        "VALUE (default, where training fields have label sets and test fields other values: each "
        "label is as frequent among test fields as among training fields)",
    )  # fmt: skip
    add(
        "--as-is", action="store_true",
        help="take values as what --content says though they look like something else",
    )  # fmt: skip
    return parser


class _Kinds(tuple[str, ...]):
    """The kinds; former names are accepted too, but not listed."""

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
        raise InputError("--folds goes with --kind out_of_fold")
    if args.max is not None and args.max <= 0:
        raise InputError("--max must be above 0")
    if args.allow_missing and args.content not in _WITH_GAPS:
        raise InputError("--allow-missing goes with --content features or scores")
    if args.threshold is not None and (args.content == "features" or args.members):
        raise InputError("--threshold goes with predictions or scores, and not with --members")

    catalogue = read_catalogue(workspace.catalogue) if workspace.catalogue.is_file() else None
    if args.members:
        _check_members_wanted(args, catalogue)
    if args.content == "features" and args.kind == "out_of_fold":
        # Each dimension means something else in each fold: a booster would learn noise.
        raise InputError(
            "features of kind out_of_fold would put vectors of the encoders of different folds "
            "side by side; bring in their predictions (--content logits), or features of one "
            "encoder that saw no labels of these fields (--kind target_free)"
        )

    tables, contents = _read(args, workspace)
    if args.kind == "out_of_fold" and args.folds is None:
        warn(
            "out of fold, but of unknown folds: a stack takes it only with --accept "
            f"{args.name}; name the folds with --folds CSV"
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
    """Read the tables and then the members, all with the columns of the store."""
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
            raise InputError(f"{table_path} has other columns than {args.tables[0]}")
        contents.append(content)
        tables.append(table)
    if ids:
        raise InputError(f"--ids {shorten(ids)}: there is no matrix that it belongs to")
    for option, columns in (("--drop", args.drop), ("--keep", args.keep)):
        unknown = [column for column in columns if column not in names]
        if unknown:
            raise InputError(
                f"{option} {unknown[0]!r}: no table has such a column; they have {shorten(names)}"
            )
    return tables, contents


def as_columns(table: pd.DataFrame, where, args, workspace) -> tuple[pd.DataFrame, str]:
    """Return the columns of the store that a table gives, and what they are."""
    if args.content == "features":
        check_feature_columns(table, where, keep=args.keep)
        # What `store --export` wrote carries the name of its store already.
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
            f"{workspace.vocabulary_file}; others are named with "
            "python -m pipelines.prepare --vocabulary FILE)"
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
    """Return values that mean the same for all fields, what they are, and the threshold used."""
    content = "scores" if args.content == "scores" else "label_sets"
    if args.threshold is not None:
        values = (whole >= args.threshold).astype(float).where(whole.notna())
        show(f"label sets: the labels of a field are those of at least {args.threshold:g}")
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
                "label sets: training fields have labels and no other values, so that test fields "
                "get as many: of each label the share that it has among training fields, those "
                "with the largest values (--threshold VALUE instead)"
            )
            table = pd.DataFrame(values, whole.index, whole.columns)
            return table, content, {"threshold": "prevalence"}
    if len(set(contents)) == 1:
        return whole, contents[0], {}
    if is_binary(values) and not args.members:
        return whole, content, {}
    held = f"the files hold {' and '.join(sorted(set(contents)))}"
    if args.members:
        raise InputError(f"{held}; with --members they must be alike")
    raise InputError(
        f"{held}; bring in one of them for all fields, or turn all into label sets with "
        "--threshold VALUE (label sets of training fields and tables of test fields go together "
        "once there is a catalogue: python -m pipelines.prepare)"
    )


def _are_label_sets(values: np.ndarray, is_train: np.ndarray, args) -> bool:
    """Return whether training fields have label sets where test fields have other values."""
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
        f"{args.name}: training fields have practically only two values, test fields others: what "
        "is learnt from the one does not hold for the other; bring both in as the same kind, or "
        "turn both into label sets with --threshold VALUE"
    )
    return False


def _warn_of_targets(args, whole: pd.DataFrame, content: str, catalogue: pd.DataFrame) -> None:
    """Say so where predictions of training fields are their targets."""
    if content == "features" or args.kind == "in_sample":
        return
    train = training_fields(catalogue)
    train = train.loc[train.index.isin(whole.index) & (train["target"] != "")]
    y = np.zeros((len(train), whole.shape[1]), dtype=bool)
    for row, target in enumerate(train["target"]):
        labels = [int(label) for label in target.split()]
        if max(labels) >= whole.shape[1]:
            return  # of another vocabulary, which the stack rejects
        y[row, labels] = True
    values = whole.loc[train.index].to_numpy(dtype=float)
    if equal_targets(values, y, are_logits=content == "logits"):
        warn(
            f"{args.name}: the values of training fields equal their targets, as out-of-fold "
            "predictions never do; a stack on them scores far too well. Take predictions of models "
            "that did not see the field"
        )


def _covering(args, whole: pd.DataFrame, catalogue: pd.DataFrame) -> pd.DataFrame:
    """Return the table with all fields that it must have, or say which it lacks."""
    where = shorten([*args.tables, *args.members], 3)
    missing = catalogue.index.difference(whole.index, sort=False)
    if args.allow_missing and len(missing):
        show(f"NaN: {counted(len(missing), 'field')} of the catalogue that no table has")
        whole = whole.reindex([*whole.index, *missing])
    remedy = "--allow-missing leaves NaN for these" if args.content in _WITH_GAPS else ""
    check_coverage(list(whole.index), catalogue, where, remedy=remedy)
    tests = test_fields(catalogue).index
    if args.kind == "out_of_fold" and len(tests) and not whole.index.isin(tests).any():
        warn(
            f"{where} holds no test field, so that a stack can only be fitted without a "
            "submission (stack --no-submission); add the table of the test fields"
        )
    return whole


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    whole = pd.concat(tables)
    if not whole.index.is_unique:
        doubled = whole.index[whole.index.duplicated()]
        raise InputError(f"ids stand in two files: {shorten(doubled)}")
    return whole


def _check_members_wanted(args: argparse.Namespace, catalogue: pd.DataFrame | None) -> None:
    if args.kind != "out_of_fold" or args.folds is None:
        raise InputError(
            "--members are the models of the folds; it goes with --kind out_of_fold and --folds"
        )
    if args.content in ("features", "scores"):
        raise InputError(f"--members goes with predictions, not with --content {args.content}")
    if catalogue is None:
        raise InputError(
            "--members needs a catalogue, to tell test fields from training fields; run: "
            "python -m pipelines.prepare"
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
        doubled = table.index[table.index.isin(others)]
        if len(doubled):
            raise InputError(
                f"{path}: {counted(len(doubled), 'id stands', 'ids stand')} in the other tables as "
                "well: "
                f"{shorten(doubled)}; give test fields with --members alone"
            )


def _folds(args, image_ids, catalogue) -> np.ndarray | None:
    if args.folds is None:
        return None
    training = _training_of(image_ids, catalogue)
    if not training:
        raise InputError(f"--folds {args.folds}: the tables hold no training field")
    return read_fold_table(args.folds, training).reindex(image_ids, fill_value=-1).to_numpy()


def _training_of(image_ids, catalogue: pd.DataFrame | None) -> list[str]:
    """Return the training fields among some; all are, where there is no catalogue."""
    if catalogue is None:
        return list(image_ids)
    training = training_fields(catalogue).index
    given = pd.Index(image_ids)
    return list(given[given.isin(training)])


def _plan_digest(image_ids, fold: np.ndarray) -> str:
    held_out = pd.Series(fold, index=image_ids)
    held_out = held_out[held_out >= 0]
    return fold_digest(held_out.index, held_out)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    return run_command(make_parser(), run, argv)


if __name__ == "__main__":
    raise SystemExit(main())
