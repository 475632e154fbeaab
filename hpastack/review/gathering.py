"""What a review page shows of each field: plain values, gathered once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from hpastack.errors import InputError
from hpastack.files import take_rows
from hpastack.review.issues import ORDERS, Order, issue_scores

#: Pairs of field and label that are named for one field.
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
    """Fields whose annotation is doubted most, with what a reader needs to judge them.

    Parameters
    ----------
    y, probabilities, predicted : DataFrame, shape (n, n_labels)
        Annotated labels, out-of-fold probabilities and predicted labels, as `label_issues` takes
        them; `y` may hold further fields.
    order : {"normalised", "plain"}, default="normalised"
    n_fields : int, default=120
    clusters : Series of str, optional
        Cluster of each field of `y`, indexed by image id.
    neighbours : callable, optional
        Takes ids and returns the fields that look like each, with their cosine, by its id.

    Returns
    -------
    list of dict
        Most suspicious first: ``id``, ``annotated``, ``suggested`` (numbers of labels), ``p``
        (probabilities to three decimals), ``doubts`` (number of the label, ``add``, ``remove``
        or ``keep``, and the score in each order), ``score`` (the highest in each order),
        ``neighbours`` (id, cosine, labels) and ``twins`` (id, labels) of the same cluster. Labels
        of a field without annotation are None.
    """
    if n_fields < 1:
        raise InputError(f"n_fields is {n_fields}; it must be at least 1")
    labels = list(probabilities.columns)
    annotated = take_rows(y, probabilities.index, "annotated labels")[labels].to_numpy()
    all_p = probabilities.to_numpy(dtype=float)
    all_scores = {one: issue_scores(annotated, all_p, one) for one in ORDERS}
    highest = all_scores[order].max(axis=1)
    rows = np.argsort(-highest, kind="stable")[:n_fields]
    chosen = probabilities.index[rows]
    scores = {one: values[rows] for one, values in all_scores.items()}
    p, own = all_p[rows], annotated[rows]
    said = take_rows(predicted, chosen, "predicted labels")[labels].to_numpy()
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
        given = own[row]
        suggested = said[row].copy()
        if not suggested.any():  # every field has a label
            suggested[p[row].argmax()] = 1
        doubted = np.flatnonzero(suggested != given)
        if not len(doubted):
            doubted = np.array([scores[order][row].argmax()])
        doubted = doubted[np.argsort(-scores[order][row][doubted], kind="stable")]
        kinds = {(0, 1): "add", (1, 0): "remove"}
        near = similar.get(image_id, [])
        same = members.get(clusters[image_id], []) if clusters is not None else []
        fields.append(
            {
                "id": image_id,
                "annotated": np.flatnonzero(given).tolist(),
                "suggested": np.flatnonzero(suggested).tolist(),
                "p": [round(float(value), 3) for value in p[row]],
                "doubts": [
                    [int(k), kinds.get((int(given[k]), int(suggested[k])), "keep")]
                    + [round(float(scores[one][row, k]), 4) for one in ORDERS]
                    for k in doubted[:MOST_DOUBTS]
                ],
                "score": [round(float(scores[one][row].max()), 4) for one in ORDERS],
                "neighbours": [
                    [name, round(float(cosine), 3), numbers.get(name)] for name, cosine in near
                ],
                "twins": [[name, numbers[name]] for name in same if name != image_id],
            }
        )
    return fields
