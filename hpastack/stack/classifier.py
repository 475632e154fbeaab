"""The stack: per-label boosters that start from the CNN consensus.

Everything learned from labels is scored out of fold, and folds keep clusters
whole. Level by level:

1. the consensus of the CNNs, and boosters that start from its margin, one a
   label and library, are fitted without each fold and without each pair of
   folds (`hpastack.stack.cross_fitting`);
2. the number of trees, the blend of both libraries with the consensus, the
   calibration and the thresholds are chosen for each fold on log-odds of
   models that saw neither the rows nor the fold; so its score is nested;
3. new fields get the mean of the models without one fold, then the blend,
   calibration and thresholds fitted on all out-of-fold rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from hpastack.boosting import TreeSettings, library
from hpastack.calibration import (
    Calibration,
    apply_thresholds,
    threshold_intervals,
)
from hpastack.errors import InputError, shorten
from hpastack.files import package_versions
from hpastack.folds import MultilabelStratifiedGroupKFold
from hpastack.metrics import cluster_draws, macro_f1
from hpastack.parallel import Workers
from hpastack.stack.cache import (
    StackCache,
    digest,
    json_from_array,
    json_to_array,
    packed,
    unpacked,
)
from hpastack.stack.consensus import Consensus
from hpastack.stack.cross_fitting import CrossFitter
from hpastack.stack.explaining import explain
from hpastack.stack.files import SavedStack, read_stack, save_stack
from hpastack.stack.fitted import CrossFitted, Fitted, LeaveTwoOut, NestedBoosters, NestedConsensus
from hpastack.stack.inputs import (
    ColumnBlocks,
    aligned,
    checked_folds,
    checked_table,
    indicator,
    sorted_columns,
)
from hpastack.stack.meta_learner import MetaLearner, mean_thresholds
from hpastack.stack.scoring import (
    OutOfFold,
    label_table,
    probability_scores,
    score_rows,
    summary,
    thresholded,
)
from hpastack.stack.settings import StackSettings
from hpastack.stack.tuning import candidates, tuned

#: Draws behind the intervals of thresholds.
_THRESHOLD_DRAWS = 50


class StackClassifier(MultiOutputMixin, ClassifierMixin, BaseEstimator):
    """Name the labels of fields from CNN predictions and image features.

    Per label, LightGBM and XGBoost start from the consensus of the CNNs (its
    log-odds are their initial margin), are blended with it where they beat it
    on held-out clusters, calibrated and thresholded for macro F1.

    Parameters
    ----------
    cnns : sequence of str, default=()
        Names of the CNNs. Their columns in X are ``<cnn>__<label id>``; every
        column that nothing else names is a feature. With none, boosters start
        from the prior.
    logits : sequence of str, default=()
        The CNNs whose columns are logits rather than probabilities.
    scores : sequence of str, default=()
        Other sets with a column a label, ``<name>__<label id>``, which do not
        enter the consensus: a label's boosters see its own.
    embeddings : sequence of str, default=()
        Sets of columns ``<name>__...`` that are reduced to principal
        components of the training rows.
    boosters : sequence of {"lightgbm", "xgboost"}, default=both
        Libraries; none leaves the calibrated consensus.
    rounds, min_rounds : int, default=60, 10
        Most and least trees. How many in between a label gets is chosen on
        folds that it is not scored on; with fewer than 100 positives it gets
        the middle one.
    learning_rate, leaves, min_leaf, l2, column_share, monotone
        As `hpastack.boosting.tree_settings.TreeSettings`.
    bags : int, default=1
        Boosters with seeds of their own that are averaged.
    tune : int, default=0
        Settings of the trees to try (the ones given, and others drawn around
        them), chosen for each fold and library on the other folds; 0 or 1:
        none but the ones given. Needs Optuna.
    max_columns : int or None, default=48
        Columns besides its own that a label sees: those which alone could
        tell most beyond the consensus on the training rows. None: all.
    n_components : int, default=32
        Principal components an embedding is reduced to.
    min_positives, min_clusters : int, default=20, 5
        With fewer positive fields, or fewer clusters that hold one, in the
        smallest training part of a fold, the consensus of a label stands
        there.
    calibration : {"platt", "beta", "isotonic", "none"}, default="platt"
        As `hpastack.fit_calibration`.
    thresholds : str, default="shrunk"
        Policy, as `hpastack.best_thresholds`.
    min_labels : int, default=0
        Labels that every field gets at least.
    n_splits : int, default=5
        Folds, where `fit` is given none.
    repeats : int, default=1
        Sets of folds; those after the first are made from `groups`. Their
        probabilities are averaged.
    n_bootstrap : int, default=200
        Draws behind the intervals of `cv_results_`; 0 for none.
    random_state : int, RandomState, Generator or None, default=0
        Seed of folds and trees, or what it is drawn from, as in scikit-learn.
    n_jobs : int, optional
        Workers over (label, fold); results do not depend on it. An active
        ``joblib.parallel_config`` is honoured.
    cache : path-like, optional
        Folder for what a later fit can take over: whatever does not depend on
        the settings that changed.
    verbose : bool, default=False
        Whether to show a progress bar.

    Attributes
    ----------
    feature_names_in_ : ndarray of str
        Columns of X, if it was a data frame.
    n_features_in_ : int
    labels_ : list of str
        Names of the labels: the columns of `y`, or their numbers.
    oof_probabilities_, oof_labels_ : DataFrame
        Out of fold, calibrated and thresholded out of fold; rows by id.
    oof_consensus_ : DataFrame
        Out-of-fold probabilities of the consensus. Not kept by `save`.
    cv_results_ : dict
        ``macro_f1``, ``macro_ap``, ``ece``, ``brier`` and ``log_loss``,
        nested, each with ``_interval`` (95 %, by cluster); ``naive_...``: the
        same with blend, calibration and thresholds fitted on the rows they
        are scored on; ``gain_macro_f1`` and ``gain_macro_ap`` over the
        consensus, with intervals of the differences.
    comparison_ : DataFrame
        The same five scores for each CNN, their mean, the consensus, each
        library (on the first set of folds) and the stack, thresholds chosen
        out of fold for all.
    label_table_ : DataFrame
        A row a label: positives, clusters that hold one, F1 and average
        precision of consensus, libraries and stack, weights of the libraries,
        threshold with an interval, fields that got it.
    thresholds_ : ndarray of float, shape (n_labels,)
    weights_ : ndarray of float, shape (n_labels,)
        Weight of the boosters, 0 to 1.
    seed_ : int
        `random_state`, or what was drawn from it.
    fold_ : ndarray of int, shape (n,)
        Fold of each training field (of the first set of folds).
    fitted_ : list of Fitted
        What predicts, one a set of folds.
    tuning_ : DataFrame or None
        A row for each set of folds, library and settings that were tried:
        their loss on the other folds as part of that of the consensus, and
        the folds that took them. None without `tune`.

    Notes
    -----
    For K folds K + K (K - 1) / 2 boosters are fitted a label and library, so
    that the scores are nested without fitting everything K times over.

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
        scores: Sequence[str] = (),
        embeddings: Sequence[str] = (),
        boosters: Sequence[str] = ("lightgbm", "xgboost"),
        rounds: int = 60,
        min_rounds: int = 10,
        learning_rate: float = 0.2,
        leaves: int = 7,
        min_leaf: int = 20,
        l2: float = 20.0,
        column_share: float = 0.8,
        monotone: bool = False,
        bags: int = 1,
        tune: int = 0,
        max_columns: int | None = 48,
        n_components: int = 32,
        min_positives: int = 20,
        min_clusters: int = 5,
        calibration: str = "platt",
        thresholds: str = "shrunk",
        min_labels: int = 0,
        n_splits: int = 5,
        repeats: int = 1,
        n_bootstrap: int = 200,
        random_state: int | np.random.RandomState | np.random.Generator | None = 0,
        n_jobs: int | None = None,
        cache: Any = None,
        verbose: bool = False,
    ):
        self.cnns = cnns
        self.logits = logits
        self.scores = scores
        self.embeddings = embeddings
        self.boosters = boosters
        self.rounds = rounds
        self.min_rounds = min_rounds
        self.learning_rate = learning_rate
        self.leaves = leaves
        self.min_leaf = min_leaf
        self.l2 = l2
        self.column_share = column_share
        self.monotone = monotone
        self.bags = bags
        self.tune = tune
        self.max_columns = max_columns
        self.n_components = n_components
        self.min_positives = min_positives
        self.min_clusters = min_clusters
        self.calibration = calibration
        self.thresholds = thresholds
        self.min_labels = min_labels
        self.n_splits = n_splits
        self.repeats = repeats
        self.n_bootstrap = n_bootstrap
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.cache = cache
        self.verbose = verbose

    def fit(self, X: Any, y: Any, groups: Any = None, folds: Any = None):
        """Fit the stack and score it out of fold.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_columns)
            Indexed by image id; see `cnns` for its columns. NaN is allowed in
            features and scores only. An array holds features only.
        y : DataFrame or array-like of {0, 1}, shape (n, n_labels)
            A DataFrame is joined to X by id.
        groups : Series or array-like, shape (n,), optional
            Cluster of each field; every field its own if left out. A Series
            is joined by id.
        folds : Series or array-like of int, shape (n,), optional
            Fold of each field, 0 and up, at least three; made from `groups`
            if left out.

        Returns
        -------
        StackClassifier
            Itself.

        Raises
        ------
        InputError
            If rows, columns or ids do not fit, a CNN's column is missing, a
            prediction is out of range or not finite, a setting is unknown, or
            a fold splits a cluster.
        """
        table = checked_table(X, min_fields=2)
        self.seed_ = StackSettings.of(self).random_state
        indicated, self.labels_ = indicator(y, table.index)
        self.classes_ = [np.array([0, 1]) for _ in self.labels_]
        self.n_features_in_ = table.shape[1]
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = np.array(table.columns, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        if groups is None:
            clusters = np.arange(len(table))
        else:
            clusters = np.unique(aligned(groups, table.index, "groups"), return_inverse=True)[1]
        inputs = self._inputs(table)
        # One thread: sums must not depend on the number of cores, and the workers have them all.
        with threadpool_limits(limits=1, user_api="blas"):
            runs = [
                self._cross_fit(inputs, indicated, clusters, fold)
                for fold in self._folds(indicated, clusters, folds, table.index)
            ]
            self.fold_ = runs[0].fold
            self.set_fitted([run.fitted for run in runs])
            self.tuning_ = self._tuning_table(runs)
            self._score(indicated, clusters, inputs, runs, table.index)
        return self

    def predict_proba(self, X: Any) -> Any:
        """Return calibrated probabilities.

        Parameters
        ----------
        X : DataFrame or array-like, or a list of them
            Holds the columns of `feature_names_in_`, in any order. Of a list,
            each is what one fold model of the CNNs predicts for the same
            fields: the stack is applied to each, and the probabilities are
            averaged. The mean of several networks is not distributed like the
            single one that predicted a training field, so a list is better
            than a table of means.

        Returns
        -------
        DataFrame (or ndarray where X is an array), shape (n, n_labels)
            Indexed as X, a column a label.

        Raises
        ------
        InputError
            If a column is missing, a prediction is not valid, or the tables of
            a list differ in their rows.
        """
        check_is_fitted(self, "thresholds_")
        members = list(X) if isinstance(X, (list, tuple)) and _are_tables(X) else [X]
        first, total = checked_table(members[0]), []
        for member in members:
            table = checked_table(member)
            if not table.index.equals(first.index):
                raise InputError("the tables of a list hold the same fields in the same order")
            total.append(self._probabilities(member))
        probabilities = np.mean(total, axis=0)
        if not isinstance(members[0], pd.DataFrame):
            return probabilities
        return pd.DataFrame(probabilities, index=first.index, columns=self.labels_)

    def predict(self, X: Any) -> Any:
        """Return labels.

        Parameters
        ----------
        X : DataFrame, array-like or list of them
            As `predict_proba`.

        Returns
        -------
        DataFrame of uint8 (or ndarray of int64 where X is an array), shape (n, n_labels)
        """
        return self.label(self.predict_proba(X))

    def label(self, probabilities: Any) -> Any:
        """Turn probabilities of `predict_proba` into labels.

        Parameters
        ----------
        probabilities : DataFrame or ndarray, shape (n, n_labels)

        Returns
        -------
        DataFrame of uint8 or ndarray of int64, shape (n, n_labels)
        """
        check_is_fitted(self, "thresholds_")
        labels = apply_thresholds(
            np.asarray(probabilities), self.thresholds_, min_labels=self.min_labels
        )
        if not isinstance(probabilities, pd.DataFrame):
            return labels.astype(np.int64)
        return pd.DataFrame(labels, index=probabilities.index, columns=self.labels_)

    def explain(self, X: Any, labels: Sequence | None = None) -> dict[str, pd.DataFrame]:
        """Split the log-odds of labels into what each column adds.

        See `hpastack.stack.explaining.explain`; `hpastack.column_importance`
        ranks the columns of what it returns.
        """
        return explain(self, X, labels)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the macro F1 of the labels given to some fields.

        Parameters
        ----------
        X : DataFrame or array-like
        y : DataFrame or array-like of {0, 1}, shape (n, n_labels)
        sample_weight : array-like of float, shape (n,), optional

        Returns
        -------
        float
        """
        indicated, _ = indicator(y, checked_table(X).index)
        return macro_f1(indicated, np.asarray(self.predict(X)), sample_weight)

    def save(self, path: Any, *, record: dict | None = None, overwrite: bool = False) -> Path:
        """Keep the fitted stack in a folder; see `hpastack.stack.files.save_stack`."""
        check_is_fitted(self, "fitted_")
        return save_stack(SavedStack.of(self), path, record=record, overwrite=overwrite)

    @classmethod
    def load(cls, path: Any) -> StackClassifier:
        """Open a stack that `save` kept; see `hpastack.load_stack`."""
        saved = read_stack(path)
        unknown = sorted(set(saved.parameters) - set(cls._get_param_names()))
        if unknown:
            raise InputError(f"{path}: a stack has no parameter {shorten(unknown)}")
        stack = cls(**saved.parameters)
        for name, value in saved.learned.items():
            setattr(stack, name, value)
        stack.classes_ = [np.array([0, 1]) for _ in stack.labels_]
        stack.set_fitted(saved.fitted)
        return stack

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
            monotone=self.monotone,
        )

    def sorted_inputs(self, X: Any) -> ColumnBlocks:
        """Sort the columns of new fields into what they are; errors as `predict_proba`."""
        check_is_fitted(self, "fitted_")
        is_frame = isinstance(X, pd.DataFrame)
        return self._inputs(self._own_columns(checked_table(X), is_frame=is_frame))

    def set_fitted(self, fitted: list[Fitted]) -> None:
        """Take over what predicts, of `fit` or of a file.

        Parameters
        ----------
        fitted : list of Fitted
            One a set of folds.
        """
        self.fitted_ = fitted
        self.thresholds_ = mean_thresholds([one.meta_learner.thresholds for one in fitted])
        self.weights_ = np.mean([one.meta_learner.weights.sum(axis=0) for one in fitted], axis=0)

    def boosted_labels(self) -> list[int]:
        """Return the labels that have boosters of their own, ascending."""
        check_is_fitted(self, "fitted_")
        return sorted({label for fitted in self.fitted_ for _, _, label, _ in fitted.models})

    def _inputs(self, table: pd.DataFrame) -> ColumnBlocks:
        return sorted_columns(
            table,
            len(self.labels_),
            cnns=self.cnns,
            logits=self.logits,
            scores=self.scores,
            embeddings=self.embeddings,
        )

    def _folds(self, y, clusters, folds, image_ids) -> list[np.ndarray]:
        found = []
        if folds is not None:
            found.append(checked_folds(aligned(folds, image_ids, "folds"), clusters, image_ids))
        n_splits = self.n_splits if not found else int(found[0].max()) + 1
        while len(found) < self.repeats:
            splitter = MultilabelStratifiedGroupKFold(
                n_splits, random_state=self.seed_ + len(found)
            )
            # No warning of rare labels: `label_table_` says in how many clusters each lives.
            dealt = splitter.fold_numbers(y, clusters)
            found.append(checked_folds(dealt, clusters, image_ids))
        return found

    def _learnable(self, y, clusters, fold) -> np.ndarray:
        """Return for each fold which labels can be learned in its smallest training part.

        That part lacks the fold and the richest of the others, so that the
        labels of the fold itself do not count: shape (n_folds, n_labels).
        """
        n_folds = fold.max() + 1
        if not self.boosters:
            return np.zeros((n_folds, y.shape[1]), dtype=bool)
        _, first = np.unique(clusters, return_index=True)
        holds = np.zeros((clusters.max() + 1, y.shape[1]), dtype=np.int64)
        np.maximum.at(holds, clusters, y)
        enough = np.ones((n_folds, y.shape[1]), dtype=bool)
        for counted, where, least in (
            (y, fold, self.min_positives),
            (holds, fold[first], self.min_clusters),
        ):
            by_fold = np.stack([counted[where == k].sum(axis=0) for k in range(n_folds)])
            for k in range(n_folds):
                others = np.delete(by_fold, k, axis=0)
                enough[k] &= others.sum(axis=0) - others.max(axis=0) >= least
        return enough

    def _cross_fit(self, inputs: ColumnBlocks, y, clusters, fold) -> CrossFitted:
        cache, settings = StackCache(self.cache), self.tree_settings
        learnable = self._learnable(y, clusters, fold)
        fitter = CrossFitter(
            inputs,
            y,
            clusters,
            fold,
            learnable,
            n_components=self.n_components,
            n_screened=self.max_columns,
            workers=Workers(self.n_jobs, self.verbose),
        )
        key = digest(inputs.logits, y, clusters, fold)
        base, margins = _kept_base(cache, key, fitter)
        keys = [key]
        seeds = [self.seed_ + 1000 * bag for bag in range(self.bags)]
        if self.boosters:
            further = (inputs.scores, inputs.features, *inputs.embeddings.values())
            key = digest(key, *further, self.n_components, self.max_columns, learnable.tolist())
        boosted = []
        for name in self.boosters:
            own = digest(
                key, name, package_versions()[name], settings.record(), self.min_rounds, seeds,
                self.tune,
            )  # fmt: skip
            part = _kept_boosted(cache, name, own)
            if part is None:
                part = self._boosted(fitter, cache, name, key, margins, seeds, learnable)
                arrays = {
                    "added": part.added,
                    "rounds": part.rounds,
                    "trials": json_to_array(part.trials),
                    **packed(part.models),
                }
                cache.put(name, own, arrays)
            boosted.append(part)
            keys.append(own)
        columns = fitter.columns(base, margins)
        models = {
            (name, *place): model
            for name, part in zip(self.boosters, boosted)
            for place, model in part.models.items()
        }
        run = CrossFitted(fold, base, boosted, [], Fitted(columns, models, MetaLearner.empty()))
        key = digest(*keys, self.calibration)
        meta_learners = self._fit_meta_learners(cache, key, run, y, clusters, learnable)
        return replace(
            run,
            meta_learners=meta_learners[:-1],
            fitted=replace(run.fitted, meta_learner=meta_learners[-1]),
        )

    def _boosted(
        self, fitter: CrossFitter, cache: StackCache, name, key, margins, seeds, learnable
    ) -> NestedBoosters:
        """Fit the boosters of one library, with settings of the trees chosen for each fold."""

        def fit(settings: TreeSettings, note: str) -> LeaveTwoOut:
            own = digest(
                key, name, package_versions()[name], settings.record(), self.min_rounds, seeds
            )
            # A search that is stopped goes on where it was.
            kept = cache.get(f"{name}-trial", own) if self.tune > 1 else None
            if kept is not None:
                return LeaveTwoOut(**kept)
            pairs = fitter.fit_without_two_folds(
                name, settings, margins, seeds=seeds, min_rounds=self.min_rounds, note=note
            )
            if self.tune > 1:
                cache.put(f"{name}-trial", own, vars(pairs))
            return pairs

        tried = candidates(self.tree_settings, self.tune, self.seed_)
        found = tuned(tried, fit, learnable)
        part = fitter.fit_without_one_fold(name, found.settings, found.pairs, margins, seeds=seeds)
        return replace(part, trials=found.trials)

    def _fit_meta_learners(
        self, cache: StackCache, key: str, run: CrossFitted, y, clusters, learnable
    ) -> list[MetaLearner]:
        """Fit a meta-learner for each fold on the other folds, and one on all rows."""
        parts = []
        for k in range(run.fold.max() + 1):
            rest = run.fold != k
            consensus, added = run.nested(k)
            parts.append((rest, consensus[rest], [part[rest] for part in added]))
        parts.append((slice(None), *run.out_of_fold()))
        workers = Workers(self.n_jobs)
        meta_learners = _kept_tops(cache, key)
        if meta_learners is None:
            learned = [*learnable, learnable.any(axis=0)]
            tasks = (
                (y[rows], *logits, clusters[rows], run.fold[rows], labels, self.calibration)
                for (rows, *logits), labels in zip(parts, learned)
            )
            meta_learners = list(workers.map(_blended, tasks, len(parts), "blend"))
            cache.put("tops", key, _packed_tops(meta_learners))
        choices = (
            (meta_learner, y[rows], *logits, self.thresholds)
            for meta_learner, (rows, *logits) in zip(meta_learners, parts)
        )
        return list(workers.map(MetaLearner.thresholded, choices, len(parts), "thresholds"))

    def _tuning_table(self, runs: list[CrossFitted]) -> pd.DataFrame | None:
        if self.tune <= 1:
            return None
        return pd.DataFrame(
            [
                {"set": number, "library": name, "trial": trial, **tried}
                for number, run in enumerate(runs)
                for name, part in zip(self.boosters, run.boosted)
                for trial, tried in enumerate(part.trials)
            ]
        )

    def _score(self, y, clusters, inputs: ColumnBlocks, runs: list[CrossFitted], image_ids):
        stack = self._out_of_fold(y, runs)
        naive_probabilities = np.mean(
            [run.fitted.meta_learner.probabilities(*run.out_of_fold()) for run in runs], axis=0
        )
        naive = OutOfFold(naive_probabilities, self.label(naive_probabilities))
        self.oof_probabilities_ = pd.DataFrame(stack.probabilities, image_ids, self.labels_)
        self.oof_labels_ = pd.DataFrame(stack.labels, image_ids, self.labels_)

        first, start = runs[0], "consensus" if self.cnns else "prior"
        nested: dict[str, Any] = {
            cnn: expit(inputs.logits[c].astype(float)) for c, cnn in enumerate(self.cnns)
        }
        if len(self.cnns) > 1:
            nested["mean of CNNs"] = expit(inputs.logits.mean(axis=0, dtype=float))
        nested[start] = lambda k: expit(first.base.margin[k].astype(float))
        for name, part in zip(self.boosters, first.boosted):
            nested[name] = _nested_boosted(first.base, part)
        tasks: list[tuple] = [(self._threshold_intervals, y, naive.probabilities, clusters)]
        tasks += [
            (thresholded, y, first.fold, values, self.thresholds) for values in nested.values()
        ]
        interval, *results = Workers(self.n_jobs).map(_call, tasks, len(tasks), "scores")
        systems = dict(zip(nested, results)) | {"stack": stack, "naive": naive}
        draws = None
        if self.n_bootstrap:
            draws = cluster_draws(clusters, n_draws=self.n_bootstrap, seed=self.seed_)
        scored = self._probability_scores(y, systems, draws, drawn=(start, "stack"))
        rows = score_rows(y, systems, scored)
        self.oof_consensus_ = pd.DataFrame(systems[start].probabilities, image_ids, self.labels_)
        self.cv_results_ = summary(y, systems, rows, scored, draws, start=start)
        del rows["naive"]
        self.comparison_ = pd.DataFrame(rows).T

        self.label_table_ = label_table(
            y,
            clusters,
            self.labels_,
            {name: systems[name] for name in (start, *self.boosters, "stack")},
            scored,
            self.boosters,
            np.mean([run.fitted.meta_learner.weights for run in runs], axis=0),
            self.thresholds_,
            interval,
        )

    def _threshold_intervals(self, y, probabilities, clusters) -> np.ndarray:
        if not self.n_bootstrap:
            return np.full((2, y.shape[1]), np.nan)
        return np.stack(
            threshold_intervals(
                y,
                probabilities,
                clusters,
                policy=self.thresholds,
                n_draws=min(self.n_bootstrap, _THRESHOLD_DRAWS),
                seed=self.seed_,
            )
        )

    def _probability_scores(self, y, systems: dict, draws, *, drawn) -> dict[str, dict]:
        """Score the probabilities of each system, as before where they are the same."""
        cache = StackCache(self.cache)
        arrays = [system.probabilities for system in systems.values()]
        chosen = [draws if name in drawn else None for name in systems]
        key = digest(y, *arrays, *(part for part in chosen if part is not None), list(drawn))
        kept = cache.get("scores", key)
        if kept is None:
            tasks = ((y, values, part) for values, part in zip(arrays, chosen))
            results = Workers(self.n_jobs).map(probability_scores, tasks, len(arrays), "scores")
            kept = {
                f"{number}_{name}": values
                for number, scored in enumerate(results)
                for name, values in scored.items()
            }
            cache.put("scores", key, kept)
        return {
            name: {part: kept[f"{number}_{part}"] for part in ("ap", "whole", "drawn")}
            for number, name in enumerate(systems)
        }

    def _out_of_fold(self, y, runs: list[CrossFitted]) -> OutOfFold:
        probabilities, thresholds = [], []
        for run in runs:
            found, cut = np.zeros(y.shape), np.zeros(y.shape)
            for k, meta_learner in enumerate(run.meta_learners):
                rows = run.fold == k
                consensus, added = run.nested(k)
                found[rows] = meta_learner.probabilities(
                    consensus[rows], [part[rows] for part in added]
                )
                cut[rows] = meta_learner.thresholds
            probabilities.append(found)
            thresholds.append(cut)
        mean = np.mean(probabilities, axis=0)
        labels = apply_thresholds(mean, mean_thresholds(thresholds), min_labels=self.min_labels)
        return OutOfFold(mean, labels)

    def _probabilities(self, X: Any) -> np.ndarray:
        inputs = self.sorted_inputs(X)
        with threadpool_limits(limits=1, user_api="blas"):
            found = [self._probabilities_of(fitted, inputs) for fitted in self.fitted_]
        return np.mean(found, axis=0)

    def _own_columns(self, table: pd.DataFrame, *, is_frame: bool) -> pd.DataFrame:
        names = getattr(self, "feature_names_in_", None)
        if is_frame and names is not None:
            missing = [name for name in names if name not in table.columns]
            if missing:
                raise InputError(f"X lacks {len(missing)} columns of the stack: {shorten(missing)}")
            return table[list(names)]
        if table.shape[1] != self.n_features_in_:
            raise InputError(
                f"X has {table.shape[1]} features, but {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input"
            )
        return table if names is None else table.set_axis(names, axis=1)

    def _probabilities_of(self, fitted: Fitted, inputs: ColumnBlocks) -> np.ndarray:
        meta_learner = fitted.meta_learner
        if not self.cache:
            return meta_learner.probabilities(*self._base_log_odds(fitted, inputs))
        cache = StackCache(self.cache)
        models = [model for _, model in sorted(fitted.models.items())]
        arrays = (inputs.logits, inputs.scores, inputs.features, *inputs.embeddings.values())
        parts = [part for columns in fitted.columns for part in columns.arrays()]
        key = digest(
            *models, *arrays, *parts, (meta_learner.weights > 0).tolist(), list(self.boosters)
        )
        kept = cache.get("predicted", key)
        if kept is None:
            consensus, added = self._base_log_odds(fitted, inputs)
            kept = {"consensus": consensus, "added": added}
            cache.put("predicted", key, kept)
        return meta_learner.probabilities(kept["consensus"], kept["added"])

    def _base_log_odds(self, fitted: Fitted, inputs: ColumnBlocks) -> tuple[np.ndarray, np.ndarray]:
        """Return what consensus and boosters say of new fields, the mean over folds."""
        meta_learner, n_folds = fitted.meta_learner, len(fitted.columns)
        margins = [columns.consensus.margin(inputs.logits) for columns in fitted.columns]
        consensus = np.mean(margins, axis=0)
        added = np.zeros((len(self.boosters), *consensus.shape))

        def tasks():
            for fold, columns in enumerate(fitted.columns):
                shared = columns.shared(inputs, margins[fold].astype(np.float32))
                for number, name in enumerate(self.boosters):
                    for label in fitted.boosted(name, fold, meta_learner.weights[number]):
                        models = [fitted.models[name, fold, label, bag] for bag in range(self.bags)]
                        chosen = columns.chosen[label]
                        yield number, label, name, models, inputs.own(label), shared, chosen

        n_tasks = n_folds * int(np.count_nonzero(meta_learner.weights))  # at most
        for number, label, values in Workers(self.n_jobs).map(_apply, tasks(), n_tasks, "predict"):
            added[number, :, label] += values / n_folds
        return consensus, added

    def __sklearn_tags__(self):
        """Say that targets are multi-label and NaN is taken in features."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        tags.target_tags.single_output = False
        return tags


def load_stack(path: Any) -> StackClassifier:
    """Open a stack that `StackClassifier.save` kept.

    Parameters
    ----------
    path : path-like
        The folder.

    Returns
    -------
    StackClassifier
        Fitted; predicts as the one that was saved.

    Raises
    ------
    InputError
        If the folder is not a stack, is of a newer format, a file is
        missing or was changed, or what it says does not fit together.
    """
    return StackClassifier.load(path)


def _call(function, *arguments):
    return function(*arguments)


def _blended(y, consensus, added, clusters, fold, learnable, calibration) -> MetaLearner:
    return MetaLearner.blended(
        y, consensus, added, clusters, fold, learnable, calibration=calibration
    )


def _apply(number, label, name, models, own, shared, chosen):
    x = np.concatenate([own, shared[:, chosen]], axis=1)
    values = sum(library(name).predict(model, x) for model in models) / len(models)
    return number, label, values


def _nested_boosted(base: NestedConsensus, part: NestedBoosters):
    return lambda k: expit(base.margin[k].astype(float) + part.added[k])


def _are_tables(X) -> bool:
    # A list of rows is a table; a list of tables is not.
    return len(X) > 0 and all(np.ndim(member) == 2 for member in X)


def _kept_base(cache: StackCache, key: str, fitter: CrossFitter):
    kept = cache.get("base", key)
    if kept is not None:
        margins = {
            tuple(int(k) for k in name.split("_")[1:]): values
            for name, values in kept.items()
            if name.startswith("without_")
        }
        consensus = [Consensus(coefficients) for coefficients in kept["consensus"]]
        return NestedConsensus(fitter.nested_margin(margins), consensus), margins
    base, margins = fitter.fit_consensus()
    arrays = {"without_" + "_".join(map(str, held)): values for held, values in margins.items()}
    arrays["consensus"] = np.stack([fold.coefficients for fold in base.consensus])
    cache.put("base", key, arrays)
    return base, margins


def _kept_boosted(cache: StackCache, name: str, key: str) -> NestedBoosters | None:
    kept = cache.get(name, key)
    if kept is None:
        return None
    trials = json_from_array(kept["trials"])
    return NestedBoosters(kept["added"], kept["rounds"], unpacked(kept), trials)


def _kept_tops(cache: StackCache, key: str) -> list[MetaLearner] | None:
    kept = cache.get("tops", key)
    if kept is None:
        return None
    records = json_from_array(kept["calibration"])
    return [
        MetaLearner(
            weights, [Calibration.from_record(one) for one in record], np.zeros(len(record))
        )
        for weights, record in zip(kept["weights"], records)
    ]


def _packed_tops(meta_learners: list[MetaLearner]) -> dict[str, np.ndarray]:
    records = [[one.record() for one in meta_learner.calibration] for meta_learner in meta_learners]
    return {
        "weights": np.stack([meta_learner.weights for meta_learner in meta_learners]),
        "calibration": json_to_array(records),
    }
