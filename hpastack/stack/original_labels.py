"""Scores on the original labels of a stack that was fitted on corrected labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from hpastack.files import take_rows
from hpastack.metrics import brier_score, macro_average_precision, macro_f1

if TYPE_CHECKING:
    from hpastack.stack.classifier import StackClassifier


def original_label_scores(
    stack: StackClassifier, corrected: pd.DataFrame, original: pd.DataFrame
) -> pd.DataFrame:
    """Out-of-fold scores on corrected and on original labels.

    If a model chooses which labels are corrected, its scores on the corrected labels are
    optimistic: they rise even where the corrections are wrong.

    Parameters
    ----------
    stack : StackClassifier
        Fitted on the corrected labels.
    corrected, original : DataFrame of {0, 1}, shape (n, n_labels)
        Labels of the training fields, indexed by image id.

    Returns
    -------
    DataFrame
        ``macro_f1``, ``macro_ap`` (of labels with positives) and ``brier``; rows ``corrected`` and
        ``original``.
    """
    labels, probabilities = stack.oof_labels_.to_numpy(), stack.oof_probabilities_.to_numpy()
    rows = {}
    for name, table in (("corrected", corrected), ("original", original)):
        y = take_rows(table, stack.oof_labels_.index, f"{name} labels").to_numpy()
        rows[name] = {
            "macro_f1": macro_f1(y, labels, absent="skip"),
            "macro_ap": macro_average_precision(y, probabilities),
            "brier": brier_score(y, probabilities),
        }
    return pd.DataFrame.from_dict(rows, orient="index")
