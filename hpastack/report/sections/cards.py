"""A card per label: its curves, what speaks for it, and fields that are right and wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpastack.metrics import reliability_bins
from hpastack.report.charts import precision_recall_chart, reliability_chart
from hpastack.report.column_words import column_words
from hpastack.report.facts import Facts
from hpastack.report.svg import bar
from hpastack.report.tiles import field_tiles

#: Fields of each group on a card: pictures at most, and rows of a table where there are none.
_MOST_PICTURES, _ROWS = 4, 8
_N_COLUMNS = 5


def context(facts: Facts) -> dict[str, Any]:
    """Return the cards, in the order of the vocabulary."""
    allowed = facts.pictures.allowed("cards")
    n_shown = min(_MOST_PICTURES, allowed // (3 * len(facts.names))) if allowed else 0
    return {
        "cards": [_card(facts, k, n_shown) for k in range(len(facts.names))],
        "has_pictures": n_shown > 0,
        "start": facts.start,
        "has_importance": facts.importance is not None,
    }


def groups_of_fields(facts: Facts, label: int, n_fields: int) -> dict[str, np.ndarray]:
    """Return fields that show what a label gets right and wrong.

    Parameters
    ----------
    facts : Facts
    label : int
    n_fields : int
        Of each group.

    Returns
    -------
    dict of str to ndarray of int
        Positions among the training fields, at most one per cluster: ``right``, predicted and
        annotated, the most probable first; ``extra``, predicted but not annotated, the
        most probable first; ``missed``, annotated but not predicted, the least probable
        first.
    """
    y, labels = facts.y[:, label] == 1, facts.labels[:, label] == 1
    probability = facts.probabilities[:, label]
    chosen = {"right": (y & labels, -1), "extra": (~y & labels, -1), "missed": (y & ~labels, 1)}
    return {
        name: _one_per_cluster(facts, np.flatnonzero(rows), sign * probability, n_fields)
        for name, (rows, sign) in chosen.items()
    }


def _one_per_cluster(facts: Facts, rows: np.ndarray, rank: np.ndarray, n_fields: int) -> np.ndarray:
    """Return the first rows by rank, near-duplicates of earlier ones passed over."""
    ordered = rows[np.argsort(rank[rows], kind="stable")]
    if facts.clusters is not None:
        _, first = np.unique(facts.clusters[ordered], return_index=True)
        ordered = ordered[np.sort(first)]
    return ordered[:n_fields]


def _card(facts: Facts, label: int, n_shown: int) -> dict[str, Any]:
    name, row = facts.names[label], facts.table.iloc[label]
    y, probability = facts.y[:, label], facts.probabilities[:, label]
    groups = groups_of_fields(facts, label, n_shown or _ROWS)
    card = {
        "number": label,
        "name": name,
        "f1": row["stack_f1"],
        "ap": row["stack_ap"],
        "positives": int(row["positives"]),
        "clusters": int(row["clusters"]),
        "weight": row["booster_weight"],
        "counts": {
            "right": int((y & facts.labels[:, label]).sum()),
            "extra": int(((1 - y) & facts.labels[:, label]).sum()),
            "missed": int((y & (1 - facts.labels[:, label])).sum()),
        },
        "groups": {
            group: field_tiles(facts, rows, label=label, pictures=n_shown > 0)
            for group, rows in groups.items()
        },
        "columns": _columns(facts, label),
        "precision_recall": None,
        "reliability": reliability_chart(
            reliability_bins(y, probability), f"Reliability of {name}"
        ),
    }
    if y.any():
        card["precision_recall"] = precision_recall_chart(
            y, probability, facts.labels[:, label], f"Precision and recall of {name}"
        )
    return card


def _columns(facts: Facts, label: int) -> list[dict[str, Any]]:
    if facts.importance is None:
        return []
    of_label = facts.importance[facts.importance["label"] == facts.names[label]]
    of_label = of_label[of_label["mean_absolute"] > 0].head(_N_COLUMNS)
    largest = of_label["mean_absolute"].max() if len(of_label) else 1.0
    stores = facts.record.get("stores", {})
    return [
        {
            "words": column_words(str(column), facts.names, stores),
            "column": column,
            "size": size,
            "bar": bar(size / largest),
        }
        for column, size in zip(of_label["column"], of_label["mean_absolute"])
    ]
