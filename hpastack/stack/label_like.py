"""Detect predictions that are label sets, or that equal the targets of the training fields."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from hpastack.errors import shorten
from hpastack.stack.column_blocks import ColumnBlocks, NamedColumns
from hpastack.store import equal_targets, is_label_like, is_unlike_labels


class PredictionWarning(UserWarning):
    """Predictions of training fields that differ in kind from those of new fields."""


def label_like_names(blocks: ColumnBlocks, named: NamedColumns) -> list[str]:
    """Return the names of CNNs and scores whose values are practically label sets.

    Parameters
    ----------
    blocks : ColumnBlocks
    named : NamedColumns

    Returns
    -------
    list of str
    """
    return [
        name
        for name, values, are_logits in _of_labels(blocks, named)
        if is_label_like(values, are_logits=are_logits)
    ]


def targets_warning(blocks: ColumnBlocks, named: NamedColumns, y: np.ndarray) -> str:
    """Return a warning that names CNNs and scores that equal the targets of the training fields.

    Parameters
    ----------
    blocks : ColumnBlocks
    named : NamedColumns
    y : ndarray of {0, 1}, shape (n, n_labels)

    Returns
    -------
    str
        Empty if there are none.
    """
    names = [
        name
        for name, values, are_logits in _of_labels(blocks, named)
        if equal_targets(values, y, are_logits=are_logits)
    ]
    return f"{shorten(names)}: {EQUAL}" if names else ""


def kinds_warning(blocks: ColumnBlocks, named: NamedColumns, label_like: Collection[str]) -> str:
    """Return a warning that names CNNs and scores that are label sets in the training data only.

    Parameters
    ----------
    blocks : ColumnBlocks
        Columns of new fields.
    named : NamedColumns
    label_like : collection of str
        From `label_like_names`, for the training fields.

    Returns
    -------
    str
        Empty if there are none.
    """
    names = [
        name
        for name, values, are_logits in _of_labels(blocks, named)
        if name in label_like and is_unlike_labels(values, are_logits=are_logits)
    ]
    if not names:
        return ""
    return (
        f"{shorten(names)}: training fields had (practically) only 0 and 1, these fields have "
        f"other values: {UNLIKE}"
    )


#: Consequence of predictions that equal the targets.
EQUAL = (
    "the values of training fields equal their targets, which out-of-fold predictions never do: "
    "scores will be far too good; use predictions of models that were not trained on the field"
)
#: Consequence of predictions of two kinds.
UNLIKE = "a model fitted on one kind is not valid for the other; provide both as the same kind"


def _of_labels(blocks: ColumnBlocks, named: NamedColumns) -> Iterator[tuple[str, np.ndarray, bool]]:
    for name, values in zip(named.cnns, blocks.logits):
        yield name, values, True
    for name, values in zip(named.scores, blocks.scores):
        yield name, values, False
