"""Thresholds: exact against the slow way, shrunk and guarded."""

import numpy as np
import pytest
from reference.thresholds import best_f1, best_macro_f1

from hpastack.errors import InputError
from hpastack.metrics import macro_f1
from hpastack.models.thresholds import apply_thresholds, best_thresholds


def draw(seed, n=60, n_labels=4, decimals=2):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, n_labels)) < [0.5, 0.3, 0.1, 0.05]).astype(int)
    p = np.clip(0.4 * y + 0.6 * rng.random(y.shape), 0, 1).round(decimals)
    return y, p


@pytest.mark.parametrize("seed", range(5))
def test_the_search_is_exact(seed):
    y, p = draw(seed)  # two decimals: many ties
    own = apply_thresholds(p, best_thresholds(y, p, policy="per-label", max_ratio=np.inf))
    for label in range(y.shape[1]):
        assert macro_f1(y[:, [label]], own[:, [label]]) == pytest.approx(
            best_f1(y[:, label], p[:, label])
        )
    common = apply_thresholds(p, best_thresholds(y, p, policy="global", max_ratio=np.inf))
    assert macro_f1(y, common) == pytest.approx(best_macro_f1(y, p))


def test_rare_labels_are_drawn_to_the_global_threshold():
    y, p = draw(1, n=400, decimals=6)
    common = best_thresholds(y, p, policy="global", max_ratio=np.inf)
    assert len(set(common)) == 1
    assert best_thresholds(y, p, shrinkage=1e9, max_ratio=np.inf) == pytest.approx(common, abs=1e-6)
    assert best_thresholds(y, p, shrinkage=0, max_ratio=np.inf) == pytest.approx(
        best_thresholds(y, p, policy="per-label", max_ratio=np.inf)
    )


def test_no_label_is_given_to_far_more_fields_than_carry_it():
    rng = np.random.default_rng(0)
    y = np.zeros((1000, 2), dtype=int)
    y[:500, 0] = y[:10, 1] = 1
    p = np.column_stack([0.2 + 0.1 * rng.random(1000), rng.random(1000)])
    labels = apply_thresholds(p, best_thresholds(y, p))
    assert labels[:, 1].sum() <= 30


def test_bad_arguments():
    with pytest.raises(InputError, match="unknown threshold policy 'best'"):
        best_thresholds([[1]], [[0.5]], policy="best")
    with pytest.raises(InputError, match="do not match"):
        best_thresholds([[1]], [[0.5, 0.5]])
