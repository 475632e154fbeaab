"""What the stack believes of its members: one weight each, and a guard over labels together."""

import numpy as np
import pytest
from reference import common_weights as reference
from scipy.special import expit

from hpastack.stack.blending import (
    MAX_WEIGHT,
    Gains,
    blend,
    blend_weights,
    common_weights,
    improves_log_loss,
    relative_gains,
    trust,
)

pytestmark = pytest.mark.core

N, LABELS = 400, 4
_RIDGE = 1e-5


def draw(seed=0):
    """Consensus, two members that know one half each of what is missing, and one of noise."""
    rng = np.random.default_rng(seed)
    consensus, one, two, noise = rng.normal(size=(4, N, LABELS))
    consensus -= [0, 1, 2, 3]
    y = (rng.random((N, LABELS)) < expit(consensus + 1.2 * one + 0.6 * two)).astype(int)
    return y, consensus, [one, two, noise]


@pytest.mark.parametrize("seed", range(3))
def test_weights_are_those_of_a_general_optimiser(seed):
    y, consensus, added = draw(seed)
    added.append(-added[0] + 0.1 * added[2])  # which only a negative weight could use
    found = common_weights(y, consensus, added)
    wanted = reference.common_weights(y, consensus, added, _RIDGE, MAX_WEIGHT)
    np.testing.assert_allclose(found, wanted, atol=2e-3)
    best = reference.objective(wanted, y, consensus, added, _RIDGE)
    assert reference.objective(found, y, consensus, added, _RIDGE) < best + 1e-7
    assert found[0] > 0.8 and found[1] > 0.3 and found[3] == 0


def test_where_to_begin_does_not_count():
    y, consensus, added = draw()
    wanted = common_weights(y, consensus, added)
    for start in (np.zeros(3), np.full(3, MAX_WEIGHT)):
        found = common_weights(y, consensus, added, start=start)
        np.testing.assert_allclose(found, wanted, atol=2e-3)


def test_weights_are_bounded():
    y, consensus, _ = draw()
    knows = 0.01 * (2.0 * y - 1)  # all there is to know, far too timid
    assert common_weights(y, consensus, [knows]).tolist() == [MAX_WEIGHT]
    assert common_weights(y, consensus, [-knows]).tolist() == [0]


def test_members_that_are_alike_share_the_weight():
    y, consensus, (one, *_) = draw()
    alone = common_weights(y, consensus, [one])
    twice = common_weights(y, consensus, [one, one])
    assert twice.sum() == pytest.approx(alone.sum(), abs=2e-3)


def test_labels_without_any_loss_do_not_count():
    y, consensus, added = draw()
    sure = np.hstack([consensus, np.full((N, 1), -np.inf)])
    none = np.hstack([y, np.zeros((N, 1), dtype=int)])
    wider = [np.hstack([part, np.zeros((N, 1))]) for part in added]
    found, wanted = (
        common_weights(none, np.maximum(sure, -1e4), wider),
        common_weights(y, consensus, added),
    )
    # Its share of the mean is lost, so the pull to 0 weighs a little more.
    np.testing.assert_allclose(found, wanted, atol=5e-3)


def test_gains_worked_by_hand():
    y = np.array([[1], [1], [0]])
    before = np.zeros((3, 1))
    after = np.log([[3.0], [1.0], [1 / 3]])  # probabilities 3/4, 1/2, 1/4
    gains = relative_gains(y, before, after, np.array([0, 0, 1]))
    half, saved = np.log(2), np.log(4 / 3)
    saved = half - saved  # of the first and the last field
    assert gains.gain[0] == pytest.approx(2 * saved / (3 * half))
    assert gains.error[0] == pytest.approx(np.sqrt(2) * saved / (3 * half))
    together = relative_gains(y, before, after, np.zeros(3, dtype=int))
    assert together.gain == gains.gain and together.error[0] == pytest.approx(gains.gain[0])


def trusted(gain, error):
    return trust(Gains(np.array(gain, float), np.array(error, float)))


def chosen(gain, error):
    return (trusted(gain, error) > 0).tolist()


def test_the_less_sure_a_gain_is_the_less_of_it_is_taken():
    # Of a mean that is 10, 5 and 2 standard errors above 0, all labels alike.
    for certainty, wanted in ((10, 0.98), (5, 0.92), (2, 0.5), (1.2, 0.0)):
        found = trusted([0.01 * certainty] * 4, [0.02] * 4)
        np.testing.assert_allclose(found, wanted)
    # A label that alone gains is trusted by what is known of it.
    alone = trusted([0.5, *[-0.01] * 9], [0.01] * 10)
    assert 0.9 < alone[0] < 1 and not alone[1:].any()


def test_all_that_gain_are_taken_and_rare_ones_follow():
    assert chosen([0.05, 0.06, 0.04, 0.05], [0.01] * 4) == [True] * 4
    # The last has few positives: what it lost by itself is noise.
    assert chosen([0.05, 0.06, 0.04, -0.05], [0.01, 0.01, 0.01, 0.2]) == [True] * 4


def test_none_is_taken_where_nothing_is_gained():
    assert chosen([0.001, -0.002, 0.001, -0.001], [0.002] * 4) == [False] * 4
    assert chosen([-0.05, -0.06, -0.04], [0.01] * 3) == [False] * 3


def test_one_that_clearly_loses_is_left_out():
    assert chosen([0.05, 0.06, 0.04, 0.05, -0.2], [0.01] * 5) == [True] * 4 + [False]


def test_one_that_clearly_gains_is_taken_where_the_others_gain_nothing():
    assert chosen([-0.001, 0.0, 0.5], [0.005, 0.006, 0.05]) == [False, False, True]
    assert chosen([0.0, 0.3], [0.005, 0.05]) == [False, True]


def test_one_label_alone_is_judged_by_its_own_error():
    assert chosen([0.03], [0.01]) == [True]
    assert chosen([0.005], [0.01]) == [False]
    assert chosen([-0.03], [0.01]) == [False]


def test_labels_that_did_not_change_are_not_judged():
    assert chosen([0.0, 0.05, 0.0], [0.0, 0.01, 0.0]) == [False, True, False]
    assert chosen([0.0, 0.0], [0.0, 0.0]) == [False, False]
    assert chosen([], []) == []


def test_chance_takes_few_labels():
    rng = np.random.default_rng(0)
    taken = []
    for _ in range(200):
        error = rng.uniform(0.005, 0.05, size=20)
        taken.append(np.mean(chosen(rng.normal(0, error), error)))
    # Where the mean of all is 1.4 standard errors above 0, one in twelve, they are taken all.
    assert np.mean(taken) < 0.15


def test_a_member_that_knows_is_weighed_and_noise_is_not():
    y, consensus, (one, two, noise) = draw()
    clusters, fold, every = np.arange(N), np.arange(N) % 4, np.ones(LABELS, dtype=bool)
    weights = blend_weights(y, consensus, [noise, one], clusters, fold, every)
    assert weights.shape == (2, LABELS)
    assert (weights == weights[:, :1]).all()  # the same for all labels
    assert weights[1, 0] > 0.7 > 0.2 > weights[0, 0]
    fitted = common_weights(y, consensus, [noise, one])
    np.testing.assert_allclose(weights[:, 0] * fitted[1], weights[1, 0] * fitted)
    assert 0.9 < weights[1, 0] / fitted[1] < 1  # a clear gain on 400 fields is nearly all trusted
    alone = np.random.default_rng(7).normal(size=(2, N, LABELS))
    assert not blend_weights(y, consensus, alone, clusters, fold, every).any()


def test_labels_too_rare_to_learn_get_no_weight():
    y, consensus, (one, *_) = draw()
    clusters, fold = np.arange(N), np.arange(N) % 4
    few = np.array([True, False, True, False])
    weights = blend_weights(y, consensus, [one], clusters, fold, few)
    assert (weights[0] > 0).tolist() == few.tolist()
    kept = blend_weights(y[:, few], consensus[:, few], [one[:, few]], clusters, fold, few[few])
    np.testing.assert_array_equal(weights[:, few], kept)
    assert not blend_weights(y, consensus, [one], clusters, fold, few & False).any()
    assert blend_weights(y, consensus, [], clusters, fold, few).shape == (0, LABELS)


def test_a_gain_in_a_single_cluster_is_one_piece_of_evidence():
    y, consensus, _ = draw()
    knows = 2.0 * (2 * y - 1) * (np.arange(N) < 200)[:, None]
    fold, every = np.arange(N) % 4, np.ones(LABELS, dtype=bool)
    many, one = np.arange(N), np.where(np.arange(N) < 200, 0, np.arange(N))
    assert blend_weights(y, consensus, [knows], many, fold, every).all()
    gains = relative_gains(y, consensus, consensus + knows, one)
    np.testing.assert_allclose(gains.error, gains.gain)
    change = consensus[:, 0] + knows[:, 0]
    assert improves_log_loss(y[:, 0], consensus[:, 0], change, many)
    assert not improves_log_loss(y[:, 0], consensus[:, 0], change, one)


def test_the_guard_sees_weights_of_other_folds_only():
    y, consensus, _ = draw()
    fold, every = np.arange(N) % 4, np.ones(LABELS, dtype=bool)
    # It knows the labels of one fold and misleads on the others: weights of 0 there.
    knows = np.where((fold == 2)[:, None], 6.0, -0.5) * (2 * y - 1)
    assert common_weights(y, consensus, [knows])[0] > 0.1
    assert not blend_weights(y, consensus, [knows], np.arange(N), fold, every).any()


def test_weights_by_member_or_by_member_and_label():
    consensus, added = np.ones((2, 3)), np.stack([np.full((2, 3), 2.0), np.full((2, 3), 4.0)])
    assert blend(consensus, added, [0.5, 0.25]).tolist() == [[3.0] * 3] * 2
    by_label = blend(consensus, added, np.array([[0, 1, 0], [0, 0, 0.5]]))
    assert by_label.tolist() == [[1.0, 3.0, 3.0]] * 2
    assert blend(consensus, added[:0], []).tolist() == consensus.tolist()
