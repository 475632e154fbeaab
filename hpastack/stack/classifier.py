"""The stack: members that start from the CNN consensus, blended.

Everything learned from labels is scored out of fold, and folds keep clusters
whole. Level by level:

1. the consensus of the CNNs, and the members of the blend, which start from
   its margin, are fitted without each fold and without each pair of folds
   (`hpastack.stack.cross_fitting`);
2. the size of the models, the blend of the members with the consensus, the
   calibration and the thresholds are chosen for each fold on log-odds of
   models that saw neither the rows nor the fold; so its score is nested;
3. new fields get the mean of the models without one fold, then the blend,
   calibration and thresholds fitted on all out-of-fold rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin
from sklearn.utils import estimator_html_repr
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from hpastack.errors import InputError, shorten
from hpastack.files.notebook_html import html_details
from hpastack.parallel import Workers
from hpastack.stack.cache import StackCache
from hpastack.stack.files import SavedStack, read_stack, save_stack
from hpastack.stack.fitted import Fitted
from hpastack.stack.fitting import cross_fit, folds_of, tuning_table
from hpastack.stack.inputs import check_inputs
from hpastack.stack.label_like import PredictionWarning, label_like_names, targets_warning
from hpastack.stack.labelling import Labelling
from hpastack.stack.notebook_html import stack_html
from hpastack.stack.prediction_mixin import PredictionMixin
from hpastack.stack.scoring import Scores, score
from hpastack.stack.settings import StackSettings


class StackClassifier(PredictionMixin, MultiOutputMixin, ClassifierMixin, BaseEstimator):
    """Name the labels of fields from CNN predictions and image features.

    Boosted trees and logistic regressions start from the consensus of the CNNs
    (its log-odds are their margin), are blended with it where that pays on
    held-out clusters, calibrated and thresholded for macro F1.

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
    boosters : sequence of str or "auto", default="auto"
        Members of the blend: of `hpastack.boosting.LIBRARIES`, which are
        fitted to each label, ``"pooled"``, one booster for all labels, or
        ``"forest"``, one forest of random trees for all labels; none leaves
        the calibrated consensus. ``"auto"``: lightgbm, xgboost, pooled and
        linear, without CNNs also forest.
    rounds : int or "auto", default="auto"
        Most trees; 80 with CNNs, 320 without. How many a label gets is chosen
        on folds that it is not scored on, by its losses and those of all labels.
    min_rounds : int, default=5
        Least trees.
    learning_rate, leaves, min_leaf, l2, column_share, monotone, extra_trees
        As `hpastack.boosting.tree_settings.TreeSettings`; the first four may
        be ``"auto"``: 0.2, 7, 10, 10 with CNNs, 0.1, 15, 5, 1 without.
    bags : int, default=1
        Models with seeds of their own that are averaged.
    tune : int, default=0
        Settings of the trees to try (the ones given, and others drawn around
        them), chosen for each fold and library on the other folds; 0 or 1:
        none but the ones given. Needs Optuna.
    max_columns : int, "auto" or None, default="auto"
        Columns besides its own that a label sees: those which alone could
        tell most beyond the consensus on the training rows. None: all;
        ``"auto"``: 48 with CNNs, 200 without.
    n_components : int, default=32
        Principal components an embedding is reduced to.
    min_positives : int or "auto", default="auto"
        20 with CNNs, 8 without, where the consensus is only the prevalence.
    min_clusters : int, default=5
        With fewer positive fields, or fewer clusters that hold one, in the
        smallest training part of a fold, the consensus of a label stands
        there.
    calibration : str, default="platt"
        As `hpastack.fit_calibration`.
    thresholds : str, default="combined"
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
    label_like_ : list of str
        The CNNs and scores whose training values are (practically) all 0 or 1. Other values of
        theirs for new fields are warned about.
    oof_probabilities_, oof_labels_ : DataFrame
        Out of fold, calibrated and thresholded out of fold; rows by id.
    oof_consensus_ : DataFrame
        Out-of-fold probabilities of the consensus. Not kept by `save`.
    oof_members_ : dict of str to DataFrame
        The same of the consensus with each member alone. Not kept by `save`.
    cv_results_ : dict
        ``macro_f1``, ``macro_ap``, ``ece``, ``brier`` and ``log_loss``, nested,
        each with ``_interval`` (95 %, by cluster); ``n_labels_scored``: those
        with positives, which the first three are over; ``macro_f1_all_labels``;
        ``naive_...``: with blend, calibration and thresholds fitted on the rows
        scored; ``gain_macro_f1`` and ``gain_macro_ap`` over the consensus.
    comparison_ : DataFrame
        The same five scores for each CNN, their mean, the consensus, each
        member (on the first set of folds) and the stack, thresholds chosen
        out of fold for all.
    comparison_intervals_ : DataFrame or None
        A row for each of them: ``<score>_low`` and ``<score>_high``, the 95 % interval by cluster,
        and ``<score>_gain_low`` and ``<score>_gain_high``, that of the stack's score less its own.
        None without draws, and of stacks saved by earlier versions.
    label_table_ : DataFrame
        A row a label: positives, clusters that hold one, F1 and average
        precision of consensus, members and stack, weights of the members,
        threshold with an interval, fields that got it.
    thresholds_ : ndarray of float, shape (n_labels,)
    labels_by_consensus_ : bool
        Whether labels are given by the probabilities of the consensus, which is
        so where these score a better macro F1 out of fold than the stack's;
        `thresholds_` are then theirs.
    weights_ : ndarray of float, shape (n_labels,)
        Weight of all members together; 0 where the consensus stands.
    members_ : list of str
        The members of the blend.
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

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> y = (rng.random((300, 2)) < 0.3).astype(int)
    >>> X = pd.DataFrame(2 * y - 1 + rng.normal(size=y.shape), columns=["net__0", "net__1"])
    >>> stack = StackClassifier(["net"], logits=["net"], n_bootstrap=0).fit(X, y)
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
        boosters: Sequence[str] | str = "auto",
        rounds: int | str = "auto",
        min_rounds: int = 5,
        learning_rate: float | str = "auto",
        leaves: int | str = "auto",
        min_leaf: int | str = "auto",
        l2: float | str = "auto",
        column_share: float = 0.8,
        monotone: bool = False,
        extra_trees: bool = True,
        bags: int = 1,
        tune: int = 0,
        max_columns: int | str | None = "auto",
        n_components: int = 32,
        min_positives: int | str = "auto",
        min_clusters: int = 5,
        calibration: str = "platt",
        thresholds: str = "combined",
        min_labels: int = 0,
        n_splits: int = 5,
        repeats: int = 1,
        n_bootstrap: int = 200,
        random_state: int | np.random.RandomState | np.random.Generator | None = 0,
        n_jobs: int | None = None,
        cache: Any = None,
        verbose: bool = False,
    ) -> None:
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
        self.extra_trees = extra_trees
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

    def fit(self, X: Any, y: Any, groups: Any = None, folds: Any = None) -> StackClassifier:
        """Fit the stack and score it out of fold.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix, shape (n, n_columns)
            Indexed by image id; see `cnns` for its columns. NaN is allowed in
            features and scores only. An array holds features only.
        y : DataFrame, array-like or sparse matrix of {0, 1}, shape (n, n_labels); or names
            Joined to X by id, if it has ids. Without CNNs and scores also one name or a list
            of names per field: labels are the names, sorted.
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
        settings = StackSettings.of(self)
        inputs = check_inputs(X, y, groups, folds, settings)
        if equal := targets_warning(inputs.blocks, settings, inputs.y):
            warnings.warn(equal, PredictionWarning, stacklevel=2)
        cache = StackCache(settings.cache)
        workers = Workers(settings.n_jobs, bool(settings.verbose))
        # One thread: sums must not depend on the number of cores, and the workers have them all.
        with threadpool_limits(limits=1, user_api="blas"):
            runs = [
                cross_fit(inputs, fold, settings, cache, workers)
                for fold in folds_of(inputs, settings)
            ]
            scores = score(inputs, runs, settings, cache, workers)
        self.labels_ = inputs.labels
        self.label_like_ = label_like_names(inputs.blocks, settings)
        self.n_features_in_ = len(inputs.columns)
        if isinstance(X, pd.DataFrame):
            self.feature_names_in_ = np.array(inputs.columns, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self.members_ = settings.members
        self.seed_ = settings.random_state
        self.fold_ = runs[0].log_odds.fold
        self.tuning_ = tuning_table(runs) if settings.tune > 1 else None
        self._keep([run.fitted for run in runs])
        self._keep_scores(scores)
        return self

    def save(
        self, path: str | Path, *, record: dict[str, Any] | None = None, overwrite: bool = False
    ) -> Path:
        """Keep the fitted stack in a folder; see `hpastack.stack.files.save_stack`."""
        check_is_fitted(self, "fitted_")
        return save_stack(SavedStack.of(self), path, record=record, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> StackClassifier:
        """Open a stack that `save` kept; see `hpastack.load_stack`."""
        saved = read_stack(path)
        unknown = sorted(set(saved.parameters) - set(cls._get_param_names()))
        if unknown:
            raise InputError(f"{path}: a stack has no parameter {shorten(unknown)}")
        stack = cls(**saved.parameters)
        for name, value in saved.learned.items():
            setattr(stack, name, value)
        stack.members_ = list(stack.boosters)
        stack._keep(saved.fitted)
        return stack

    def boosted_labels(self) -> list[int]:
        """Return the labels that a member was fitted to, alone or with others, ascending."""
        check_is_fitted(self, "fitted_")
        return sorted({label for fitted in self.fitted_ for label in fitted.learned})

    def _html_repr(self) -> str:
        # What scikit-learn calls for its HTML, also of the mime bundle.
        diagram = estimator_html_repr(self)
        if not hasattr(self, "fitted_"):
            return diagram
        summary = stack_html(
            self, self.cv_results_, self.comparison_, self.label_table_, self.fold_
        )
        return summary + html_details("parameters", diagram)

    def _keep(self, fitted: list[Fitted]) -> None:
        """Take over what predicts, of `fit` or of a file."""
        self.classes_ = [np.array([0, 1]) for _ in self.labels_]
        self.fitted_ = fitted
        learners = [of_set.meta_learner for of_set in fitted]
        labelling = Labelling.mean([learner.labelling for learner in learners])
        self.thresholds_ = labelling.thresholds
        self.labels_by_consensus_ = bool(labelling.by_consensus)
        self.weights_ = np.mean([learner.weights.sum(axis=0) for learner in learners], axis=0)

    def _keep_scores(self, scores: Scores) -> None:
        for field in fields(scores):
            setattr(self, f"{field.name}_", getattr(scores, field.name))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = tags.input_tags.sparse = True
        tags.target_tags.single_output = False
        return tags
