"""Prior shift: estimated as the slow way does, recovered where it is known, read from tables."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.prior_shift import em_prevalence
from scipy.special import expit, logit
from sklearn.exceptions import ConvergenceWarning

from hpastack.calibration import read_prevalences, saerens_priors, shift_priors
from hpastack.errors import InputError
from hpastack.labels import Vocabulary

pytestmark = pytest.mark.core

TRAIN = np.array([0.5, 0.2, 0.02, 0.01])
TARGET = np.array([0.3, 0.35, 0.06, 0.003])


def draw(n, prevalence, train=TRAIN, separation=3.0, seed=0):
    """Labels of that prevalence, and probabilities that are calibrated at the one of training.

    A score is normal with variance 1, about `separation` where the label is present and about 0
    elsewhere; its log-odds follow from Bayes.
    """
    rng = np.random.default_rng(seed)
    y = rng.random((n, len(train))) < prevalence
    score = rng.normal(separation * y)
    return y, expit(logit(train) + separation * score - separation**2 / 2)


def test_by_hand():
    # 80 % of the fields with the label get 0.8 and 20 % of the others, as 0.5 * 0.8 / (0.5 * 0.8
    # + 0.5 * 0.2) = 0.8. Now 60 % of all get it: 0.8 q + 0.2 (1 - q) = 0.6 for q = 2/3.
    p = np.array([[0.8], [0.8], [0.8], [0.2], [0.2]])
    estimate = saerens_priors(p, [0.5])
    assert estimate == pytest.approx([2 / 3], abs=1e-5)
    # Odds of 4 and 1/4 double to 8 and 1/2; their mean is then the estimate: EM stands still.
    shifted = shift_priors(p, [0.5], [2 / 3])
    assert shifted[:, 0] == pytest.approx([8 / 9, 8 / 9, 8 / 9, 1 / 3, 1 / 3])
    assert shifted.mean() == pytest.approx(2 / 3)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), separation=st.floats(1.5, 4))
def test_labels_one_by_one_as_the_slow_way_does(seed, separation):
    _, p = draw(60, TARGET[:2], TRAIN[:2], separation, seed)
    slow = [em_prevalence(p[:, k], TRAIN[k], 300) for k in range(2)]
    # A step is a small part of what is left to go where labels are seen badly.
    assert saerens_priors(p, TRAIN[:2]) == pytest.approx(slow, rel=1e-4, abs=1 / 600)


def test_a_known_shift_is_recovered():
    y, p = draw(30000, TARGET)
    estimate = saerens_priors(p, TRAIN)
    # The rarest has 77 fields, seen through overlapping scores: a tenth is its standard error.
    assert estimate == pytest.approx(y.mean(axis=0), rel=0.2)
    # Far closer than the mean probability.
    assert (np.abs(p.mean(axis=0) - TARGET) > 3 * np.abs(estimate - TARGET)).all()


def test_shifted_probabilities_are_calibrated_at_the_target():
    y, p = draw(30000, TARGET)
    shifted = shift_priors(p, TRAIN, TARGET)
    for k in range(2):
        chosen = (shifted[:, k] > 0.4) & (shifted[:, k] < 0.6)
        assert y[chosen, k].mean() == pytest.approx(shifted[chosen, k].mean(), abs=0.05)
        assert abs(p[chosen, k].mean() - y[chosen, k].mean()) > 0.1


@pytest.mark.parametrize("separation", [2.0, 3.0])
def test_without_a_shift_the_estimate_stays_within_its_noise(separation):
    draws = [draw(4000, TRAIN, separation=separation, seed=seed)[1] for seed in range(20)]
    estimates = np.array([saerens_priors(p, TRAIN) for p in draws])
    spread = np.mean([p.std(axis=0) for p in draws], axis=0)
    expected = TRAIN * (1 - TRAIN) / (spread * np.sqrt(4000))
    error = np.sqrt(np.mean((estimates - TRAIN) ** 2, axis=0))
    # Twenty draws know their spread to a sixth; 0.6 to 1.6 is more than three of those.
    assert ((error > 0.6 * expected) & (error < 1.6 * expected)).all()


def test_a_mean_equal_to_the_training_prevalence_stays():
    rng = np.random.default_rng(0)
    p = rng.random((500, 3)) * [0.2, 0.5, 1]
    assert saerens_priors(p, p.mean(axis=0)) == pytest.approx(p.mean(axis=0), rel=1e-9)
    # No information at all: one probability for every field.
    assert saerens_priors(np.full((500, 1), 0.1), [0.1]) == pytest.approx([0.1])


def test_labels_that_tell_nothing_are_named_and_keep_their_prevalence():
    _, p = draw(2000, TARGET[:2], TRAIN[:2])
    rng = np.random.default_rng(0)
    blind = expit(logit(0.1) + 0.01 * rng.normal(size=2000) + 0.00005)
    with pytest.warns(ConvergenceWarning, match="for labels 1: not converged in 100 steps"):
        estimate = saerens_priors(
            np.column_stack([p[:, 0], blind, p[:, 1]]), [TRAIN[0], 0.1, TRAIN[1]], max_steps=100
        )
    assert estimate[1] == 0.1
    assert estimate[[0, 2]].tolist() == saerens_priors(p, TRAIN[:2]).tolist()


def test_labels_that_every_field_would_carry_are_named_and_keep_their_prevalence():
    # As a label too rare to calibrate: no probability is as low as its prevalence.
    _, p = draw(2000, TARGET[:2], TRAIN[:2])
    p = np.column_stack([np.full(2000, 0.01), p])
    with pytest.warns(ConvergenceWarning, match="for labels 0: .* estimated as 1"):
        estimate = saerens_priors(p, [0.0004, *TRAIN[:2]])
    assert estimate[0] == 0.0004
    assert estimate[1:].tolist() == saerens_priors(p[:, 1:], TRAIN[:2]).tolist()


def test_estimates_stay_off_zero():
    p = np.column_stack([np.full(50, 0.001), np.full(50, 1e-9)])
    estimate = saerens_priors(p, [0.3, 1e-4])
    assert estimate == pytest.approx([1 / 500, 1e-4])  # the second was closer before
    assert saerens_priors([[0.0], [1.0], [1.0], [0.0]], [0.1]) == pytest.approx([0.5])


def test_labels_do_not_depend_on_each_other_nor_on_the_order_of_fields():
    _, p = draw(3000, TARGET)
    estimate = saerens_priors(p, TRAIN)
    for k in range(4):
        assert saerens_priors(p[:, [k]], TRAIN[[k]]) == pytest.approx(estimate[[k]], rel=1e-12)
    assert saerens_priors(p[::-1], TRAIN) == pytest.approx(estimate, rel=1e-9)


def test_shifting_to_the_training_prevalence_changes_nothing_and_back_undoes():
    _, p = draw(500, TRAIN)
    assert shift_priors(p, TRAIN, TRAIN) == pytest.approx(p, rel=1e-12)
    there = shift_priors(p, TRAIN, TARGET)
    assert shift_priors(there, TARGET, TRAIN) == pytest.approx(p, rel=1e-9)
    assert shift_priors([[0.0, 1.0]], [0.1, 0.2], [0.9, 0.01]).tolist() == [[0, 1]]


def test_bad_arguments():
    with pytest.raises(InputError, match="shape .n_fields, n_labels."):
        saerens_priors([0.5], [0.5])
    with pytest.raises(InputError, match="between 0 and 1"):
        shift_priors([[1.5]], [0.5], [0.5])
    with pytest.raises(InputError, match="between 0 and 1"):
        saerens_priors([[np.nan]], [0.5])
    with pytest.raises(InputError, match="do not match probabilities of 1 label"):
        saerens_priors([[0.5]], [0.5, 0.5])
    with pytest.raises(InputError, match="training prevalence of labels 1 is not above 0"):
        saerens_priors([[0.5, 0.5]], [0.5, 0.0])
    with pytest.raises(InputError, match="target prevalence of labels 0 is not above 0"):
        shift_priors([[0.5]], [0.5], [np.nan])
    with pytest.raises(InputError, match="no fields"):
        saerens_priors(np.zeros((0, 1)), [0.5])
    with pytest.raises(InputError, match="max_steps must be at least 1"):
        saerens_priors([[0.5]], [0.5], max_steps=0)


VOCABULARY = Vocabulary(["nucleus", "cytosol", "plasma membrane"])


def test_prevalences_are_read_by_id_and_by_name(tmp_path):
    path = tmp_path / "prevalences.csv"
    path.write_text("prevalence,label,source\n0.25,plasma membrane,x\n0.5,0,\n1e-3, cytosol ,\n")
    assert read_prevalences(path, VOCABULARY).tolist() == [0.5, 0.001, 0.25]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "not a CSV table"),
        ("label,share\n0,0.5\n", "columns label and prevalence"),
        ("label,prevalence\n0,0.5\nnuclei,0.5\n", "unknown label 'nuclei'; .* 0 to 2"),
        ("label,prevalence\n3,0.5\n", "unknown label '3'"),
        ("label,prevalence\n,0.5\n", "unknown label ''"),
        ("label,prevalence\n0,0.5\nnucleus,0.5\n", r"duplicate label 0 \(nucleus\)"),
        ("label,prevalence\n0,0.5\n", "for 2 labels: cytosol, plasma membrane"),
        ("label,prevalence\n0,50\n", r"label 0: prevalence 50 is not a share above 0 and below 1"),
        ("label,prevalence\ncytosol,0\n", "label cytosol: prevalence 0 is not a share above 0"),
        ("label,prevalence\n0,nan\n", "prevalence nan is not a share above 0"),
        ("label,prevalence\n0,\n", "prevalence '' is not a number"),
        ("label,prevalence\n0,5%\n", "prevalence '5%' is not a number"),
    ],
)
def test_a_wrong_table_of_prevalences_is_an_error(tmp_path, text, message):
    path = tmp_path / "prevalences.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_prevalences(path, VOCABULARY)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_label_that_could_mean_two_is_an_error(tmp_path):
    path = tmp_path / "prevalences.csv"
    path.write_text("label,prevalence\n1,0.5\n")
    with pytest.raises(InputError, match="the name of one label and the id of another"):
        read_prevalences(path, Vocabulary(["1", "2", "cytosol"]))
    with pytest.raises(FileNotFoundError):
        read_prevalences(tmp_path / "none.csv", VOCABULARY)
