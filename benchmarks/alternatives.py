"""Alternatives to the stack, fitted as a careful user would.

Each takes a set and its folds and returns out-of-fold scores, shape (n, 28), in
[0, 1]: those of a fold come from models fitted on the other folds. All run on
one thread.
"""

from __future__ import annotations

import importlib.util
import tempfile
import warnings
from collections.abc import Callable
from functools import partial

import lightgbm as lgb
import numpy as np
from lightgbm import LGBMClassifier
from scipy.special import expit
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.multioutput import MultiOutputClassifier
from xgboost import XGBClassifier

from benchmarks.stack_data import RealSet
from hpastack.stack.consensus import clipped_logits

#: Function of a set and its folds that returns out-of-fold scores.
System = Callable[[RealSet, np.ndarray], np.ndarray]

#: The scheme of the eighth place as it is run here; see `eighth_place`.
EIGHTH_PLACE = {
    "inner folds": 3,
    "learning rate": 0.1,
    "rounds": 100,
    "patience": 20,
    "leaves": 256,
}


def cnn_alone(cnn: str):
    """Make a system of one CNN: its probabilities, clipped as for the consensus."""

    def scores(real: RealSet, fold) -> np.ndarray:
        return expit(clipped_logits(real.probabilities(cnn), are_logits=False))

    return scores


def mean_of_cnns(real: RealSet, fold) -> np.ndarray:
    """Average the log-odds of the CNNs; nothing is fitted."""
    return expit(real.log_odds().mean(axis=0))


def lightgbm_on_all(real: RealSet, fold) -> np.ndarray:
    """Fit LightGBM per label on every column, with the library's defaults and 100 trees."""
    return multi_output(real, fold, LGBMClassifier(n_estimators=100, n_jobs=1, verbose=-1))


def xgboost_on_all(real: RealSet, fold) -> np.ndarray:
    """Fit XGBoost per label on every column, with the library's defaults and 100 trees."""
    return multi_output(real, fold, XGBClassifier(n_estimators=100, tree_method="hist", n_jobs=1))


def autogluon(seconds: float) -> dict[str, System]:
    """Return AutoGluon by name, if it is installed and `seconds` per label and fold is not 0."""
    if not seconds:
        return {}
    if not importlib.util.find_spec("autogluon"):
        print("AutoGluon is not installed: skipped")
        return {}
    return {"AutoGluon": partial(_autogluon_on_all, seconds)}


def _autogluon_on_all(seconds: float, real: RealSet, fold) -> np.ndarray:
    from autogluon.tabular import TabularPredictor

    table = real.X.set_axis([f"column{k}" for k in range(real.X.shape[1])], axis=1)
    y = real.y.to_numpy()
    scores = np.zeros(y.shape)
    for held_out in _held_out(fold):
        for label in range(y.shape[1]):
            # Its bags are the other folds, so that clusters stay whole.
            train = table[~held_out].assign(label=y[~held_out, label], fold=fold[~held_out])
            if train.groupby("fold")["label"].nunique().min() < 2:
                scores[held_out, label] = train["label"].mean()
                continue
            with tempfile.TemporaryDirectory() as folder:
                predictor = TabularPredictor(
                    "label", "binary", "log_loss", path=folder, groups="fold", verbosity=0
                ).fit(train, time_limit=seconds, presets="good_quality", num_cpus=1)
                scores[held_out, label] = predictor.predict_proba(table[held_out])[1]
    return scores


def stacking_classifier(real: RealSet, fold) -> np.ndarray:
    """Fit scikit-learn's StackingClassifier per label on its own columns and the features.

    Base models are LightGBM and XGBoost with 50 trees, the meta-learner is
    logistic regression, with five inner folds. With fewer than five positives
    there are as many inner folds as positives; with fewer than two the score is
    the proportion of positives.
    """

    def fit(x, y):
        positives = int(y.sum())
        if positives < 2:
            return None
        bases = [
            ("lightgbm", LGBMClassifier(n_estimators=50, n_jobs=1, verbose=-1)),
            ("xgboost", XGBClassifier(n_estimators=50, tree_method="hist", n_jobs=1)),
        ]
        model = StackingClassifier(bases, LogisticRegression(), cv=min(5, positives), n_jobs=1)
        return model.fit(x, y)

    return _per_label(
        real, fold, fit, lambda label: real.X[real.own_columns(label) + real.features]
    )


def logistic_regression(real: RealSet, fold) -> np.ndarray:
    """Fit logistic regression per label on the log-odds of its own columns (C=1)."""
    log_odds = real.log_odds()  # (n_cnns, n, n_labels)

    def fit(x, y):
        varies = y.any() and not y.all()
        return LogisticRegression(max_iter=1000).fit(x, y) if varies else None

    return _per_label(real, fold, fit, lambda label: log_odds[:, :, label].T)


def eighth_place(inner_repeats: int):
    """Make a system of the eighth place's scheme in the competition, "one more layer of stacking".

    Per label, LightGBM on every column is fitted on inner folds, with early
    stopping by the AUC of the held-out inner fold. Each inner model votes with
    the threshold that is best on that inner fold, by the F1 averaged over
    presence and absence of the label. The score is the proportion of votes. For
    a label with fewer than 15 positives only its own columns are used.

    Run here with the settings of `EIGHTH_PLACE` and outer folds once. The
    authors used five inner repeats, three outer repeats, learning rate 0.01,
    up to 1,000 rounds and patience 200, which take days on two cores. With one
    inner repeat there are three votes, so the score has four values and its
    average precision is hardly representative of the scheme. Inner folds without
    a positive on either side cast no vote.
    """

    def scores(real: RealSet, fold) -> np.ndarray:
        y = real.y.to_numpy()
        found = np.zeros(y.shape)
        for held_out in _held_out(fold):
            for label in range(y.shape[1]):
                target = y[~held_out, label]
                columns = real.own_columns(label) if target.sum() < 15 else list(real.X.columns)
                x = real.X[columns].to_numpy(dtype=np.float32)
                found[held_out, label] = _votes(x[~held_out], target, x[held_out], inner_repeats)
        return found

    return scores


def _votes(x, y, x_new, inner_repeats) -> np.ndarray:
    # Proportion of the inner models that predict the label, for each new field.
    votes, n_models = np.zeros(len(x_new)), 0
    parameters = {
        "objective": "binary",
        "metric": "auc",
        "learning_rate": EIGHTH_PLACE["learning rate"],
        "num_leaves": EIGHTH_PLACE["leaves"],
        "max_depth": 9,
        "min_data_in_leaf": 15,
        "feature_fraction": 0.6,
        "bagging_fraction": 0.9,
        "bagging_freq": 5,
        # As in the original: below 1, so positives get less weight. From the training part.
        "scale_pos_weight": 1 - y.mean(),
        "num_threads": 1,
        "verbose": -1,
    }
    for repeat in range(inner_repeats):
        for train, validation in _inner_folds(y, EIGHTH_PLACE["inner folds"], repeat):
            if not (y[train].any() and y[validation].any()):
                continue
            model = lgb.train(
                parameters | {"seed": repeat},
                lgb.Dataset(x[train], y[train]),
                EIGHTH_PLACE["rounds"],
                valid_sets=[lgb.Dataset(x[validation], y[validation])],
                callbacks=[lgb.early_stopping(EIGHTH_PLACE["patience"], verbose=False)],
            )
            threshold = _two_sided_threshold(y[validation], model.predict(x[validation]))
            votes += model.predict(x_new) > threshold
            n_models += 1
    return votes / max(1, n_models)


def _inner_folds(y, n_folds, seed):
    with warnings.catch_warnings():
        # A label with fewer positives than inner folds.
        warnings.simplefilter("ignore", UserWarning)
        splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
        return list(splitter.split(np.zeros(len(y)), y))


def _two_sided_threshold(y, probability) -> float:
    # The threshold, of a grid of 1,000, with the highest mean F1 of both classes.
    grid = np.arange(1000) / 1000
    order = np.argsort(probability)
    hits_below = np.concatenate([[0], np.cumsum(y[order])])
    below = np.searchsorted(probability[order], grid, side="right")
    positives, hits = y.sum(), y.sum() - hits_below[below]
    given = len(y) - below
    f1 = 2 * hits / (given + positives)
    right_below = below - hits_below[below]
    f1_without = 2 * right_below / (below + len(y) - positives)
    return float(grid[np.argmax(f1 + f1_without)])


def multi_output(real: RealSet, fold, model) -> np.ndarray:
    x, y = real.X, real.y.to_numpy()
    scores = np.zeros(y.shape)
    for held_out in _held_out(fold):
        train = y[~held_out]
        # A label that no or every field of the training part has cannot be fitted.
        varies = train.any(axis=0) & ~train.all(axis=0)
        scores[held_out] = train.mean(axis=0)
        fitted = MultiOutputClassifier(model, n_jobs=1).fit(x[~held_out], train[:, varies])
        columns = [pair[:, 1] for pair in fitted.predict_proba(x[held_out])]
        scores[np.ix_(held_out, varies)] = np.column_stack(columns)
    return scores


def _per_label(real: RealSet, fold, fit, seen) -> np.ndarray:
    # `seen` returns the columns of a label, `fit` a classifier, or None: then the proportion of
    # positives is used.
    y = real.y.to_numpy()
    scores = np.zeros(y.shape)
    for held_out in _held_out(fold):
        for label in range(y.shape[1]):
            x, target = seen(label), y[~held_out, label]
            model = fit(x[~held_out], target)
            if model is None:
                scores[held_out, label] = target.mean()
            else:
                scores[held_out, label] = model.predict_proba(x[held_out])[:, 1]
    return scores


def _held_out(fold):
    return [fold == number for number in range(fold.max() + 1)]
