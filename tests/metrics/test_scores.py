"""Scores, against scikit-learn and by hand."""

import numpy as np
import pytest
from reference import scores as slow
from sklearn.metrics import average_precision_score, f1_score

from hpastack.errors import InputError
from hpastack.metrics import (
    average_precisions,
    brier_score,
    brier_scores,
    cluster_bootstrap,
    cluster_draws,
    f1_scores,
    macro_average_precision,
    macro_f1,
    macro_interval,
    multilabel_log_loss,
    multilabel_log_losses,
    score_interval,
    scores,
)

pytestmark = pytest.mark.core

RNG = np.random.default_rng(0)
Y = (RNG.random((200, 5)) < [0.5, 0.2, 0.1, 0.02, 0]).astype(int)
P = (0.3 * Y + 0.7 * RNG.random(Y.shape)).round(2)  # rounded: ties
WEIGHTS = RNG.integers(0, 4, size=200)
CLUSTERS = RNG.integers(0, 60, size=200)
DRAWS = cluster_draws(CLUSTERS, n_draws=20, seed=1)
# Sums are added in another order than scikit-learn's.
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_f1_agrees_with_scikit_learn(weights):
    theirs = f1_score(Y, P > 0.5, average="macro", zero_division=0, sample_weight=weights)
    assert macro_f1(Y, P > 0.5, weights) == pytest.approx(theirs)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_average_precision_agrees_with_scikit_learn(weights):
    ours = average_precisions(Y, P, weights)
    for label in range(4):
        theirs = average_precision_score(Y[:, label], P[:, label], sample_weight=weights)
        assert ours[label] == pytest.approx(theirs)
    assert np.isnan(ours[4])
    assert macro_average_precision(Y, P, weights) == pytest.approx(ours[:4].mean())


def test_a_label_nobody_has_or_predicts_scores_zero_and_counts():
    assert macro_f1([[1, 0], [1, 0]], [[1, 0], [1, 0]]) == 0.5


def test_labels_without_positives_are_left_out_where_that_is_wanted():
    y, labels = [[1, 0, 0], [1, 0, 0]], [[1, 0, 1], [1, 0, 0]]
    np.testing.assert_array_equal(f1_scores(y, labels), [1, 0, 0])
    np.testing.assert_array_equal(f1_scores(y, labels, absent="skip"), [1, np.nan, np.nan])
    assert macro_f1(y, labels, absent="skip") == 1
    assert np.isnan(macro_f1(np.zeros((2, 3)), labels, absent="skip"))
    with pytest.raises(InputError, match="'zero' or 'skip'"):
        macro_f1(y, labels, absent="nan")


def test_f1_and_average_precision_are_over_the_same_labels_in_every_draw():
    # Half of the draws hold no positive of label 3; label 4 has none.
    draws = np.vstack([DRAWS, DRAWS * (Y[:, 3] == 0)])
    f1, ap = f1_scores(Y, P > 0.5, draws, absent="skip"), average_precisions(Y, P, draws)
    absent = draws @ Y == 0
    assert absent[20:, 3].all() and absent[:, 4].all() and not absent[:, :3].any()
    np.testing.assert_array_equal(np.isnan(f1), absent)
    np.testing.assert_array_equal(np.isnan(ap), absent)
    known = ~absent
    np.testing.assert_array_equal(f1[known], f1_scores(Y, P > 0.5, draws)[known])
    np.testing.assert_allclose(macro_f1(Y, P > 0.5, draws, absent="skip"), np.nanmean(f1, axis=1))


def test_whole_clusters_are_drawn():
    clusters = np.repeat(np.arange(20), 10)
    value = np.repeat(np.random.default_rng(0).normal(size=20), 10)
    by_cluster = cluster_bootstrap(lambda w: (w @ value) / w.sum(), clusters, n_draws=300)
    by_field = cluster_bootstrap(lambda w: (w @ value) / w.sum(), np.arange(200), n_draws=300)
    width, narrow = np.diff(by_cluster)[0], np.diff(by_field)[0]
    # Ten copies of a field are one field: the interval is about sqrt(10) times as wide.
    assert 2 < width / narrow < 5
    assert by_cluster == cluster_bootstrap(lambda w: (w @ value) / w.sum(), clusters, n_draws=300)


@pytest.fixture(params=["one block", "three draws a block"])
def blocks(request, monkeypatch):
    if request.param != "one block":
        monkeypatch.setattr(scores, "_BLOCK_BYTES", 3 * 8 * len(Y))


@pytest.mark.parametrize(
    ("fast", "reference", "predicted"),
    [
        (f1_scores, slow.f1, (P > 0.5).astype(int)),
        (average_precisions, slow.average_precision, P),
        (brier_scores, slow.brier, P),
        (multilabel_log_losses, slow.log_losses, P),
    ],
)
def test_many_draws_are_scored_as_one_at_a_time(fast, reference, predicted, blocks):
    # Label 3 has 4 positives: some draws hold none of them.
    found = fast(Y, predicted, DRAWS)
    expected = [reference(Y, predicted, draw) for draw in DRAWS]
    np.testing.assert_allclose(found, expected, **CLOSE)
    np.testing.assert_allclose(fast(Y, predicted, DRAWS[0]), expected[0], **CLOSE)
    np.testing.assert_array_equal(fast(Y, predicted), fast(Y, predicted, np.ones(len(Y))))


@pytest.mark.parametrize(
    ("macro", "by_label", "predicted"),
    [
        (macro_f1, f1_scores, (P > 0.5).astype(int)),
        (macro_average_precision, average_precisions, P),
        (brier_score, brier_scores, P),
        (multilabel_log_loss, multilabel_log_losses, P),
    ],
)
def test_macro_scores_are_means_over_labels(macro, by_label, predicted):
    np.testing.assert_allclose(
        macro(Y, predicted, DRAWS), np.nanmean(by_label(Y, predicted, DRAWS), axis=1)
    )
    assert isinstance(macro(Y, predicted), float)
    assert macro(Y, predicted, DRAWS)[3] == macro(Y, predicted, DRAWS[3])


def test_a_weight_is_a_number_of_copies():
    rows = np.repeat(np.arange(len(Y)), WEIGHTS)
    for score in (macro_average_precision, brier_score, multilabel_log_loss):
        assert score(Y, P, WEIGHTS) == pytest.approx(score(Y[rows], P[rows]))


def test_scores_without_a_positive_are_not_a_number_in_any_draw():
    empty = np.zeros_like(Y)
    assert np.isnan(macro_average_precision(empty, P, DRAWS)).all()
    assert np.isnan(macro_f1(empty, P > 0.5, DRAWS, absent="skip")).all()


def test_a_sure_mistake_has_a_finite_log_loss():
    assert multilabel_log_loss([[1, 0]], [[0.0, 0.0]]) == pytest.approx(-np.log(1e-7) / 2)


def test_draws_hold_whole_clusters():
    names = np.unique(CLUSTERS)
    generator = np.random.default_rng(1)
    for weights in DRAWS:
        drawn = names[generator.integers(len(names), size=len(names))]
        expected = [(drawn == cluster).sum() for cluster in CLUSTERS]
        np.testing.assert_array_equal(weights, expected)
    np.testing.assert_array_equal(DRAWS[:5], cluster_draws(CLUSTERS, n_draws=5, seed=1))


def test_the_bootstrap_is_the_same_all_at_once():
    labels, others = P > 0.5, P > 0.3

    def gain(weights):
        return f1_scores(Y, labels, weights) - f1_scores(Y, others, weights)

    one_by_one = cluster_bootstrap(gain, CLUSTERS, n_draws=50)
    all_at_once = cluster_bootstrap(gain, CLUSTERS, n_draws=50, all_at_once=True)
    np.testing.assert_array_equal(one_by_one, all_at_once)
    draws = cluster_draws(CLUSTERS, n_draws=50)
    np.testing.assert_array_equal(all_at_once, score_interval(gain(None), gain(draws)))


def test_a_paired_interval_is_narrower_than_that_of_one_system():
    rng = np.random.default_rng(0)
    worse = np.where(rng.random(Y.shape) < 0.05, rng.random(Y.shape), P)
    draws = cluster_draws(CLUSTERS, n_draws=200)
    ours, theirs = brier_score(Y, P, draws), brier_score(Y, worse, draws)
    score = brier_score(Y, P)
    alone = score_interval(score, ours)
    paired = score_interval(score - brier_score(Y, worse), ours - theirs)
    assert np.diff(paired) < np.diff(alone)


def test_an_interval_by_hand():
    draws = np.arange(101.0)[:, np.newaxis] * [1, np.nan]
    low, high = score_interval([50, 0], draws, coverage=0.9)
    assert low[0] == pytest.approx(5) and high[0] == pytest.approx(95)
    assert np.isnan(low[1]) and np.isnan(high[1])


@pytest.mark.filterwarnings("error")
def test_an_interval_over_labels_is_widened_for_rare_ones():
    draws = cluster_draws(CLUSTERS, n_draws=100)
    scores, drawn = average_precisions(Y, P), average_precisions(Y, P, draws)
    holders = np.array([len(np.unique(CLUSTERS[held == 1])) for held in Y.T])
    found = macro_interval(scores, drawn, holders)
    assert found == pytest.approx(slow.widened_interval(scores, drawn, holders))
    low, high = score_interval(np.nanmean(scores), macro_average_precision(Y, P, draws))
    assert found[0] < low < high < found[1]
    # The commonest label alone needs next to nothing.
    one = macro_interval(scores[:1], drawn[:, :1], holders[:1])
    assert one == pytest.approx(score_interval(scores[0], drawn[:, 0]), rel=0.01)


def test_an_interval_over_labels_that_nothing_is_known_of():
    # No label in two clusters: no variance to widen by.
    draws = np.array([[1.0, 0.0], [np.nan, 0.0], [1.0, np.nan]])
    assert macro_interval([1, 0], draws, [1, 1]) == score_interval(0.5, [0.5, 0, 1])
    assert macro_interval([1, 0], np.tile([1.0, 0.0], (5, 1)), [3, 3]) == (0.5, 0.5)
    assert np.isnan(macro_interval([np.nan], [[np.nan]], [0])).all()


def test_an_interval_over_labels_covers_where_most_are_rare():
    rng = np.random.default_rng(0)
    truth, held, total = rng.random(12), 0, 60
    for number in range(total):
        # Each positive has a score, and a label's is their mean; most labels have one to three.
        cluster = np.repeat(np.arange(12), [1, 1, 2, 2, 3, 3, 3, 4, 5, 8, 20, 60])
        values = truth[cluster] + rng.normal(scale=0.3, size=len(cluster))
        draws = cluster_draws(np.arange(len(cluster)), n_draws=100, seed=number)
        of_label = cluster == np.arange(12)[:, np.newaxis]
        with np.errstate(invalid="ignore"):
            drawn = (draws * values) @ of_label.T / (draws @ of_label.T)
        scores, holders = of_label @ values / of_label.sum(axis=1), of_label.sum(axis=1)
        low, high = macro_interval(scores, drawn, holders)
        held += low <= truth.mean() <= high
    assert held >= 0.9 * total


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"both must be \(n, n_labels\)"):
        macro_f1([[1, 0]], [[1]])
    with pytest.raises(InputError, match=r"weights has .* must be \(2,\) or \(n_draws, 2\)"):
        macro_f1([[1], [0]], [[1], [0]], [1, 1, 1])
    with pytest.raises(InputError, match="draws needs one more axis"):
        score_interval(0.5, [[0.1, 0.2]])
    with pytest.raises(InputError, match="they must be .n_labels,"):
        macro_interval([0.5, 0.5], [[0.1, 0.2]], [3])
    with pytest.raises(InputError, match="between 0 and 1"):
        score_interval(0.5, [0.1, 0.2], coverage=95)
    with pytest.raises(InputError, match="no fields"):
        cluster_draws([])
    with pytest.raises(InputError, match="n_draws is 0; it must be at least 1"):
        cluster_draws([1, 2], n_draws=0)
