"""Fields with what is annotated and predicted, as the sections show them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from hpastack.report.facts import Facts


def field_tiles(
    facts: Facts, rows: Iterable[int], *, label: int | None = None, pictures: bool = True
) -> list[dict[str, Any]]:
    """Return what is shown of training fields, in a picture's caption or a row of a table.

    Parameters
    ----------
    facts : Facts
    rows : iterable of int
        Positions of the fields among the training fields.
    label : int, optional
        The label that the fields are shown for.
    pictures : bool, default=True
        Whether to look for pictures.

    Returns
    -------
    list of dict
        ``image_id``; ``src``, the picture or None; ``annotated``, names; ``predicted``,
        pairs of name and probability, the most probable first, `label` among them though
        it is not predicted; ``probability`` of `label`; ``alt``; and the numbers of the labels
        in ``annotated_numbers`` and ``predicted_numbers``, by which the page filters.
    """
    return [_tile(facts, int(row), label, pictures) for row in rows]


def _tile(facts: Facts, row: int, label: int | None, pictures: bool) -> dict[str, Any]:
    image_id = str(facts.image_ids[row])
    annotated, predicted = (np.flatnonzero(of[row]) for of in (facts.y, facts.labels))
    probabilities = facts.probabilities[row]
    named = sorted(predicted.tolist(), key=lambda k: (-probabilities[k], k))
    names = [facts.names[k] for k in annotated]
    of_predicted = [(facts.names[k], float(probabilities[k])) for k in named]
    said = ", ".join(f"{name} {value:.2f}" for name, value in of_predicted) or "nothing"
    return {
        "image_id": image_id,
        "src": facts.pictures.uri(image_id) if pictures else None,
        "annotated": names,
        "predicted": of_predicted,
        "probability": None if label is None else float(probabilities[label]),
        "alt": f"Field {image_id}, all stains beside the protein. "
        f"Annotated: {', '.join(names) or 'nothing'}. Predicted: {said}.",
        "annotated_numbers": " ".join(map(str, annotated)),
        "predicted_numbers": " ".join(map(str, predicted)),
    }
