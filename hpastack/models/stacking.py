"""The stack: per-label boosters that start from the CNN consensus.

Everything learned from labels is scored out of fold, and folds keep clusters
whole. Level by level:

1. in each fold the consensus of the CNNs is fitted on the other folds, and
   boosters are trained from its margin, one per label and library;
2. their out-of-fold log-odds are blended with the consensus, calibrated and
   thresholded; for the reported scores each of these is fitted on the
   out-of-fold rows of the other folds;
3. new fields get the mean of the fold models, then the blend, calibration and
   thresholds fitted on all out-of-fold rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from hpastack.errors import InputError, shorten
from hpastack.folds import MultilabelStratifiedGroupKFold
from hpastack.metrics import (
    average_precisions,
    cluster_bootstrap,
    expected_calibration_error,
    f1_scores,
    macro_average_precision,
    macro_f1,
)
from hpastack.models.blending import blend, booster_weight
from hpastack.models.boosting import TreeSettings, library
from hpastack.models.calibration import fit_platt
from hpastack.models.consensus import Consensus, clipped_logits
from hpastack.models.thresholds import apply_thresholds, best_thresholds


@dataclass(frozen=True)
class Inputs:
    """The columns of X, sorted into what the CNNs say and everything else.

    Parameters
    ----------
    logits : ndarray of float, shape (n_cnns, n, n_labels)
        Bounded log-odds of the CNNs.
    features : ndarray of float32, shape (n, n_features)
    """

    logits: np.ndarray
    features: np.ndarray

    def columns(self, label: int, margin: np.ndarray, rows) -> np.ndarray:
        """Return what the boosters of a label see of some fields.

        The label's own column of each CNN, the consensus of every label, and
        all features.

        Parameters
        ----------
        label : int
        margin : ndarray of float, shape (n, n_labels)
            The consensus. Left out where there are no CNNs: it is a constant.
        rows : index of fields

        Returns
        -------
        ndarray of float32, shape (rows, n_columns)
        """
        parts = [self.features[rows]]
        if len(self.logits):
            parts = [self.logits[:, rows, label].T, margin[rows], *parts]
        return np.concatenate([np.asarray(part, dtype=np.float32) for part in parts], axis=1)


class StackClassifier(MultiOutputMixin, ClassifierMixin, BaseEstimator):
    """Name the labels of fields from CNN predictions and image features.

    Per label, LightGBM and XGBoost start from the consensus of the CNNs (its
    log-odds are their initial margin), are blended with it where they beat it
    on held-out clusters, calibrated (Platt) and thresholded for macro F1.

    Parameters
    ----------
    cnns : sequence of str, default=()
        Names of the CNNs. Their columns in X are ``<cnn>__<label id>``; every
        other column is a feature. With none, boosters start from the prior.
    logits : sequence of str, default=()
        The CNNs whose columns are logits rather than probabilities.
    boosters : sequence of {"lightgbm", "xgboost"}, default=both
        Libraries, averaged.
    rounds, learning_rate, leaves, min_leaf, l2, column_share
        As `hpastack.models.boosting.TreeSettings`.
    min_positives, min_clusters : int, default=20, 5
        With fewer positive fields, or fewer clusters that hold one, in the
        training part of a fold the consensus of a label stands.
    thresholds : {"shrunk", "global", "per-label"}, default="shrunk"
        As `hpastack.models.thresholds.best_thresholds`.
    n_splits : int, default=5
        Folds, where `fit` is given none.
    n_bootstrap : int, default=200
        Draws behind the intervals of `cv_results_`; 0 for none.
    random_state : int, default=0
        Seed of folds and trees.
    n_jobs : int, optional
        Workers over (label, fold); results do not depend on it. An active
        ``joblib.parallel_config`` is honoured.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    feature_names_in_ : ndarray of str
        Columns of X.
    labels_ : list of str
        Names of the labels: the columns of `y`, or their numbers.
    oof_probabilities_, oof_labels_ : DataFrame
        Out of fold, calibrated and thresholded out of fold; rows by id.
    cv_results_ : dict
        ``macro_f1``, ``macro_ap`` and ``ece`` out of fold, each with
        ``_interval`` (95 %, by cluster); ``naive_...``: the same with blend,
        calibration and thresholds fitted on the rows they are scored on.
    comparison_ : DataFrame
        The same three scores for each CNN, their mean, the consensus and the
        stack, thresholds chosen out of fold for all.
    label_table_ : DataFrame
        A row a label: positives, clusters that hold one, F1 and average
        precision of consensus and stack, weight of the boosters, threshold.
    thresholds_ : ndarray of float, shape (n_labels,)
    fold_ : ndarray of int, shape (n,)
        Fold of each training field.

    Notes
    -----
    Blend, calibration and thresholds have a few numbers a label and are
    cross-fitted on the out-of-fold log-odds; the boosters behind those of the
    other folds have seen the labels of the fold scored. The full nesting, which
    costs as many times more fits as there are folds, is not done.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> y = (rng.random((300, 2)) < 0.3).astype(int)
    >>> X = pd.DataFrame(expit(2 * y - 1 + rng.normal(size=y.shape)), columns=["net__0", "net__1"])
    >>> stack = StackClassifier(cnns=["net"], boosters=["lightgbm"], n_bootstrap=0).fit(X, y)
    >>> stack.predict(X).shape
    (300, 2)
    """

    def __init__(
        self,
        cnns: Sequence[str] = (),
        *,
        logits: Sequence[str] = (),
        boosters: Sequence[str] = ("lightgbm", "xgboost"),
        rounds: int = 60,
        learning_rate: float = 0.1,
        leaves: int = 7,
        min_leaf: int = 20,
        l2: float = 20.0,
        column_share: float = 0.8,
        min_positives: int = 20,
        min_clusters: int = 5,
        thresholds: str = "shrunk",
        n_splits: int = 5,
        n_bootstrap: int = 200,
        random_state: int = 0,
        n_jobs: int | None = None,
        verbose: bool = False,
    ):
        self.cnns = cnns
        self.logits = logits
        self.boosters = boosters
        self.rounds = rounds
        self.learning_rate = learning_rate
        self.leaves = leaves
        self.min_leaf = min_leaf
        self.l2 = l2
        self.column_share = column_share
        self.min_positives = min_positives
        self.min_clusters = min_clusters
        self.thresholds = thresholds
        self.n_splits = n_splits
        self.n_bootstrap = n_bootstrap
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: pd.DataFrame, y: Any, groups: Any = None, folds: Any = None):
        """Fit the stack and score it out of fold.

        Parameters
        ----------
        X : DataFrame, shape (n, n_columns)
            Indexed by image id; see `cnns` for its columns. NaN is allowed in
            features only.
        y : DataFrame or array-like of {0, 1}, shape (n, n_labels)
            A DataFrame is joined to X by id.
        groups : Series or array-like, shape (n,), optional
            Cluster of each field; every field its own if left out. A Series
            is joined by id.
        folds : Series or array-like of int, shape (n,), optional
            Fold of each field, 0 and up; made from `groups` if left out.

        Returns
        -------
        StackClassifier
            Itself.

        Raises
        ------
        InputError
            If rows, columns or ids do not fit, a CNN's column is missing, a
            prediction is out of range or not finite, or a fold splits a
            cluster.
        """
        X = _frame(X)
        image_ids = X.index
        y, self.labels_ = _indicator(y, image_ids)
        clusters = _codes(_aligned(groups, image_ids, "groups", default=np.arange(len(X))))
        self.feature_names_in_ = np.array(X.columns, dtype=object)
        self.n_features_in_ = X.shape[1]
        self.classes_ = [np.array([0, 1]) for _ in self.labels_]
        for name in self.boosters:
            library(name)
        inputs = self._inputs(X)
        if folds is None:
            splitter = MultilabelStratifiedGroupKFold(self.n_splits, random_state=self.random_state)
            # No warning of rare labels: `label_table_` says in how many clusters each lives.
            fold = splitter.fold_numbers(y, clusters)
        else:
            fold = np.asarray(_aligned(folds, image_ids, "folds"), dtype=np.int64)
        self.fold_ = _checked_folds(fold, len(X))

        base, boosted = self._fit_folds(inputs, y, clusters)
        self._fit_top(y, clusters, base, boosted, image_ids)
        self._score(y, clusters, inputs, base, boosted)
        return self

    def predict_proba(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return calibrated probabilities.

        Parameters
        ----------
        X : DataFrame
            Holds the columns of `feature_names_in_`, in any order.

        Returns
        -------
        DataFrame, shape (n, n_labels)
            Indexed as X, a column a label.

        Raises
        ------
        InputError
            If a column is missing, or a prediction is not valid.
        """
        check_is_fitted(self, "thresholds_")
        X = _frame(X)
        missing = [name for name in self.feature_names_in_ if name not in X.columns]
        if missing:
            raise InputError(f"X lacks {len(missing)} columns of the stack: {shorten(missing)}")
        inputs = self._inputs(X[list(self.feature_names_in_)])
        base = np.zeros((len(X), len(self.labels_)))
        boosted = np.zeros_like(base)
        for fold, consensus in enumerate(self.consensus_):
            margin = consensus.margin(inputs.logits)
            base += margin / len(self.consensus_)
            boosted += margin / len(self.consensus_)
            for label in range(len(self.labels_)):
                if self.weights_[label] == 0 or (self.boosters[0], fold, label) not in self.models_:
                    continue
                x = inputs.columns(label, margin, slice(None))
                for name in self.boosters:
                    added = library(name).predict(self.models_[name, fold, label], x)
                    boosted[:, label] += added / (len(self.consensus_) * len(self.boosters))
        logits = blend(base, boosted, self.weights_) * self.calibration_[:, 0]
        probabilities = expit(logits + self.calibration_[:, 1])
        return pd.DataFrame(probabilities, index=X.index, columns=self.labels_)

    def predict(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return labels.

        Parameters
        ----------
        X : DataFrame
            As `predict_proba`.

        Returns
        -------
        DataFrame of uint8, shape (n, n_labels)
        """
        probabilities = self.predict_proba(X)
        labels = apply_thresholds(probabilities.to_numpy(), self.thresholds_)
        return pd.DataFrame(labels, index=probabilities.index, columns=self.labels_)

    def save(self, path, *, record: dict | None = None, overwrite: bool = False):
        """Keep the fitted stack in a folder; see `hpastack.models.stack_files.save_stack`."""
        from hpastack.models.stack_files import save_stack

        return save_stack(self, path, record=record, overwrite=overwrite)

    @property
    def tree_settings(self) -> TreeSettings:
        """Settings of the trees."""
        return TreeSettings(
            rounds=self.rounds,
            learning_rate=self.learning_rate,
            leaves=self.leaves,
            min_leaf=self.min_leaf,
            l2=self.l2,
            column_share=self.column_share,
        )

    def _inputs(self, X: pd.DataFrame) -> Inputs:
        n_labels = len(self.labels_)
        unknown = [name for name in self.logits if name not in self.cnns]
        if unknown:
            raise InputError(f"logits names {shorten(unknown)}, which cnns does not")
        logits = np.zeros((len(self.cnns), len(X), n_labels))
        taken: list[str] = []
        for position, cnn in enumerate(self.cnns):
            columns = [f"{cnn}__{label}" for label in range(n_labels)]
            missing = [name for name in columns if name not in X.columns]
            if missing:
                raise InputError(f"X lacks the columns of CNN {cnn!r}: {shorten(missing)}")
            values = X[columns].to_numpy(dtype=float)
            are_logits = cnn in self.logits
            bad = ~np.isfinite(values)
            if not are_logits:
                bad |= (values < 0) | (values > 1)
            if bad.any():
                row, label = np.argwhere(bad)[0]
                raise InputError(
                    f"{cnn}: {values[row, label]} for label {label} of field {X.index[row]} "
                    f"is not a {'logit' if are_logits else 'probability'}"
                )
            logits[position] = clipped_logits(values, are_logits=are_logits)
            taken += columns
        features = X.drop(columns=taken).to_numpy(dtype=np.float32)
        if np.isinf(features).any():
            row, column = np.argwhere(np.isinf(features))[0]
            name = X.columns.drop(taken)[column]
            raise InputError(f"column {name!r} of field {X.index[row]} is infinite")
        if not len(self.cnns) and not features.shape[1]:
            raise InputError("X has no columns; give predictions of CNNs or features")
        return Inputs(logits, features)

    def _fit_folds(self, inputs: Inputs, y, clusters):
        n_folds = self.fold_.max() + 1
        base = np.zeros(y.shape)
        self.consensus_: list[Consensus] = []
        tasks, margins = [], []
        for fold in range(n_folds):
            train, test = np.flatnonzero(self.fold_ != fold), np.flatnonzero(self.fold_ == fold)
            split = np.intersect1d(clusters[train], clusters[test])
            if len(split):
                at_fault = test[np.isin(clusters[test], split)][0]
                raise InputError(
                    f"fold {fold} splits {len(split)} clusters, such as that of row {at_fault}; "
                    "make folds that keep clusters whole"
                )
            consensus = Consensus.fit(inputs.logits[:, train], y[train], clusters[train])
            margin = consensus.margin(inputs.logits)
            base[test] = margin[test]
            self.consensus_.append(consensus)
            margins.append(margin)
            for label in range(y.shape[1]):
                if self._is_learnable(y[train, label], clusters[train]):
                    tasks += [(name, fold, label) for name in self.boosters]

        parallel = joblib.Parallel(n_jobs=self.n_jobs, prefer="threads", return_as="generator")
        results = parallel(
            joblib.delayed(_fit_booster)(
                name,
                inputs,
                margins[fold],
                y[:, label],
                self.fold_ == fold,
                label,
                self.tree_settings,
                self.random_state,
            )
            for name, fold, label in tasks
        )
        progress = tqdm(
            results, total=len(tasks), desc="boosters", unit="fit", disable=not self.verbose
        )
        boosted, share = base.copy(), 1 / max(1, len(self.boosters))
        self.models_: dict[tuple[str, int, int], bytes] = {}
        for (name, fold, label), (model, added) in zip(tasks, progress, strict=True):
            self.models_[name, fold, label] = model
            boosted[self.fold_ == fold, label] += share * added
        return base, boosted

    def _is_learnable(self, y, clusters) -> bool:
        holders = len(np.unique(clusters[y == 1]))
        return y.sum() >= self.min_positives and holders >= self.min_clusters

    def _fit_top(self, y, clusters, base, boosted, image_ids):
        """Fit blend, calibration and thresholds: cross-fitted for the scores, whole for use."""
        probabilities, labels = np.zeros(y.shape), np.zeros(y.shape, dtype=np.uint8)
        for fold in range(self.fold_.max() + 1):
            rest, held_out = self.fold_ != fold, self.fold_ == fold
            top = _Top.fit(y[rest], clusters[rest], base[rest], boosted[rest], self.thresholds)
            probabilities[held_out] = top.probabilities(base[held_out], boosted[held_out])
            labels[held_out] = apply_thresholds(probabilities[held_out], top.thresholds)
        self.oof_probabilities_ = pd.DataFrame(probabilities, image_ids, self.labels_)
        self.oof_labels_ = pd.DataFrame(labels, image_ids, self.labels_)

        top = _Top.fit(y, clusters, base, boosted, self.thresholds)
        self.weights_, self.calibration_ = top.weights, top.calibration
        self.thresholds_ = top.thresholds
        self._naive_probabilities = top.probabilities(base, boosted)

    def _score(self, y, clusters, inputs: Inputs, base, boosted):
        probabilities = self.oof_probabilities_.to_numpy()
        labels = self.oof_labels_.to_numpy()
        naive = self._naive_probabilities
        del self._naive_probabilities
        scores: dict[str, Any] = _scores(y, probabilities, labels)
        if self.n_bootstrap:
            statistics = {
                "macro_f1": lambda w: macro_f1(y, labels, w),
                "macro_ap": lambda w: macro_average_precision(y, probabilities, w),
                "ece": lambda w: expected_calibration_error(y, probabilities, w),
            }
            for name, statistic in statistics.items():
                scores[f"{name}_interval"] = cluster_bootstrap(
                    statistic, clusters, n_draws=self.n_bootstrap, seed=self.random_state
                )
        naive_scores = _scores(y, naive, apply_thresholds(naive, self.thresholds_))
        scores |= {f"naive_{name}": value for name, value in naive_scores.items()}
        self.cv_results_ = scores

        rows = {cnn: expit(inputs.logits[k]) for k, cnn in enumerate(self.cnns)}
        if len(self.cnns) > 1:
            rows["mean of CNNs"] = expit(inputs.logits.mean(axis=0))
        rows["consensus" if self.cnns else "prior"] = expit(base)
        table = {}
        for name, values in rows.items():
            given = self._thresholded_out_of_fold(y, values)
            table[name] = _scores(y, values, given)
        table["stack"] = _scores(y, probabilities, labels)
        self.comparison_ = pd.DataFrame(table).T

        start_labels = self._thresholded_out_of_fold(y, expit(base))
        start = "consensus" if self.cnns else "prior"
        holders = [len(np.unique(clusters[y[:, k] == 1])) for k in range(y.shape[1])]
        self.label_table_ = pd.DataFrame(
            {
                "positives": y.sum(axis=0).astype(int),
                "clusters": holders,
                f"{start}_f1": f1_scores(y, start_labels),
                "stack_f1": f1_scores(y, labels),
                f"{start}_ap": average_precisions(y, base),
                "stack_ap": average_precisions(y, probabilities),
                "booster_weight": self.weights_,
                "threshold": self.thresholds_,
                "predicted": labels.sum(axis=0).astype(int),
            },
            index=pd.Index(self.labels_, name="label"),
        )

    def _thresholded_out_of_fold(self, y, probabilities) -> np.ndarray:
        labels = np.zeros(y.shape, dtype=np.uint8)
        for fold in range(self.fold_.max() + 1):
            rest, held_out = self.fold_ != fold, self.fold_ == fold
            chosen = best_thresholds(y[rest], probabilities[rest], policy=self.thresholds)
            labels[held_out] = apply_thresholds(probabilities[held_out], chosen)
        return labels

    def __sklearn_tags__(self):
        """Say that targets are multi-label and NaN is taken in features."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        tags.target_tags.single_output = False
        return tags


@dataclass(frozen=True)
class _Top:
    """Blend, calibration and thresholds: what is fitted on out-of-fold log-odds."""

    weights: np.ndarray  # (n_labels,)
    calibration: np.ndarray  # (n_labels, 2): slope, offset
    thresholds: np.ndarray  # (n_labels,)

    @classmethod
    def fit(cls, y, clusters, base, boosted, policy) -> _Top:
        n_labels = y.shape[1]
        weights, calibration = np.zeros(n_labels), np.zeros((n_labels, 2))
        for k in range(n_labels):
            if (boosted[:, k] != base[:, k]).any():
                weights[k] = booster_weight(y[:, k], base[:, k], boosted[:, k], clusters)
            logits = blend(base[:, k], boosted[:, k], weights[k])
            calibration[k] = fit_platt(logits, y[:, k], clusters)
        top = cls(weights, calibration, np.zeros(n_labels))
        thresholds = best_thresholds(y, top.probabilities(base, boosted), policy=policy)
        return cls(weights, calibration, thresholds)

    def probabilities(self, base, boosted) -> np.ndarray:
        logits = blend(base, boosted, self.weights)
        return expit(logits * self.calibration[:, 0] + self.calibration[:, 1])


def _fit_booster(name, inputs: Inputs, margin, y, held_out, label, settings, seed):
    train, test = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    booster = library(name)
    x = inputs.columns(label, margin, train)
    model = booster.fit(x, y[train].astype(np.float32), margin[train, label], settings, seed)
    return model, booster.predict(model, inputs.columns(label, margin, test))


def _scores(y, probabilities, labels) -> dict[str, float]:
    return {
        "macro_f1": macro_f1(y, labels),
        "macro_ap": macro_average_precision(y, probabilities),
        "ece": expected_calibration_error(y, probabilities),
    }


def _frame(X) -> pd.DataFrame:
    if not isinstance(X, pd.DataFrame):
        raise InputError(f"X is a DataFrame with a row a field, not a {type(X).__name__}")
    if not X.index.is_unique:
        raise InputError(f"ids stand twice in X: {shorten(X.index[X.index.duplicated()])}")
    if not X.columns.is_unique:
        raise InputError(f"columns stand twice in X: {shorten(X.columns[X.columns.duplicated()])}")
    if X.empty:
        raise InputError("X is empty")
    return X


def _indicator(y, image_ids) -> tuple[np.ndarray, list[str]]:
    if isinstance(y, pd.DataFrame):
        names = [str(name) for name in y.columns]
        y = _by_id(y, image_ids, "y").to_numpy()
    else:
        y = np.asarray(y)
        names = [str(label) for label in range(y.shape[1])] if y.ndim == 2 else []
    if y.ndim != 2 or len(y) != len(image_ids) or not y.shape[1]:
        raise InputError(f"y of shape {y.shape} does not fit {len(image_ids)} fields")
    if not np.isin(y, (0, 1)).all():
        raise InputError("y holds only 0 and 1, a column a label")
    return y.astype(np.uint8), names


def _aligned(values, image_ids, what, default=None):
    if values is None:
        return default
    if isinstance(values, pd.Series):
        values = _by_id(values, image_ids, what)
    values = np.asarray(values)
    if values.shape != (len(image_ids),):
        raise InputError(f"{what} of shape {values.shape} do not fit {len(image_ids)} fields")
    return values


def _by_id(table, image_ids, what):
    missing = image_ids[~image_ids.isin(table.index)]
    if len(missing):
        raise InputError(f"{what} lacks {len(missing)} fields of X: {shorten(missing)}")
    if not table.index.is_unique:
        raise InputError(
            f"{what}: ids stand twice: {shorten(table.index[table.index.duplicated()])}"
        )
    return table.loc[image_ids]


def _codes(values) -> np.ndarray:
    return np.unique(np.asarray(values), return_inverse=True)[1]


def _checked_folds(fold, n) -> np.ndarray:
    if (fold < 0).any() or len(np.unique(fold)) != fold.max() + 1 or fold.max() < 1:
        raise InputError("folds are numbered 0, 1, ... and there are at least two of them")
    return fold
