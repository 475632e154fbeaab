"""Tables of scores, clusters and folds as text, as the commands print them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hpastack.errors import counted, shorten
from hpastack.files.text_table import text_table
from hpastack.folds import FoldReport
from hpastack.stack import SCORES, StackClassifier

_TITLES = {
    "macro_f1": "macro F1",
    "macro_ap": "macro average precision",
    "ece": "calibration error",
    "brier": "Brier score",
    "log_loss": "log loss",
}


def scores_text(stack: StackClassifier, *, wide: bool = False, width: int | None = None) -> str:
    """Return the scores of a fitted stack, by label and over all labels.

    Parameters
    ----------
    stack : StackClassifier
        Fitted.
    wide : bool, default=False
        Whether the table of labels has a column for each base model, the threshold with its
        interval, the weight of the boosters and the number of predicted fields too.
    width : int, optional
        Columns of the terminal. If omitted, every label stays on one line.

    Returns
    -------
    str
        The table of labels: positives, F1, its change from the consensus (without CNNs, from
        the prevalence), average precision (AP). Then that of what the stack is compared with,
        the scores with their intervals, and the settings of trees that were chosen.
    """
    start = "consensus" if stack.cnns else "prior"
    table = stack.label_table_
    names = [str(name) for name in table.index]
    if wide:
        columns = {"positives": [f"{n:,}" for n in table["positives"]]}
        shown = [f"{start}_f1", *(f"{name}_f1" for name in stack.members_), "stack_f1",
                 f"{start}_ap", "stack_ap", "booster_weight", "threshold"]  # fmt: skip
        columns |= {name: _decimals(table[name]) for name in shown}
        if stack.n_bootstrap:
            low, high = table["threshold_low"], table["threshold_high"]
            columns["95 %"] = [f"{a:.2f}-{b:.2f}" for a, b in zip(low, high)]
        columns["predicted"] = [f"{n:,}" for n in table["predicted"]]
    else:
        change = (table["stack_f1"] - table[f"{start}_f1"]).round(3) + 0.0  # not -0.000
        columns = {
            "positives": [f"{n:,}" for n in table["positives"]],
            "F1": _decimals(table["stack_f1"]),
            "change": ["-" if np.isnan(value) else f"{value:+.3f}" for value in change],
            "AP": _decimals(table["stack_ap"]),
        }
    compared = stack.comparison_
    scores = {name: _decimals(compared[name], 4) for name in compared}
    lines = [
        text_table(names, columns, None if wide else width, "label"),
        *([] if wide else [f"change: of F1 from the {start}"]),
        "\nout of fold, thresholds chosen out of fold:",
        text_table([str(name) for name in compared.index], scores, width),
        "",
    ]
    found, n_labels = stack.cv_results_, len(stack.labels_)
    lines.append(
        f"{found['n_labels_scored']} of {counted(n_labels, 'label')} had positives; macro F1, "
        "macro average precision and calibration error are computed over these:"
    )
    for name in SCORES:
        lines.append(
            f"{_TITLES[name]}: {found[name]:.4f}{interval_text(found, name)} "
            f"(naive: {found[f'naive_{name}']:.4f})"
        )
    if found["n_labels_scored"] < n_labels:
        lines.append(
            f"macro F1 over all {n_labels} labels, 0 for those without positives: "
            f"{found['macro_f1_all_labels']:.4f}"
        )
    for name in ("macro_f1", "macro_ap"):
        gain = f"gain_{name}"
        lines.append(
            f"over the {start}, {_TITLES[name]}: {found[gain]:+.4f}{interval_text(found, gain)}"
        )
    if stack.tuning_ is not None:
        taken = stack.tuning_[stack.tuning_["chosen_for"].map(len) > 0]
        lines.append("\nsettings of the trees that were taken:")
        if wide or width is None:
            lines.append(taken.drop(columns="fold_losses").to_string(index=False))
        else:
            lines += [
                ", ".join(
                    f"{name} {f'{value:.4g}' if isinstance(value, float) else value}"
                    for name, value in row.items()
                )
                for row in taken.drop(columns="fold_losses").to_dict("records")
            ]
    return "\n".join(lines)


def clusters_text(clusters: pd.Series, pairs: pd.DataFrame, disagreements: pd.DataFrame) -> str:
    """Summarise clusters, and name those in which labels disagree.

    Parameters
    ----------
    clusters : Series of str
        Cluster of each field.
    pairs : DataFrame
        Pairs of near-duplicates, one per row.
    disagreements : DataFrame
        Table of `hpastack.clusters.label_disagreements`.

    Returns
    -------
    str
        One or two lines.
    """
    sizes = clusters.value_counts()
    text = (
        f"{counted(len(pairs), 'pair')} of near-duplicates; {counted(len(sizes), 'cluster')} of "
        f"{counted(len(clusters), 'field')}, the largest ({sizes.index[0]}) with {sizes.iloc[0]}"
    )
    if len(disagreements):
        n_clusters = disagreements["cluster"].nunique()
        text += (
            f"\nin {counted(n_clusters, 'cluster')} the labels of training fields disagree: "
            f"{shorten(disagreements['cluster'].unique())} (data/disagreements.csv)"
        )
    return text


def folds_text(report: FoldReport, fold: np.ndarray) -> str:
    """Summarise the sizes of the folds and how evenly labels are distributed over them.

    Parameters
    ----------
    report : FoldReport
        Report of these folds.
    fold : ndarray of int
        Fold of each training field.

    Returns
    -------
    str
        One line.
    """
    sizes, measures = np.bincount(fold), report.measures
    return (
        f"{len(sizes)} folds of {sizes.min()} to {sizes.max()} fields; positives of a label "
        f"differ from an equal share by {measures['relative_deviation']:.2%} on average "
        f"(no folds of these clusters can do better than {measures['lower_bound']:.2%})"
    )


def _decimals(values: pd.Series, n_decimals: int = 3) -> list[str]:
    return ["-" if np.isnan(value) else f"{value:.{n_decimals}f}" for value in values]


def interval_text(found: Mapping[str, Any], name: str) -> str:
    """Return the interval of a score in brackets, after a space; empty without one.

    Parameters
    ----------
    found : mapping
        ``cv_results_`` of a stack.
    name : str
        Of the score.

    Returns
    -------
    str
    """
    interval = found.get(f"{name}_interval")
    return f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""
