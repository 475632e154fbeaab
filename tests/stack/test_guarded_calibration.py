"""A label's calibration is used only if the same one helped on fields it was not fitted on."""

import numpy as np
import pytest
from scipy.special import expit

from hpastack.calibration import CALIBRATORS, fit_calibration
from hpastack.stack.meta_learner import MetaLearner

pytestmark = pytest.mark.core


def draw(n, *, copies=1, scale=0.3, seed=0):
    """One label of a network that is too unsure, in clusters of `copies` fields alike."""
    rng = np.random.default_rng(seed)
    logits = np.repeat(rng.normal(0, 2, size=n // copies), copies)
    clusters = np.arange(n) // copies
    y = np.repeat(rng.random(n // copies) < expit(logits[::copies]), copies).astype(int)
    return scale * logits, y, clusters, clusters % 5


def method_of(drawn, calibration="isotonic"):
    logits, y, clusters, fold = drawn
    blended = MetaLearner.blended(
        y[:, None], logits[:, None], [], clusters, fold, np.zeros(1, bool), calibration=calibration
    )
    return blended.calibration[0].method


def test_isotonic_is_used_where_it_was_tried():
    assert method_of(draw(2000)) == "isotonic"


@pytest.mark.parametrize(
    "drawn",
    [
        pytest.param(draw(1100), id="fewer than 1,000 fields without a fold"),
        pytest.param(draw(2300, copies=10), id="fewer than 100 positive clusters without a fold"),
    ],
)
def test_isotonic_is_not_used_where_platt_was_tried(drawn):
    logits, y, clusters, fold = drawn
    assert fit_calibration(logits, y, clusters, method="isotonic").method == "isotonic"
    others = fold != 0
    nested = fit_calibration(logits[others], y[others], clusters[others], method="isotonic")
    assert nested.method == "platt"
    assert method_of(drawn) == "platt"


def test_a_free_shape_needs_negatives_that_are_no_copies():
    rng = np.random.default_rng(0)
    n = 3000
    y = (np.arange(n) < n // 2).astype(int)
    clusters = np.where(y == 1, np.arange(n), n + np.arange(n) % 3)
    logits = rng.normal(2 * y - 1, 1)
    assert fit_calibration(logits, y, clusters, method="isotonic").method == "platt"
    assert fit_calibration(logits, y, np.arange(n), method="isotonic").method == "isotonic"


def test_a_way_of_ones_own_that_needs_more_fields_is_guarded_too(monkeypatch):
    class Reversed:
        """Makes every field worse, and wants more fields than there are without a fold."""

        n_parameters = 0

        @staticmethod
        def fit(logits, y, clusters):
            return () if len(y) == 2000 else None

        @staticmethod
        def apply(parameters, logits):
            return np.full(len(logits), -9.0)

        @staticmethod
        def check(parameters):
            pass

    monkeypatch.setitem(CALIBRATORS, "reversed", Reversed)
    assert method_of(draw(2000), "reversed") == "platt"
