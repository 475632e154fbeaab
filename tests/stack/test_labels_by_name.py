"""Probabilities and true labels in data frames are joined by name and id, never by position."""

import numpy as np
import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.stack import StackClassifier

pytestmark = pytest.mark.core

NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    ids = [f"field{i}" for i in range(150)]
    y = pd.DataFrame((rng.random((150, 3)) < [0.5, 0.3, 0.2]).astype(int), ids, NAMES)
    logits = 2 * y.to_numpy() - 1 + rng.normal(size=y.shape)
    return pd.DataFrame(logits, ids, [f"net__{label}" for label in range(3)]), y


@pytest.fixture(scope="module")
def fitted(data):
    X, y = data
    stack = StackClassifier(["net"], logits=["net"], boosters=[], n_bootstrap=0, n_jobs=1)
    stack.fit(X, y)
    stack.thresholds_ = np.array([0.9, 0.5, 0.1])
    return stack


def test_probabilities_are_labelled_by_the_names_of_their_columns(fitted, data):
    probabilities = fitted.predict_proba(data[0])
    labels = fitted.label(probabilities)
    assert labels.equals(fitted.label(probabilities[["c", "a", "b"]]))
    assert np.array_equal(labels, fitted.label(probabilities.to_numpy()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.drop(columns="b"), "probabilities has missing labels: b;.*by name"),
        (lambda p: p.assign(z=0.0), "not labels of the stack: z;"),
        (
            lambda p: p.rename(columns={"b": "B"}).assign(z=0.0),
            "missing labels: b, columns that are not labels of the stack: B, z;",
        ),
        (lambda p: pd.concat([p, p[["c"]]], axis=1), "duplicate columns: c;"),
        (lambda p: p.to_numpy()[:, :2], r"of shape \(150, 2\) does not match 3 labels"),
        (lambda p: p.to_numpy()[:, :1], r"of shape \(150, 1\) does not match 3 labels"),
    ],
)
def test_labels_that_do_not_fit_are_named(fitted, data, change, message):
    with pytest.raises(InputError, match=message):
        fitted.label(change(fitted.predict_proba(data[0])))


def test_true_labels_are_joined_by_id_and_name(fitted, data):
    X, y = data
    score = fitted.score(X, y)
    assert score == fitted.score(X, y.iloc[::-1][["b", "c", "a"]])
    assert score == fitted.score(X.iloc[::-1], y)
    assert score == fitted.score(X, y.to_numpy())
    assert score == fitted.score([X, X], y)


def test_weights_of_a_series_are_joined_by_id(fitted, data):
    X, y = data
    weights = pd.Series(np.linspace(0.1, 3, len(X)), X.index)
    score = fitted.score(X, y, weights)
    assert score == fitted.score(X, y, weights.iloc[::-1])
    assert score != fitted.score(X, y, weights.to_numpy()[::-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y.rename(columns={"b": "B"}), "y has missing labels: b, columns that .*: B;"),
        (lambda y: y.assign(z=0), "not labels of the stack: z;"),
        (lambda y: y.iloc[1:], "y lacks 1 field of X: field0"),
    ],
)
def test_true_labels_that_do_not_fit_are_named(fitted, data, change, message):
    X, y = data
    with pytest.raises(InputError, match=message):
        fitted.score(X, change(y))


def test_numbered_labels_are_taken_by_number(data):
    X, y = data
    stack = StackClassifier(["net"], logits=["net"], boosters=[], n_bootstrap=0, n_jobs=1)
    stack.fit(X, y.to_numpy())
    numbered = y.set_axis(range(3), axis=1)
    assert stack.score(X, numbered) == stack.score(X, numbered[[2, 0, 1]])
    assert stack.labels_ == ["0", "1", "2"]
