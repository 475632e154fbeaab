"""Tables of scores, clusters and folds as text, as the commands print them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from hpastack.errors import counted, shorten
from hpastack.folds import FoldReport
from hpastack.stack import SCORES, StackClassifier

_TITLES = {
    "macro_f1": "macro F1",
    "macro_ap": "macro average precision",
    "ece": "calibration error",
    "brier": "Brier score",
    "log_loss": "log loss",
}


def scores_text(stack: StackClassifier) -> str:
    """Return the scores of a fitted stack, by label and over all labels.

    Parameters
    ----------
    stack : StackClassifier
        Fitted.

    Returns
    -------
    str
        The table of labels, that of what the stack is compared with, the scores
        with their intervals, and the settings of trees that were chosen.
    """
    start = "consensus" if stack.cnns else "prior"
    shown = ["positives", f"{start}_f1", *(f"{name}_f1" for name in stack.members_), "stack_f1",
             f"{start}_ap", "stack_ap", "booster_weight", "threshold"]  # fmt: skip
    table = stack.label_table_[shown].round(3).astype(str)
    low, high = stack.label_table_["threshold_low"], stack.label_table_["threshold_high"]
    if stack.n_bootstrap:
        table["95 %"] = [f"{a:.2f}-{b:.2f}" for a, b in zip(low, high)]
    table["predicted"] = stack.label_table_["predicted"]
    with pd.option_context("display.width", 160, "display.max_columns", None):
        lines = [
            table.to_string(),
            "\nout of fold, thresholds chosen out of fold:",
            stack.comparison_.to_string(float_format="{:.4f}".format),
            "",
        ]
    found, n_labels = stack.cv_results_, len(stack.labels_)
    lines.append(
        f"{found['n_labels_scored']} of {counted(n_labels, 'label')} had positives; macro F1, "
        "macro average precision and calibration error are computed over these:"
    )
    for name in SCORES:
        lines.append(
            f"{_TITLES[name]}: {found[name]:.4f}{_interval(found, name)} "
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
            f"over the {start}, {_TITLES[name]}: {found[gain]:+.4f}{_interval(found, gain)}"
        )
    if stack.tuning_ is not None:
        taken = stack.tuning_[stack.tuning_["chosen_for"].map(len) > 0]
        lines.append("\nsettings of the trees that were taken:")
        lines.append(taken.drop(columns="fold_losses").to_string(index=False))
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


def _interval(found: Mapping[str, Any], name: str) -> str:
    interval = found.get(f"{name}_interval")
    return f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""
