"""What the columns of a stack give away, and how training and test fields differ in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from hpastack.errors import InputError, shorten
from hpastack.similarity import telling_columns
from hpastack.stack.label_like import EQUAL
from hpastack.stack.stores import GatheredStores
from hpastack.store import equal_targets, is_binary, is_label_like, is_unlike_labels


def without_columns(inputs: GatheredStores, columns: Sequence[str]) -> GatheredStores:
    """Return what was gathered without some columns of features.

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
        If there is no such column, it is one of predictions or scores, which a store has for
        each label, or none is left.
    """
    unknown = [column for column in columns if column not in inputs.table]
    if unknown:
        raise InputError(
            f"drop_columns: no store has a column {unknown[0]!r}; columns are named STORE__COLUMN, "
            f"such as {inputs.table.columns[0]}"
        )
    of_stores = set().union(*_columns_by_label(inputs).values())
    of_labels = [name for name in columns if name in of_stores]
    if of_labels:
        raise InputError(
            f"drop_columns: {shorten(of_labels)} belong to stores with a column for each label; "
            "leave out the whole store with --set cnns or features"
        )
    table = inputs.table.drop(columns=list(columns))
    if table.empty:
        raise InputError("drop_columns leaves no column")
    return replace(inputs, table=table)


def notes_on_columns(
    inputs: GatheredStores,
    train: Sequence[str],
    test: Sequence[str],
    targets: np.ndarray | None = None,
) -> list[str]:
    """Say what makes scores out of fold promise more than test fields will deliver.

    Parameters
    ----------
    inputs : GatheredStores
    train, test : sequence of str
        Ids of the training and the test fields, in the order of the catalogue.
    targets : ndarray of {0, 1}, shape (n_train, n_labels), optional
        Of the training fields.

    Returns
    -------
    list of str
        A note on features that tell the order of the training fields, one on those that tell train
        from test, one on each store whose predictions equal the targets, and one on each whose
        predictions are (practically) all 0 or 1 for one of train and test alone.
    """
    by_label = _columns_by_label(inputs)
    of_stores = set().union(*by_label.values())
    features = inputs.table[[name for name in inputs.table if name not in of_stores]]
    is_test = pd.Series([False] * len(train) + [True] * len(test), [*train, *test])
    told = telling_columns(features.loc[is_test.index], is_test)
    notes = []
    for key, what, why in (
        ("order", "the order of the training fields", "row numbers, times or folders do so"),
        ("auc", "train from test", "row numbers do so, and other microscopes or settings"),
    ):
        named = told[told[key] > 0.5]
        if len(named):
            columns = [f"{row.column} ({getattr(row, key):.3f})" for row in named.itertuples()]
            verb = "tells" if len(columns) == 1 else "tell"
            notes.append(
                f"{shorten(columns)} {verb} {what} almost surely ({why}): scores may be far too "
                "good; see what it is, and fit without it: --drop-columns "
                + shorten([repr(str(name)) for name in named["column"]]).replace(", ", " ")
            )
    for name, columns in by_label.items():
        are_logits = name in inputs.logits
        of_train = inputs.table.loc[list(train), columns].to_numpy(dtype=float)
        if targets is not None and equal_targets(of_train, targets, are_logits=are_logits):
            notes.append(f"{name}: {EQUAL}")
        if not len(test):
            continue
        of_test = inputs.table.loc[list(test), columns].to_numpy(dtype=float)
        if name in inputs.members:  # the stack is applied to each, and their mean is not one
            of_test = inputs.members[name].values
        for values, others, said in (
            (of_train, of_test, ("{}", "other values")), (of_test, of_train, ("other values", "{}"))
        ):  # fmt: skip
            if is_label_like(values, are_logits=are_logits) and is_unlike_labels(
                others, are_logits=are_logits
            ):
                only = "only 0 and 1" if is_binary(values) else "practically only 0 and 1"
                of_kind = [text.format(only) for text in said]
                notes.append(
                    f"{name}: training fields have {of_kind[0]}, test fields {of_kind[1]}: what is "
                    "learnt from the one does not hold for the other; ingest the tables of both "
                    "together, which makes label sets of both (or with --threshold)"
                )
    return notes


def _columns_by_label(inputs: GatheredStores) -> dict[str, list[str]]:
    """Return the columns of each store that has one for each label."""
    return {
        name: [
            column
            for column in map(str, inputs.table)
            if column.startswith(f"{name}__") and column[len(name) + 2 :].isdigit()
        ]
        for name in (*inputs.cnns, *inputs.scores)
    }
