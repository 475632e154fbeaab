"""The data of a review page: JSON-serialisable values for each field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from hpastack.errors import InputError
from hpastack.files import take_rows
from hpastack.review.issues import ORDERS, Order, issue_scores

#: Maximum number of doubtful labels listed per field.
MOST_DOUBTS = 6


def review_fields(
    y: pd.DataFrame,
    probabilities: pd.DataFrame,
    predicted: pd.DataFrame,
    *,
    order: Order = "normalised",
    n_fields: int = 120,
    clusters: pd.Series | None = None,
    neighbours: Callable[[list[str]], Mapping[str, list[tuple[str, float]]]] | None = None,
) -> list[dict[str, Any]]:
    """Return the fields with the most suspicious annotations, and the data to review them.

    Parameters
    ----------
    y, probabilities, predicted : DataFrame, shape (n, n_labels)
        Annotated labels, out-of-fold probabilities and predicted labels, as in `label_issues`;
        `y` may contain further fields.
    order : {"normalised", "plain"}, default="normalised"
        As in `label_issues`.
    n_fields : int, default=120
        Maximum number of fields.
    clusters : Series of str, optional
        Cluster of each field of `y`, indexed by image id.
    neighbours : callable, optional
        Takes a list of ids and returns a mapping from each id to its nearest neighbours, as pairs
        of id and cosine similarity.

    Returns
    -------
    list of dict
        Most suspicious first: ``id``, ``annotated``, ``suggested`` (numbers of labels), ``p``
        (probabilities to three decimals), ``doubts`` (number of the label, ``add``, ``remove``
        or ``keep``, and the score in each order), ``score`` (the highest in each order),
        ``neighbours`` (id, cosine, labels) and ``near_duplicates`` (id, labels): the other fields
        of its cluster. Labels of a field without annotation are None.

    Raises
    ------
    InputError
        If `n_fields` is below 1, or a table has no row for a field.
    """
    if n_fields < 1:
        raise InputError(f"n_fields is {n_fields}; it must be at least 1")
    labels = list(probabilities.columns)
    annotated = take_rows(y, probabilities.index, "annotated labels")[labels].to_numpy()
    all_p = probabilities.to_numpy(dtype=float)
    all_scores = {name: issue_scores(annotated, all_p, name) for name in ORDERS}
    highest = all_scores[order].max(axis=1)
    rows = np.argsort(-highest, kind="stable")[:n_fields]
    chosen = probabilities.index[rows]
    scores = {name: values[rows] for name, values in all_scores.items()}
    p, own = all_p[rows], annotated[rows]
    predictions = take_rows(predicted, chosen, "predicted labels")[labels].to_numpy()
    numbers = {
        image_id: np.flatnonzero(row).tolist()
        for image_id, row in zip(y.index, y[labels].to_numpy())
    }
    members: dict[str, list[str]] = {}
    if clusters is not None:
        for image_id, cluster in clusters.items():
            if image_id in numbers:
                members.setdefault(cluster, []).append(str(image_id))
    similar = neighbours(chosen.tolist()) if neighbours is not None else {}
    fields = []
    for row, image_id in enumerate(chosen):
        present = own[row]
        suggested = predictions[row].copy()
        if not suggested.any():  # every field must have a label
            suggested[p[row].argmax()] = 1
        doubted = np.flatnonzero(suggested != present)
        if not len(doubted):
            doubted = np.array([scores[order][row].argmax()])
        doubted = doubted[np.argsort(-scores[order][row][doubted], kind="stable")]
        kinds = {(0, 1): "add", (1, 0): "remove"}
        nearest = similar.get(image_id, [])
        same_cluster = members.get(clusters[image_id], []) if clusters is not None else []
        fields.append(
            {
                "id": image_id,
                "annotated": np.flatnonzero(present).tolist(),
                "suggested": np.flatnonzero(suggested).tolist(),
                "p": [round(float(value), 3) for value in p[row]],
                "doubts": [
                    [int(k), kinds.get((int(present[k]), int(suggested[k])), "keep")]
                    + [round(float(scores[name][row, k]), 4) for name in ORDERS]
                    for k in doubted[:MOST_DOUBTS]
                ],
                "score": [round(float(scores[name][row].max()), 4) for name in ORDERS],
                "neighbours": [
                    [other, round(float(cosine), 3), numbers.get(other)]
                    for other, cosine in nearest
                ],
                "near_duplicates": [
                    [other, numbers[other]] for other in same_cluster if other != image_id
                ],
            }
        )
    return fields
