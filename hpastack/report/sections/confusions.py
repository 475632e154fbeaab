"""Labels predicted instead of a missed label, and co-occurrence of labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from hpastack.metrics import confusions
from hpastack.report.facts import Facts

#: Rows with fewer missed fields are grey, because their percentages are too uncertain.
FEWEST = 10
#: Maximum number of fields listed for a cell, and of labels of a table.
_LISTED, _MOST_LABELS = 4, 40
# Maximum number of pairs of labels listed. Ratios with fewer observed and expected fields are grey.
_PAIRS, _LEAST_TOGETHER = 10, 5
_SHADES, _LARGEST_LOG = 8, 3.0


class ListedFields:
    """Fields listed by cells of tables; the page contains each field once.

    Parameters
    ----------
    facts : Facts
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._place: dict[int, int] = {}

    def places(self, rows: Iterable[int]) -> str:
        """Return the positions of training fields in the list of the page, as an attribute."""
        return " ".join(str(self._place.setdefault(int(row), len(self._place))) for row in rows)

    def items(self) -> list[dict[str, str]]:
        """Return the listed fields: id, and the numbers of their annotated and predicted labels."""
        facts = self._facts
        return [
            {
                "image_id": str(facts.image_ids[row]),
                "annotated": " ".join(map(str, np.flatnonzero(facts.y[row]))),
                "predicted": " ".join(map(str, np.flatnonzero(facts.labels[row]))),
            }
            for row in self._place
        ]


def context(facts: Facts) -> dict[str, Any] | None:
    """Return both tables, the pairs that differ most, and the fields listed by cells."""
    if len(facts.names) < 2:
        return None
    order = np.argsort(-facts.y.sum(axis=0), kind="stable")[:_MOST_LABELS]
    shown = np.sort(order).tolist()
    listed = ListedFields(facts)
    missed = _missed(facts, shown, listed)
    together = _together(facts, shown, listed)
    return {
        "names": facts.names,
        "shown": shown,
        "n_labels": len(facts.names),
        "missed": missed,
        "together": together,
        "pairs": differing_pairs(facts.y, facts.labels, facts.names),
        "fewest": FEWEST,
        "least_together": _LEAST_TOGETHER,
        "fields": listed.items(),
    }


def _missed(facts: Facts, shown: list[int], listed: ListedFields) -> list[dict[str, Any]]:
    share, n_missed = confusions(facts.y, facts.labels)
    rows = []
    for k in shown:
        if not n_missed[k]:
            continue
        is_missed = (facts.y[:, k] == 1) & (facts.labels[:, k] == 0)
        fields = np.flatnonzero(is_missed)
        # Lowest probability first, as on the card of the label.
        fields = fields[np.argsort(facts.probabilities[fields, k], kind="stable")]
        extra = (facts.y[fields] == 0) & (facts.labels[fields] == 1)
        cells = []
        for j in shown:
            there = fields[extra[:, j]]
            cells.append(
                {
                    "instead": j,
                    "count": len(there),
                    "share": share[k, j],
                    "shade": _shade(share[k, j]),
                    "fields": listed.places(there[:_LISTED]),
                }
            )
        rows.append(
            {
                "number": k,
                "n_missed": int(n_missed[k]),
                "is_few": bool(n_missed[k] < FEWEST),
                "cells": cells,
                "nothing": share[k, -1],
                "nothing_shade": _shade(share[k, -1]),
            }
        )
    return rows


def _shade(share: float) -> int:
    return int(np.ceil(share * _SHADES)) if share > 0 else 0


def co_occurrence(indicator: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count the fields with each pair of labels, and those expected for independent labels.

    Parameters
    ----------
    indicator : ndarray of {0, 1}, shape (n, n_labels)

    Returns
    -------
    observed, expected : ndarray of float, shape (n_labels, n_labels)

    Examples
    --------
    >>> observed, expected = co_occurrence(np.array([[1, 1], [1, 0], [0, 0], [0, 0]]))
    >>> float(observed[0, 1]), float(expected[0, 1])
    (1.0, 0.5)
    """
    indicator = indicator.astype(float)
    count = indicator.sum(axis=0)
    return indicator.T @ indicator, np.outer(count, count) / max(len(indicator), 1)


def _together(facts: Facts, shown: list[int], listed: ListedFields) -> list[dict[str, Any]]:
    """Return one row per label: annotated pairs above the diagonal, predicted pairs below."""
    annotated, predicted = co_occurrence(facts.y), co_occurrence(facts.labels)
    rows = []
    for k in shown:
        cells: list[dict[str, Any] | None] = []
        for j in shown:
            if j == k:
                cells.append(None)
                continue
            kind, own, other = "annotated", facts.y, facts.labels
            observed, expected = (table[k, j] for table in annotated)
            if j < k:
                kind, own, other = "predicted", facts.labels, facts.y
                observed, expected = (table[k, j] for table in predicted)
            both = np.flatnonzero((own[:, k] == 1) & (own[:, j] == 1))
            agreed = other[both, k] * other[both, j]
            both = both[np.argsort(agreed, kind="stable")]  # disagreements first
            ratio = observed / expected if expected else np.nan
            cells.append(
                {
                    "other": j,
                    "kind": kind,
                    "observed": int(observed),
                    "expected": expected,
                    "ratio": ratio,
                    "shade": _ratio_shade(observed, expected),
                    "fields": listed.places(both[:_LISTED]),
                }
            )
        rows.append({"number": k, "cells": cells})
    return rows


def _ratio_shade(observed: float, expected: float) -> str:
    """Return the class of a cell: ``more`` or ``less`` with a strength, ``even`` or ``few``."""
    if max(observed, expected) < _LEAST_TOGETHER or not expected:
        return "few"
    log = np.log2(max(observed, 0.5) / expected)
    strength = int(np.ceil(min(abs(log), _LARGEST_LOG) / _LARGEST_LOG * 4 - 0.25))
    return f"{'more' if log > 0 else 'less'}{strength}" if strength > 0 else "even"


def differing_pairs(
    y: np.ndarray, labels: np.ndarray, names: list[str], n_pairs: int = _PAIRS
) -> list[dict[str, Any]]:
    """Return the pairs of labels whose predicted and annotated counts differ most.

    Parameters
    ----------
    y, labels : ndarray of {0, 1}, shape (n, n_labels)
    names : list of str
    n_pairs : int, default=10

    Returns
    -------
    list of dict
        Largest difference first, in units of the square root of the annotated count.
    """
    (annotated, expected), (predicted, predicted_expected) = co_occurrence(y), co_occurrence(labels)
    first, second = np.triu_indices(len(names), 1)
    difference = (predicted - annotated)[first, second]
    size = np.abs(difference) / np.sqrt(np.maximum(annotated[first, second], 1))
    order = np.argsort(-size, kind="stable")[:n_pairs]

    def ratio(observed: float, by_chance: float) -> float:
        return float(observed / by_chance) if by_chance else float("nan")

    return [
        {
            "first": names[i],
            "second": names[j],
            "annotated": int(annotated[i, j]),
            "annotated_ratio": ratio(annotated[i, j], expected[i, j]),
            "predicted": int(predicted[i, j]),
            "predicted_ratio": ratio(predicted[i, j], predicted_expected[i, j]),
        }
        for i, j in zip(first[order].tolist(), second[order].tolist())
        if predicted[i, j] != annotated[i, j]
    ]
