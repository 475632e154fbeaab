"""What a kept forest adds to new fields: its log-odds less the margin, and nothing to others."""

import numpy as np

from hpastack.boosting import Forest
from hpastack.stack.seen_columns import SeenByForest


def test_a_forest_replaces_the_margin_of_its_own_labels_only():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(60, 2)).astype(np.float32)
    y = (shared > 0).astype(int)
    trees = Forest.fit(shared, y, [1, 4], seed=0, stage=5)
    content, margin = Forest.to_bytes(trees), rng.normal(size=(60, 3)).astype(np.float32)
    added = SeenByForest(shared, margin, [0, 1, 4]).added(content)
    log_odds = trees.log_odds(shared, trees.arrays.pull)
    assert not added[:, 0].any()
    np.testing.assert_allclose(margin[:, 1:] + added[:, 1:], log_odds, atol=1e-6)
    for place, label in enumerate((0, 1, 4)):
        parts = SeenByForest(shared, margin[:, [place]], [label]).contributions(content)
        assert parts.shape == (60, 1 + 2 + 1)
        np.testing.assert_allclose(parts.sum(axis=1), added[:, place], atol=1e-6)
        # First what is taken from the margin.
        np.testing.assert_array_equal(parts[:, 0], -margin[:, place] if place else np.zeros(60))
