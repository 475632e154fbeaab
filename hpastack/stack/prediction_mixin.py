"""Methods of a fitted stack for new fields."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from hpastack.calibration import apply_thresholds
from hpastack.errors import InputError
from hpastack.metrics import macro_f1
from hpastack.parallel import Workers
from hpastack.stack.cache import StackCache
from hpastack.stack.column_blocks import ColumnBlocks, sorted_columns
from hpastack.stack.explaining import explain
from hpastack.stack.field_values import aligned
from hpastack.stack.fitted import Fitted
from hpastack.stack.inputs import (
    checked_table,
    indicator,
    label_columns,
    member_tables,
    own_columns,
)
from hpastack.stack.label_like import PredictionWarning, kinds_warning
from hpastack.stack.predicting import consensus_probabilities, predict_probabilities


class PredictionMixin:
    """The methods of `hpastack.StackClassifier` that need only the fitted attributes."""

    cnns: Sequence[str]
    logits: Sequence[str]
    scores: Sequence[str]
    embeddings: Sequence[str]
    bags: int
    min_labels: int
    n_jobs: int | None
    cache: Any
    labels_: list[str]
    n_features_in_: int
    thresholds_: np.ndarray
    labels_by_consensus_: bool
    members_: Sequence[str]
    fitted_: list[Fitted]

    def predict_proba(self, X: Any) -> Any:
        """Return calibrated probabilities.

        Parameters
        ----------
        X : DataFrame or array-like, or a list of them
            With the columns of `feature_names_in_`, in any order. In a list,
            each table has the predictions of one fold model of the CNNs for
            the same fields: the stack is applied to each, and the
            probabilities are averaged. A mean of several networks is not
            distributed like the output of the single network that predicted a
            training field, so a list is better than a table of means.

        Returns
        -------
        DataFrame (or ndarray if X is an array), shape (n, n_labels)
            Indexed as X, one column per label.

        Raises
        ------
        InputError
            If a column is missing, a prediction is invalid, or the tables of a
            list differ in their rows.
        """
        cache, workers = StackCache(self.cache), Workers(self.n_jobs)
        return self._mean_over_members(
            X,
            lambda blocks: predict_probabilities(
                self.fitted_, blocks, self.members_, cache, workers
            ),
        )

    def predict_consensus(self, X: Any) -> Any:
        """Return the probabilities of the consensus of the CNNs.

        Parameters
        ----------
        X : DataFrame, array-like or list of them
            As in `predict_proba`.

        Returns
        -------
        DataFrame (or ndarray if X is an array), shape (n, n_labels)
            Those of ``consensus`` in `comparison_`; without CNNs the prevalence.
        """
        return self._mean_over_members(X, partial(consensus_probabilities, self.fitted_))

    def predict(self, X: Any) -> Any:
        """Return labels.

        Parameters
        ----------
        X : DataFrame, array-like or list of them
            As in `predict_proba`.

        Returns
        -------
        DataFrame of uint8 (or ndarray of int64 if X is an array), shape (n, n_labels)
        """
        check_is_fitted(self, "thresholds_")
        if self.labels_by_consensus_:
            return self.label(consensus=self.predict_consensus(X))
        return self.label(self.predict_proba(X))

    def label(self, probabilities: Any = None, consensus: Any = None) -> Any:
        """Turn probabilities into labels.

        Parameters
        ----------
        probabilities, consensus : DataFrame or ndarray, shape (n, n_labels)
            From `predict_proba` and from `predict_consensus`. The second is
            needed if `labels_by_consensus_`, otherwise the first. The columns
            of a DataFrame are matched to labels by name, in any order.

        Returns
        -------
        DataFrame of uint8 or ndarray of int64, shape (n, n_labels)
            A DataFrame has the columns of `labels_`, in their order.
        """
        check_is_fitted(self, "thresholds_")
        name = "consensus" if self.labels_by_consensus_ else "probabilities"
        values = consensus if self.labels_by_consensus_ else probabilities
        if values is None:
            method = "predict_consensus" if self.labels_by_consensus_ else "predict_proba"
            raise InputError(
                f"this stack predicts labels from {name}: pass {name}=stack.{method}(X)"
            )
        labels = apply_thresholds(
            label_columns(values, self.labels_, name), self.thresholds_, min_labels=self.min_labels
        )
        if not isinstance(values, pd.DataFrame):
            return labels.astype(np.int64)
        return pd.DataFrame(labels, index=values.index, columns=self.labels_)

    def explain(self, X: Any, labels: Sequence[str | int] | None = None) -> dict[str, pd.DataFrame]:
        """Split the log-odds of labels into the contributions of columns.

        See `hpastack.stack.explaining.explain`; `hpastack.column_importance`
        ranks the columns of the result.
        """
        return explain(self, X, labels)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the macro F1 over the labels with positives, as in `cv_results_`.

        Parameters
        ----------
        X : DataFrame, array-like or list of them
            As in `predict_proba`.
        y : DataFrame, array-like or sparse matrix of {0, 1}, shape (n, n_labels); or names
            As in `fit`. The columns of a DataFrame are matched by name.
        sample_weight : Series or array-like of float, shape (n,), optional
            A Series is joined by id.

        Returns
        -------
        float
        """
        check_is_fitted(self, "thresholds_")
        index = checked_table(member_tables(X)[0]).index
        indicated, _ = indicator(y, index, self.labels_)
        if sample_weight is not None:
            sample_weight = aligned(sample_weight, index, "sample_weight")
        return macro_f1(indicated, np.asarray(self.predict(X)), sample_weight, absent="skip")

    def sorted_inputs(self, X: Any) -> ColumnBlocks:
        """Return the columns of new fields, sorted by type; errors as in `predict_proba`."""
        check_is_fitted(self, "fitted_")
        table = own_columns(X, getattr(self, "feature_names_in_", None), self.n_features_in_)
        blocks = sorted_columns(table, len(self.labels_), self)
        if unlike := kinds_warning(blocks, self, getattr(self, "label_like_", ())):
            warnings.warn(unlike, PredictionWarning, stacklevel=4)
        return blocks

    def _mean_over_members(self, X: Any, predict: Callable[[ColumnBlocks], np.ndarray]) -> Any:
        """Average the predictions for each table of a list, or for the only one."""
        check_is_fitted(self, "thresholds_")
        members = member_tables(X)
        values = np.mean([predict(self.sorted_inputs(member)) for member in members], axis=0)
        if not isinstance(members[0], pd.DataFrame):
            return values
        return pd.DataFrame(values, index=members[0].index, columns=self.labels_)
