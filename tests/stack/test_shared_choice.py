"""Candidates by losses that rare labels share: worked by hand, and as plain loops find them."""

import numpy as np
import pytest
from reference import shared_choice as reference

from hpastack.stack.shared_choice import best_candidates

pytestmark = pytest.mark.core


def best(losses, start, positives, learnable):
    found = best_candidates(
        np.array(losses, float), np.array(start, float), np.array(positives), np.array(learnable)
    )
    assert found.tolist() == reference.best_candidates(losses, start, positives, learnable)
    return found.tolist()


def test_worked_by_hand():
    # As parts of the loss before: [0.9, 0.8] and [0.9, 1.0]; their mean is [0.9, 0.9].
    losses, start = [[9.0, 8.0], [0.9, 1.0]], [10.0, 1.0]
    assert best(losses, start, [100, 100], [True, True]) == [1, 0]
    # Common to both is [0.85, 0.9] with the third; that one has no positives and follows.
    losses, start = [*losses, [75.0, 90.0]], [*start, 100.0]
    assert best(losses, start, [100, 100, 0], [True, True, True]) == [1, 0, 0]
    # With half the pull on its own losses, -0.05 against 0.1 * 50 / 150 = 0.033.
    assert best(losses, start, [50, 100, 0], [True, True, True]) == [0, 0, 0]


def test_labels_that_are_not_learned_count_for_no_other():
    losses, start = [[0.9, 0.8], [0.1, 9.0]], [1.0, 1.0]
    assert best(losses, start, [10, 1000], [True, False])[0] == 1
    assert best(losses, start, [10, 1000], [True, True])[0] == 0
    assert best(losses, start, [10, 1000], [False, False]) == [0, 0]


def test_of_equal_losses_the_first():
    assert best([[0.5, 0.5, 0.5]], [1.0], [10], [True]) == [0]


def test_a_label_without_any_loss_breaks_nothing():
    found = best_candidates(
        np.array([[0.0, 0.0], [0.9, 0.8]]),
        np.array([0.0, 1.0]),
        np.array([0, 50]),
        np.ones(2, bool),
    )
    assert found.tolist() == [1, 1]


def test_as_plain_loops():
    rng = np.random.default_rng(0)
    for _ in range(20):
        losses, start = rng.random((5, 6)) + 0.5, rng.random(5) + 0.5
        positives, learnable = rng.integers(0, 300, size=5), rng.random(5) < 0.7
        best(losses.tolist(), start.tolist(), positives.tolist(), learnable.tolist())
