"""What is predicted where a label is missed: worked by hand."""

import numpy as np
import pytest

from hpastack.errors import InputError
from hpastack.metrics import confusions

pytestmark = pytest.mark.core


def test_confusions_worked_by_hand():
    y = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1]])
    labels = np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0], [0, 0, 1]])
    share, n_missed = confusions(y, labels)
    assert n_missed.tolist() == [2, 1, 0]
    assert share.tolist() == [[0, 0.5, 0.5, 0.5], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_shapes_must_match():
    with pytest.raises(InputError, match=r"both must be \(n, n_labels\)"):
        confusions(np.zeros((3, 2)), np.zeros((3, 1)))
