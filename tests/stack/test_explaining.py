"""Explanations add up to what they explain, and name what knows."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from hpastack.errors import InputError
from hpastack.stack import StackClassifier, column_importance, field_reasons, write_explanations
from hpastack.stack.explaining import explain

pytestmark = pytest.mark.core


def draw(n=600, seed=0):
    rng = np.random.default_rng(seed)
    y = pd.DataFrame((rng.random((n, 3)) < [0.4, 0.3, 0.01]).astype(int), columns=["a", "b", "c"])
    table = {}
    for cnn in ("one", "two"):
        said = expit(1.5 * y.to_numpy() * [1, 0, 1] - 1 + rng.normal(size=y.shape))
        table |= {f"{cnn}__{k}": said[:, k] for k in range(3)}
    table |= {f"near__{k}": rng.normal(size=n) for k in range(3)}
    table |= {f"deep__{k}": rng.normal(size=n) for k in range(5)}
    table["clue"] = y["b"].to_numpy() + 0.3 * rng.normal(size=n)
    table["noise"] = rng.normal(size=n)
    X = pd.DataFrame(table, index=[f"f{i}" for i in range(n)])
    return X, y.set_index(X.index)


def fit(**options):
    X, y = draw()
    settings = {"scores": ["near"], "embeddings": ["deep"], "n_components": 2, "rounds": 20,
                "min_rounds": 10, "n_splits": 3, "n_bootstrap": 0, "n_jobs": 1}  # fmt: skip
    return StackClassifier(["one", "two"], **settings | options).fit(X, y), X


@pytest.fixture(scope="module")
def fitted():
    return fit()


@pytest.mark.parametrize("options", [{}, {"bags": 2, "max_columns": 3}])
@pytest.mark.long
def test_parts_add_up_to_the_log_odds(options):
    stack, X = fit(calibration="none", **options)
    explained = stack.explain(X)
    assert list(explained) == stack.labels_
    log_odds = logit(stack.predict_proba(X))
    for label, parts in explained.items():
        # The libraries sum SHAP values in single precision, in another order than trees.
        np.testing.assert_allclose(parts.sum(axis=1), log_odds[label], atol=1e-4)
        assert list(parts.index) == list(X.index)


@pytest.mark.long
@pytest.mark.parametrize("member", ["pooled", "linear", "forest"])
def test_parts_of_every_member_add_up(member):
    stack, X = fit(calibration="none", boosters=[member], bags=2)
    assert stack.weights_[1] > 0
    log_odds = logit(stack.predict_proba(X))
    explained = stack.explain(X)
    for label, parts in explained.items():
        np.testing.assert_allclose(parts.sum(axis=1), log_odds[label], atol=1e-4)
    of_b = explained["b"]
    assert of_b["clue"].abs().mean() > of_b["noise"].abs().mean()
    # Only the pooled booster sees how a label stands among the others.
    among = {"rank among the labels", "prevalence", "spread of the CNNs"}
    assert among & set(of_b.columns) == (among if member == "pooled" else set())
    assert ("consensus of a" in of_b.columns) == (member != "pooled")


def test_with_sets_of_folds_they_add_up_to_the_mean():
    stack, X = fit(calibration="none", repeats=2)
    singles, (alone, _) = [], fit(calibration="none")
    for one in stack.fitted_:
        alone.fitted_ = [one]
        singles.append(logit(alone.predict_proba(X)["b"]))
    total = stack.explain(X, ["b"])["b"].sum(axis=1)
    np.testing.assert_allclose(total, sum(singles) / 2, atol=1e-4)


def test_the_column_that_knows_comes_first(fitted):
    stack, X = fitted
    importance = column_importance(stack.explain(X))
    first = importance.groupby("label").first()
    assert first.loc["b", "column"] == "clue"
    of_b = importance[importance["label"] == "b"].set_index("column")
    assert of_b.loc["clue", "mean_absolute"] > 3 * of_b.loc["noise", "mean_absolute"]
    columns = set(importance["column"])
    assert {"one__1", "near__1", "deep", "consensus of a", "noise"} <= columns
    assert "one__2" not in set(of_b.index)  # another label's own column


def test_a_label_without_boosters_has_its_consensus_alone(fitted):
    stack, X = fitted
    parts = stack.explain(X, [2])["c"]
    assert list(parts.columns) == ["consensus", "trees"]
    assert (parts["trees"] == 0).all()


def test_workers_change_nothing(fitted):
    stack, X = fitted
    other = fit(n_jobs=2)[0].explain(X.iloc[:20])
    for label, parts in stack.explain(X.iloc[:20]).items():
        pd.testing.assert_frame_equal(parts, other[label])


def test_reasons_are_those_of_the_labels_given(fitted):
    stack, X = fitted
    new = X.iloc[:60]
    reasons = field_reasons(stack, new, n_reasons=3)
    given = stack.predict(new)
    pairs = reasons[["image_id", "label"]].drop_duplicates()
    assert len(pairs) == given.to_numpy().sum()
    assert (reasons.groupby(["image_id", "label"])["rank"].max() <= 3).all()
    row = reasons[reasons["column"] == "clue"].iloc[0]
    assert row["value"] == X.loc[row["image_id"], "clue"]
    assert row["probability"] >= row["threshold"]
    parts = explain(stack, new, [row["label"]])[row["label"]]
    assert row["adds"] == pytest.approx(parts.loc[row["image_id"], "clue"])


def test_an_unknown_label_is_named(fitted):
    stack, X = fitted
    with pytest.raises(InputError, match="no label 'd'; it has a, b, c"):
        stack.explain(X, ["d"])
    with pytest.raises(InputError, match="no label 7, 'e'; it has"):
        stack.explain(X, [7, "a", "e"])


def test_a_column_called_as_a_part_is_refused():
    X, y = draw()
    X = X.rename(columns={"noise": "trees"})
    stack = StackClassifier(["one", "two"], rounds=4, min_rounds=2, n_splits=3, n_jobs=1)
    stack.set_params(n_bootstrap=0).fit(X, y)
    with pytest.raises(InputError, match="names of parts of an explanation: trees; rename"):
        stack.explain(X)


def test_files(fitted, tmp_path):
    stack, X = fitted
    prefix = tmp_path / "mine"
    paths = write_explanations(stack, X, X.iloc[:10], prefix, n_fields=50)
    assert [path.name for path in paths] == ["mine_importance.csv", "mine_reasons.csv"]
    first = [path.read_bytes() for path in paths]
    write_explanations(stack, X, X.iloc[:10], prefix, n_fields=50)
    assert [path.read_bytes() for path in paths] == first
    assert list(pd.read_csv(paths[0]).columns) == ["label", "column", "mean_absolute", "mean"]
    assert len(write_explanations(stack, X, X.iloc[:0], prefix, n_fields=50)) == 1
