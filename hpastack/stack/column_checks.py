"""Checks for columns that leak the split or the targets, or differ between train and test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from hpastack.errors import InputError, shorten
from hpastack.similarity import telling_columns
from hpastack.stack.label_like import EQUAL
from hpastack.stack.leaked_targets import leaks_warning
from hpastack.stack.stores import GatheredStores
from hpastack.store import equal_targets, is_binary, is_label_like, is_unlike_labels


def without_columns(inputs: GatheredStores, columns: Sequence[str]) -> GatheredStores:
    """Return gathered stores without some columns of features.

    Parameters
    ----------
    inputs : GatheredStores
    columns : sequence of str

    Returns
    -------
    GatheredStores

    Raises
    ------
    InputError
        If a column does not exist, is one of the predictions or scores that a store has for
        each label, or no column remains.
    """
    unknown = [repr(column) for column in columns if column not in inputs.table]
    if unknown:
        noun = "a column" if len(unknown) == 1 else "columns"
        raise InputError(
            f"drop_columns: no store has {noun} {shorten(unknown)}; columns are named "
            f"STORE__COLUMN, such as {inputs.table.columns[0]}",
            "drop_columns",
        )
    of_stores = set().union(*_columns_by_label(inputs).values())
    of_labels = [name for name in columns if name in of_stores]
    if of_labels:
        raise InputError(
            f"drop_columns: {shorten(of_labels)} belong to stores with one column per label; "
            "exclude the whole store with cnns or features"
        )
    table = inputs.table.drop(columns=list(columns))
    if table.empty:
        raise InputError("drop_columns leaves no column; drop fewer", "drop_columns")
    return replace(inputs, table=table)


def notes_on_columns(
    inputs: GatheredStores,
    train: Sequence[str],
    test: Sequence[str],
    targets: np.ndarray | None = None,
) -> list[str]:
    """Return notes on columns that make out-of-fold scores too optimistic for test fields.

    Parameters
    ----------
    inputs : GatheredStores
    train, test : sequence of str
        Ids of the training and the test fields, in the order of the catalogue.
    targets : ndarray of {0, 1}, shape (n_train, n_labels), optional
        Targets of the training fields.

    Returns
    -------
    list of str
        A note on features that predict the order of the training fields, one on those that separate
        train from test, one on those that equal a target, one on each store whose predictions equal
        the targets, and one on each whose predictions are (practically) all 0 or 1 only in train or
        only in test.
    """
    by_label = _columns_by_label(inputs)
    of_stores = set().union(*by_label.values())
    features = inputs.table[[name for name in inputs.table if name not in of_stores]]
    is_test = pd.Series([False] * len(train) + [True] * len(test), [*train, *test])
    telling = telling_columns(features.loc[is_test.index], is_test)
    notes = []
    for key, verbs, what, why in (
        (
            "order", ("predicts", "predict"), "the order of the training fields",
            "as row numbers, times or folders do",
        ),
        (
            "auc", ("separates", "separate"), "train from test",
            "as row numbers and other microscopes or settings do",
        ),
    ):  # fmt: skip
        named = telling[telling[key] > 0.5]
        if len(named):
            columns = [f"{row.column} ({getattr(row, key):.3f})" for row in named.itertuples()]
            quoted = shorten([repr(str(name)) for name in named["column"]], 20)
            notes.append(
                f"{shorten(columns)} {verbs[len(columns) > 1]} {what} almost perfectly ({why}): "
                "scores may be far too good; find out why, and fit without "
                f"{'it' if len(columns) == 1 else 'them'} (drop_columns: [{quoted}])"
            )
    if targets is not None:
        leaked = leaks_warning(features.loc[list(train)], targets, in_recipe=True)
        notes += [leaked] if leaked else []
    for name, columns in by_label.items():
        are_logits = name in inputs.logits
        of_train = inputs.table.loc[list(train), columns].to_numpy(dtype=float)
        if targets is not None and equal_targets(of_train, targets, are_logits=are_logits):
            notes.append(f"{name}: {EQUAL}")
        if not len(test):
            continue
        of_test = inputs.table.loc[list(test), columns].to_numpy(dtype=float)
        if name in inputs.members:  # the stack is applied to each, and their mean is not binary
            of_test = inputs.members[name].values
        for values, others, texts in (
            (of_train, of_test, ("{}", "other values")), (of_test, of_train, ("other values", "{}"))
        ):  # fmt: skip
            if is_label_like(values, are_logits=are_logits) and is_unlike_labels(
                others, are_logits=are_logits
            ):
                only = "only 0 and 1" if is_binary(values) else "practically only 0 and 1"
                of_train_and_test = [text.format(only) for text in texts]
                notes.append(
                    f"{name}: training fields have {of_train_and_test[0]}, test fields "
                    f"{of_train_and_test[1]}: a model fitted on one kind is not valid for the "
                    "other; ingest the tables of both together, which makes label sets of both "
                    "(or ingest with --threshold)"
                )
    return notes


def _columns_by_label(inputs: GatheredStores) -> dict[str, list[str]]:
    """Return the columns of each store that has one column per label."""
    return {
        name: [
            column
            for column in map(str, inputs.table)
            if column.startswith(f"{name}__") and column[len(name) + 2 :].isdigit()
        ]
        for name in (*inputs.cnns, *inputs.scores)
    }
