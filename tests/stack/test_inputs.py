"""Tables to predict: one, or one for each model of the CNNs."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from hpastack.errors import InputError
from hpastack.stack.inputs import (
    aligned,
    checked_table,
    indicator,
    member_tables,
    own_columns,
)

pytestmark = pytest.mark.core

X = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}, index=["f0", "f1"])


def test_a_list_of_rows_is_a_table_and_a_list_of_tables_is_not():
    (table,) = member_tables(X)
    assert table is X
    rows = [[1.0, 3.0], [2.0, 4.0]]
    assert member_tables(rows) == [rows]
    members = member_tables((X, X + 1))
    assert members[0] is X and members[1].equals(X + 1)
    assert len(member_tables([X.to_numpy(), rows])) == 2


@pytest.mark.parametrize("other", [X.iloc[::-1], X.iloc[:1], X.set_axis(["f0", "f2"])])
def test_tables_of_other_fields_are_refused(other):
    with pytest.raises(InputError, match="must have the same fields.*from table 0: 1, 3$"):
        member_tables([X, other, X, other])


def test_columns_are_taken_by_name_or_by_number():
    names = np.array(["b", "a"], dtype=object)
    assert list(own_columns(X.assign(more=0.0), names, 2).columns) == ["b", "a"]
    by_number = own_columns(X.to_numpy(), names, 2)
    assert list(by_number.columns) == ["b", "a"] and by_number["b"].tolist() == [1.0, 2.0]
    assert list(own_columns(X.to_numpy(), None, 2).columns) == [0, 1]
    with pytest.raises(InputError, match="X lacks 1 column of the stack: b"):
        own_columns(X[["a"]], names, 2)
    with pytest.raises(InputError, match="X has 1 features, but StackClassifier is expecting 2"):
        own_columns(X[["a"]].to_numpy(), names, 2)


@pytest.mark.parametrize("dtype", [float, object])
def test_unknown_labels_are_named_with_the_remedy(dtype):
    y = pd.DataFrame({"a": [0, np.nan, 1], "b": [1, 0, 1]}, ["f0", "f1", "f2"], dtype=dtype)
    with pytest.raises(InputError, match="fields f1: drop these fields, or write 0 where"):
        indicator(y, y.index)
    with pytest.raises(InputError, match="fields f1: drop these fields"):
        indicator(y.to_numpy(), y.index)


def test_labels_with_ids_beside_a_matrix_without():
    X = checked_table(sparse.csr_matrix(np.eye(3)))
    y = pd.Series([0, 1, 1], ["f0", "f1", "f2"])
    for values in (y, y.to_frame("a")):
        with pytest.raises(InputError, match=r"X is a matrix without ids: .*y.to_numpy\(\)"):
            indicator(values, X.index)
    with pytest.raises(InputError, match=r"groups.to_numpy\(\) in the order of X"):
        aligned(y, X.index, "groups")
