"""Predictions that are labels: those of training fields alone, or their very targets."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from hpastack.errors import shorten
from hpastack.stack.column_blocks import ColumnBlocks, NamedColumns
from hpastack.store import equal_targets, is_label_like, is_unlike_labels


class PredictionWarning(UserWarning):
    """Predictions of training fields that cannot be learnt from as those of new fields are."""


def label_like_names(blocks: ColumnBlocks, named: NamedColumns) -> list[str]:
    """Name the CNNs and scores whose values are practically label sets.

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
    """Say which CNNs and scores hold the targets of the training fields.

    Parameters
    ----------
    blocks : ColumnBlocks
    named : NamedColumns
    y : ndarray of {0, 1}, shape (n, n_labels)

    Returns
    -------
    str
        "" if none does.
    """
    names = [
        name
        for name, values, are_logits in _of_labels(blocks, named)
        if equal_targets(values, y, are_logits=are_logits)
    ]
    return f"{shorten(names)}: {EQUAL}" if names else ""


def kinds_warning(blocks: ColumnBlocks, named: NamedColumns, label_like: Collection[str]) -> str:
    """Say which CNNs and scores were label sets for training fields, and are none for these.

    Parameters
    ----------
    blocks : ColumnBlocks
        Of new fields.
    named : NamedColumns
    label_like : collection of str
        From `label_like_names`, of the training fields.

    Returns
    -------
    str
        "" if none is so.
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


#: What predictions that equal the targets mean.
EQUAL = (
    "the values of training fields equal their targets, as out-of-fold predictions never do: "
    "scores will be far too good; take predictions of models that did not see the field"
)
#: What predictions of two kinds mean.
UNLIKE = "what is learnt from the one does not hold for the other; bring both in as the same kind"


def _of_labels(blocks: ColumnBlocks, named: NamedColumns) -> Iterator[tuple[str, np.ndarray, bool]]:
    for name, values in zip(named.cnns, blocks.logits):
        yield name, values, True
    for name, values in zip(named.scores, blocks.scores):
        yield name, values, False
