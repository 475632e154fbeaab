"""The clearest fields of each outcome: in order, and one of a cluster."""

import numpy as np
import pytest

from hpastack.metrics.examples import telling_fields

pytestmark = pytest.mark.core


def test_the_clearest_come_first_and_one_of_each_cluster():
    y = np.array([1, 1, 1, 0, 0, 1, 1, 0])
    labels = np.array([1, 1, 1, 1, 1, 0, 0, 0])
    probabilities = np.array([0.7, 0.9, 0.8, 0.6, 0.95, 0.3, 0.1, 0.0])
    chosen = telling_fields(y, labels, probabilities, 5)
    expected = {"right": [1, 2, 0], "extra": [4, 3], "missed": [6, 5]}
    assert {name: rows.tolist() for name, rows in chosen.items()} == expected
    clusters = np.array(["a", "a", "b", "c", "c", "d", "e", "f"])
    chosen = telling_fields(y, labels, probabilities, 5, clusters)
    expected = {"right": [1, 2], "extra": [4], "missed": [6, 5]}
    assert {name: rows.tolist() for name, rows in chosen.items()} == expected
    assert [len(rows) for rows in telling_fields(y, labels, probabilities, 1).values()] == [1, 1, 1]


def test_nothing_to_choose_from():
    none = np.zeros(3, dtype=int)
    chosen = telling_fields(none, none, np.zeros(3), 4, np.arange(3))
    assert [len(rows) for rows in chosen.values()] == [0, 0, 0]
