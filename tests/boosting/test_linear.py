"""Linear: as a general optimiser finds it, whatever columns hold; what it is kept as."""

import json
import re

import numpy as np
import pytest
from reference.penalised_logistic import fitted_logits
from scipy.special import expit

from hpastack.boosting import TreeSettings
from hpastack.boosting.linear import BOUND, PENALTIES, Linear
from hpastack.errors import InputError

pytestmark = pytest.mark.core

N = 300
EVERY = list(range(1, len(PENALTIES) + 1))


def draw(seed=0, n=N):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(n, 4)) * [1, 10, 0.1, 1] + [0, 50, 0, 0]).astype(np.float32)
    x[::13, 2] = np.nan
    x[0, 3] = 1000  # far beyond the bound
    margin = rng.normal(-0.5, 1, size=n).astype(np.float32)
    logits = margin + 0.8 * x[:, 0] - 0.1 * (x[:, 1] - 50)
    return x, (rng.random(n) < expit(logits)).astype(np.float32), margin


def fit(x, y, margin, *, stages=EVERY, at_stage=None, n_monotone=0):
    return Linear.fit(
        x, y, margin, TreeSettings(), seed=0, stages=stages, at_stage=at_stage,
        n_monotone=n_monotone, bins=None,
    )  # fmt: skip


def test_every_penalty_has_the_lowest_loss():
    x, y, margin = draw()
    model = fit(x, y, margin)
    assert len(model["offset"]) == len(PENALTIES)
    for size, penalty in enumerate(PENALTIES, start=1):
        wanted = fitted_logits(x, y, margin, penalty, 1e-3, BOUND)
        np.testing.assert_allclose(Linear.added(model, x, 0, size), wanted, atol=0.02)
    # The penalties differ, so the test tells them apart.
    steps = np.diff([Linear.added(model, x, 0, size) for size in EVERY], axis=0)
    assert np.abs(steps).max(axis=1).min() > 0.02


def test_the_base_rate_is_learned_whatever_the_penalty():
    _, y, _ = draw()
    added = Linear.added(fit(np.zeros((N, 1)), y, np.full(N, -3.0)), np.zeros((N, 1)), 0, 1)
    assert expit(-3.0 + added) == pytest.approx(np.full(N, y.mean()), abs=1e-3)


def test_a_margin_far_from_the_labels_is_made_up_for():
    x, y, _ = draw()
    margin = np.where(y == 1, -4.0, 4.0)
    wanted = fitted_logits(x, y, margin, PENALTIES[-1], 1e-3, BOUND)
    np.testing.assert_allclose(Linear.added(fit(x, y, margin), x, 0, 8), wanted, atol=0.05)


@pytest.mark.parametrize("kind", ["constant", "unknown", "large constant"])
def test_a_column_that_tells_nothing_changes_nothing(kind):
    x, y, margin = draw()
    value = {"constant": 2.0, "unknown": np.nan, "large constant": 1e6 + 0.1}[kind]
    blank = np.full((N, 1), value, dtype=np.float32)
    plain, wider = fit(x, y, margin), fit(np.hstack([x, blank]), y, margin)
    new = draw(1)[0]
    other = np.hstack([new, np.full((N, 1), 7.0, dtype=np.float32)])
    np.testing.assert_allclose(
        Linear.added(wider, other, 0, 8), Linear.added(plain, new, 0, 8), atol=1e-5
    )


def test_units_of_a_column_do_not_count():
    x, y, margin = draw()
    scaled = x * np.float32([8, 0.25, 1, 2])
    one, other = fit(x, y, margin), fit(scaled, y, margin)
    np.testing.assert_allclose(
        Linear.added(one, x, 0, 8), Linear.added(other, scaled, 0, 8), atol=1e-5
    )


def test_labels_that_are_all_alike_stay_finite():
    x, y, margin = draw()
    for labels in (np.zeros_like(y), np.ones_like(y)):
        assert np.isfinite(Linear.added(fit(x, labels, margin), x, 0, 8)).all()


def test_own_columns_of_no_model_lower_the_log_odds():
    x, y, margin = draw()
    free, bound = fit(x, 1 - y, margin), fit(x, 1 - y, margin, n_monotone=2)
    assert free["coefficients"][-1, 0] < 0
    assert (bound["coefficients"][:, :2] >= 0).all()


def test_it_is_shown_after_each_stage_and_stops_when_told_to():
    x, y, margin = draw()
    seen = []

    def at_stage(model, number):
        seen.append((number, len(model["offset"])))
        return number == 2

    stopped = fit(x, y, margin, stages=[1, 2, 5, 7], at_stage=at_stage)
    assert seen == [(0, 1), (1, 2), (2, 5)]
    assert np.array_equal(stopped["offset"], fit(x, y, margin)["offset"][:5])


def test_it_is_kept_as_means_scales_and_coefficients():
    x, y, margin = draw()
    content = Linear.to_bytes(fit(x, y, margin, stages=[3]))
    record = json.loads(content)
    z = np.clip((x - record["means"]) / record["scales"], -BOUND, BOUND)
    z[np.isnan(z)] = 0
    by_hand = z @ record["coefficients"] + record["offset"]
    np.testing.assert_allclose(Linear.predict(content, x), by_hand, atol=1e-6)
    parts = Linear.contributions(content, x)
    np.testing.assert_allclose(parts[:, :-1], z * record["coefficients"], atol=1e-6)
    assert (parts[:, -1] == record["offset"]).all()


WRONG = [
    (lambda r: r.pop("means"), "the keys are not means"),
    (lambda r: r.update(more=1), "the keys are not means"),
    (lambda r: r["scales"].pop(), "differ in length"),
    (lambda r: r.update(means=[[0.0] * 4]), "differ in length"),
    (lambda r: r.update(means=3.0, scales=3.0, coefficients=3.0), "differ in length"),
    (lambda r: r.update(coefficients=[1, 2, 3, "x"]), "could not convert"),
    (lambda r: r.update(means=[[1], 2, 3, 4]), "linear booster"),
    (lambda r: r.update(offset=float("nan")), "a number is not finite"),
    (lambda r: r.update(offset=None), "a number is not finite|float"),
    (lambda r: r.update(offset=[1.0]), "offset"),
    (lambda r: r["coefficients"].__setitem__(0, float("inf")), "a number is not finite"),
    (lambda r: r["scales"].__setitem__(0, -1.0), "a scale is negative"),
    (lambda r: r.update(means=[10**400, 0, 0, 0]), "linear booster"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_a_file_that_is_none_is_an_input_error(change, message):
    x, y, margin = draw()
    record = json.loads(Linear.to_bytes(fit(x, y, margin, stages=[1])))
    change(record)
    with pytest.raises(InputError, match="not a linear booster") as error:
        Linear.check(json.dumps(record).encode())
    assert re.search(message, str(error.value))


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, b'{"means":'])
def test_what_is_no_json_of_a_model_is_an_input_error(content):
    with pytest.raises(InputError, match="not a linear booster"):
        Linear.check(content)


def test_other_numbers_of_columns_are_named():
    x, y, margin = draw()
    content = Linear.to_bytes(fit(x, y, margin, stages=[1]))
    with pytest.raises(InputError, match="x has 3 columns; the model was fitted on 4"):
        Linear.predict(content, x[:, :3])
