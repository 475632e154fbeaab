"""Weights of fields: 1 is none, 0 is absent from training, 2 is a copy in the same cluster."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.model_selection import KFold, cross_validate

from hpastack.boosting import LIBRARIES
from hpastack.boosting.forest import _whole_copies
from hpastack.boosting.linear import Linear
from hpastack.errors import InputError
from hpastack.stack import StackClassifier
from hpastack.stack.consensus import Consensus
from hpastack.stack.field_values import checked_weights

MEMBERS = ["lightgbm", "xgboost", "linear", "pooled", "forest"]
N = 240


def draw(seed=0, n=N):
    """One network for the first label, and a feature for the second."""
    rng = np.random.default_rng(seed)
    wells = rng.integers(n // 3, size=n)
    y = (rng.random((n // 3, 2)) < [0.45, 0.35]).astype(int)[wells]
    ids = [f"field{i:03d}" for i in range(n)]
    logits = 1.5 * y - 0.8 + rng.normal(size=y.shape)
    X = pd.DataFrame(logits, ids, ["net__0", "net__1"])
    X["clue"] = y[:, 1] + 0.5 * rng.normal(size=n)
    X["gap"] = np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n) + y[:, 0])
    X[["deep__0", "deep__1"]] = rng.normal(size=(n, 2))
    return X, pd.DataFrame(y, ids, ["a", "b"]), pd.Series(wells, ids)


def small(cnns=("net",), **options):
    defaults = {
        "logits": cnns, "embeddings": ["deep"], "rounds": 8, "min_rounds": 2, "n_splits": 3,
        "min_positives": 5, "n_bootstrap": 0, "n_jobs": 1,
    }  # fmt: skip
    return StackClassifier(cnns, **{**defaults, **options})


def test_weights_of_1_give_the_same_bytes_as_none(tmp_path):
    X, y, wells = draw()
    for name, weight in (("none", None), ("ones", np.ones(N))):
        stack = small(boosters=MEMBERS, n_bootstrap=5).fit(X, y, wells, sample_weight=weight)
        stack.save(tmp_path / name / "stack")
    files = sorted(
        path.relative_to(tmp_path / "none")
        for path in (tmp_path / "none").rglob("*")
        if path.is_file()
    )
    assert len(files) > 10
    for file in files:
        assert (tmp_path / "none" / file).read_bytes() == (tmp_path / "ones" / file).read_bytes()


@pytest.mark.parametrize("cnns", [("net",), ()])
def test_labels_of_fields_of_weight_0_do_not_matter(cnns):
    X, y, wells = draw()
    if not cnns:
        X = X.rename(columns={"net__0": "p", "net__1": "q"})
    rng = np.random.default_rng(1)
    weight = rng.integers(3, size=N) * 0.75  # a third is 0
    other = y.copy()
    ignored = weight == 0
    other[ignored] = rng.permutation(1 - y[ignored].to_numpy())
    stacks = [
        small(cnns, boosters=MEMBERS, calibration="spline", max_columns=2).fit(
            X, labels, wells, sample_weight=weight
        )
        for labels in (y, other)
    ]
    first, second = stacks
    assert first.weights_.any()  # members take part
    pd.testing.assert_frame_equal(first.predict_proba(X), second.predict_proba(X), rtol=0, atol=0)
    np.testing.assert_array_equal(first.thresholds_, second.thresholds_)
    pd.testing.assert_frame_equal(
        first.oof_probabilities_, second.oof_probabilities_, rtol=0, atol=0
    )
    assert first.fitted_[0].models == second.fitted_[0].models
    # Scores count every field once.
    assert first.cv_results_["macro_f1"] != second.cv_results_["macro_f1"]
    # And labels of the other fields do matter.
    other = y.copy()
    other[~ignored] = 1 - y[~ignored]
    third = small(cnns, boosters=MEMBERS).fit(X, other, wells, sample_weight=weight)
    assert not np.allclose(third.predict_proba(X), first.predict_proba(X))


def repeated(table, weight):
    """Return the rows as often as their weight, each copy with an id of its own."""
    rows = np.repeat(np.arange(len(table)), weight)
    return table.iloc[rows].set_axis([f"copy{i:04d}" for i in range(len(rows))])


@pytest.mark.parametrize(
    ("members", "tolerance"),
    [
        ([], 1e-9),
        # The step of float32 in its matrix products.
        (["linear"], 1e-4),
        # Bins are those of other examples, leaves hold fields rather than weights, columns and
        # cuts are drawn for another number of rows.
        (["lightgbm"], 0.05), (["xgboost"], 0.05), (["pooled"], 0.05), (["forest"], 0.05),
    ],
)  # fmt: skip
def test_whole_weights_are_copies_in_the_cluster(members, tolerance):
    X, y, wells = draw(n=3 * N)
    weight = np.random.default_rng(2).integers(1, 4, size=3 * N)
    weight[y["a"] == 1] += 2  # so that weights change much
    folds = wells % 3
    options = {"boosters": members, "embeddings": [], "thresholds": "global"}
    X = X.drop(columns=["deep__0", "deep__1"])
    of_weights = small(**options).fit(X, y, wells, folds, sample_weight=weight)
    of_copies = small(**options).fit(*(repeated(of, weight) for of in (X, y, wells, folds)))
    plain = small(**options).fit(X, y, wells, folds)
    expected = of_copies.predict_proba(X).to_numpy()
    error = np.abs(of_weights.predict_proba(X).to_numpy() - expected).mean()
    assert error <= tolerance
    assert np.abs(plain.predict_proba(X).to_numpy() - expected).mean() > 2 * error
    if not members:
        np.testing.assert_allclose(of_weights.thresholds_, of_copies.thresholds_)


def test_the_consensus_of_no_network_is_the_weighted_prevalence():
    y = np.array([[1], [0], [0]])
    weight = np.array([3.0, 0.5, 0.5])
    consensus = Consensus.fit(np.empty((0, 3, 1)), y, np.arange(3), sample_weight=weight)
    np.testing.assert_allclose(consensus.coefficients[0], [0, np.log(3.5 / 1.5)])


def test_a_series_is_joined_by_id():
    X, y, wells = draw()
    weight = pd.Series(np.linspace(0.1, 3, N), X.index)
    first = small(boosters=["linear"]).fit(X, y, wells, sample_weight=weight)
    second = small(boosters=["linear"]).fit(X, y, wells, sample_weight=weight.iloc[::-1])
    other = small(boosters=["linear"]).fit(X, y, wells, sample_weight=weight.to_numpy()[::-1])
    pd.testing.assert_frame_equal(first.predict_proba(X), second.predict_proba(X), rtol=0, atol=0)
    assert not np.allclose(first.predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w[1:], r"sample_weight of shape \(239,\) does not match 240 fields"),
        (lambda w: pd.Series(w, draw()[0].index).iloc[2:], "sample_weight lacks 2 fields of X"),
        (lambda w: np.r_[-1, np.nan, w[2:]], "sample_weight has no value .* field001"),
        (lambda w: np.r_[-1, np.inf, w[2:]], "at least 0, .* for 2 fields: field000, field001"),
        (lambda w: np.r_[["x"], w[1:]], "sample_weight must be numbers"),
        (lambda w: np.where(draw()[2] % 3 == 1, 0, w), "is zero for all fields of fold 1; every"),
        (lambda w: 0 * w, "is zero for all fields of folds 0, 1, 2; every"),
    ],
)
def test_invalid_weights_are_named(change, message):
    X, y, wells = draw()
    with pytest.raises(InputError, match=message):
        small().fit(X, y, wells, wells % 3, sample_weight=change(np.full(N, 2.0)))


def test_weights_of_any_kind_are_taken_and_not_changed():
    X, y, wells = draw()
    weight = np.linspace(0.1, 3, N)
    expected = small(boosters=["linear"]).fit(X, y, wells, sample_weight=weight).predict_proba(X)
    for kind in (list, tuple, np.float32, pd.Series):
        given = kind(weight) if kind is not pd.Series else pd.Series(weight, X.index)
        before = given.copy() if hasattr(given, "copy") else tuple(given)
        stack = small(boosters=["linear"]).fit(X, y, wells, sample_weight=given)
        assert np.array_equal(before, given)
        tolerance = 1e-3 if kind is np.float32 else 0
        np.testing.assert_allclose(stack.predict_proba(X), expected, atol=tolerance)


def test_a_library_without_weights_is_named(monkeypatch):
    class Unweighted(Linear):
        @staticmethod
        def fit(x, y, margin, settings, *, seed, stages, at_stage, n_monotone, bins):
            return Linear.fit(
                x, y, margin, settings, seed=seed, stages=stages, at_stage=at_stage,
                n_monotone=n_monotone, bins=bins,
            )  # fmt: skip

    monkeypatch.setitem(LIBRARIES, "mine", Unweighted)
    X, y, wells = draw()
    stack = small(boosters=["mine", "linear"])
    assert stack.fit(X, y, wells, sample_weight=np.ones(N)).members_ == ["mine", "linear"]
    with pytest.raises(InputError, match="do not support sample_weight: mine; exclude"):
        stack.fit(X, y, wells, sample_weight=np.full(N, 2.0))


def test_whole_copies():
    ids = pd.RangeIndex(3)
    assert checked_weights([1, 1.0, True], ids) is None
    assert checked_weights([2, 2, 2], ids).tolist() == [2, 2, 2]
    # Whole numbers stay; fractions are met on average; a low sum is scaled up.
    assert _whole_copies(np.array([1.0, 3, 2]), 0).tolist() == [1, 3, 2]
    weight = np.tile([0.25, 1.75], 5000)
    copies = _whole_copies(weight, 0)
    assert set(copies) <= {0.0, 1.0, 2.0}
    assert copies[::2].mean() == pytest.approx(0.25, abs=0.03)
    assert copies[1::2].mean() == pytest.approx(1.75, abs=0.03)
    assert _whole_copies(weight / 1e6, 0).tolist() == copies.tolist()


def test_the_cache_tells_weights_apart(tmp_path):
    X, y, wells = draw()
    weight = np.linspace(0.1, 3, N)
    options = {"boosters": ["linear", "forest"], "cache": tmp_path}
    plain = small(**options).fit(X, y, wells)
    cached = small(**options).fit(X, y, wells, sample_weight=weight)
    fresh = small(boosters=["linear", "forest"]).fit(X, y, wells, sample_weight=weight)
    again = small(**options).fit(X, y, wells, sample_weight=weight)
    for other in (fresh, again):
        pd.testing.assert_frame_equal(
            cached.predict_proba(X), other.predict_proba(X), rtol=0, atol=0
        )
    assert not np.allclose(plain.predict_proba(X), cached.predict_proba(X))


def test_weights_are_routed_to_fit_and_score():
    X, y, _ = draw()
    weight = pd.Series(np.linspace(0.1, 3, N), X.index)
    with config_context(enable_metadata_routing=True):
        stack = small(boosters=["linear"])
        stack.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        result = cross_validate(
            stack, X, y, cv=KFold(2), params={"sample_weight": weight}, return_estimator=True
        )
    half = X.index[N // 2 :]
    fitted = small(boosters=["linear"]).fit(
        X.loc[half], y.loc[half], sample_weight=weight.loc[half]
    )
    rest = X.index[: N // 2]
    assert result["test_score"][0] == fitted.score(X.loc[rest], y.loc[rest], weight.loc[rest])
    pd.testing.assert_frame_equal(
        result["estimator"][0].predict_proba(X), fitted.predict_proba(X), rtol=0, atol=0
    )
