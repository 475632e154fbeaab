"""Nested cross-fitting: as its slow description, and blind to the labels of the fold it is for."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from reference import nested_stack
from scipy.special import expit

from hpastack.boosting import TreeSettings
from hpastack.parallel import Workers
from hpastack.stack import StackClassifier, StackSettings
from hpastack.stack.column_blocks import ColumnBlocks
from hpastack.stack.cross_fitting import CrossFitter
from hpastack.stack.fitting import learnable_without_pairs
from hpastack.stack.members import ALL_LABELS, FOREST, MEMBERS, POOLED

N, LABELS, FOLDS = 320, 3, 4
SETTINGS = TreeSettings(rounds=16, min_leaf=5, l2=1.0)


@pytest.fixture
def name(request):
    if request.param == "catboost":
        pytest.importorskip("catboost")
    return request.param


def draw(seed=0):
    rng = np.random.default_rng(seed)
    fold = np.arange(N) % FOLDS
    y = (rng.random((N, LABELS)) < [0.5, 0.35, 0.25]).astype(np.uint8)
    logits = (1.5 * y - 1 + rng.normal(size=(2, N, LABELS))).astype(np.float32).clip(-4, 4)
    features = rng.normal(size=(N, 3)).astype(np.float32)
    features[:, 0] += y[:, 1]
    features[::17, 1] = np.nan
    embedding = rng.normal(size=(N, 6)).astype(np.float32)
    embedding[:, 2] += 2 * y[:, 0]
    return ColumnBlocks(logits, np.empty((0, N, LABELS), np.float32), features), embedding, y, fold


def fitter(inputs, y, fold, n_screened=None, learnable=None):
    return CrossFitter(
        inputs,
        y,
        np.arange(N),
        fold,
        np.ones((FOLDS, FOLDS, LABELS), dtype=bool) if learnable is None else learnable,
        n_components=2,
        n_screened=n_screened,
        workers=Workers(1),
    )


def fitted(inputs, y, fold, name, n_screened=None, learnable=None):
    cross_fitter = fitter(inputs, y, fold, n_screened, learnable)
    consensus = cross_fitter.fit_consensus()
    leave_two_out = cross_fitter.fit_without_two_folds(
        name, SETTINGS, consensus, seeds=[0], min_rounds=2
    )
    boosters = cross_fitter.fit_without_one_fold(
        name, [SETTINGS] * FOLDS, [leave_two_out] * FOLDS, consensus, seeds=[0]
    )
    return consensus.nested_margin(fold), boosters, leave_two_out


@pytest.mark.parametrize("name", MEMBERS, indirect=True)
def test_it_is_what_its_description_says(name):
    inputs, _, y, fold = draw()
    nested_margin, boosters, _ = fitted(inputs, y, fold, name)
    for k in range(FOLDS):
        margin, added, rounds = nested_stack.outer_fold(
            name, inputs, y, np.arange(N), fold, k, SETTINGS, 2
        )
        np.testing.assert_allclose(nested_margin[k], margin, atol=1e-6)
        assert boosters.rounds[k].tolist() == rounds.tolist()
        np.testing.assert_allclose(boosters.added[k], added, atol=1e-6)


@pytest.mark.parametrize("name", MEMBERS, indirect=True)
@pytest.mark.parametrize("k", range(FOLDS))
def test_nothing_for_a_fold_has_seen_its_labels(name, k):
    inputs, embedding, y, fold = draw()
    inputs = ColumnBlocks(inputs.logits, inputs.scores, inputs.features, {"e": embedding})
    margin, boosters, leave_two_out = fitted(inputs, y, fold, name, n_screened=4)
    changed = y.copy()
    changed[fold == k] = 1 - changed[fold == k]
    other_margin, other, other_leave_two_out = fitted(inputs, changed, fold, name, n_screened=4)
    assert np.array_equal(margin[k], other_margin[k])
    assert np.array_equal(boosters.added[k], other.added[k])
    assert np.array_equal(boosters.rounds[k], other.rounds[k])
    assert np.array_equal(leave_two_out.loss[k], other_leave_two_out.loss[k])
    own = [model for place, model in sorted(boosters.models.items()) if place[0] == k]
    assert own == [model for place, model in sorted(other.models.items()) if place[0] == k]
    # The other folds did see them, so the test can fail.
    assert not np.array_equal(margin[k - 1], other_margin[k - 1])
    assert not np.array_equal(boosters.added[k - 1], other.added[k - 1])


@pytest.mark.parametrize("k", [0, 2])
def test_scores_of_a_fold_use_nothing_that_saw_its_labels(k):
    inputs, _, y, fold = draw(1)
    columns = [f"{cnn}__{label}" for cnn in ("a", "b") for label in range(LABELS)]
    X = pd.DataFrame(expit(np.concatenate(list(inputs.logits), axis=1)), columns=columns)
    X["clue"] = inputs.features[:, 0]

    def fit(labels):
        stack = StackClassifier(
            ["a", "b"], rounds=12, min_rounds=4, min_positives=5, n_bootstrap=0, n_jobs=1
        )
        return stack.fit(X, labels, folds=fold)

    changed = y.copy()
    changed[fold == k] = 1 - changed[fold == k]
    first, second = fit(y), fit(changed)
    assert first.boosted_labels() == second.boosted_labels() == [0, 1, 2]
    held_out = fold == k
    for one, other in (
        (first.oof_probabilities_, second.oof_probabilities_),
        (first.oof_labels_, second.oof_labels_),
        (first.oof_consensus_, second.oof_consensus_),
    ):
        pd.testing.assert_frame_equal(one[held_out], other[held_out])
        assert not one[~held_out].equals(other[~held_out])


def test_a_label_is_learned_or_not_whatever_the_labels_of_the_fold():
    inputs, _, y, fold = draw(1)
    X = pd.DataFrame(inputs.features[:, :1], columns=["clue"])
    y = y[:, :1].copy()
    rare = np.flatnonzero(fold == 2)
    y[rare] = 0
    positives = [int(y[fold == k].sum()) for k in range(FOLDS)]
    # Enough without fold 2 and the richest other one, but not without one of the other pairs.
    least = sum(positives) - max(positives)
    for labels in (y, np.where((fold == 2)[:, None], 1, y)):
        stack = StackClassifier(
            rounds=4, min_rounds=2, min_positives=least, n_bootstrap=0, n_jobs=1
        )
        stack.fit(X, labels, folds=fold)
        assert any(place[1] == 2 for place in stack.fitted_[0].models)
    few = StackClassifier(rounds=4, min_rounds=2, min_positives=least, n_bootstrap=0, n_jobs=1)
    few.fit(X, y, folds=fold)
    assert {place[1] for place in few.fitted_[0].models} == {2}
    assert few.predict_proba(X).shape == (N, 1) and few.explain(X)["0"].shape[0] == N


def test_every_row_has_a_model_that_saw_neither_it_nor_the_fold():
    inputs, _, y, fold = draw()
    consensus = fitter(inputs, y, fold).fit_consensus()
    margins, nested = consensus.margins, consensus.nested_margin(fold)
    assert set(margins) == {*((k,) for k in range(FOLDS)), *combinations(range(FOLDS), 2)}
    for k in range(FOLDS):
        for j in range(FOLDS):
            left_out = (k,) if j == k else (min(j, k), max(j, k))
            rows = fold == j
            assert np.array_equal(nested[k, rows], margins[left_out][rows])


@pytest.mark.parametrize("k", range(FOLDS))
def test_labels_that_are_pooled_do_not_depend_on_the_fold_either(k):
    # Without this fold and the next the last label has too few positives; the others have enough
    # as long as this fold has its own.
    inputs, _, y, fold = draw()
    y[:, 2] = 0
    for j in range(FOLDS):
        y[np.flatnonzero(fold == j)[: 20 if j in (k, (k + 1) % FOLDS) else 5], 2] = 1
    least = 20

    def fit(labels):
        enough = learnable_without_pairs(
            labels, np.arange(N), fold, StackSettings(min_positives=least, min_clusters=1)
        )
        return enough, fitted(inputs, labels, fold, POOLED, learnable=enough)

    changed = y.copy()
    changed[fold == k, 2] = 0
    enough, (_, boosters, leave_two_out) = fit(y)
    fewer, (_, other, other_leave_two_out) = fit(changed)
    assert not np.array_equal(enough.all(axis=1), fewer.all(axis=1))
    assert np.array_equal(enough[k], fewer[k])
    assert np.array_equal(boosters.added[k], other.added[k])
    assert np.array_equal(leave_two_out.loss[k], other_leave_two_out.loss[k])
    assert np.array_equal(boosters.rounds[k], other.rounds[k])


def test_the_pooled_booster_needs_two_labels():
    inputs, _, y, fold = draw()
    one = np.zeros((FOLDS, FOLDS, LABELS), dtype=bool)
    one[:, :, 1] = True
    cross_fitter = fitter(inputs, y, fold, learnable=one)
    consensus = cross_fitter.fit_consensus()
    leave_two_out = cross_fitter.fit_without_two_folds(
        POOLED, SETTINGS, consensus, seeds=[0], min_rounds=2
    )
    boosters = cross_fitter.fit_without_one_fold(
        POOLED, [SETTINGS] * FOLDS, [leave_two_out] * FOLDS, consensus, seeds=[0]
    )
    assert not boosters.models and not boosters.added.any()


def test_models_are_kept_by_label_or_for_all_of_them():
    inputs, _, y, fold = draw()
    two = np.ones((FOLDS, FOLDS, LABELS), dtype=bool)
    two[:, :, 0] = False
    for name, wanted in ((POOLED, {ALL_LABELS}), (FOREST, {ALL_LABELS}), ("lightgbm", {1, 2})):
        cross_fitter = fitter(inputs, y, fold, learnable=two)
        consensus = cross_fitter.fit_consensus()
        leave_two_out = cross_fitter.fit_without_two_folds(
            name, SETTINGS, consensus, seeds=[0, 1], min_rounds=2
        )
        boosters = cross_fitter.fit_without_one_fold(
            name, [SETTINGS] * FOLDS, [leave_two_out] * FOLDS, consensus, seeds=[0, 1]
        )
        places = {(k, label, bag) for k in range(FOLDS) for label in wanted for bag in (0, 1)}
        assert set(boosters.models) == places
        assert not boosters.added[:, :, 0].any() and boosters.added[:, :, 1].all()
        assert (leave_two_out.loss[:, 0] == 1).all() and (leave_two_out.loss[:, 1:] != 1).all()
