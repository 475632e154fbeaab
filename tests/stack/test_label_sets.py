"""Labels and columns as notebooks hold them: sparse, one column, names, sets of names."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.preprocessing import MultiLabelBinarizer

from hpastack.errors import InputError
from hpastack.stack import StackClassifier
from hpastack.stack.inputs import checked_table, indicator

pytestmark = pytest.mark.core

IDS = pd.Index(["f0", "f1", "f2"])
SETS = [["cytosol", "nucleus"], ["nucleus"], ["actin", "cytosol"]]
NAMES = ["actin", "cytosol", "nucleus"]
MATRIX = [[0, 1, 1], [0, 0, 1], [1, 1, 0]]


def small(**options):
    return StackClassifier(
        **{"rounds": 3, "min_rounds": 2, "n_splits": 3, "n_bootstrap": 0, "n_jobs": 1,
           "boosters": ["lightgbm"]} | options
    )  # fmt: skip


def draw(n=90):
    rng = np.random.default_rng(0)
    y = (rng.random((n, 2)) < 0.5).astype(int)
    X = pd.DataFrame(rng.normal(size=(n, 2)) + y, [f"f{i}" for i in range(n)], ["a", "b"])
    return X, y


@pytest.mark.parametrize(
    "y",
    [
        SETS,
        [set(of_field) for of_field in SETS],
        [tuple(of_field) for of_field in SETS],
        [np.array(of_field) for of_field in SETS],
        pd.Series(SETS[::-1], IDS[::-1]),
        ["cytosol|nucleus", "nucleus", "actin;cytosol"],
        pd.DataFrame({"labels": ["cytosol | nucleus", "nucleus", "actin|cytosol"]}, IDS),
    ],
    ids=["lists", "sets", "tuples", "arrays", "series by id", "text", "one column"],
)
def test_sets_of_names_become_a_column_per_name(y):
    matrix, names = indicator(y, IDS)
    assert (names, matrix.tolist(), matrix.dtype) == (NAMES, MATRIX, np.uint8)


@pytest.mark.parametrize(
    "make", [list, np.array, pd.Series, lambda y: pd.Series(y, dtype="category")]
)
def test_one_name_per_field_is_a_set_of_one(make):
    y = make(["nucleus", "actin", "nucleus"])
    y = pd.Series(y.to_numpy(), IDS) if isinstance(y, pd.Series) else y
    matrix, names = indicator(y, IDS)
    assert (names, matrix.tolist()) == (["actin", "nucleus"], [[0, 1], [1, 0], [0, 1]])


@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
def test_a_sparse_matrix_is_that_matrix(make):
    matrix, names = indicator(make(MATRIX), IDS)
    assert (names, matrix.tolist()) == (["0", "1", "2"], MATRIX)
    table = checked_table(make(np.array(MATRIX, dtype=float)))
    assert table.to_numpy().tolist() == MATRIX


def test_one_number_per_field_is_one_label():
    for y in ([1, 0, 1], np.array([1.0, 0.0, 1.0]), np.array([True, False, True])):
        matrix, names = indicator(y, IDS)
        assert (names, matrix.tolist()) == (["0"], [[1], [0], [1]])
    matrix, names = indicator(pd.Series([1, 0, 0], IDS[::-1], name="nucleus"), IDS)
    assert (names, matrix.tolist()) == (["nucleus"], [[0], [0], [1]])


def test_a_fitted_stack_knows_its_labels():
    matrix, names = indicator(["nucleus", "actin|nucleus", []], IDS, ["x", "nucleus", "actin"])
    assert matrix.tolist() == [[0, 1, 0], [0, 1, 1], [0, 0, 0]]
    with pytest.raises(InputError, match="not labels of the stack: nucleolus; its labels are x"):
        indicator([["x"], ["nucleolus"], ["x"]], IDS, ["x"])


@pytest.mark.parametrize(
    "y, message",
    [
        (["16 0", "1", "25"], r"ids of labels.*HPA_2018.indicator\(y\)"),
        ([[16, 0], [1], [25]], r"MultiLabelBinarizer\(classes=range\(N_LABELS\)\)"),
        ([{16, 0}, {1, 2}, {2, 3}], "ids of labels"),
        (["a, b", "a", "b"], "f0 is 'a, b': one label or several"),
        (["a, b", "a", "b, a"], r"f0 is 'a, b' \(and of 1 other field likewise\): one label or"),
        (["a", None, "b"], "labels of 1 field are missing: f1"),
        (["a", "", "b"], "labels of 1 field are missing: f1"),
        (["", "a", None], "labels of 2 fields are missing: f0, f2"),
        (["a", 1, "b"], "y of field f1 is 1; pass one column of 0 and 1 per label"),
        (["a", 1, 2], r"y of field f1 is 1 \(and of 1 other field likewise\); pass"),
        ([["a", 1], ["b"], ["b"]], "y of field f0 is"),
        (["a", "b"], "labels of 2 fields, but X has 3"),
        ([0, 1, 2], "Only binary classification is supported.*one column per label"),
        (sparse.csr_array([[2, 0]] * 3), "only 0 and 1"),
    ],
)
def test_what_leaves_the_labels_open_is_named(y, message):
    with pytest.raises(InputError, match=message):
        indicator(y, IDS)


def test_the_remedy_for_lists_of_ids_works():
    y = MultiLabelBinarizer(classes=range(3)).fit_transform([[1, 2], [2], [0, 1]])
    assert indicator(y, IDS)[0].tolist() == MATRIX


def test_names_have_no_order_for_the_columns_of_a_cnn():
    X, y = draw()
    X = X.assign(net__0=0.5, net__1=0.5)
    names = [["b"] * b + ["a"] * a for a, b in y]
    for options in ({"cnns": ["net"]}, {"scores": ["net"]}):
        with pytest.raises(InputError, match="names, which have no order"):
            small(**options).fit(X, names)


def test_a_stack_is_fitted_and_scored_on_any_of_them():
    X, y = draw()
    names = [["b"] * b + ["a"] * a for a, b in y]
    of_matrix = small().fit(X.to_numpy(), y)
    of_sparse = small().fit(sparse.csr_array(X.to_numpy()), sparse.csr_array(y))
    of_names = small().fit(X, pd.Series(names, X.index).iloc[::-1])
    assert of_names.labels_ == ["a", "b"] and of_sparse.labels_ == ["0", "1"]
    expected = of_matrix.predict_proba(X.to_numpy())
    np.testing.assert_array_equal(of_names.predict_proba(X), expected)
    np.testing.assert_array_equal(of_sparse.predict_proba(sparse.csc_array(X.to_numpy())), expected)
    score = of_matrix.score(X.to_numpy(), y)
    assert of_names.score(X, names) == of_sparse.score(X.to_numpy(), sparse.csr_array(y)) == score


def test_the_score_is_over_the_labels_with_positives():
    X, y = draw()
    stack = small().fit(X, y)
    y[:, 1] = 0
    labels = stack.predict(X).to_numpy()
    hits = (y[:, 0] * labels[:, 0]).sum()
    assert stack.score(X, y) == pytest.approx(2 * hits / (y[:, 0].sum() + labels[:, 0].sum()))


@pytest.mark.parametrize("value, words", [(np.inf, "infinite"), (1e300, "single precision")])
def test_infinite_values_are_named_and_what_stands_for_missing(value, words):
    X, y = draw()
    array = X.to_numpy(copy=True)
    array[3, 1] = value
    with pytest.raises(InputError, match=f"column 1 of field 3 is .*{words}.*use NaN for"):
        small().fit(array, y)
    with pytest.raises(InputError, match=f"column 'b' of field f3 is .*{words}"):
        small().fit(pd.DataFrame(array, X.index, X.columns), y)


@pytest.mark.parametrize("wrong", [np.zeros(5), np.zeros((2, 2, 2)), [], ["a"]])
def test_what_is_no_matrix_is_an_input_error(wrong):
    with pytest.raises(InputError, match="X: "):
        small().fit(wrong, [1, 0])
