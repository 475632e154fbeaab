"""A field without a group, fold or weight is named, and never put with others without a word."""

import numpy as np
import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.stack.field_values import aligned
from hpastack.stack.inputs import check_inputs
from hpastack.stack.settings import StackSettings

pytestmark = pytest.mark.core

IDS = [f"field{i}" for i in range(9)]
X = pd.DataFrame({"net__0": np.linspace(0, 1, 9)}, IDS)
Y = pd.DataFrame({"a": [0, 1, 0] * 3}, IDS)
SETTINGS = StackSettings(cnns=["net"])


def check(groups=None, folds=None):
    return check_inputs(X, Y, groups, folds, SETTINGS)


def with_missing(missing, kind=list):
    names = [f"well{i // 3}" for i in range(9)]
    names[2] = names[7] = missing
    return kind(names)


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA, pd.NaT])
@pytest.mark.parametrize("kind", [list, pd.Series, lambda v: np.array(v, dtype=object)])
def test_fields_without_a_group_are_named(missing, kind):
    groups = with_missing(missing, kind)
    if isinstance(groups, pd.Series):
        groups = groups.set_axis(IDS)
    message = r"groups has no value .* for 2 fields: field2, field7; .*a unique one.*or drop"
    with pytest.raises(InputError, match=message):
        check(groups)


@pytest.mark.parametrize("dtype", ["float64", "Float64", "Int64"])
def test_numbers_of_groups_may_be_missing_too(dtype):
    groups = pd.Series([0, 0, None, 1, 1, 1, 2, 2, 2], IDS, dtype=dtype)
    with pytest.raises(InputError, match="groups has no value .* for 1 field: field2;"):
        check(groups)


def test_a_series_in_another_order_names_the_right_field():
    groups = pd.Series(with_missing(None), IDS).iloc[::-1]
    with pytest.raises(InputError, match="field2, field7;"):
        check(groups)


def test_groups_of_several_types_are_named():
    with pytest.raises(InputError, match=r"groups has values of several types \(int, str\)"):
        check(np.array([0, 0, 0, 1, 1, 1, "x", "x", "x"], dtype=object))


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([0, 0, np.nan, 1, 1, 1, 2, 2, 2], "folds has no value .* 1 field: field2; set one"),
        ([0, 0, None, 1, 1, 1, 2, 2, 2], "folds has no value .* 1 field: field2; set one"),
        ([0, 0, np.inf, 1, 1, 1, 2, 2, 2], "1 field are not finite numbers: field2; set a fold"),
        (list("aaabbbccc"), "folds must be numbers 0, 1, "),
    ],
)
def test_fields_without_a_fold_are_named(folds, message):
    with pytest.raises(InputError, match=message):
        check(folds=folds)


def test_whole_groups_and_folds_of_any_kind_are_taken():
    expected = [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for groups in (np.repeat(["x", "y", "z"], 3), pd.Series(expected, IDS, dtype="Int64")):
        taken = check(groups, pd.Series(expected, IDS, dtype="Float64"))
        assert taken.clusters.tolist() == expected
        assert taken.fold.tolist() == expected
        assert taken.fold.dtype == np.int64


def test_a_missing_weight_is_named():
    with pytest.raises(InputError, match="sample_weight has no value .* for 1 field: field1;"):
        aligned([1.0, np.nan], pd.Index(["field0", "field1"]), "sample_weight")
