"""The stack: base models that start from the CNN consensus, blended.

Everything learned from labels is scored out of fold, and folds never split a
cluster. The steps are:

1. The consensus of the CNNs, and the members of the blend, which start from
   its margin, are fitted with each fold held out and with each pair of folds
   held out (`hpastack.stack.cross_fitting`).
2. The size of the models, the blend of the members with the consensus, the
   calibration and the thresholds are chosen for each fold on log-odds of
   models that were trained neither on these rows nor on the fold, so the
   score of the fold is nested.
3. For new fields, the log-odds of the models with one fold held out are
   averaged; then the blend, calibration and thresholds fitted on all
   out-of-fold rows are applied.
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
from hpastack.stack.leaked_targets import leaked_targets
from hpastack.stack.notebook_html import stack_html
from hpastack.stack.prediction_mixin import PredictionMixin
from hpastack.stack.scoring import Scores, score
from hpastack.stack.settings import StackSettings


class StackClassifier(PredictionMixin, MultiOutputMixin, ClassifierMixin, BaseEstimator):
    """Multilabel classifier of fields from CNN predictions and image features.

    Boosted trees and logistic regressions start from the consensus of the CNNs
    (per label, a weighted mean of the CNNs' log-odds, which is the initial
    margin of the trees). They are blended with it where this improves the log
    loss on held-out clusters. The result is calibrated and thresholded for
    macro F1.

    Parameters
    ----------
    cnns : sequence of str, default=()
        Names of the CNNs. Their columns in X are ``<cnn>__<label id>``. Every
        column that belongs to no CNN, scores or embedding is a feature.
        Without CNNs, boosters start from the prior.
    logits : sequence of str, default=()
        CNNs whose columns are logits rather than probabilities.
    scores : sequence of str, default=()
        Other sets with one column per label, ``<name>__<label id>``, that do
        not enter the consensus. The boosters of a label use its own column.
    embeddings : sequence of str, default=()
        Sets of columns ``<name>__...`` that are reduced to principal
        components of the training rows.
    boosters : sequence of str or "auto", default="auto"
        Members of the blend: names of `hpastack.boosting.LIBRARIES`, which are
        fitted to each label; ``"pooled"``, one booster for all labels; or
        ``"forest"``, one forest of random trees for all labels. With an empty
        sequence the stack is the calibrated consensus. ``"auto"``: lightgbm,
        xgboost, pooled and linear, and without CNNs also forest.
    rounds : int or "auto", default="auto"
        Maximum number of trees; ``"auto"``: 80 with CNNs, 320 without. The
        number for a label is chosen on folds on which it is not scored, from
        its own losses and those of all labels.
    min_rounds : int, default=5
        Minimum number of trees.
    learning_rate, leaves, min_leaf, l2, column_share, monotone, extra_trees
        As in `hpastack.boosting.tree_settings.TreeSettings`. The first four may
        be ``"auto"``: 0.2, 7, 10, 10 with CNNs, 0.1, 15, 5, 1 without.
    bags : int, default=1
        Number of models with different seeds that are averaged.
    tune : int, default=0
        Number of tree settings to try: the ones of the parameters, and others
        sampled around them. They are chosen for each fold and library on the
        other folds. 0 or 1: no search. Needs Optuna.
    max_columns : int, "auto" or None, default="auto"
        Maximum number of columns that a label uses besides its own: those that
        alone would improve most on the consensus in the training rows. None:
        all; ``"auto"``: 48 with CNNs, 200 without.
    n_components : int, default=32
        Number of principal components of an embedding.
    min_positives : int or "auto", default="auto"
        Minimum number of positive fields of a label, counted in the smallest
        training part of a fold. A label with fewer gets no members for that
        fold: its consensus is used. ``"auto"``: 20 with CNNs, 8 without, where
        the consensus is only the prevalence.
    min_clusters : int, default=5
        Minimum number of clusters with a positive field, counted likewise.
    calibration : str, default="platt"
        Method, as in `hpastack.fit_calibration`.
    thresholds : str, default="combined"
        Policy, as in `hpastack.best_thresholds`.
    min_labels : int, default=0
        Minimum number of labels that every field gets.
    n_splits : int, default=5
        Number of folds if `fit` gets no `folds`.
    repeats : int, default=1
        Number of sets of folds, whose probabilities are averaged. Those after
        the first are made from `groups`.
    n_bootstrap : int, default=200
        Number of bootstrap draws for the intervals of `cv_results_`; 0 for no
        intervals.
    random_state : int, RandomState, Generator or None, default=0
        Seed of folds and trees, or the source of one, as in scikit-learn.
    n_jobs : int, optional
        Number of workers; the work is split by label and fold. Results do not
        depend on it. An active ``joblib.parallel_config`` is honoured.
    cache : path-like, optional
        Folder for intermediate results, from which a later fit reuses whatever
        does not depend on the settings that changed.
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
        CNNs and scores whose training values are (practically) all 0 or 1. If new fields have
        other values in their columns, a warning is issued.
    oof_probabilities_, oof_labels_ : DataFrame
        Out-of-fold probabilities and labels; calibration and thresholds are fitted out of fold
        too. Rows by id.
    oof_consensus_ : DataFrame
        Out-of-fold probabilities of the consensus. Not kept by `save`.
    oof_members_ : dict of str to DataFrame
        Out-of-fold probabilities of the consensus with each member alone. Not kept by `save`.
    cv_results_ : dict
        ``macro_f1``, ``macro_ap``, ``ece``, ``brier`` and ``log_loss``, nested,
        each with ``_interval`` (95 %, by cluster); ``n_labels_scored``: number
        of labels with positives, over which the first three are averaged;
        ``macro_f1_all_labels``; ``naive_...``: with blend, calibration and
        thresholds fitted on the scored rows; ``gain_macro_f1`` and
        ``gain_macro_ap`` over the consensus.
    comparison_ : DataFrame
        The same five scores for each CNN, their mean, the consensus, each
        member (on the first set of folds) and the stack, with thresholds
        chosen out of fold for all.
    comparison_intervals_ : DataFrame or None
        One row for each row of `comparison_`: ``<score>_low`` and ``<score>_high``, the 95 %
        interval by cluster, and ``<score>_gain_low`` and ``<score>_gain_high``, the interval of
        the stack's score minus that of the row. None without draws, and for stacks saved by
        earlier versions.
    label_table_ : DataFrame
        One row per label: number of positives, and of clusters with a positive, F1 and
        average precision of consensus, members and stack, weights of the
        members, threshold with an interval, number of fields predicted to have
        the label.
    thresholds_ : ndarray of float, shape (n_labels,)
    fit_seconds_ : dict of str to float
        Wall-clock time of fitting each member; for a member from the cache, the time of its
        original fit. Not kept by `save`, which writes the same bytes for the same fit.
    labels_by_consensus_ : bool
        Whether labels are predicted from the probabilities of the consensus.
        This is the case if they have a higher macro F1 out of fold than those
        of the stack; `thresholds_` then belong to the consensus.
    weights_ : ndarray of float, shape (n_labels,)
        Sum of the weights of the members; 0 where the consensus is used.
    members_ : list of str
        Members of the blend.
    seed_ : int
        `random_state`, or the seed drawn from it.
    fold_ : ndarray of int, shape (n,)
        Fold of each training field (of the first set of folds).
    fitted_ : list of Fitted
        Fitted models, one entry per set of folds.
    tuning_ : DataFrame or None
        One row for each set of folds, library and settings that were tried:
        their loss on the other folds relative to that of the consensus, and
        the folds that they were chosen for. None without `tune`.

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

    def fit(
        self,
        X: Any,
        y: Any,
        groups: Any = None,
        folds: Any = None,
        sample_weight: Any = None,
    ) -> StackClassifier:
        """Fit the stack and score it out of fold.

        Parameters
        ----------
        X : DataFrame, array-like or sparse matrix, shape (n, n_columns)
            Indexed by image id; see `cnns` for its columns. NaN is allowed in
            features and scores only. An array contains features only.
        y : DataFrame, array-like or sparse matrix of {0, 1}, shape (n, n_labels); or names
            Joined to X by id, if it has ids. Without CNNs and scores also one name or a list
            of names per field; the labels are then the sorted names.
        groups : Series or array-like, shape (n,), optional
            Cluster of each field. Default: each field is a cluster of its own.
            A Series is joined by id.
        folds : Series or array-like of int, shape (n,), optional
            Fold of each field, numbered from 0; at least three folds. Default:
            folds are made from `groups`.
        sample_weight : Series or array-like of float, shape (n,), optional
            Weight of each field, finite and at least 0, with a positive weight in each
            fold. A Series is joined by id. See Notes. Default: all 1.

        Returns
        -------
        StackClassifier
            The fitted stack itself.

        Raises
        ------
        InputError
            If rows, columns or ids do not match, a column of a CNN is missing,
            a prediction is out of range or not finite, a setting is unknown, a
            weight is invalid, or a fold splits a cluster.

        Notes
        -----
        A weight has the meaning of that many copies of the field in its cluster.
        It multiplies the losses of the consensus and of all members, and the
        losses and counts by which columns are screened, the size of models and
        tree settings are chosen, members are blended, probabilities calibrated
        and thresholds chosen. A field of weight 0 is not used for any of
        these, nor its labels for making folds, but it gets out-of-fold
        predictions. The forest rounds fractions of weights at random.

        Not weighted are: minimum numbers of fields (`min_positives`,
        `min_clusters`, `min_leaf`, those of calibration), which count fields of
        positive weight; the balance of folds; principal components and the bins
        of histograms; and all scores, as scikit-learn's are unless weights are
        passed to `score`: in `cv_results_`, `comparison_` and `label_table_`
        each field counts once, with weight 0 too.
        """
        settings = StackSettings.of(self)
        inputs = check_inputs(X, y, groups, folds, settings, sample_weight)
        if equal := targets_warning(inputs.blocks, settings, inputs.y):
            warnings.warn(equal, PredictionWarning, stacklevel=2)
        if leaked := leaked_targets(inputs, settings):
            warnings.warn(leaked, PredictionWarning, stacklevel=2)
        cache = StackCache(settings.cache)
        workers = Workers(settings.n_jobs, bool(settings.verbose))
        # One thread: sums must not depend on the number of cores, which the workers use anyway.
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
        self.fit_seconds_ = {
            name: sum(run.seconds[name] for run in runs) for name in settings.members
        }
        self.tuning_ = tuning_table(runs) if settings.tune > 1 else None
        self._keep([run.fitted for run in runs])
        self._keep_scores(scores)
        return self

    def save(
        self, path: str | Path, *, record: dict[str, Any] | None = None, overwrite: bool = False
    ) -> Path:
        """Save the fitted stack to a folder; see `hpastack.stack.files.save_stack`."""
        check_is_fitted(self, "fitted_")
        return save_stack(SavedStack.of(self), path, record=record, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> StackClassifier:
        """Load a stack that `save` wrote; see `hpastack.load_stack`."""
        saved = read_stack(path)
        unknown = sorted(set(saved.parameters) - set(cls._get_param_names()))
        if unknown:
            raise InputError(
                f"{path}: unknown parameters of a stack: {shorten(unknown)}; fit the stack again"
            )
        stack = cls(**saved.parameters)
        for name, value in saved.learned.items():
            setattr(stack, name, value)
        stack.members_ = list(stack.boosters)
        stack._keep(saved.fitted)
        return stack

    def boosted_labels(self) -> list[int]:
        """Return the ids of labels for which a member was fitted, ascending."""
        check_is_fitted(self, "fitted_")
        return sorted({label for fitted in self.fitted_ for label in fitted.learned})

    def _html_repr(self) -> str:
        # Called by scikit-learn for the HTML representation, also in the mime bundle.
        diagram = estimator_html_repr(self)
        if not hasattr(self, "fitted_"):
            return diagram
        summary = stack_html(
            self, self.cv_results_, self.comparison_, self.label_table_, self.fold_
        )
        return summary + html_details("parameters", diagram)

    def _keep(self, fitted: list[Fitted]) -> None:
        """Set the attributes that predictions need, from `fit` or from a file."""
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
