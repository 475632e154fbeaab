"""Groups and labels as they come out of pandas."""

import numpy as np
import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.folds import MultilabelStratifiedGroupKFold

pytestmark = pytest.mark.core

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 2, (60, 3))
GROUPS = np.repeat(np.arange(20), 3)


def folds(y, groups):
    return MultilabelStratifiedGroupKFold(n_splits=5, random_state=0).fold_numbers(y, groups)


@pytest.mark.parametrize("kind", [int, float])
def test_groups_that_are_numbers_in_some_rows_and_text_in_others_are_an_error(kind):
    mixed = [str(group) if row % 2 else kind(group) for row, group in enumerate(GROUPS)]
    with pytest.raises(InputError, match=r"group '0' is of type str .*groups.astype\(str\)"):
        folds(Y, pd.Series(mixed, dtype=object))
    text = folds(Y, pd.Series(mixed, dtype=object).astype(float).astype(int).astype(str))
    assert (pd.Series(text).groupby(GROUPS).nunique() == 1).all()
    # Numbers and names that are no numbers may be mixed.
    folds(Y, pd.Series([f"g{group}" if group % 2 else group for group in GROUPS], dtype=object))


def test_groups_may_be_a_column():
    np.testing.assert_array_equal(folds(Y, GROUPS[:, None]), folds(Y, GROUPS))
    np.testing.assert_array_equal(folds(Y, pd.DataFrame({"g": GROUPS})), folds(Y, GROUPS))
    with pytest.raises(InputError, match=r"groups has shape \(60, 2\)"):
        folds(Y, np.stack([GROUPS, GROUPS], axis=1))


@pytest.mark.parametrize("missing", [pd.NA, None])
def test_missing_labels_are_named_by_row(missing):
    for y in (pd.DataFrame(Y), pd.Series(list("ab") * 30)):
        y = y.astype(object)
        y.iloc[7] = missing
        with pytest.raises(InputError, match="y has a missing value in row 7"):
            folds(y, GROUPS)
