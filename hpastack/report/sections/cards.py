"""One card per label: curves, most important columns, correct and incorrect fields."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpastack.metrics import reliability_bins
from hpastack.metrics.examples import telling_fields
from hpastack.report.charts import precision_recall_chart, reliability_chart
from hpastack.report.column_words import column_words
from hpastack.report.facts import Facts
from hpastack.report.svg import bar
from hpastack.report.tiles import field_tiles

#: Maximum number of fields of each group on a card: pictures, and rows of a table without pictures.
_MOST_PICTURES, _ROWS = 4, 8
_N_COLUMNS = 5


def context(facts: Facts) -> dict[str, Any]:
    """Return the cards, in the order of the vocabulary."""
    groups = [groups_of_fields(facts, k, _ROWS) for k in range(len(facts.names))]
    n_shown = _pictures_of_a_group(groups, facts.pictures.allowed("cards"))
    if n_shown:
        groups = [{name: of[:n_shown] for name, of in of_label.items()} for of_label in groups]
        rows = np.concatenate([rows for of_label in groups for rows in of_label.values()])
        facts.pictures.prepare(str(facts.image_ids[row]) for row in rows)
    return {
        "cards": [_card(facts, k, of_label, n_shown) for k, of_label in enumerate(groups)],
        "has_pictures": n_shown > 0,
        "start": facts.start,
        "has_importance": facts.importance is not None,
    }


def _pictures_of_a_group(groups: list[dict[str, np.ndarray]], allowed: int) -> int:
    """Return the largest number of pictures per group with at most `allowed` in total."""
    sizes = np.array([len(rows) for of_label in groups for rows in of_label.values()])
    fitting = [n for n in range(1, _MOST_PICTURES + 1) if np.minimum(sizes, n).sum() <= allowed]
    return max(fitting, default=0)


def groups_of_fields(facts: Facts, label: int, n_fields: int) -> dict[str, np.ndarray]:
    """Return examples of correct and incorrect predictions of a label.

    Parameters
    ----------
    facts : Facts
    label : int
    n_fields : int
        Number of fields of each group.

    Returns
    -------
    dict of str to ndarray of int
        Row numbers of training fields; see `hpastack.metrics.examples.telling_fields`.
    """
    return telling_fields(
        facts.y[:, label], facts.labels[:, label], facts.probabilities[:, label], n_fields,
        facts.clusters,
    )  # fmt: skip


def _card(facts: Facts, label: int, groups: dict[str, np.ndarray], n_shown: int) -> dict[str, Any]:
    name, row = facts.names[label], facts.table.iloc[label]
    y, probability = facts.y[:, label], facts.probabilities[:, label]
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
    texts = [column_words(str(column), facts.names, stores) for column in of_label["column"]]
    return [
        {
            "words": text,
            # Columns without "__" are derived by the stack and not in any store.
            "column": column,
            "named": text != column and "__" in column,
            "size": size,
            "bar": bar(size / largest, width=160),
        }
        for column, text, size in zip(of_label["column"], texts, of_label["mean_absolute"])
    ]
