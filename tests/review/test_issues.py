"""Suspected label errors: worked by hand, found where they were planted, bad input named."""

import numpy as np
import pandas as pd
import pytest

import hpastack as hs
from hpastack.errors import InputError
from hpastack.review import ORDERS

pytestmark = pytest.mark.core

Y = pd.DataFrame([[1, 0], [1, 0], [0, 1]], ["a", "b", "c"], ["cilia", "nuclei"])
P = pd.DataFrame([[0.9, 0.1], [0.2, 0.7], [0.1, 0.8]], ["a", "b", "c"], ["cilia", "nuclei"])


def test_the_plain_order_is_the_distance_of_annotation_and_probability():
    issues = hs.label_issues(Y, P, order="plain")
    assert issues["image_id"].tolist()[:3] == ["b", "b", "c"]
    assert issues["label"].tolist()[:3] == ["cilia", "nuclei", "nuclei"]
    assert issues["score"].tolist() == pytest.approx([0.8, 0.7, 0.2, 0.1, 0.1, 0.1])
    assert issues["annotated"].tolist()[:3] == [1, 0, 1]
    assert issues["probability"].tolist()[:3] == [0.2, 0.7, 0.8]
    assert issues["suggestion"].tolist()[:3] == ["remove", "add", "keep"]
    assert issues["rank"].tolist() == [1, 2, 3, 4, 5, 6]


def test_the_normalised_order_weighs_by_the_mean_probability_where_the_label_is_annotated():
    # cilia: (0.9 + 0.2) / 2 = 0.55; nuclei: 0.8.
    score = hs.label_issues(Y, P).set_index(["image_id", "label"])["score"]
    assert score["b", "cilia"] == pytest.approx(0.8 * 0.55**0.5)
    assert score["b", "nuclei"] == pytest.approx(0.7 * 0.8**0.5)
    assert score["c", "nuclei"] == pytest.approx(0.2 * 0.8**0.5)


def test_a_label_that_is_never_recognised_raises_little_suspicion():
    y = pd.DataFrame({"seen": [1, 1, 1, 0, 0, 0], "unseen": [0, 0, 0, 1, 1, 1]})
    p = pd.DataFrame({"seen": [0.9, 0.9, 0.1, 0, 0, 0], "unseen": [0, 0, 0, 0.02, 0.01, 0.03]})
    assert hs.label_issues(y, p, n_most=1)["label"].tolist() == ["seen"]
    assert hs.label_issues(y, p, n_most=1, order="plain")["label"].tolist() == ["unseen"]


@pytest.mark.parametrize("order", ORDERS)
def test_planted_errors_come_first(order):
    rng = np.random.default_rng(0)
    true = rng.random((400, 5)) < 0.3
    p = pd.DataFrame(np.where(true, 0.8, 0.1) + rng.uniform(-0.1, 0.1, true.shape))
    y = true.copy()
    rows = rng.choice(400, 20, replace=False)
    y[rows, 2] ^= True
    first = hs.label_issues(pd.DataFrame(y), p, order=order, n_most=20)
    assert set(first["image_id"]) == set(rows)
    assert (first["label"] == 2).all()
    assert (first["suggestion"] != "keep").all()


def test_predicted_labels_decide_what_is_suggested():
    predicted = pd.DataFrame([[1, 1], [1, 0], [0, 1]], P.index, P.columns)
    issues = hs.label_issues(Y, P, predicted=predicted).set_index(["image_id", "label"])
    assert issues["suggestion"]["a", "nuclei"] == "add"
    assert issues["suggestion"]["b", "cilia"] == "keep"


def test_rows_and_columns_are_joined_by_name_and_arrays_by_place():
    shuffled = Y.loc[["c", "a", "b"], ["nuclei", "cilia"]]
    others = pd.concat([shuffled, pd.DataFrame([[1, 1]], ["d"], ["nuclei", "cilia"])])
    pd.testing.assert_frame_equal(hs.label_issues(others, P), hs.label_issues(Y, P))
    by_place = hs.label_issues(Y.to_numpy().tolist(), P.to_numpy())
    assert by_place["image_id"].tolist()[:2] == [1, 1]
    assert by_place["score"].tolist() == hs.label_issues(Y, P)["score"].tolist()


def test_the_most_suspicious_are_the_first_of_all():
    everything = hs.label_issues(Y, P)
    pd.testing.assert_frame_equal(hs.label_issues(Y, P, n_most=2), everything.head(2))
    pd.testing.assert_frame_equal(hs.label_issues(Y, P, n_most=99), everything)


def test_no_fields_and_labels_without_positives_are_no_problem():
    assert hs.label_issues(Y.iloc[:0], P.iloc[:0]).empty
    issues = hs.label_issues([[0, 1], [0, 1]], [[0.9, 0.9], [0.1, 0.9]])
    assert np.isfinite(issues["score"]).all()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"order": "best"}, "order is 'best'; it must be normalised or plain"),
        ({"n_most": 0}, "n_most is 0"),
        ({"probabilities": P + 0.5}, "1.4 of field a, label cilia is not in"),
        ({"probabilities": P.where(P < 0.9)}, "nan of field a"),
        ({"probabilities": [["x", "y"]] * 3}, "probabilities: not a table of numbers"),
        ({"y": [[1, 0]] * 3, "probabilities": [0.5, 0.5]}, "y has shape"),
        ({"y": Y * 2}, "y: 2.0 of field a, label cilia is not 0 or 1"),
        ({"y": Y.drop("b")}, "y: rows lack 1 field: b"),
        ({"y": Y.rename(columns={"cilia": "actin"})}, "must have the same labels: cilia, actin"),
        ({"y": [[1, 0]]}, r"y has shape \(1, 2\), but probabilities \(3, 2\)"),
        ({"y": Y.set_axis(["a", "b", "b"])}, "duplicate ids: b"),
        ({"predicted": Y - 1}, "predicted: -1.0 of field a"),
        ({"probabilities": P.set_axis(["a", "a"], axis=1)}, "labels: duplicate ids: a"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"y": Y, "probabilities": P, **change}
    with pytest.raises(InputError, match=message):
        hs.label_issues(**arguments)
