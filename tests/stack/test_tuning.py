"""Settings of the trees: what is tried looks at no score, what is taken looks at no own fold."""

import sys

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from hpastack.boosting import TreeSettings
from hpastack.errors import InputError
from hpastack.stack import StackClassifier, load_stack
from hpastack.stack.cross_fitting import CrossFitter
from hpastack.stack.tuning import SPACE, candidates

pytestmark = pytest.mark.core

N = 360


def draw(seed=0):
    rng = np.random.default_rng(seed)
    y = (rng.random((N, 2)) < [0.5, 0.4]).astype(int)
    X = pd.DataFrame(expit(y - 0.5 + rng.normal(size=y.shape)), columns=["net__0", "net__1"])
    X["clue"] = 2.0 * y[:, 1] * rng.integers(2, size=N) + rng.normal(size=N)
    X["wave"] = np.where(y[:, 0], rng.choice([-2, 2], N), 0) + rng.normal(size=N)
    return X, y, np.arange(N) % 3


def small(**options):
    settings = {
        "boosters": ["lightgbm", "xgboost"],
        "learning_rate": 0.2,
        "rounds": 10,
        "min_rounds": 5,
        "tune": 4,
        "n_bootstrap": 0,
        "n_jobs": 1,
    }
    return StackClassifier(["net"], **settings | options)


@pytest.fixture(scope="module")
def fitted():
    X, y, fold = draw()
    return small().fit(X, y, folds=fold)


def test_candidates_start_with_the_given_and_fill_the_space():
    first = TreeSettings(rounds=7, monotone=True, learning_rate=0.01)
    tried = candidates(first, 17, seed=0)
    assert tried[0] == first and len(set(tried)) == 17
    assert all(one.rounds == 7 and one.monotone for one in tried)
    for name, (low, high, _) in SPACE.items():
        values = [getattr(one, name) for one in tried[1:]]
        assert low <= min(values) and max(values) <= high
        assert len(set(values)) > 4
    assert candidates(first, 17, seed=0) == tried != candidates(first, 17, seed=1)
    # Longer lists begin with the shorter ones: a search can be gone on with.
    assert candidates(first, 30, seed=0)[:17] == tried
    assert candidates(first, 1, seed=0) == candidates(first, 0, seed=0) == [first]


def test_the_best_of_the_other_folds_is_taken(fitted):
    table = fitted.tuning_
    assert list(table["library"]) == ["lightgbm"] * 4 + ["xgboost"] * 4
    assert table["learning_rate"].iloc[0] == fitted.learning_rate
    for _, tried in table.groupby("library"):
        losses = np.array(tried["fold_losses"].tolist())  # (n_trials, n_folds)
        for k in range(3):
            assert k in tried["chosen_for"].iloc[int(losses[:, k].argmin())]
        assert sorted(sum(tried["chosen_for"], [])) == [0, 1, 2]


@pytest.mark.parametrize("k", range(3))
@pytest.mark.long
def test_what_a_fold_is_given_does_not_depend_on_its_labels(fitted, k):
    X, y, fold = draw()
    changed = y.copy()
    changed[fold == k] = 1 - changed[fold == k]
    other = small().fit(X, changed, folds=fold)
    own = [[losses[k] for losses in table["fold_losses"]]
           for table in (fitted.tuning_, other.tuning_)]  # fmt: skip
    assert own[0] == own[1]
    rows = fold == k
    one, two = fitted.oof_probabilities_[rows], other.oof_probabilities_[rows]
    pd.testing.assert_frame_equal(one, two)
    assert not fitted.tuning_["fold_losses"].equals(other.tuning_["fold_losses"])


@pytest.mark.long
def test_workers_change_nothing_and_one_candidate_is_no_tuning(fitted):
    X, y, fold = draw()
    again = small(n_jobs=2).fit(X, y, folds=fold)
    pd.testing.assert_frame_equal(fitted.tuning_, again.tuning_)
    pd.testing.assert_frame_equal(fitted.oof_probabilities_, again.oof_probabilities_)
    one, none = (small(tune=n).fit(X, y, folds=fold) for n in (1, 0))
    assert one.tuning_ is None and none.tuning_ is None
    pd.testing.assert_frame_equal(one.oof_probabilities_, none.oof_probabilities_)


@pytest.mark.long
def test_a_search_goes_on_where_it_was(tmp_path, monkeypatch):
    X, y, fold = draw()
    plain, tried = CrossFitter.fit_without_two_folds, []

    def spy(self, name, settings, *arguments, **options):
        tried.append(name)
        if len(tried) == 3:
            raise KeyboardInterrupt
        return plain(self, name, settings, *arguments, **options)

    monkeypatch.setattr(CrossFitter, "fit_without_two_folds", spy)
    with pytest.raises(KeyboardInterrupt):
        small(cache=tmp_path).fit(X, y, folds=fold)
    kept = small(cache=tmp_path).fit(X, y, folds=fold)
    assert len(tried) == 3 + 6  # two of eight were there
    tried.clear()
    more = small(cache=tmp_path, tune=5).fit(X, y, folds=fold)
    assert tried == ["lightgbm", "xgboost"]
    assert len(more.tuning_) == 10 and len(kept.tuning_) == 8


def test_it_is_kept_with_the_stack(fitted, tmp_path):
    loaded = load_stack(fitted.save(tmp_path / "stack"))
    pd.testing.assert_frame_equal(loaded.tuning_, fitted.tuning_)
    X, _, _ = draw()
    pd.testing.assert_frame_equal(loaded.predict_proba(X), fitted.predict_proba(X))


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    X, y, fold = draw()
    with pytest.raises(InputError, match=r"pip install 'hpastack\[tune\]'"):
        small().fit(X, y, folds=fold)
    small(tune=0).fit(X, y, folds=fold)
