"""Train against test: nothing is found where there is nothing, a planted shift is found."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from hpastack.errors import InputError
from hpastack.metrics import expected_calibration_error
from hpastack.similarity import adversarial_check
from hpastack.similarity.adversarial import _Ranked

pytestmark = pytest.mark.core


def fields(values):
    ids = [f"f{i:04d}" for i in range(len(values))]
    return pd.DataFrame(values, index=ids, columns=[f"c{j}" for j in range(values.shape[1])])


@pytest.fixture(scope="module")
def shifted():
    """600 training and 400 test fields in 5 columns; test has column c2 higher by one sd."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1000, 5))
    test = rng.permutation(np.repeat([False, True], [600, 400]))
    values[test, 2] += 1
    features = fields(values)
    return features, pd.Series(test, features.index)


@pytest.fixture(scope="module")
def check(shifted):
    return adversarial_check(*shifted)


def test_a_planted_shift_is_seen_and_its_column_named_first(check, shifted):
    features, is_test = shifted
    # Two normal distributions one sd apart: AUC = Phi(1 / sqrt(2)) = 0.760 at best.
    assert 0.65 < check.interval[0] < check.auc < check.interval[1] < 0.8
    first = check.columns.iloc[0]
    assert first["column"] == "c2"
    assert first["importance"] > 10 * check.columns["importance"][1:].abs().max()
    assert first["auc"] == pytest.approx(roc_auc_score(is_test, features["c2"]))
    assert first["test_mean"] - first["train_mean"] == pytest.approx(1, abs=0.15)
    assert "differ" in check.verdict
    assert f"training fields: {check.effective_size:,.0f}" in check.verdict


def test_weights_correct_the_shift(check, shifted):
    features, is_test = shifted
    train, test = features[~is_test], features[is_test]
    assert list(check.weights.index) == list(train.index)
    assert check.weights.mean() == pytest.approx(1)
    weighted = np.average(train["c2"], weights=check.weights)
    before, after = test["c2"].mean() - train["c2"].mean(), test["c2"].mean() - weighted
    # With 600 training fields the weights are drawn towards 1; with 2,400 a fifth is left.
    assert abs(after) < 0.5 * before
    # The ideal weights exp(x - 1/2) leave n / e = 221 of 600; those drawn towards 1 leave more.
    assert 221 < check.effective_size < 400


def test_probabilities_are_calibrated(check, shifted):
    _, is_test = shifted
    probability = check.probability.loc[is_test.index].to_numpy()[:, None]
    # Of 1,000 fields in 15 bins the error of perfect probabilities is about 0.05.
    assert expected_calibration_error(is_test.to_numpy()[:, None], probability) < 0.08


def test_a_shuffled_split_is_not_told_apart(shifted):
    features, is_test = shifted
    within = 0
    for seed in range(3):
        shuffled = pd.Series(np.random.default_rng(seed).permutation(is_test), features.index)
        check = adversarial_check(features, shuffled)
        # Over 60 shuffled splits of this size the AUC had a standard deviation of 0.027.
        assert abs(check.auc - 0.5) < 3 * 0.027
        assert check.effective_size > 0.95 * 600
        low, high = check.interval
        within += low < 0.5 < high
        assert check.verdict.startswith("train and test cannot be distinguished") == (low <= 0.5)
    # The interval holds the classifiers fixed and misses 0.5 once in five times.
    assert within >= 2


def test_copies_give_the_split_away_unless_they_are_kept_together():
    rng = np.random.default_rng(0)
    scenes = rng.normal(size=(100, 4))
    features = fields(np.repeat(scenes, 6, axis=0) + 0.01 * rng.normal(size=(600, 4)))
    is_test = pd.Series(np.repeat(rng.random(100) < 0.4, 6), features.index)
    scene = pd.Series(np.repeat(np.arange(100), 6), features.index)
    assert adversarial_check(features, is_test).auc > 0.7
    check = adversarial_check(features, is_test, scene)
    assert check.interval[0] < 0.5
    # Scenes are drawn, not fields: the interval is wide, as it should be.
    assert np.diff(check.interval)[0] > 0.1


def test_the_order_of_rows_changes_nothing(check, shifted):
    features, is_test = shifted
    turned = adversarial_check(features.sample(frac=1, random_state=1), is_test.iloc[::-1])
    assert turned.auc == check.auc
    assert turned.interval == check.interval
    pd.testing.assert_series_equal(turned.weights.loc[check.weights.index], check.weights)
    pd.testing.assert_frame_equal(turned.columns, check.columns)


@pytest.mark.parametrize("levels", [5, 10_000])
def test_auc_is_that_of_scikit_learn(levels):
    rng = np.random.default_rng(0)
    test, weights = rng.random(300) < 0.3, rng.integers(4, size=300)
    scores = rng.integers(levels, size=300)
    ranked = _Ranked(scores, test)
    assert ranked.auc == pytest.approx(roc_auc_score(test, scores))
    won, pairs = ranked.pairs(weights)
    assert won / pairs == pytest.approx(roc_auc_score(test, scores, sample_weight=weights))


def test_the_auc_compares_within_folds_only(check, shifted):
    assert min(check.fold_aucs) <= check.auc <= max(check.fold_aucs)
    assert len(check.fold_aucs) == 5


def test_fields_that_are_all_the_same():
    features = fields(np.ones((40, 2)))
    is_test = pd.Series(np.arange(40) < 15, features.index)
    check = adversarial_check(features, is_test)
    assert (check.auc, check.interval) == (0.5, (0.5, 0.5))
    assert check.weights.to_numpy() == pytest.approx(np.ones(25))
    assert check.effective_size == pytest.approx(25)
    assert check.columns["importance"].tolist() == [0, 0]


def test_what_cannot_be_checked_is_said(shifted):
    features, is_test = shifted
    nothing = pd.Series(False, features.index)
    with pytest.raises(InputError, match="0 fields with test fields cannot fill 5 folds"):
        adversarial_check(features, nothing)
    with pytest.raises(InputError, match="with training fields cannot fill"):
        adversarial_check(features, ~nothing)
    with pytest.raises(InputError, match="2 groups with test fields cannot fill 5 folds"):
        groups = pd.Series(np.arange(1000) % 2, features.index).where(is_test, range(1000))
        adversarial_check(features, is_test, groups)
    with pytest.raises(InputError, match="is_test lack 1 field: f0000"):
        adversarial_check(features, is_test.iloc[1:])
    with pytest.raises(InputError, match="the groups lack 1,000 fields"):
        adversarial_check(features, is_test, is_test.iloc[:0])
    with pytest.raises(InputError, match="the limits must be above 0"):
        adversarial_check(features, is_test, clip=(2, 10))
    with pytest.raises(InputError, match="n_bootstrap is 0; it must be at least 1"):
        adversarial_check(features, is_test, n_bootstrap=0)
    with pytest.raises(InputError, match="is_test is missing for f0001"):
        adversarial_check(features, is_test.astype(object).mask(features.index == "f0001"))
    # The test fields of groups b and d fit into one fold only beside the training fields of b.
    few = features.iloc[:6]
    with pytest.raises(InputError, match="groups are so large that a fold .* only one of the two"):
        adversarial_check(
            few,
            pd.Series([True, False, True, True, True, False], few.index),
            pd.Series(list("ddcbbc"), few.index),
            n_splits=2,
        )


def test_real_fields_differ_by_what_was_measured_on_them(real_data):
    parts = [
        pd.read_csv(real_data / "field_stats" / f"{split}_meta.csv").set_index("Id")
        for split in ("train", "test")
    ]
    features = pd.concat(parts)
    # Every fourth field is enough, and quicker.
    features = features.drop(columns="size").iloc[::4]
    is_test = pd.Series(features.index.isin(parts[1].index), features.index)
    check = adversarial_check(features, is_test)
    assert 0.58 < check.interval[0] < check.interval[1] < 0.7
    assert check.columns["column"][0] in ("blue_std", "red_std")


def test_a_notebook_shows_the_verdict_and_the_columns(check):
    html = check._repr_html_()
    assert f"{check.auc:.3f} (95 % interval" in html and check.verdict in html
    assert html.index(">c2<") < html.index(">c0<")
