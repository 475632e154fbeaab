"""Fields with their annotated and predicted labels, for captions and tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from hpastack.report.facts import Facts


def field_tiles(
    facts: Facts, rows: Iterable[int], *, label: int | None = None, pictures: bool = True
) -> list[dict[str, Any]]:
    """Return the contents of the captions or table rows of training fields.

    Parameters
    ----------
    facts : Facts
    rows : iterable of int
        Row numbers of the training fields.
    label : int, optional
        Label for which the fields are shown.
    pictures : bool, default=True
        Whether to add pictures.

    Returns
    -------
    list of dict
        ``image_id``; ``src``, the picture or None; ``annotated``, label names; ``predicted``,
        pairs of label name and probability, highest probability first; ``probability`` of
        `label`, or None; ``alt``, the alternative text of the picture; and the label numbers
        ``annotated_numbers`` and ``predicted_numbers``, used by the filters of the page.
    """
    return [_tile(facts, int(row), label, pictures) for row in rows]


def _tile(facts: Facts, row: int, label: int | None, pictures: bool) -> dict[str, Any]:
    image_id = str(facts.image_ids[row])
    annotated, predicted = (np.flatnonzero(of[row]) for of in (facts.y, facts.labels))
    probabilities = facts.probabilities[row]
    ranked = sorted(predicted.tolist(), key=lambda k: (-probabilities[k], k))
    names = [facts.names[k] for k in annotated]
    of_predicted = [(facts.names[k], float(probabilities[k])) for k in ranked]
    listed = ", ".join(f"{name} {value:.2f}" for name, value in of_predicted) or "nothing"
    return {
        "image_id": image_id,
        "src": facts.pictures.uri(image_id) if pictures else None,
        "annotated": names,
        "predicted": of_predicted,
        "probability": None if label is None else float(probabilities[label]),
        "alt": f"Field {image_id}, merged stains beside the protein alone. "
        f"Annotated: {', '.join(names) or 'nothing'}. Predicted: {listed}.",
        "annotated_numbers": " ".join(map(str, annotated)),
        "predicted_numbers": " ".join(map(str, predicted)),
    }
