"""What is decided before anything is fitted: which labels can be learned, and on which folds."""

import numpy as np
import pandas as pd
import pytest

from hpastack.errors import InputError
from hpastack.stack import StackSettings
from hpastack.stack.fitting import folds_of, learnable_without_pairs
from hpastack.stack.inputs import check_inputs

pytestmark = pytest.mark.core


def test_learnable_without_pairs_worked_by_hand():
    fold = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
    clusters = np.array([0, 0, 1, 2, 2, 3, 4, 4, 5])
    # Positives by fold: 3, 2, 1 of the first label and 2, 2, 2 of the second.
    y = np.array([[1, 1], [1, 1], [1, 0], [1, 1], [1, 1], [0, 0], [1, 1], [0, 1], [0, 0]])

    def learnable(**least):
        without_pairs = learnable_without_pairs(y, clusters, fold, StackSettings(**least))
        assert np.array_equal(without_pairs, without_pairs.transpose(1, 0, 2))
        return without_pairs.all(axis=1).tolist()

    # Without fold 0 and the richest other one, 1 positive is left of the first label; without
    # fold 1 as well, and without fold 2 there are 2.
    few = learnable(min_positives=2, min_clusters=1)
    assert few == [[False, True], [False, True], [True, True]]
    # The 2 positives of the second label in each fold are of 1 cluster.
    assert learnable(min_positives=1, min_clusters=2) == [[False, False]] * 3
    assert learnable(min_positives=1, min_clusters=1) == [[True, True]] * 3
    pairs = learnable_without_pairs(
        y, clusters, fold, StackSettings(min_positives=2, min_clusters=1)
    )
    assert pairs[:, :, 0].tolist() == [[True, False, True], [False, True, True], [True] * 3]
    assert learnable(boosters=[], min_positives=1, min_clusters=1) == [[False, False]] * 3


def draw(n=90):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"clue": rng.normal(size=n)}, index=[f"f{i}" for i in range(n)])
    return X, rng.integers(2, size=(n, 2)), pd.Series(np.arange(n) // 3, X.index)


def test_given_folds_come_first_and_others_keep_clusters_whole():
    X, y, groups = draw()
    settings = StackSettings(repeats=3, n_splits=5)
    given = groups % 4
    inputs = check_inputs(X, y, groups.sample(frac=1, random_state=0), given, settings)
    sets = folds_of(inputs, settings)
    np.testing.assert_array_equal(sets[0], given)
    assert len(sets) == 3 and not np.array_equal(sets[1], sets[2])
    for fold in sets:
        assert np.unique(fold).tolist() == [0, 1, 2, 3]  # as many as were given
        assert pd.Series(fold, X.index).groupby(groups).nunique().max() == 1


def test_without_folds_there_are_as_many_as_the_settings_say():
    X, y, groups = draw()
    settings = StackSettings(n_splits=5)
    inputs = check_inputs(X, y, groups, None, settings)
    assert inputs.fold is None
    (fold,) = folds_of(inputs, settings)
    assert np.unique(fold).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(InputError, match="lacks 1 field"):
        check_inputs(X, y, groups.iloc[1:], None, settings)
