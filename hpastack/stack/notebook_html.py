"""HTML representation of a fitted stack for notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hpastack.errors import shorten
from hpastack.files.notebook_html import html_details, html_facts, html_table

if TYPE_CHECKING:
    from hpastack.stack.prediction_mixin import PredictionMixin

_SCORES = {
    "macro_f1": ("macro F1", 3),
    "macro_ap": ("macro average precision", 3),
    "ece": ("calibration error", 4),
}


def stack_html(
    stack: PredictionMixin,
    scores: Mapping[str, Any],
    comparison: pd.DataFrame,
    labels: pd.DataFrame,
    fold: np.ndarray,
) -> str:
    """Return the scores, labels, CNNs and members of a fitted stack as HTML.

    Parameters
    ----------
    stack : StackClassifier
        Fitted.
    scores, comparison, labels, fold
        Its ``cv_results_``, ``comparison_``, ``label_table_`` and ``fold_``.

    Returns
    -------
    str
    """
    start = "consensus" if "consensus_f1" in labels else "prior"
    facts: dict[str, object] = {
        title: f"{scores[name]:.{digits}f}{_interval(scores, name, digits)}"
        for name, (title, digits) in _SCORES.items()
    }
    gain = scores.get("gain_macro_f1")
    if gain is not None:
        facts[f"gain over the {start}"] = (
            f"{gain:+.3f} macro F1{_interval(scores, 'gain_macro_f1', 3)}"
        )
    facts |= {
        "labels": f"{len(labels)}: {shorten(labels.index, 4)}",
        "CNNs": ", ".join(stack.cnns) or "none",
        "members": ", ".join(stack.members_) or "none: the calibrated consensus",
        "columns": f"{stack.n_features_in_:,}",
        "fitted on": f"{len(fold):,} fields in {len(np.unique(fold))} folds",
    }
    shown = ["positives", f"{start}_f1", "stack_f1", f"{start}_ap", "stack_ap", "threshold"]
    shown = [name for name in shown if name in labels]
    return (
        html_facts("Fitted stack, scored out of fold", facts)
        + html_details("by predictor", _table("predictor", comparison))
        + html_details("by label", _table("label", labels[shown]))
    )


def _interval(scores: Mapping[str, Any], name: str, digits: int) -> str:
    if f"{name}_interval" not in scores:
        return ""
    low, high = scores[f"{name}_interval"]
    return f" (95 % interval {low:.{digits}f} to {high:.{digits}f})"


def _table(first: str, frame: pd.DataFrame) -> str:
    header = [first, *(str(name).replace("_", " ") for name in frame.columns)]
    return html_table(header, ([str(name), *values] for name, *values in frame.itertuples()))
