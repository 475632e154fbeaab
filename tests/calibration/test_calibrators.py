"""Calibration and consensus, against scikit-learn and by what they must do."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from hpastack.calibration import CALIBRATORS, STRENGTH, Calibration, fit_calibration, fit_logistic
from hpastack.calibration.sloped import fit_platt
from hpastack.errors import InputError
from hpastack.stack.consensus import CLIP, Consensus, clipped_logits

pytestmark = pytest.mark.core

FITTED = [name for name in CALIBRATORS if name != "none"]
# Those that stay the identity where a label gets rarer as the logits grow.
SLOPED = [name for name in FITTED if name != "isotonic"]


@pytest.mark.parametrize("name", FITTED)
def test_the_documentation_names_it(name):
    method = (Path(__file__).parents[2] / "docs" / "method.md").read_text(encoding="utf-8")
    assert re.search(rf"\b{name}: ", Calibration.__doc__)
    for text in (fit_calibration.__doc__, method.partition("**5. Calibration.**")[2]):
        assert re.search(rf"\b{name}\b", text, re.IGNORECASE)


def test_fit_logistic_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3))
    y = (rng.random(500) < expit(x @ [1, -2, 0.5])).astype(int)
    ours = fit_logistic(x, y, prior=[0, 0, 0], strength=[2, 2, 2])
    theirs = LogisticRegression(C=1 / 2, fit_intercept=False, tol=1e-8).fit(x, y).coef_[0]
    assert ours == pytest.approx(theirs, abs=1e-5)  # both stop at a gradient, not at the optimum


def test_separable_data_stay_finite():
    x = np.column_stack([np.r_[-np.ones(50), np.ones(50)], np.ones(100)])
    y = (x[:, 0] > 0).astype(int)
    assert np.isfinite(fit_logistic(x, y, prior=[1, 0], strength=[1, 1])).all()


def test_platt_recovers_a_stretch_and_leaves_rare_labels_alone():
    rng = np.random.default_rng(0)
    z = rng.normal(scale=2, size=20000)
    y = (rng.random(20000) < expit(0.5 * z - 1)).astype(int)
    slope, offset = fit_platt(z, y, np.arange(20000))
    assert slope == pytest.approx(0.5, abs=0.03) and offset == pytest.approx(-1, abs=0.05)
    rare = np.zeros(20000)
    rare[:19] = 1
    assert fit_platt(z, rare, np.arange(20000)).tolist() == [1, 0]


def test_copies_of_a_field_count_once():
    rng = np.random.default_rng(0)
    z = rng.normal(size=100)
    y = (z > 0).astype(int)
    once = fit_platt(z, y, np.arange(100))
    # Four copies of each field, called so: as much evidence as one of each.
    clusters = np.tile(np.arange(100), 4)
    known = fit_platt(np.tile(z, 4), np.tile(y, 4), clusters)
    assert known == pytest.approx(once, abs=1e-6)  # both end at the same optimum
    believed = fit_platt(np.tile(z, 4), np.tile(y, 4), np.arange(400))
    assert believed[0] > once[0] + 0.3


def test_platt_never_turns_the_order_round():
    z = np.linspace(-3, 3, 200)
    assert fit_platt(z, (z < 0).astype(int), np.arange(200))[0] > 0


def draw(n, truth, seed=0, scale=2.0):
    """Logits, and labels as frequent as `truth` of the logits says."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-1, scale, size=n)
    return z, (rng.random(n) < expit(truth(z))).astype(int)


def penalised(parameters, z, y, pull=STRENGTH):
    a, b, c = parameters
    log_odds = -a * np.logaddexp(0, -z) + b * np.logaddexp(0, z) + c
    penalty = (a - 1) ** 2 + (b - 1) ** 2 + c**2
    return np.logaddexp(0, log_odds).sum() - y @ log_odds + pull * penalty / 2


@pytest.mark.parametrize(
    "truth",
    [
        lambda z: 0.5 * z - 1,
        lambda z: -0.5 * np.logaddexp(0, -z) + 1.5 * np.logaddexp(0, z) - 0.5,
        # Falls at one end, so that a or b would be negative.
        lambda z: 0.3 * np.logaddexp(0, -z) + np.logaddexp(0, z) - 1,
        lambda z: -np.logaddexp(0, -z) - 0.3 * np.logaddexp(0, z) + 1,
    ],
    ids=["straight", "bent", "without a", "without b"],
)
def test_beta_is_the_best_of_its_kind(truth):
    z, y = draw(3000, truth)
    beta = fit_calibration(z, y, np.arange(3000), method="beta")
    best = minimize(
        penalised,
        (1, 1, 0),
        args=(z, y),
        method="L-BFGS-B",
        bounds=[(0, None), (0, None), (None, None)],
        options={"ftol": 1e-14, "gtol": 1e-9},
    )
    assert penalised(beta.parameters, z, y) == pytest.approx(best.fun, rel=1e-9)
    # Two searches that end at a flat optimum agree in the loss before they do in the place.
    assert beta.parameters == pytest.approx(best.x, abs=1e-3)


@pytest.mark.parametrize("method", FITTED)
def test_known_copies_change_nothing(method):
    z, y = draw(1500, lambda z: 0.3 * z)
    clusters = np.arange(1500)
    once = fit_calibration(z, y, clusters, method=method)
    known = fit_calibration(np.tile(z, 4), np.tile(y, 4), np.tile(clusters, 4), method=method)
    assert once.method == known.method == method
    assert known.parameters == pytest.approx(once.parameters, abs=1e-4)


@pytest.mark.parametrize(
    "truth",
    [lambda z: 0.5 * z - 1, lambda z: np.minimum(z, -1), lambda z: np.abs(z + 1)],
    ids=["straight", "level at the end", "falling at the start"],
)
def test_a_spline_is_the_best_of_its_kind(truth):
    z, y = draw(2000, truth)
    spline = fit_calibration(z, y, np.arange(2000), method="spline")
    parameters = np.array(spline.parameters)
    assert len(parameters) == 12  # five knots
    free, knots = parameters[:7], parameters[7:]
    both = [np.quantile(z[y == label], [0.1, 0.9]) for label in (0, 1)]
    assert both[0][0] <= knots[2] <= both[1][1]

    def loss(free):
        log_odds = free[0] + free[1] * np.minimum(z, knots[0])
        for slope, low, high in zip(free[2:], knots, [*knots[1:], np.inf]):
            log_odds = log_odds + slope * (np.clip(z, low, high) - low)
        penalty = free[0] ** 2 + (free[1:].mean() - 1) ** 2 + free[1:].var() * 6
        return np.logaddexp(0, log_odds).sum() - y @ log_odds + STRENGTH * penalty / 2

    bounds = [(None, None), *[(0, None)] * 6]
    best = minimize(loss, [0.0, *[1.0] * 6], method="L-BFGS-B", bounds=bounds)
    assert loss(free) <= best.fun + 1e-6 * best.fun
    # What the map says is what its parameters say.
    assert spline(knots[:2]) == pytest.approx(
        free[0] + free[1] * knots[0] + free[2] * np.array([0, knots[1] - knots[0]])
    )


def test_a_spline_bends_where_fields_say_so_and_is_platt_where_few_do():
    z, y = draw(20000, lambda z: np.where(z < 0, 0.3 * z, 2 * z))
    spline = fit_calibration(z, y, np.arange(20000), method="spline")
    below, above = np.diff(spline([[-4.0, -3.0], [0.5, 1.5]]))[:, 0]
    assert below == pytest.approx(0.3, abs=0.1) and above > 1.5
    z, y = draw(90, lambda z: 0.5 * z)
    slopes = fit_calibration(z, y, np.arange(90), method="spline").parameters[1:7]
    assert max(slopes) - min(slopes) < 0.3


def test_isotonic_goes_through_scikit_learn_at_its_knots():
    z, y = draw(3000, lambda z: np.minimum(z, 0) - 0.5)
    isotonic = fit_calibration(z, y, np.arange(3000), method="isotonic")
    assert isotonic.method == "isotonic"
    at, log_odds = np.split(np.array(isotonic.parameters), 2)
    assert isotonic(at) == pytest.approx(log_odds)
    # The half fields at the ends, as rows of their own.
    theirs = IsotonicRegression(out_of_bounds="clip").fit(
        np.r_[z, z.min(), z.max()], np.r_[y, 1, 0], np.r_[np.ones(3000), 0.5, 0.5]
    )
    assert expit(log_odds) == pytest.approx(theirs.predict(at))
    # One knot a pool, at the mean of its logits.
    pools = theirs.predict(z)
    assert at == pytest.approx([z[pools == value].mean() for value in np.unique(pools)])


def test_isotonic_by_hand():
    # 600 fields at logit 0, of which 60 are positive; 300 and 300 at 1 and 2, of which 200 and
    # 100: pooled, half of 600 at mean logit 1.5. Half a positive at the bottom, half a negative
    # on top.
    z = np.repeat([0.0, 1.0, 2.0], [600, 300, 300])
    y = np.repeat([1, 0, 1, 0, 1, 0], [60, 540, 200, 100, 100, 200])
    isotonic = fit_calibration(z, y, np.arange(1200), method="isotonic")
    assert isotonic.parameters == pytest.approx((0, 1.5, logit(60.5 / 600.5), logit(300 / 600.5)))


def test_isotonic_is_sure_of_nothing_and_keeps_the_order_between_its_ends():
    z = np.linspace(-5, 5, 2000)
    isotonic = fit_calibration(z, (z > 0).astype(int), np.arange(2000), method="isotonic")
    ends = expit(isotonic([-40, 40]))
    assert ends == pytest.approx([0.5 / 1000.5, 1000 / 1000.5])
    z, y = draw(3000, lambda z: 0.5 * z)
    isotonic = fit_calibration(z, y, np.arange(3000), method="isotonic")
    at = np.split(np.array(isotonic.parameters), 2)[0]
    assert (np.diff(isotonic(np.linspace(at[0], at[-1], 5000))) > 0).all()


def test_isotonic_needs_fields_positives_and_negatives_that_are_no_copies():
    def method(n, n_positives, clusters=None):
        y = np.zeros(n, dtype=int)
        y[-n_positives:] = 1
        clusters = np.arange(n) if clusters is None else clusters
        return fit_calibration(np.linspace(-3, 3, n), y, clusters, method="isotonic").method

    assert method(1000, 100) == "isotonic"
    assert method(150, 75) == "platt"
    assert method(999, 100) == "platt"
    assert method(1000, 99) == "platt"
    assert method(1000, 901) == "platt"
    assert method(1000, 100, np.arange(1000) // 2) == "platt"
    assert method(1000, 19) == "none"


@pytest.mark.parametrize("method", FITTED)
def test_rare_labels_keep_their_logits(method):
    z = np.linspace(-3, 3, 2000)
    for y in (z > z[-20], z <= z[-20]):  # 19 positives, then 19 negatives
        calibration = fit_calibration(z, y, np.arange(2000), method=method)
        assert calibration.method == "none"
        assert calibration(z).tolist() == z.tolist()


@pytest.mark.parametrize("method", FITTED)
@pytest.mark.parametrize(
    "truth",
    [lambda z: 0.4 * z - 1, lambda z: 2 * z + 1, lambda z: np.minimum(z, 0.5) + 0.5],
    ids=["too sure", "not sure enough", "bent"],
)
def test_calibration_lowers_the_loss_of_fresh_fields(method, truth):
    z, y = draw(4000, truth, seed=0)
    fresh_z, fresh_y = draw(20000, truth, seed=1)
    calibrated = fit_calibration(z, y, np.arange(4000), method=method)(fresh_z)
    assert log_loss(fresh_y, expit(calibrated)) < log_loss(fresh_y, expit(fresh_z)) - 0.01


@pytest.mark.parametrize("method", FITTED)
def test_what_is_calibrated_stays_about_as_it_is(method):
    z, y = draw(30000, lambda z: z)
    calibrated = fit_calibration(z, y, np.arange(30000), method=method)(z)
    assert np.abs(expit(calibrated) - expit(z)).mean() < 0.01


@pytest.mark.parametrize("method", SLOPED)
def test_an_order_turned_round_is_left_alone(method):
    z = np.linspace(-3, 3, 2000)
    calibration = fit_calibration(z, z < 0, np.arange(2000), method=method)
    assert calibration(z) == pytest.approx(z)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    slope=st.floats(-3, 3),
    offset=st.floats(-3, 3),
    scale=st.sampled_from([0, 1e-12, 0.1, 3, 12]),
    decimals=st.sampled_from([0, 1, 15]),
    method=st.sampled_from(list(CALIBRATORS)),
)
def test_every_method_rises_and_is_finite(seed, slope, offset, scale, decimals, method):
    z, y = draw(1200, lambda z: slope * z + offset, seed=seed, scale=scale)
    z = np.clip(z, -40, 40).round(decimals)
    calibration = fit_calibration(z, y, np.arange(1200) // 2, method=method)
    calibrated = calibration(np.sort(np.r_[z, np.linspace(-40, 40, 999)]))
    assert np.isfinite(calibrated).all()
    # Beta adds two rising terms and isotonic interpolates: both may round down a last digit.
    assert np.diff(calibrated).min() >= -1e-13 * np.abs(calibrated).max()
    assert Calibration.from_record(json.loads(json.dumps(calibration.record()))) == calibration


def test_beta_bears_logits_of_forty():
    z = np.tile([-40.0, 40.0], 500)
    y = np.tile([0, 1], 500)
    for method in FITTED:
        assert np.isfinite(fit_calibration(z, y, np.arange(1000), method=method)(z)).all()
    assert Calibration("beta", (1, 1, 0))([-40, 0, 40]) == pytest.approx([-40, 0, 40])
    assert Calibration("beta", (0, 1, 0))(-40.0) == pytest.approx(np.exp(-40))


@pytest.mark.parametrize(
    "record, message",
    [
        (None, "the keys method and parameters"),
        ({"method": "platt"}, "the keys method and parameters"),
        ({"method": "platt", "parameters": [1, 0], "code": ""}, "the keys method and parameters"),
        ({"method": ["platt"], "parameters": [1, 0]}, "must be a string"),
        ({"method": "curve", "parameters": []}, "unknown calibration 'curve'"),
        ({"method": "none", "parameters": [1]}, "none takes 0 parameters, got 1"),
        ({"method": "platt", "parameters": [1]}, "platt takes 2 parameters, got 1"),
        ({"method": "beta", "parameters": [1, 0]}, "beta takes 3 parameters, got 2"),
        ({"method": "platt", "parameters": 1}, "finite numbers"),
        ({"method": "platt", "parameters": [True, 0]}, "finite numbers"),
        ({"method": "platt", "parameters": ["1", 0]}, "finite numbers"),
        ({"method": "platt", "parameters": [float("nan"), 0]}, "finite numbers"),
        ({"method": "platt", "parameters": [float("inf"), 0]}, "finite numbers"),
        ({"method": "platt", "parameters": [10**400, 0]}, "finite numbers"),
        ({"method": "platt", "parameters": [-0.1, 0]}, "at least 0"),
        ({"method": "beta", "parameters": [1, -0.1, 0]}, "at least 0"),
        ({"method": "spline", "parameters": []}, "one more slope than it has knots"),
        ({"method": "spline", "parameters": [0, 1, 1]}, "one more slope than it has knots"),
        ({"method": "spline", "parameters": [0, 1, -1, 0]}, "at least 0"),
        ({"method": "spline", "parameters": [0, 1, 1, 1, 2, 2]}, "must be in ascending order"),
        ({"method": "isotonic", "parameters": []}, "as many logits as log-odds"),
        ({"method": "isotonic", "parameters": [0, 1, 2]}, "as many logits as log-odds"),
        ({"method": "isotonic", "parameters": [1, 1, 0, 2]}, "must be in ascending order"),
        ({"method": "isotonic", "parameters": [0, 1, 2, 0]}, "must be in ascending order"),
    ],
)
def test_an_invalid_record_is_an_error(record, message):
    with pytest.raises(InputError, match=message):
        Calibration.from_record(record)


def test_bad_arguments():
    with pytest.raises(InputError, match="unknown calibration 'curve'"):
        fit_calibration([0.0], [1], [0], method="curve")
    with pytest.raises(InputError, match="of the same length"):
        fit_calibration([0.0, 1.0], [1], [0])
    with pytest.raises(InputError, match="of the same length"):
        fit_calibration([[0.0]], [[1]], [[0]])
    with pytest.raises(InputError, match="must be finite"):
        fit_calibration([np.nan], [1], [0])
    with pytest.raises(InputError, match="must contain only 0 and 1"):
        fit_calibration([0.0], [2], [0])
    with pytest.raises(InputError, match="finite numbers"):
        Calibration("platt", (np.nan, 0))


def test_clipping_bounds_what_one_network_can_say():
    bound = np.log((1 - CLIP) / CLIP)
    assert clipped_logits(np.array([0, 0.5, 1]), are_logits=False) == pytest.approx(
        [-bound, 0, bound]
    )
    assert clipped_logits(np.array([-99, 1, 99]), are_logits=True) == pytest.approx(
        [-bound, 1, bound]
    )


def test_consensus_weighs_the_better_network_more_but_stays_near_equal():
    rng = np.random.default_rng(0)
    y = (rng.random((3000, 1)) < 0.3).astype(int)
    good = (2 * y - 1) * 1.5 + rng.normal(size=y.shape)
    noise = rng.normal(size=y.shape)
    logits = np.stack([good, noise])
    clusters = np.arange(3000)
    fitted = Consensus.fit(logits, y, clusters)
    assert fitted.coefficients[0, 2] > fitted.coefficients[0, 3]
    equal = Consensus.fit(logits, y, clusters, strength=1e9)
    assert equal.coefficients[0, 2:] == pytest.approx([0, 0], abs=1e-4)


def test_without_networks_the_consensus_is_the_prior():
    y = np.zeros((99, 2), dtype=int)
    y[:33, 0] = 1
    margin = Consensus.fit(np.zeros((0, 99, 2)), y, np.arange(99)).margin(np.zeros((0, 5, 2)))
    assert margin.shape == (5, 2)
    assert expit(margin[0]) == pytest.approx([33.5 / 100, 0.5 / 100])
