"""Scores of a stack and their intervals, over the labels that have positives."""

import numpy as np
import pytest

from hpastack.metrics import (
    average_precisions,
    cluster_draws,
    expected_calibration_error,
    f1_scores,
    macro_average_precision,
    macro_f1,
    macro_interval,
    multilabel_log_loss,
    score_interval,
    squared_calibration_error,
)
from hpastack.stack.score_tables import (
    SCORES,
    OutOfFold,
    comparison_intervals,
    probability_scores,
    score_rows,
    summary,
)

pytestmark = pytest.mark.core

RNG = np.random.default_rng(0)
CLUSTERS = np.repeat(np.arange(150), 2)
FOLD = CLUSTERS % 3
OPTIONS = {"clusters": CLUSTERS, "folds": FOLD}
# The fourth label is in few clusters, the last in none.
Y = (RNG.random((300, 5)) < [0.5, 0.3, 0.1, 0.02, 0]).astype(int)
DRAWS = cluster_draws(CLUSTERS, n_draws=40)


def system(noise):
    probabilities = np.clip(0.5 * Y + noise * RNG.random(Y.shape), 0, 1)
    return OutOfFold(probabilities, (probabilities > 0.5).astype(np.uint8))


SYSTEMS = {"consensus": system(0.6), "stack": system(0.55), "naive": system(0.5)}


def summarised(draws, y=Y):
    scored = {
        name: probability_scores(y, one.probabilities, CLUSTERS, FOLD, draws)
        for name, one in SYSTEMS.items()
    }
    rows = score_rows(y, SYSTEMS, scored)
    return rows, summary(y, CLUSTERS, SYSTEMS, rows, scored, draws, start="consensus")


def test_scores_are_over_labels_with_positives():
    rows, found = summarised(None)
    held = slice(0, 4)
    for name, one in SYSTEMS.items():
        p = one.probabilities
        assert list(rows[name]) == list(SCORES)
        assert rows[name]["macro_f1"] == pytest.approx(macro_f1(Y[:, held], one.labels[:, held]))
        assert rows[name]["macro_ap"] == pytest.approx(macro_average_precision(Y, p))
        assert rows[name]["log_loss"] == multilabel_log_loss(Y, p)
        ece = expected_calibration_error(Y[:, held], p[:, held], **OPTIONS)
        assert rows[name]["ece"] == pytest.approx(ece) and ece > 0
    assert found["n_labels_scored"] == 4
    assert found["macro_f1_all_labels"] == macro_f1(Y, SYSTEMS["stack"].labels)
    assert found["macro_f1_all_labels"] == pytest.approx(found["macro_f1"] * 4 / 5)
    assert found["naive_macro_f1"] == rows["naive"]["macro_f1"]
    assert found["gain_macro_f1"] == rows["stack"]["macro_f1"] - rows["consensus"]["macro_f1"]
    assert not any(name.endswith("_interval") for name in found)


def test_intervals_of_macro_scores_are_widened_and_paired():
    _, found = summarised(DRAWS)
    holders = [len(np.unique(CLUSTERS[held == 1])) for held in Y.T]

    def by_label(name, weights):
        one = SYSTEMS[name]
        return {
            "macro_f1": f1_scores(Y, one.labels, weights, absent="skip"),
            "macro_ap": average_precisions(Y, one.probabilities, weights),
        }

    whole, drawn = by_label("stack", None), by_label("stack", DRAWS)
    before, before_drawn = by_label("consensus", None), by_label("consensus", DRAWS)
    for name in whole:
        low, high = macro_interval(whole[name], drawn[name], holders)
        assert found[f"{name}_interval"] == (max(low, 0), min(high, 1))
        assert found[f"gain_{name}_interval"] == macro_interval(
            whole[name] - before[name], drawn[name] - before_drawn[name], holders
        )
    assert "macro_f1_all_labels_interval" not in found


def test_the_interval_of_the_calibration_error_is_the_root_of_that_of_its_square():
    _, found = summarised(DRAWS)
    p = SYSTEMS["stack"].probabilities
    square = squared_calibration_error(Y, p, **OPTIONS)
    interval = score_interval(square, squared_calibration_error(Y, p, DRAWS, **OPTIONS))
    assert found["ece_interval"] == pytest.approx(np.sqrt(np.maximum(interval, 0)))
    assert found["ece_interval"][0] < found["ece"] < found["ece_interval"][1]


@pytest.mark.filterwarnings("error")
def test_fields_without_any_label():
    _, found = summarised(DRAWS, np.zeros_like(Y))
    assert found["n_labels_scored"] == 0 and found["macro_f1_all_labels"] == 0
    assert np.isnan([found["macro_f1"], found["macro_ap"], found["ece"]]).all()
    assert np.isnan(found["gain_macro_f1_interval"]).all()


def test_every_system_has_intervals_and_a_paired_difference_to_the_stack():
    shown = {name: SYSTEMS[name] for name in ("consensus", "stack")}
    scored = {
        name: probability_scores(Y, one.probabilities, CLUSTERS, FOLD, DRAWS)
        for name, one in shown.items()
    }
    table = comparison_intervals(Y, CLUSTERS, shown, scored, DRAWS)
    rows, found = summarised(DRAWS)
    assert list(table.index) == ["consensus", "stack"]
    for score in SCORES:
        of_stack = table.loc["stack", [f"{score}_low", f"{score}_high"]]
        np.testing.assert_allclose(of_stack, found[f"{score}_interval"])
        assert not table.loc["stack", [f"{score}_gain_low", f"{score}_gain_high"]].any()
        low, high = table.loc["consensus", [f"{score}_low", f"{score}_high"]]
        assert low <= rows["consensus"][score] <= high and low < high
        gain = rows["stack"][score] - rows["consensus"][score]
        low, high = table.loc["consensus", [f"{score}_gain_low", f"{score}_gain_high"]]
        assert low <= gain <= high and low < high
    for score in ("macro_f1", "macro_ap"):
        paired = table.loc["consensus", [f"{score}_gain_low", f"{score}_gain_high"]]
        np.testing.assert_allclose(paired, found[f"gain_{score}_interval"])
