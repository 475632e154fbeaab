"""Examples of correct and wrong predictions of a label."""

from __future__ import annotations

import numpy as np


def telling_fields(
    y: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    n_fields: int,
    clusters: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return the fields with the most extreme probabilities for each outcome of a label.

    Parameters
    ----------
    y, labels : ndarray of {0, 1}, shape (n,)
        Whether the label is annotated and predicted.
    probabilities : ndarray of float, shape (n,)
    n_fields : int
        Largest number of fields for each outcome.
    clusters : ndarray, shape (n,), optional
        Cluster of each field; at most one field per cluster is chosen.

    Returns
    -------
    dict of str to ndarray of int
        Row numbers of fields: ``right``, annotated and predicted, highest
        probability first; ``extra``, predicted but not annotated, highest
        probability first; ``missed``, annotated but not predicted, lowest
        probability first.

    Examples
    --------
    >>> y, labels = np.array([1, 1, 0, 1, 0]), np.array([1, 1, 1, 0, 0])
    >>> chosen = telling_fields(y, labels, np.array([0.7, 0.9, 0.8, 0.1, 0.0]), n_fields=1)
    >>> {outcome: rows.tolist() for outcome, rows in chosen.items()}
    {'right': [1], 'extra': [2], 'missed': [3]}
    """
    annotated, predicted = y == 1, labels == 1
    outcomes = {
        "right": (annotated & predicted, -1),
        "extra": (~annotated & predicted, -1),
        "missed": (annotated & ~predicted, 1),
    }
    chosen = {}
    for outcome, (has_outcome, sign) in outcomes.items():
        rows = np.flatnonzero(has_outcome)
        rows = rows[np.argsort(sign * probabilities[rows], kind="stable")]
        if clusters is not None:
            _, first = np.unique(clusters[rows], return_index=True)
            rows = rows[np.sort(first)]
        chosen[outcome] = rows[:n_fields]
    return chosen
