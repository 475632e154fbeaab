"""The search: dealing against its slow version, and the objective it lowers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.fold_cases import labelled_groups
from reference.stratification import objective_slowly, stratify_slowly

from hpastack.folds import assignment as search
from hpastack.folds.assignment import assign, assign_rarest_first
from hpastack.folds.group_counts import group_counts
from hpastack.folds.inputs import group_codes

pytestmark = pytest.mark.core

quick = settings(max_examples=40, deadline=None)


def counts_of(y, groups, n_splits, seed=0, levels=()):
    codes, n_groups = group_codes(groups, len(y), seed)
    return group_counts(y.astype(np.uint8), codes, n_groups, list(levels), n_splits), codes


@quick
@given(labelled_groups(), st.booleans())
def test_dealing_is_that_of_the_slow_version(case, equal):
    y, groups, n_splits, _ = case
    counts, _ = counts_of(y, groups, n_splits)
    kinds = counts.kinds[:, : y.shape[1] + 1]
    parts = np.ones(n_splits, dtype=int) if equal else np.arange(1, n_splits + 1)
    slowly = stratify_slowly(kinds.toarray()[counts.kind], parts)
    assert assign_rarest_first(kinds, counts.kind, parts).tolist() == slowly


@quick
@given(labelled_groups())
def test_amounts_are_sums_over_the_rows_of_a_group(case):
    y, groups, n_splits, seed = case
    codes, n_groups = group_codes(groups, len(y), seed)
    line = np.arange(len(y)) % 3
    counts = group_counts(y.astype(np.uint8), codes, n_groups, [(line, 0.5)], n_splits)
    got = counts.kinds.toarray()[counts.kind]
    columns = [*y.T, np.ones(len(y), dtype=int)]
    columns += [(line == level).astype(int) for level in range(line.max() + 1)]
    assert counts.n_first == len(columns)
    for one in range(y.shape[1]):
        for other in range(one):
            both = y[:, one] & y[:, other]
            columns += [both] if both.sum() >= n_splits else []
    want = np.zeros((n_groups, len(columns)), dtype=int)
    np.add.at(want, codes, np.stack(columns, axis=1))
    assert sorted(got.T.tolist()) == sorted(want.T.tolist())
    assert got[:, : counts.n_first].tolist() == want[:, : counts.n_first].tolist()


@quick
@given(labelled_groups(), st.booleans())
def test_moves_never_make_it_worse(case, equal):
    y, groups, n_splits, seed = case
    line = np.arange(len(y)) % 3
    counts, codes = counts_of(y, groups, n_splits, seed, [(line, 0.5)])
    parts = np.ones(n_splits, dtype=int) if equal else np.arange(1, n_splits + 1)
    dealt = search.initial_folds(counts, parts)[codes]
    if len(np.unique(dealt)) < n_splits:
        return  # an empty fold had to be filled, which may cost

    def cost(fold):
        return objective_slowly(y, fold, parts, [line.tolist()], [0.5])

    # The fixed-point weights are exact to far below this.
    assert cost(assign(counts, parts)[codes]) <= cost(dealt) + 1e-6


def test_rare_labels_reach_their_bound():
    # Two rare labels that share groups of unequal sizes: dealt greedily, one is left uneven.
    rng = np.random.default_rng(5)
    y, groups = [], []
    for group in range(60):
        labels = [int(group % 5 == 0), int(group % 4 == 0), int(rng.random() < 0.5)]
        for _ in range(rng.integers(1, 5) * 2):
            y.append(labels)
            groups.append(group)
    y = np.array(y)
    counts, codes = counts_of(y, groups, 3)
    fold = assign(counts, np.ones(3, dtype=int))[codes]
    counts = np.stack([y[fold == number].sum(0) for number in range(3)])
    # Groups are even, so that two is the least step.
    assert (np.ptp(counts, axis=0) <= 2).all()


def test_many_kinds_take_turns(monkeypatch):
    rng = np.random.default_rng(0)
    y = (rng.random((400, 6)) < 0.2).astype(int)
    groups = rng.integers(0, 80, 400)
    counts, codes = counts_of(y, groups, 4)
    monkeypatch.setattr(search, "_WINDOW", 100)
    fold = assign(counts, np.ones(4, dtype=int))[codes]
    counts = np.stack([y[fold == number].sum(0) for number in range(4)])
    assert (np.ptp(counts, axis=0) <= 1).all()


def test_pairs_are_spread_where_the_labels_allow():
    # 20 rows of each label alone, 20 of both: labels alone do not say where the pairs go.
    y = np.repeat([[1, 0], [0, 1], [1, 1], [0, 0]], 20, axis=0)
    counts, codes = counts_of(y, np.arange(80), 5)
    fold = assign(counts, np.ones(5, dtype=int))[codes]
    assert np.bincount(fold[y.sum(1) == 2]).tolist() == [4] * 5
    assert (np.stack([y[fold == number].sum(0) for number in range(5)]) == 8).all()


@pytest.mark.parametrize("n_labels", [0, 70])
def test_any_number_of_labels(n_labels):
    y = np.eye(80, n_labels, dtype=int)
    counts, codes = counts_of(y, np.arange(80), 2)
    assert np.bincount(assign(counts, np.ones(2, dtype=int))[codes]).tolist() == [40, 40]
