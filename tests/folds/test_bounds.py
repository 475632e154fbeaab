import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.stratification import least_deviation_slowly

from hpastack.folds.bounds import least_deviation

pytestmark = pytest.mark.core


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([1, 2, 3, 4, 6, 9]), min_size=1, max_size=7),
    st.integers(2, 3),
)
def test_never_above_what_the_best_assignment_reaches(held, n_splits):
    assert least_deviation(np.array(held), n_splits) <= float(
        least_deviation_slowly(held, n_splits)
    ) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("held", "n_splits", "least"),
    [
        ([1] * 10, 5, 0),
        ([1] * 11, 5, 8 / 55),  # 3 2 2 2 2 against 2.2: 0.8 and four times 0.2, of 11
        ([2] * 3, 2, 1 / 3),  # 4 and 2 against 3
        ([6] * 7, 5, 12 / 35),  # 12 12 6 6 6 against 8.4
        ([2, 2, 2, 1], 2, 1 / 7),  # the odd one can be in one fold only: 4 and 3
        ([2, 2, 2, 2, 1, 1], 5, 0),
        ([100, 1, 1], 2, 98 / 102),  # one fold holds the giant
        ([1], 4, 1.5),  # 1 0 0 0 against 0.25
    ],
)
def test_worked_by_hand(held, n_splits, least):
    assert least_deviation(np.array(held), n_splits) == pytest.approx(least)


def test_label_without_positives_has_none():
    assert np.isnan(least_deviation(np.array([0, 0]), 2))
