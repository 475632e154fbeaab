"""Bring predictions or features made elsewhere into a store."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hpastack.catalogue import read_catalogue
from hpastack.errors import InputError, shorten
from hpastack.folds import read_fold_table
from hpastack.ingest import (
    check_coverage,
    check_probabilities,
    content_digest,
    numbers,
    prediction_matrix,
    read_table,
)
from hpastack.store import KINDS, StoreHeader, fold_digest, write_store
from hpastack.workspace import Workspace
from pipelines._command import command_parser, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see ``--help``."""
    parser = command_parser(
        "ingest",
        "Bring predictions or features made elsewhere into features/NAME.h5: CSV or parquet with "
        "a column a label or feature, label sets (Id,Predicted), or NPY/NPZ with --ids.",
        "python -m pipelines.ingest oof.csv test.csv --name resnet50 --kind out_of_fold "
        "--folds folds.csv",
    )
    add = parser.add_argument
    add(
        "tables", nargs="+", type=Path, metavar="PREDICTIONS",
        help="one or more files; their rows are put together",
    )  # fmt: skip
    add("--name", required=True, help="name of the store")
    add("--kind", required=True, choices=KINDS, help="what the values know of the labels")
    add(
        "--content", choices=("probabilities", "logits", "features"), default="probabilities",
        help="what the values are (default: probabilities; label sets are recognised)",
    )  # fmt: skip
    add(
        "--folds", type=Path, metavar="CSV",
        help="fold of each training field (Id,fold), for out-of-fold tables",
    )  # fmt: skip
    add(
        "--ids", action="append", default=[], metavar="FILE",
        help="ids of the rows of an NPY/NPZ: one a line, or a CSV with Id; once for each such "
        "file, in their order",
    )  # fmt: skip
    add("--key", help="array of an NPZ that holds several")
    add(
        "--max", type=float, metavar="VALUE",
        help="values are votes from 0 to VALUE; they are divided by it",
    )  # fmt: skip
    return run_command(parser, _run, argv)


def _run(args: argparse.Namespace) -> None:
    workspace = Workspace(args.workspace)
    path = workspace.store(args.name)
    if Path(args.name).name != args.name or "__" in args.name:
        raise InputError(f"--name {args.name}: a plain name without '/' or '__', please")
    if path.exists() and not args.overwrite:
        raise InputError(f"{path} exists; give --overwrite to replace it")
    if args.folds and args.kind != "out_of_fold":
        raise InputError("--folds goes with --kind out_of_fold")
    if args.max is not None and args.max <= 0:
        raise InputError("--max must be above 0")

    image_ids, columns, values, content = _read(args, workspace)
    catalogue = read_catalogue(workspace.catalogue) if workspace.catalogue.is_file() else None
    where = shorten(args.tables, 3)
    if catalogue is not None:
        check_coverage(image_ids, catalogue, where)
    fold = _folds(args, image_ids, catalogue)
    header = StoreHeader(
        kind=args.kind,
        content=content,
        columns=columns,
        recipe={"type": "ingest", "name": args.name, "content": content},
        made_from=content_digest(image_ids, values),
        fold_plan="" if fold is None else _plan_digest(image_ids, fold),
        vocabulary=None if content == "features" else list(workspace.vocabulary()),
    )
    write_store(path, header, image_ids, values, fold=fold, overwrite=args.overwrite)
    print(f"{path}: {content} of {len(image_ids):,} fields, {len(columns)} columns, {args.kind}")


def _read(args, workspace) -> tuple[list[str], list[str], np.ndarray, str]:
    vocabulary = workspace.vocabulary()
    ids = list(args.ids)
    columns = [f"{args.name}__{k}" for k in range(len(vocabulary))]
    parts: list[pd.DataFrame] = []
    contents = set()
    for table_path in args.tables:
        is_matrix = table_path.suffix in (".npy", ".npz")
        table = read_table(table_path, ids=ids.pop(0) if is_matrix and ids else None, key=args.key)
        if args.content == "features":
            names = [f"{args.name}__{column}" for column in table.columns]
            if parts and names != columns:
                raise InputError(f"{table_path} has other columns than {args.tables[0]}")
            columns, content = names, "features"
            values = numbers(table, table_path)
        else:
            values, are_label_sets = prediction_matrix(table, vocabulary, table_path)
            content = "label_sets" if are_label_sets else args.content
            if args.max is not None:
                values = values / args.max
            if content == "probabilities":
                check_probabilities(values, list(table.index), table_path)
        contents.add(content)
        parts.append(pd.DataFrame(values, index=table.index))
    if ids:
        raise InputError(f"--ids {shorten(ids)}: there is no matrix that it belongs to")
    if len(contents) > 1:
        raise InputError(f"the files hold {' and '.join(sorted(contents))}; they must be alike")
    whole = pd.concat(parts)
    if not whole.index.is_unique:
        doubled = whole.index[whole.index.duplicated()]
        raise InputError(f"ids stand in two files: {shorten(doubled)}")
    return list(whole.index), columns, whole.to_numpy(dtype=np.float32), contents.pop()


def _folds(args, image_ids, catalogue) -> np.ndarray | None:
    if args.folds is None:
        return None
    if catalogue is None:
        training = image_ids
    else:
        is_training = catalogue.loc[image_ids, "split"].to_numpy() == "train"
        training = [i for i, train in zip(image_ids, is_training) if train]
    if not training:
        raise InputError(f"--folds {args.folds}: the tables hold no training field")
    return read_fold_table(args.folds, training).reindex(image_ids, fill_value=-1).to_numpy()


def _plan_digest(image_ids, fold: np.ndarray) -> str:
    held_out = pd.Series(fold, index=image_ids)
    held_out = held_out[held_out >= 0]
    return fold_digest(held_out.index, held_out)


if __name__ == "__main__":
    raise SystemExit(main())
