"""Calibration and consensus, against scikit-learn and by what they must do."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from hpastack.models.calibration import fit_platt
from hpastack.models.consensus import CLIP, Consensus, clipped_logits
from hpastack.models.logistic import fit_logistic


def test_fit_logistic_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3))
    y = (rng.random(500) < expit(x @ [1, -2, 0.5])).astype(int)
    ours = fit_logistic(x, y, prior=[0, 0, 0], strength=[2, 2, 2])
    theirs = LogisticRegression(C=1 / 2, fit_intercept=False, tol=1e-8).fit(x, y).coef_[0]
    assert ours == pytest.approx(theirs, abs=1e-5)  # both stop at a gradient, not at the optimum


def test_separable_data_stay_finite():
    x = np.column_stack([np.r_[-np.ones(50), np.ones(50)], np.ones(100)])
    y = (x[:, 0] > 0).astype(int)
    assert np.isfinite(fit_logistic(x, y, prior=[1, 0], strength=[1, 1])).all()


def test_platt_recovers_a_stretch_and_leaves_rare_labels_alone():
    rng = np.random.default_rng(0)
    z = rng.normal(scale=2, size=20000)
    y = (rng.random(20000) < expit(0.5 * z - 1)).astype(int)
    slope, offset = fit_platt(z, y, np.arange(20000))
    assert slope == pytest.approx(0.5, abs=0.03) and offset == pytest.approx(-1, abs=0.05)
    rare = np.zeros(20000)
    rare[:19] = 1
    assert fit_platt(z, rare, np.arange(20000)).tolist() == [1, 0]


def test_copies_of_a_field_count_once():
    rng = np.random.default_rng(0)
    z = rng.normal(size=100)
    y = (z > 0).astype(int)
    once = fit_platt(z, y, np.arange(100))
    # Four copies of each field, called so: as much evidence as one of each.
    clusters = np.tile(np.arange(100), 4)
    known = fit_platt(np.tile(z, 4), np.tile(y, 4), clusters)
    assert known == pytest.approx(once, abs=1e-6)  # both end at the same optimum
    believed = fit_platt(np.tile(z, 4), np.tile(y, 4), np.arange(400))
    assert believed[0] > once[0] + 0.3


def test_platt_never_turns_the_order_round():
    z = np.linspace(-3, 3, 200)
    assert fit_platt(z, (z < 0).astype(int), np.arange(200))[0] > 0


def test_clipping_bounds_what_one_network_can_say():
    bound = np.log((1 - CLIP) / CLIP)
    assert clipped_logits(np.array([0, 0.5, 1]), are_logits=False) == pytest.approx(
        [-bound, 0, bound]
    )
    assert clipped_logits(np.array([-99, 1, 99]), are_logits=True) == pytest.approx(
        [-bound, 1, bound]
    )


def test_consensus_weighs_the_better_network_more_but_stays_near_equal():
    rng = np.random.default_rng(0)
    y = (rng.random((3000, 1)) < 0.3).astype(int)
    good = (2 * y - 1) * 1.5 + rng.normal(size=y.shape)
    noise = rng.normal(size=y.shape)
    logits = np.stack([good, noise])
    clusters = np.arange(3000)
    fitted = Consensus.fit(logits, y, clusters)
    assert fitted.coefficients[0, 2] > fitted.coefficients[0, 3]
    equal = Consensus.fit(logits, y, clusters, strength=1e9)
    assert equal.coefficients[0, 2:] == pytest.approx([0, 0], abs=1e-4)


def test_without_networks_the_consensus_is_the_prior():
    y = np.zeros((99, 2), dtype=int)
    y[:33, 0] = 1
    margin = Consensus.fit(np.zeros((0, 99, 2)), y, np.arange(99)).margin(np.zeros((0, 5, 2)))
    assert margin.shape == (5, 2)
    assert expit(margin[0]) == pytest.approx([33.5 / 100, 0.5 / 100])
