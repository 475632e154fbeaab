"""Adversarial validation: covariate shift between train and test, and importance weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from hpastack.boosting import LightGBM, TreeSettings
from hpastack.calibration import STRENGTH, fields_per_cluster, fit_logistic
from hpastack.errors import InputError, counted, shorten
from hpastack.files import take_rows
from hpastack.files.notebook_html import html_details, html_facts, html_table
from hpastack.folds import MultilabelStratifiedGroupKFold
from hpastack.metrics import cluster_bootstrap
from hpastack.parallel import progress_bar
from hpastack.similarity.components import field_matrix

if TYPE_CHECKING:
    import lightgbm

#: Settings of the boosted trees that classify fields as train or test.
SETTINGS = TreeSettings(rounds=100, learning_rate=0.1, leaves=15, l2=5.0, column_share=0.5)

# Largest number of held-out fields of train, and of test, on which columns are permuted, per fold.
_PERMUTED_FIELDS = 500

# Number of columns displayed in a notebook.
_SHOWN_COLUMNS = 10

# Largest AUC of each verdict.
_WORDS = (
    (0.6, "train and test are nearly alike"),
    (0.75, "train and test differ slightly"),
    (0.9, "train and test differ clearly"),
    (1.0, "train and test are almost completely separable"),
)


@dataclass(frozen=True, eq=False)
class AdversarialCheck:
    """Result of `adversarial_check`: how well a classifier separates train and test.

    Parameters
    ----------
    auc : float
        Probability that a classifier ranks a random test field above a random
        training field, both held out: 0.5 if train and test are alike, 1 if
        they are perfectly separable.
    interval : (float, float)
        95 % interval of `auc`, by bootstrap over groups. The classifiers are
        kept fixed, so it is somewhat narrow: it contained 0.5 for 48 of 60
        shuffled splits of 1,000 fields.
    fold_aucs : ndarray of float, shape (n_splits,)
        AUC within each held-out fold.
    columns : DataFrame
        One row per column of the features, the most important first:
        ``column``; ``importance`` (decrease of the held-out AUC when the
        column is permuted, mean over folds); ``auc`` (of the column alone:
        above 0.5 if test has the larger values); ``train_mean``,
        ``test_mean``.
    probability : Series of float
        Calibrated, held-out probability of being a test field, for all fields.
    weights : Series of float
        Weight of each training field, mean 1: the higher, the more similar the
        field is to test.
    effective_size : float
        Effective sample size: the number of fields with equal weights that
        correspond to the weighted training fields, ``sum(w)**2 / sum(w**2)``.
    """

    auc: float
    interval: tuple[float, float]
    fold_aucs: np.ndarray
    columns: pd.DataFrame
    probability: pd.Series
    weights: pd.Series
    effective_size: float

    def _repr_html_(self) -> str:
        low, high = self.interval
        facts = {
            "AUC": f"{self.auc:.3f} (95 % interval {low:.3f} to {high:.3f})",
            "verdict": self.verdict,
            "AUC by fold": ", ".join(f"{auc:.3f}" for auc in self.fold_aucs),
        }
        first = self.columns.head(_SHOWN_COLUMNS)
        table = html_table(list(first.columns), first.itertuples(index=False))
        return html_facts("Train against test", facts) + html_details(
            "most important columns", table
        )

    @property
    def verdict(self) -> str:
        """Interpretation of the numbers in one sentence."""
        if self.interval[0] <= 0.5:
            return "train and test cannot be distinguished; no weights are needed"
        words = next(text for limit, text in _WORDS if self.auc <= limit)
        return (
            f"{words}; effective sample size of the weighted "
            f"{counted(len(self.weights), 'training field')}: {self.effective_size:,.0f}"
        )


def adversarial_check(
    features: pd.DataFrame,
    is_test: pd.Series,
    groups: pd.Series | None = None,
    *,
    n_splits: int = 5,
    clip: tuple[float, float] = (0.1, 10.0),
    n_bootstrap: int = 200,
    random_state: int = 0,
    progress: bool = True,
) -> AdversarialCheck:
    """Measure how well a classifier separates train and test, and by which columns.

    Boosted trees are trained to classify fields as train or test, in folds that
    do not split groups, and applied to the held-out fold. From held-out
    probabilities *p*, calibrated on the other folds (Platt scaling, shrunk
    towards "train and test are alike"), each training field gets the weight
    ``p / (1 - p)`` times ``n_train / n_test``, an estimate of the ratio of the
    densities of test and train at the field [1]_. Weights are clipped and then
    divided by their mean.

    Parameters
    ----------
    features : DataFrame of float, shape (n, d)
        Indexed by image id: fields of train and test.
    is_test : Series of bool
        Whether a field is a test field, indexed by image id; further fields
        are ignored.
    groups : Series, optional
        Groups that no fold may split (clusters), indexed by image id. Without
        it, near-duplicates within train or within test inflate the AUC.
    n_splits : int, default=5
        Number of folds.
    clip : (float, float), default=(0.1, 10)
        Least and largest weight before division by the mean.
    n_bootstrap : int, default=200
        Number of bootstrap samples for the interval.
    random_state : int, default=0
        Seed of folds, trees, permutations and draws.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    AdversarialCheck
        It does not depend on the order of the rows.

    Raises
    ------
    InputError
        If a value is not a finite number, a field is missing from `is_test`
        or `groups`, train or test has no field, or one of them occurs in fewer
        groups than folds.

    Notes
    -----
    For the AUC, pairs are compared only within a fold, as the probabilities of
    classifiers of different folds need not be comparable. If all fields have
    the same features, the AUC is 0.5 and all weights are 1.

    Correlated columns share their importance, so each of them may seem
    unimportant; ``auc`` reveals such columns.

    References
    ----------
    .. [1] S. Bickel, M. Brueckner and T. Scheffer, "Discriminative learning
       under covariate shift", JMLR 10, 2137-2155, 2009.
    """
    order, values = field_matrix(features)
    index = features.index[order]
    if is_test.isna().any():
        raise InputError(f"is_test is missing for {shorten(is_test.index[is_test.isna()])}")
    if n_bootstrap < 1:
        raise InputError(f"n_bootstrap is {n_bootstrap}; it must be at least 1")
    test = take_rows(is_test, index, "is_test").to_numpy(dtype=bool)
    if groups is None:
        # By id, so that the folds do not depend on the order of the rows.
        group = index.to_numpy(dtype=object)
    else:
        group = take_rows(groups, index, "the groups").to_numpy(dtype=object)
    if not 0 < clip[0] <= 1 <= clip[1]:
        raise InputError(
            f"clip is {clip}; the limits must be above 0 and at most 1, and at least 1"
        )
    fold = _folds(test, group, n_splits, random_state)

    z = np.empty(len(values))
    importance = np.zeros(values.shape[1])
    prior = float(logit(test.mean()))
    varies = np.ptp(values, axis=0) > 0
    for held_out in progress_bar(range(n_splits), what="train against test", show=progress):
        inside, seed = fold == held_out, random_state + held_out
        z[inside] = prior
        if varies.any():
            fitted = _fit(values[~inside], test[~inside], prior, seed)
            z[inside] += fitted.predict(values[inside], raw_score=True, num_threads=1)
            importance += _importance(fitted, values[inside], test[inside], seed) / n_splits

    ranked = [_Ranked(z[fold == number], test[fold == number]) for number in range(n_splits)]

    def auc_of(weights: np.ndarray) -> float:
        won, pairs = np.sum(
            [fields.pairs(weights[fold == number]) for number, fields in enumerate(ranked)], axis=0
        )
        return won / pairs if pairs else float("nan")

    auc = float(auc_of(np.ones(len(z))))
    interval = cluster_bootstrap(auc_of, group, n_draws=n_bootstrap, seed=random_state)
    probability = _calibrated(z - prior, test, fold, group)
    ratio = probability / (1 - probability) * (~test).sum() / test.sum()
    weights = np.clip(ratio[~test], *clip)
    weights /= weights.mean()

    train_ids = features.index[np.isin(features.index, index[~test])]
    return AdversarialCheck(
        auc=auc,
        interval=(max(0.0, interval[0]), min(1.0, interval[1])),
        fold_aucs=np.array([fields.auc for fields in ranked]),
        columns=_column_table(features.columns, values, test, importance),
        probability=pd.Series(probability, index, name="probability").loc[features.index],
        weights=pd.Series(weights, index[~test], name="weight").loc[train_ids],
        effective_size=float(weights.sum() ** 2 / (weights**2).sum()),
    )


def _folds(test: np.ndarray, group: np.ndarray, n_splits: int, seed: int) -> np.ndarray:
    """Return the fold of each field, each with fields of train and of test."""
    for name, members in (("training", ~test), ("test", test)):
        n_groups = len(np.unique(group[members].astype(str)))
        if n_groups < n_splits:
            kind = "fields" if n_groups == members.sum() else "groups"
            raise InputError(
                f"{n_groups} {kind} with {name} fields cannot fill {counted(n_splits, 'fold')} of "
                "the comparison of train and test; use fewer folds, or smaller groups",
                "n_splits",
            )
    splitter = MultilabelStratifiedGroupKFold(n_splits, random_state=seed)
    fold = splitter.fold_numbers(test[:, None].astype(int), group)
    for number in range(n_splits):
        if len(np.unique(test[fold == number])) < 2:
            raise InputError(
                "groups are so large that a fold of the comparison of train and test contains "
                "only one of the two; use fewer folds, or smaller groups",
                "n_splits",
            )
    return fold


def _fit(values: np.ndarray, test: np.ndarray, prior: float, seed: int) -> lightgbm.Booster:
    margin = np.full(len(values), prior)
    bins = LightGBM.bins(values, SETTINGS)
    return LightGBM.fit(
        values,
        test.astype(float),
        margin,
        SETTINGS,
        seed=seed,
        stages=[SETTINGS.rounds],
        at_stage=None,
        n_monotone=0,
        bins=bins,
    )


def _importance(
    fitted: lightgbm.Booster, values: np.ndarray, test: np.ndarray, seed: int
) -> np.ndarray:
    """Return the decrease of the AUC when each column is permuted, shape (d,)."""
    generator = np.random.default_rng(seed)
    rows = np.concatenate(
        [
            generator.permutation(np.flatnonzero(members))[:_PERMUTED_FIELDS]
            for members in (~test, test)
        ]
    )
    values, test = values[rows], test[rows]

    def score() -> float:
        margin = np.asarray(fitted.predict(values, raw_score=True, num_threads=1))
        return _Ranked(margin, test).auc

    whole = score()
    lost = np.zeros(values.shape[1])
    # Permuting a column that no tree uses has no effect.
    for column in np.flatnonzero(fitted.feature_importance("split")):
        kept = values[:, column].copy()
        values[:, column] = generator.permutation(kept)
        lost[column] = whole - score()
        values[:, column] = kept
    return lost


class _Ranked:
    """Fields ranked by their scores, for the AUC with any weights."""

    def __init__(self, scores: np.ndarray, test: np.ndarray) -> None:
        self._level = np.unique(scores, return_inverse=True)[1]
        self._test = test

    def pairs(self, weights: np.ndarray) -> tuple[float, float]:
        """Return the weight of pairs in which test scores higher (ties: half), and of all pairs."""
        n_levels = self._level.max() + 1
        test = np.bincount(self._level, weights * self._test, minlength=n_levels)
        train = np.bincount(self._level, weights * ~self._test, minlength=n_levels)
        return float(test @ (np.cumsum(train) - train / 2)), float(test.sum() * train.sum())

    @property
    def auc(self) -> float:
        won, pairs = self.pairs(np.ones(len(self._level)))
        return won / pairs


def _calibrated(
    evidence: np.ndarray, test: np.ndarray, fold: np.ndarray, group: np.ndarray
) -> np.ndarray:
    """Return calibrated probabilities; the calibration of each fold is fitted on the others."""
    probability = np.empty(len(evidence))
    for number in range(fold.max() + 1):
        inside = fold == number
        y = test[~inside].astype(float)
        design = np.column_stack([evidence[~inside], np.ones(len(y))])
        # Shrunk towards a slope of 0, not of 1: chance differences in few fields make weights
        # unequal, and unequal weights lower the effective sample size.
        alike = np.array([0.0, logit(y.mean())])
        strength = np.full(2, STRENGTH * fields_per_cluster(y, group[~inside].astype(str)))
        slope, offset = fit_logistic(design, y, prior=alike, strength=strength)
        if slope <= 0:
            slope, offset = alike
        probability[inside] = expit(slope * evidence[inside] + offset)
    return probability


def _column_table(
    names: pd.Index, values: np.ndarray, test: np.ndarray, importance: np.ndarray
) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "column": list(names),
            "importance": importance,
            "auc": [_Ranked(cells, test).auc for cells in values.T],
            "train_mean": values[~test].mean(axis=0, dtype=np.float64),
            "test_mean": values[test].mean(axis=0, dtype=np.float64),
        }
    )
    separation = (table["auc"] - 0.5).abs()
    rank = np.lexsort([-separation, -table["importance"]])
    return table.iloc[rank].reset_index(drop=True)
