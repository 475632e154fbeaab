"""Calibration error: against the slow formula, and by simulation of samples of two sizes."""

import numpy as np
import pytest
from reference import scores as slow
from scipy.special import expit

from hpastack.errors import InputError
from hpastack.metrics import (
    cluster_draws,
    expected_calibration_error,
    score_interval,
    scores,
    squared_calibration_error,
)

pytestmark = pytest.mark.core

RNG = np.random.default_rng(0)
Y = (RNG.random((200, 5)) < [0.5, 0.2, 0.1, 0.02, 0]).astype(int)
P = (0.3 * Y + 0.7 * RNG.random(Y.shape)).round(2)  # rounded: ties
SOME, ALONE = RNG.integers(0, 60, size=200), np.arange(200)
MIXED = np.where(SOME < 30, SOME, 1000 + ALONE)
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


@pytest.fixture(params=["one block", "three draws a block"])
def blocks(request, monkeypatch):
    if request.param != "one block":
        monkeypatch.setattr(scores, "_BLOCK_BYTES", 3 * 8 * len(Y))


@pytest.mark.parametrize("folds", [None, SOME % 4, np.where(SOME < 4, "few", "many")])
@pytest.mark.parametrize("min_positives", [1, 20])
@pytest.mark.parametrize("clusters", [SOME, ALONE, MIXED], ids=["some", "alone", "mixed"])
def test_it_agrees_with_all_pairs(clusters, min_positives, folds, blocks):
    options = {"clusters": clusters, "folds": folds, "min_positives": min_positives}
    of_reference = clusters, np.zeros(200) if folds is None else folds, min_positives
    draws = cluster_draws(clusters, n_draws=4, seed=1)
    found = squared_calibration_error(Y, P, draws, **options)
    expected = [slow.squared_calibration_error(Y, P, draw, *of_reference) for draw in draws]
    np.testing.assert_allclose(found, expected, **CLOSE)
    whole = squared_calibration_error(Y, P, **options)
    by_hand = slow.squared_calibration_error(Y, P, np.ones(len(Y)), *of_reference)
    assert whole == pytest.approx(by_hand)
    if clusters is ALONE:
        assert squared_calibration_error(Y, P, **options | {"clusters": None}) == whole
    errors = expected_calibration_error(Y, P, draws, **options)
    np.testing.assert_allclose(errors, np.sqrt(np.maximum(expected, 0)), **CLOSE)


def test_by_hand():
    # 3,000 fields in 15 bins; each bin holds as many positives as negatives.
    y = np.tile([[0], [1]], (1500, 1))
    assert expected_calibration_error(y, np.full((3000, 1), 0.5)) == 0
    # A squared gap of 0.04, less the variance of a bin's frequency.
    squared = squared_calibration_error(y, np.full((3000, 1), 0.7))
    assert squared == pytest.approx(0.04 - 0.25 / 199)
    assert expected_calibration_error(y, np.full((3000, 1), 0.7)) == pytest.approx(squared**0.5)


def test_what_cannot_be_told_is_not_a_number():
    draws = cluster_draws(ALONE, n_draws=3)
    empty = np.zeros_like(Y)
    assert np.isnan(expected_calibration_error(empty, P, draws)).all()
    assert np.isnan(expected_calibration_error(empty, P))
    assert np.isnan(expected_calibration_error(Y, P, min_positives=1000))
    assert np.isnan(expected_calibration_error([[1]], [[0.5]]))
    # All fields are copies of one.
    assert np.isnan(expected_calibration_error(Y, P, clusters=np.zeros(200)))


def test_clusters_and_folds_are_one_a_field():
    with pytest.raises(InputError, match=r"clusters has shape \(2,\); it must be \(200,\)"):
        expected_calibration_error(Y, P, clusters=[1, 2])
    with pytest.raises(InputError, match=r"folds has shape \(2,\); it must be \(200,\)"):
        expected_calibration_error(Y, P, folds=[1, 2])


def _sample(n, copies, slope, shift, rng):
    """Labels about as rare, and fields as easy to tell apart, as in the data of the competition."""
    offset = np.linspace(-2, -9, 28)
    logits = np.repeat(rng.normal(size=(n // copies, 28)) * 3, copies, axis=0) + offset
    # Most copies have the labels of the first.
    chance = np.repeat(rng.random((n // copies, 28)), copies, axis=0)
    chance = np.where(rng.random((len(chance), 1)) < 0.8, chance, rng.random(chance.shape))
    y = (chance < expit(logits)).astype(int)
    return y, expit(slope * logits + shift), np.repeat(np.arange(n // copies), copies)


@pytest.mark.parametrize(("slope", "shift"), [(1, 0), (0.8, 0), (1, 0.1), (1.3, 0.3)])
def test_few_fields_show_the_error_that_many_do(slope, shift):
    rng = np.random.default_rng(1)

    def mean_error(n, n_samples):
        samples = [_sample(n, 1, slope, shift, rng)[:2] for _ in range(n_samples)]
        return np.mean([expected_calibration_error(y, p) for y, p in samples])

    assert mean_error(2000, 30) == pytest.approx(mean_error(18_000, 4), abs=0.002)


def test_copies_are_no_evidence_of_an_error():
    rng = np.random.default_rng(2)
    squared = np.array(
        [
            [
                squared_calibration_error(y, p, clusters=clusters),
                squared_calibration_error(y, p),
            ]
            for y, p, clusters in (_sample(1200, 6, 1, 0, rng) for _ in range(20))
        ]
    )
    error = squared.std(axis=0) / np.sqrt(20)
    mean = squared.mean(axis=0)
    assert abs(mean[0]) < 3 * error[0]
    assert mean[1] > 10 * error[0]


def test_drawing_with_replacement_adds_no_error():
    rng = np.random.default_rng(3)
    y, p, clusters = _sample(1000, 2, 0.8, 0, rng)
    draws = cluster_draws(clusters, n_draws=1000)
    drawn = squared_calibration_error(y, p, draws, clusters=clusters)
    whole = squared_calibration_error(y, p, clusters=clusters)
    assert drawn.mean() == pytest.approx(whole, abs=4 * drawn.std() / np.sqrt(1000))


def test_folds_keep_the_promise_of_a_calibration_that_was_fitted_on_the_others():
    # What is calibrated is the level of a label: its share of positives in the other folds.
    rng = np.random.default_rng(5)
    fold = np.arange(200) % 5
    squared = []
    for _ in range(150):
        known = rng.uniform(-0.2, 0.2, size=(200, 10))
        y = (rng.random(known.shape) < 0.3 + known).astype(int)
        level = np.stack([(y - known)[fold != k].mean(axis=0) for k in range(5)])
        p = level[fold] + known
        apart, together = (squared_calibration_error(y, p, folds=f) for f in (fold, None))
        # What the level of 160 fields is wrong by, on fields without end.
        squared.append((apart, together, np.mean((level - 0.3) ** 2)))
    apart, together, truth = np.mean(squared, axis=0)
    error = np.std(squared, axis=0) / np.sqrt(150)
    assert abs(apart - truth) < 3 * error[0]
    assert together < truth - 3 * error[1]


@pytest.mark.parametrize("copies", [1, 4])
@pytest.mark.parametrize(("slope", "shift"), [(1, 0), (0.8, 0), (1, 0.1)])
def test_the_interval_covers(slope, shift, copies):
    rng = np.random.default_rng(4)
    truth = squared_calibration_error(*_sample(200_000, 1, slope, shift, rng)[:2])
    covered = 0
    for number in range(20):
        y, p, clusters = _sample(1000, copies, slope, shift, rng)
        draws = cluster_draws(clusters, n_draws=100, seed=number)
        low, high = score_interval(
            squared_calibration_error(y, p, clusters=clusters),
            squared_calibration_error(y, p, draws, clusters=clusters),
        )
        covered += low <= truth <= high
    assert covered >= 18
