"""Confusions of labels: the labels predicted where another one is missed."""

from __future__ import annotations

import numpy as np

from hpastack.errors import InputError


def confusions(y: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fraction of the fields with a missed label in which each other label is falsely predicted.

    Parameters
    ----------
    y, labels : ndarray of {0, 1}, shape (n, n_labels)
        Annotated and predicted labels.

    Returns
    -------
    share : ndarray of float, shape (n_labels, n_labels + 1)
        One row per missed label, one column per label that is predicted but
        not annotated; the last column is the fraction of fields without such a
        label. 0 for a label that is never missed. A field can count in several
        columns.
    n_missed : ndarray of int, shape (n_labels,)
        Number of fields in which the label is missed (annotated but not
        predicted).

    Raises
    ------
    InputError
        If the shapes differ.

    Examples
    --------
    >>> share, n_missed = confusions(np.array([[1, 0], [1, 0]]), np.array([[0, 1], [0, 0]]))
    >>> share.tolist(), n_missed.tolist()
    ([[0.0, 0.5, 0.5], [0.0, 0.0, 0.0]], [2, 0])
    """
    if y.ndim != 2 or y.shape != labels.shape:
        raise InputError(
            f"y has shape {y.shape} and labels has shape {labels.shape}; both must be (n, n_labels)"
        )
    missed, extra = (y == 1) & (labels == 0), (y == 0) & (labels == 1)
    columns = np.column_stack([extra, ~extra.any(axis=1)]).astype(float)
    n_missed = missed.sum(axis=0)
    together = missed.astype(float).T @ columns
    return together / np.maximum(n_missed, 1)[:, None], n_missed
