"""What the pooled booster sees of a pair of field and label, and whose pairs it is fitted to."""

import numpy as np
import pytest
from scipy.special import expit, logit

from hpastack.boosting import TreeSettings
from hpastack.stack.column_blocks import ColumnBlocks
from hpastack.stack.members import POOLED, AllPairs, library_of
from hpastack.stack.pairs import MAX_SHARED, PairColumns, Pairs, pair_names

pytestmark = pytest.mark.core

MARGIN = np.array([[2.0, -1.0, 0.0], [-2.0, -2.0, -3.0]], dtype=np.float32)
NOTHING = PairColumns(np.zeros(3), np.zeros((3, 3)), np.zeros(0, dtype=np.int64))


def blocks(n=2, n_cnns=2, n_labels=3, n_scores=1, n_features=2, seed=0):
    rng = np.random.default_rng(seed)
    logits, scores = (
        rng.normal(size=(k, n, n_labels)).astype(np.float32) for k in (n_cnns, n_scores)
    )
    return ColumnBlocks(logits, scores, rng.normal(size=(n, n_features)).astype(np.float32))


def shared_of(inputs, margin):
    parts = [margin, inputs.features] if len(inputs.logits) else [inputs.features]
    return np.concatenate(parts, axis=1).astype(np.float32)


def test_what_is_counted_of_labels_by_hand():
    y = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]])
    columns = PairColumns.fit(y, np.zeros((0, 3)))
    share = np.array([3.5, 2.5, 0.5]) / 5
    np.testing.assert_allclose(columns.prevalence, logit(share))
    # Of 3 fields with the first label 2 carry the second; 10 more carry it by chance.
    assert columns.lift[0, 1] == pytest.approx(np.log((2 + 10 * share[1]) / 13 / share[1]))
    assert columns.lift[1, 0] == pytest.approx(np.log((2 + 10 * share[0]) / 12 / share[0]))
    # Nothing is known of fields with the third, which none carries.
    assert columns.lift[2].tolist() == [0, 0, 0]
    assert np.diag(columns.lift).tolist() == [0, 0, 0]
    assert len(columns.chosen) == 0


def test_the_columns_that_tell_most_over_all_labels_are_chosen():
    gains = np.random.default_rng(0).random((MAX_SHARED + 10, 4))
    chosen = PairColumns.fit(np.zeros((5, 4), dtype=int), gains).chosen
    assert chosen.tolist() == sorted(np.argsort(-gains.sum(axis=1))[:MAX_SHARED].tolist())


def test_columns_by_hand():
    inputs = blocks()
    lift = np.array([[0, 0.5, -1], [0.25, 0, 2], [0, 0, 0]])
    columns = PairColumns(np.array([-1.0, -2.0, -3.0]), lift, np.array([1]))
    pairs = Pairs(columns, inputs, MARGIN, shared_of(inputs, MARGIN))
    p = expit(MARGIN.astype(float))
    rank = [[0, 2, 1], [0, 1, 2]]  # of equal ones the first label
    best_other = [[0, 2, 2], [-2, -2, -2]]
    for label in range(3):
        found = pairs.of_label(label)
        assert found.dtype == np.float32
        for row in range(2):
            of_cnns = inputs.logits[:, row, label]
            wanted = [
                *of_cnns,
                inputs.scores[0, row, label],
                of_cnns.std(), of_cnns.min(), of_cnns.max(),
                MARGIN[row, label],
                rank[row][label],
                p[row].sum(),
                p[row].sum() - p[row, label],
                best_other[row][label],
                MARGIN[row, label] - best_other[row][label],
                sum(p[row, other] * lift[other, label] for other in range(3)),
                columns.prevalence[label],
                inputs.features[row, 1],
            ]  # fmt: skip
            np.testing.assert_allclose(found[row], wanted, rtol=1e-5, atol=1e-6)
        names = pair_names(["a", "b", "near"], "consensus of x", 2, ["feature"])
        assert len(names) == len(set(names)) == found.shape[1]
        assert names[6] == "consensus of x" and names[-1] == "feature"


@pytest.mark.parametrize(("n_cnns", "n_own"), [(0, 0), (1, 1), (2, 5)])
def test_the_spread_needs_two_cnns_and_without_any_there_are_no_margins(n_cnns, n_own):
    inputs = blocks(n_cnns=n_cnns, n_scores=0)
    columns = PairColumns(np.zeros(3), np.zeros((3, 3)), np.array([0, 1]))
    found = Pairs(columns, inputs, MARGIN, shared_of(inputs, MARGIN)).of_label(1)
    assert found.shape == (2, n_own + 8 + 2)
    np.testing.assert_array_equal(found[:, -2:], inputs.features)
    own = [f"cnn{k}" for k in range(n_cnns)]
    assert len(pair_names(own, "consensus", n_cnns, ["f", "g"])) == found.shape[1]


def test_one_label_alone_is_its_own_best_other():
    inputs = blocks(n_labels=1, n_cnns=1, n_scores=0)
    margin = MARGIN[:, :1]
    columns = PairColumns.fit(np.array([[1], [0]]), np.zeros((0, 1)))
    found = Pairs(columns, inputs, margin, shared_of(inputs, margin)).of_label(0)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, 5], margin[:, 0])  # best other label
    np.testing.assert_allclose(found[:, 4], 0, atol=1e-7)  # others expected
    assert (found[:, 6:8] == 0).all()  # distance to it, support


def test_a_field_gives_the_same_columns_among_any_others():
    inputs = blocks(n=30)
    rng = np.random.default_rng(1)
    margin = rng.normal(size=(30, 3)).astype(np.float32)
    columns = PairColumns(rng.normal(size=3), rng.normal(size=(3, 3)), np.array([0]))
    every = Pairs(columns, inputs, margin, shared_of(inputs, margin))
    rows = np.array([3, 17, 4])
    few = inputs.take(rows)
    alone = Pairs(columns, few, margin[rows], shared_of(few, margin[rows]))
    for label in range(3):
        np.testing.assert_array_equal(every.of_label(label)[rows], alone.of_label(label))
        np.testing.assert_array_equal(every.of_label(label, rows), alone.of_label(label))


def test_what_is_known_of_labels_is_kept_exactly():
    rng = np.random.default_rng(0)
    first = PairColumns(rng.normal(size=3), rng.normal(size=(3, 3)), np.array([0, 5]))
    again = PairColumns.from_record(first.record())
    for one, other in zip(first.arrays(), again.arrays()):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


def pooled(n=300, seed=0):
    rng = np.random.default_rng(seed)
    inputs = blocks(n=n, n_scores=0, seed=seed)
    margin = (rng.normal(size=(n, 3)) - [0, 3, 6]).astype(np.float32)
    y = (rng.random((n, 3)) < expit(margin)).astype(int)
    pairs = Pairs(NOTHING, inputs, margin, shared_of(inputs, margin))
    return AllPairs([0, 1, 2], y, margin, pairs)


def test_fields_of_one_label_come_after_those_of_the_other():
    rows, some = pooled(), np.array([5, 1, 9])
    found = rows.columns(some)
    parts = np.split(found, 3)
    for label, part in zip(rows.labels, parts):
        np.testing.assert_array_equal(part, rows.pairs.of_label(label, some))


def test_negatives_that_are_ruled_out_are_thinned_and_their_odds_raised(monkeypatch):
    seen = {}

    class Spy:
        @staticmethod
        def fit(x, y, margin, settings, **options):
            seen.update(x=x, y=y, margin=margin, **options)

    rows, train = pooled(n=3000), np.arange(2000)
    monkeypatch.setattr("hpastack.stack.members.library_of", lambda name: Spy)
    rows.fit(train, TreeSettings(), seed=3, stages=[4], at_stage=None)
    margin, y = rows.margin[train].T.ravel(), rows.y[train].T.ravel()
    ruled_out = margin < -3
    # All positives and all that are not ruled out stay; of the rest an eighth.
    assert seen["y"].sum() == y.sum()
    raised = seen["margin"] - np.float32(np.log(8))
    assert (~ruled_out).sum() + (ruled_out & (y == 1)).sum() <= len(seen["y"])
    kept = len(seen["y"]) - (~ruled_out).sum() - (ruled_out & (y == 1)).sum()
    assert kept / (ruled_out & (y == 0)).sum() == pytest.approx(0.125, abs=0.03)
    # The margin of each is that of its field, raised by log 8 where it was thinned.
    column = seen["x"][:, 5]  # of two CNNs and their spread
    np.testing.assert_allclose(np.where(column < -3, raised, seen["margin"]), column, atol=1e-5)
    assert (seen["n_monotone"], seen["bins"], seen["stages"], seen["seed"]) == (0, None, [4], 3)
    # The columns of the CNNs come first, whose votes may then not lower a label.
    rows.fit(train, TreeSettings(monotone=True), seed=3, stages=[4], at_stage=None)
    assert seen["n_monotone"] == 2


def test_thinning_shifts_nothing_that_is_learned():
    # The margin is right, so there is nothing to add, above all no offset.
    rows = pooled(n=6000)
    train = np.arange(6000)
    settings = TreeSettings(rounds=10, leaves=4, l2=1.0, min_leaf=100)
    model = rows.fit(train, settings, seed=0, stages=[10])
    added = library_of(POOLED).added(model, rows.columns(train), 0, 10).reshape(3, -1)
    means = np.average(added, axis=1)
    assert np.abs(means).max() < 0.25  # log 8 is 2.1
