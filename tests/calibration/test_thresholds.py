"""Thresholds: exact against the slow way, shrunk and guarded."""

from pathlib import Path

import numpy as np
import pytest
from reference.thresholds import best_f1, best_macro_f1, slow_thresholds

from hpastack.calibration import (
    POLICIES,
    ThresholdSearch,
    apply_thresholds,
    best_thresholds,
    threshold_intervals,
)
from hpastack.errors import InputError
from hpastack.metrics import cluster_draws, macro_f1

METHOD = Path(__file__).parents[2] / "docs" / "method.md"

#: Policies that look at no labels, so that they may predict one without any positive.
TARGET_FREE = ["plug-in"]


def draw(seed, n=60, n_labels=4, decimals=2):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, n_labels)) < [0.5, 0.3, 0.1, 0.05]).astype(int)
    p = np.clip(0.4 * y + 0.6 * rng.random(y.shape), 0, 1).round(decimals)
    return y, p


@pytest.mark.parametrize("seed", range(5))
def test_the_search_is_exact(seed):
    y, p = draw(seed)  # two decimals: many ties
    own = apply_thresholds(p, best_thresholds(y, p, policy="per-label", max_ratio=np.inf))
    for label in range(y.shape[1]):
        assert macro_f1(y[:, [label]], own[:, [label]]) == pytest.approx(
            best_f1(y[:, label], p[:, label])
        )
    common = apply_thresholds(p, best_thresholds(y, p, policy="global", max_ratio=np.inf))
    assert macro_f1(y, common) == pytest.approx(best_macro_f1(y, p))


def test_rare_labels_are_drawn_to_the_global_threshold():
    y, p = draw(1, n=400, decimals=6)
    common = best_thresholds(y, p, policy="global", max_ratio=np.inf)
    assert len(set(common)) == 1
    assert best_thresholds(y, p, shrinkage=1e9, max_ratio=np.inf) == pytest.approx(common, abs=1e-6)
    assert best_thresholds(y, p, shrinkage=0, max_ratio=np.inf) == pytest.approx(
        best_thresholds(y, p, policy="per-label", max_ratio=np.inf)
    )


def test_no_label_is_given_to_far_more_fields_than_carry_it():
    rng = np.random.default_rng(0)
    y = np.zeros((1000, 2), dtype=int)
    y[:500, 0] = y[:10, 1] = 1
    p = np.column_stack([0.2 + 0.1 * rng.random(1000), rng.random(1000)])
    labels = apply_thresholds(p, best_thresholds(y, p))
    assert labels[:, 1].sum() <= 30


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("decimals", [1, 2, 9])
def test_thresholds_are_those_of_the_slow_search(policy, decimals):
    for seed in range(6):
        y, p = draw(seed, decimals=decimals)
        for max_ratio in (1.2, 3.0):
            np.testing.assert_allclose(
                best_thresholds(y, p, policy=policy, shrinkage=20, max_ratio=max_ratio),
                slow_thresholds(y, p, policy, 20, max_ratio),
                rtol=1e-12,  # the slow logit and sums of probabilities round elsewhere
            )


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("decimals", [1, 2, 9])
def test_a_weight_is_a_number_of_copies(policy, decimals):
    rng = np.random.default_rng(0)
    for seed in range(6):
        y, p = draw(seed, decimals=decimals)
        weights = rng.integers(0, 3, size=len(y))
        rows = np.repeat(np.arange(len(y)), weights)
        np.testing.assert_allclose(
            best_thresholds(y, p, policy=policy, weights=weights),
            slow_thresholds(y[rows], p[rows], policy),
            rtol=1e-12,
        )
        np.testing.assert_allclose(
            best_thresholds(y, p, policy=policy, weights=weights / 4),
            # Shrinkage is in positives, so it shrinks with the weights.
            best_thresholds(y, p, policy=policy, weights=weights, shrinkage=4 * 300),
            rtol=1e-12,
        )


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("decimals", [2, 9])
def test_intervals_are_those_of_the_slow_search_in_each_draw(policy, decimals):
    # Three positives of the last label: some draws hold none.
    y, p = draw(3, n=80, decimals=decimals)
    clusters = np.random.default_rng(1).integers(0, 40, size=len(y))
    low, high = threshold_intervals(
        y, p, clusters, policy=policy, shrinkage=10, n_draws=30, seed=2, coverage=0.9
    )
    chosen = []
    for counts in cluster_draws(clusters, n_draws=30, seed=2):
        rows = np.repeat(np.arange(len(y)), counts)
        chosen.append(slow_thresholds(y[rows], p[rows], policy, 10))
    np.testing.assert_allclose(low, np.percentile(chosen, 5, axis=0), rtol=1e-12)
    np.testing.assert_allclose(high, np.percentile(chosen, 95, axis=0), rtol=1e-12)
    assert (low <= high).all()


def test_an_empty_label_keeps_the_common_threshold_or_is_given_to_nothing():
    y, p = draw(0, n=200)
    y[:, 3] = 0
    p[:, 3] = np.minimum(p[:, 3], 0.6)
    common = best_thresholds(y[:, :3], p[:, :3], policy="global", max_ratio=np.inf)[0]
    assert best_thresholds(y, p, policy="global", max_ratio=np.inf)[3] == common
    for shrinkage in (0, 300):
        assert best_thresholds(y, p, shrinkage=shrinkage)[3] == common
    for policy in ("per-label", "prevalence"):
        threshold = best_thresholds(y, p, policy=policy)[3]
        assert p[:, 3].max() < threshold <= p[:, 3].max() + 1e-6
    # A label that is sure of a field can not be kept from it.
    assert best_thresholds([[0]], [[1.0]], policy="per-label") == 1


@pytest.mark.parametrize("policy", [name for name in POLICIES if name not in TARGET_FREE])
def test_without_any_positive_nothing_is_given(policy):
    y, p = draw(0)
    thresholds = best_thresholds(np.zeros_like(y), np.minimum(p, 0.9), policy=policy)
    assert not apply_thresholds(np.minimum(p, 0.9), thresholds).any()


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_keeps_to_its_fields_and_labels(policy):
    y, p = draw(2, n=200)
    thresholds = best_thresholds(y, p, policy=policy)
    assert thresholds.shape == (4,) and ((thresholds >= 0) & (thresholds <= 1)).all()
    # The order of fields and labels is of no account; absent fields are not looked at.
    rng = np.random.default_rng(0)
    rows, labels = rng.permutation(200), rng.permutation(4)
    shuffled = best_thresholds(y[rows][:, labels], p[rows][:, labels], policy=policy)
    np.testing.assert_allclose(shuffled, thresholds[labels], rtol=1e-12)
    more_y, more_p = np.vstack([y, 1 - y]), np.vstack([p, p[::-1]])
    weights = np.repeat([1, 0], 200)
    absent = best_thresholds(more_y, more_p, policy=policy, weights=weights)
    np.testing.assert_allclose(absent, thresholds, rtol=1e-12)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_documentation_names_it(policy):
    assert f'- ``"{policy}"``: ' in best_thresholds.__doc__
    assert f"`{policy}`" in METHOD.read_text(encoding="utf-8")


@pytest.mark.parametrize("policy", POLICIES)
def test_thresholds_of_a_fold_are_those_of_the_other_folds(policy):
    y, p = draw(4, n=90)
    fold = np.arange(90) % 3
    found = ThresholdSearch(y, p, policy).without_folds(fold)
    for k in range(3):
        others = fold != k
        assert found[k] == pytest.approx(best_thresholds(y[others], p[others], policy=policy))


def test_prevalence_gives_a_label_as_often_as_it_is_carried():
    y, p = draw(0, n=500, decimals=9)
    given = apply_thresholds(p, best_thresholds(y, p, policy="prevalence"))
    assert (given.sum(axis=0) == y.sum(axis=0)).all()
    # Ties leave 1 or 3 reachable where 2 carry it: the smaller.
    y, p = [[1], [1], [0], [0]], [[0.9], [0.5], [0.5], [0.1]]
    assert best_thresholds(y, p, policy="prevalence") == pytest.approx(0.7)


def test_plug_in_by_hand():
    # Expected F1 of the first one, two, three: 1.8 / 2.7, 3 / 3.7, 3.4 / 4.7.
    p = [[0.9], [0.6], [0.2]]
    for y in ([[1], [1], [0]], [[0], [1], [1]]):
        assert best_thresholds(y, p, policy="plug-in") == pytest.approx(3 / 3.7 / 2)
    nothing = best_thresholds([[0], [0]], [[0.0], [0.0]], policy="plug-in")
    assert not apply_thresholds([[0.0], [0.0]], nothing).any()


def test_plug_in_is_best_where_probabilities_are_calibrated():
    rng = np.random.default_rng(0)
    p = rng.beta(0.3, 2, size=(100_000, 1))
    y = (rng.random(p.shape) < p).astype(int)
    found = best_thresholds(y, p, policy="plug-in")
    best = best_thresholds(y, p, policy="per-label")
    # F1 is flat at its maximum, and 13,000 positives leave it uncertain by a few thousandths.
    assert macro_f1(y, p >= found) == pytest.approx(macro_f1(y, p >= best), abs=2e-3)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_guard_holds_for_ties_and_for_every_policy(policy):
    y = np.zeros((100, 2), dtype=int)
    y[:5, 0] = y[:60, 1] = 1
    p = np.column_stack([np.repeat([0.9, 0.8, 0.7], [4, 50, 46]), np.linspace(1, 0.5, 100)])
    given = apply_thresholds(p, best_thresholds(y, p, policy=policy, max_ratio=2)).sum(axis=0)
    # Cutting at the 10th field would give the label to all 54 that tie with it or lie above.
    assert given[0] in (0, 4) and given[1] > 0
    constant = np.full((100, 2), 0.5)
    assert not apply_thresholds(constant, best_thresholds(y, constant, max_ratio=1.5))[:, 0].any()


def test_a_field_gets_the_labels_nearest_to_their_thresholds():
    thresholds = [0.5, 0.1, 0.5]
    p = [
        [0.9, 0.5, 0.1],  # has two
        [0.4, 0.05, 0.1],  # log-odds below threshold: 0.41, 0.75, 2.2
        [0.3, 0.0, 0.3],  # first and last equally near
        [0.0, 0.0, 1.0],  # has one; the others equally far only in label order
    ]
    at_least = [apply_thresholds(p, thresholds, min_labels=k).tolist() for k in range(4)]
    assert at_least[0] == [[1, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert at_least[1] == [[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert at_least[2] == [[1, 1, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]]
    assert at_least[3] == [[1, 1, 1]] * 4


def test_neighbouring_numbers_are_told_apart():
    # No number lies between the two, and half way rounds to one of them.
    for high in (0.5, 0.7, 1.0):
        p = [[high], [np.nextafter(high, 0)]]
        given = apply_thresholds(p, best_thresholds([[1], [0]], p, policy="per-label"))
        assert given.tolist() == [[1], [0]]


def test_bad_arguments():
    with pytest.raises(InputError, match="unknown threshold policy 'best'"):
        best_thresholds([[1]], [[0.5]], policy="best")
    with pytest.raises(InputError, match="must have the same shape"):
        best_thresholds([[1]], [[0.5, 0.5]])
    with pytest.raises(InputError, match="no fields"):
        best_thresholds(np.zeros((0, 2)), np.zeros((0, 2)))
    with pytest.raises(InputError, match=r"not all in \[0, 1\]"):
        best_thresholds([[1], [0]], [[0.5], [np.nan]])
    with pytest.raises(InputError, match=r"weights must have shape \(1,\)"):
        best_thresholds([[1]], [[0.5]], weights=[1, 1])
    for weights in ([0, 0], [-1, 2], [np.nan, 1]):
        with pytest.raises(InputError, match="weights must be at least 0"):
            best_thresholds([[1], [0]], [[0.5], [0.2]], weights=weights)
    with pytest.raises(InputError, match="one value per field: 1 value for 2 fields"):
        threshold_intervals([[1], [0]], [[0.5], [0.2]], [0])
    with pytest.raises(InputError, match="between 0 and 1"):
        threshold_intervals([[1], [0]], [[0.5], [0.2]], [0, 1], coverage=95)
    with pytest.raises(InputError, match="do not match"):
        apply_thresholds([[0.5, 0.5]], [0.5])
    with pytest.raises(InputError, match="min_labels is 3; there are 2 labels"):
        apply_thresholds([[0.5, 0.5]], [0.5, 0.5], min_labels=3)
