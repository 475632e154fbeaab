"""Displays of predictions and stacks: their numbers, their names, and where they are drawn."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("matplotlib")

import matplotlib  # noqa: E402
from colour_vision import VISIONS, distance, hex_rgb  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

import hpastack as hs  # noqa: E402
from hpastack.errors import InputError  # noqa: E402
from hpastack.metrics import confusions, f1_scores, reliability_bins  # noqa: E402
from hpastack.plot.display import STACK, START, grid_of  # noqa: E402

pytestmark = pytest.mark.core

PNG = b"\x89PNG"


def made(stack, predictions):
    """Each display that is made from a stack."""
    y, _, clusters = predictions
    return {
        "reliability": hs.plot.ReliabilityDisplay.from_stack(stack, y),
        "precision_recall": hs.plot.PrecisionRecallDisplay.from_stack(stack, y),
        "scores": hs.plot.LabelScoresDisplay.from_stack(stack, y, groups=clusters),
        "confusions": hs.plot.ConfusionsDisplay.from_stack(stack, y),
        "folds": hs.plot.FoldBalanceDisplay.from_stack(stack, y, groups=clusters),
        "thresholds": hs.plot.ThresholdStabilityDisplay.from_stack(stack),
    }


def texts(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


@pytest.mark.long
def test_all_are_drawn_and_show_themselves(stack, predictions):
    for name, display in made(stack, predictions).items():
        assert display._repr_png_()[:4] == PNG, name
        assert display.figure_._repr_png_()[:4] == PNG, name
        # An axis that is drawn is one that has a figure.
        assert {axes.figure for axes in np.ravel(display.ax_)} == {display.figure_}
        assert not any("mathdefault" in text for text in texts(display.figure_)), name


def test_names_are_shown_as_they_are(stack, predictions):
    for name, display in made(stack, predictions).items():
        assert any("a $\\frac$ b" in text for text in texts(display.figure_)), name
    # Drawn by someone whose settings take dollars for formulas, nothing raises.
    figure = Figure()
    y, probabilities, _ = predictions
    hs.plot.ReliabilityDisplay.from_predictions(
        y, probabilities, label="a $\\frac$ b", ax=figure.subplots()
    )
    figure.draw_without_rendering()


@pytest.mark.long
def test_the_users_settings_are_neither_used_nor_changed(predictions):
    y, probabilities, _ = predictions
    plain = hs.plot.ReliabilityDisplay.from_predictions(y, probabilities)._repr_png_()
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black"}):
        display = hs.plot.ReliabilityDisplay.from_predictions(y, probabilities)
        assert display._repr_png_() == plain
        assert matplotlib.rcParams["font.size"] == 20


def test_axes_of_ones_own_are_used_and_not_shown_twice(stack, predictions):
    y, _, _ = predictions
    figure = Figure()
    left, right = figure.subplots(1, 2)
    display = hs.plot.ReliabilityDisplay.from_stack(stack, y, label="Golgi", ax=left)
    assert display.ax_ is left and display.figure_ is figure
    assert left.get_title() == "Golgi" and not right.get_title()
    # The figure is shown by whoever made it.
    assert display._repr_png_() is None
    assert hs.plot.ReliabilityDisplay(display.bins)._repr_png_()[:4] == PNG


def test_panels_share_the_place_of_one_axes_or_take_one_each(predictions):
    y, probabilities, _ = predictions
    figure = Figure()
    whole, _ = figure.subplots(1, 2)
    make = hs.plot.ReliabilityDisplay.from_predictions
    display = make(y, probabilities, label=["Golgi", "Rods"], ax=whole)
    assert len(display.ax_) == 2 and not whole.axison
    right_end = max(axes.get_position().x1 for axes in display.ax_)
    assert right_end <= whole.get_position().x1 + 1e-9
    both = Figure().subplots(1, 2)
    assert make(y, probabilities, label=["Golgi", "Rods"], ax=both).ax_.tolist() == both.tolist()
    with pytest.raises(InputError, match="3 Axes; pass 1, or 2"):
        make(y, probabilities, label=["Golgi", "Rods"], ax=Figure().subplots(1, 3))
    with pytest.raises(InputError, match="no subplot position"):
        make(y, probabilities, label=["Golgi", "Rods"], ax=Figure().add_axes((0, 0, 1, 1)))


def test_panels_are_spread_evenly():
    assert [grid_of(n, 3) for n in (1, 2, 4, 6, 7)] == [(1, 1), (2, 2), (4, 2), (6, 3), (7, 3)]


class TestReliability:
    def test_numbers_are_those_of_the_bins(self, predictions):
        y, probabilities, _ = predictions
        display = hs.plot.ReliabilityDisplay.from_predictions(y, probabilities, n_bins=5)
        # No panel for the label that never occurs.
        assert list(display.bins) == ["all labels", "a $\\frac$ b", "Golgi", "Rods"]
        expected = reliability_bins(y["Golgi"], probabilities["Golgi"], n_bins=5)
        bars, dots = display.ax_[2].collections[:2]
        points = np.column_stack([expected.predicted, expected.observed])
        np.testing.assert_allclose(dots.get_offsets().data, points)
        assert np.argsort(dots.get_sizes()).tolist() == np.argsort(expected.count).tolist()
        ends = [line[:, 1] for line in bars.get_segments()]
        np.testing.assert_allclose(ends, np.column_stack([expected.low, expected.high]))

    def test_one_label_of_one_column_and_joined_by_id(self, predictions):
        y, probabilities, _ = predictions
        make = hs.plot.ReliabilityDisplay.from_predictions
        one = make(y["Golgi"], probabilities["Golgi"])
        assert list(one.bins) == ["0"] and one.ax_.get_xlabel() == "predicted probability"
        shuffled = make(y, probabilities[::-1], label="Golgi").bins["Golgi"]
        assert shuffled.count.tolist() == one.bins["0"].count.tolist()

    @pytest.mark.parametrize(
        "change, message",
        [
            ({"label": "Mitochondria"}, "unknown label 'Mitochondria'"),
            ({"label": 4}, "unknown label 4; use a number from 0 to 3"),
            ({"names": ["a"]}, "names has length 1; y has 4 labels"),
            ({"probabilities": np.full((200, 4), 2.0)}, "between 0 and 1"),
            ({"probabilities": np.zeros((199, 4))}, r"shape \(199, 4\)"),
            ({"y": np.full((200, 4), 2)}, "only 0 and 1"),
            ({"y": np.zeros((0, 4))}, "must be"),
        ],
    )
    def test_input_that_does_not_match(self, predictions, change, message):
        y, probabilities, _ = predictions
        arguments = {"y": y, "probabilities": probabilities, **change}
        with pytest.raises(InputError, match=message):
            hs.plot.ReliabilityDisplay.from_predictions(**arguments)

    def test_a_stack_and_labels_of_other_fields(self, stack, predictions):
        y, _, _ = predictions
        with pytest.raises(InputError, match="y lack 1 field:"):
            hs.plot.ReliabilityDisplay.from_stack(stack, y[1:])
        with pytest.raises(InputError, match="labels of the stack are missing from y: Rods"):
            hs.plot.ReliabilityDisplay.from_stack(stack, y.drop(columns="Rods"))
        with pytest.raises(InputError, match="fitted on 200 fields and 4 labels"):
            hs.plot.ReliabilityDisplay.from_stack(stack, y.to_numpy()[1:])


class TestPrecisionRecall:
    def test_the_threshold_is_marked_where_its_labels_lie(self):
        y, probabilities = [[1], [1], [0], [1]], [[0.9], [0.6], [0.7], [0.1]]
        display = hs.plot.PrecisionRecallDisplay.from_predictions(y, probabilities, thresholds=0.5)
        curve = display.curves["0"]
        assert curve.operating_point == (2 / 3, 2 / 3) and curve.prevalence == 0.75
        (diamond,) = [line for line in display.ax_.lines if line.get_marker() == "D"]
        assert diamond.get_xydata().tolist() == [[2 / 3, 2 / 3]]
        assert "threshold 0.50" in texts(display.figure_)
        by_labels = hs.plot.PrecisionRecallDisplay.from_predictions(
            y, probabilities, labels=[[1], [1], [1], [0]]
        )
        assert by_labels.curves["0"].operating_point == curve.operating_point

    def test_without_labels_nothing_is_marked(self):
        display = hs.plot.PrecisionRecallDisplay.from_predictions([1, 0], [0.2, 0.1], thresholds=1)
        assert not [line for line in display.ax_.lines if line.get_marker() == "D"]

    def test_a_label_without_positives(self, stack, predictions):
        y, _, _ = predictions
        with pytest.raises(InputError, match="label none has no positives"):
            hs.plot.PrecisionRecallDisplay.from_stack(stack, y, label="none")
        with pytest.raises(InputError, match="y has no positives"):
            hs.plot.PrecisionRecallDisplay.from_predictions([0, 0], [0.1, 0.2])


class TestLabelScores:
    @pytest.mark.parametrize("score", ["f1", "ap"])
    def test_numbers_are_those_of_the_stack(self, stack, predictions, score):
        y, _, clusters = predictions
        display = hs.plot.LabelScoresDisplay.from_stack(stack, y, score=score, groups=clusters)
        for name in ("consensus", "stack"):
            expected = stack.label_table_[f"{name}_{score}"].to_numpy()
            np.testing.assert_array_equal(display.scores[name], expected)
        low, high = display.interval
        occurs = display.positives > 0
        ours = display.scores["stack"]
        assert np.all((low <= ours + 1e-9)[occurs]) and np.all((ours <= high + 1e-9)[occurs])
        rows = [text.get_text() for text in display.ax_.get_yticklabels()]
        assert rows[-1].startswith("a $") and rows[0] == "none (0)"

    def test_systems_differ_in_symbol(self, predictions):
        y, probabilities, _ = predictions
        systems = {str(cut): (probabilities > cut).astype(int) for cut in (0.2, 0.4, 0.5, 0.6)}
        display = hs.plot.LabelScoresDisplay.from_predictions(y, systems, n_draws=5)
        markers = [line.get_marker() for line in display.ax_.lines]
        assert len(set(markers)) == len(markers) == 4
        expected = f1_scores(y.to_numpy(), systems["0.5"].to_numpy())
        np.testing.assert_array_equal(display.scores["0.5"], expected)

    def test_input_that_does_not_match(self, stack, predictions):
        y, probabilities, clusters = predictions
        make = hs.plot.LabelScoresDisplay.from_predictions
        with pytest.raises(InputError, match="unknown score 'auc'; choose from f1, ap"):
            make(y, {"a": y}, score="auc")
        with pytest.raises(InputError, match="systems has length 0"):
            make(y, {})
        with pytest.raises(InputError, match="must be 0 or 1"):
            make(y, {"a": probabilities})
        with pytest.raises(InputError, match=r"groups have shape \(3,\)"):
            make(y, {"a": y}, groups=[1, 2, 3])

    def test_stack_and_consensus_look_different_to_everyone(self):
        for vision in VISIONS:
            assert distance(hex_rgb(STACK), hex_rgb(START), vision) > 40


class TestConfusions:
    def test_rows_of_few_missed_fields_are_grey(self):
        y = np.array([[1, 0, 0]] * 12 + [[0, 1, 0]] * 3)
        predicted = np.array([[0, 0, 1]] * 12 + [[0, 0, 1]] * 3)
        display = hs.plot.ConfusionsDisplay.from_predictions(y, predicted, names=list("abc"))
        share, n_missed = confusions(y, predicted)
        np.testing.assert_array_equal(display.share, share)
        assert n_missed.tolist() == [12, 3, 0]
        many, few, none = display.ax_.get_yticklabels()
        assert [text.get_text() for text in (many, few, none)] == ["a (12)", "b (3)", "c (0)"]
        assert few.get_color() == none.get_color() != many.get_color()
        is_grey, is_blue = (~np.ma.getmaskarray(image.get_array()) for image in display.ax_.images)
        assert is_blue.all(axis=1).tolist() == is_blue.any(axis=1).tolist() == [True, False, False]
        assert is_grey.all(axis=1).tolist() == is_grey.any(axis=1).tolist() == [False, True, False]
        assert "fewer than 10" in display.ax_.get_ylabel()

    def test_nothing_missed_at_all(self):
        y = np.eye(3, dtype=int)
        assert hs.plot.ConfusionsDisplay.from_predictions(y, y)._repr_png_()[:4] == PNG


class TestFoldBalance:
    def test_the_same_as_the_report(self, predictions):
        y, _, clusters = predictions
        folds = np.arange(200) // 2 % 5
        display = hs.plot.FoldBalanceDisplay.from_folds(y, folds, groups=clusters)
        report = hs.fold_report(y, folds, groups=clusters)
        pd.testing.assert_frame_equal(display.report.labels, report.labels)
        assert display._repr_png_() == report.plot()._repr_png_()

    def test_folds_differ_in_symbol(self, stack, predictions):
        y, _, _ = predictions
        axes = hs.plot.FoldBalanceDisplay.from_stack(stack, y, ax=Figure().subplots()).ax_
        lines = [line for line in axes.lines if line.get_label().startswith("fold")]
        assert len({line.get_marker() for line in lines}) == len(lines) == 5
        assert axes.get_legend() is not None


class TestThresholdStability:
    def test_numbers_are_those_of_the_thresholds(self, predictions):
        y, probabilities, clusters = predictions
        folds = pd.Series(np.arange(200) // 2 % 3, y.index)
        display = hs.plot.ThresholdStabilityDisplay.from_predictions(
            y, probabilities, groups=clusters, folds=folds, n_draws=10
        )
        np.testing.assert_array_equal(display.thresholds, hs.best_thresholds(y, probabilities))
        expected = hs.threshold_intervals(y, probabilities, clusters, n_draws=10)
        np.testing.assert_array_equal(display.interval, expected)
        rest = (folds != 1).to_numpy()
        np.testing.assert_array_equal(
            display.without_folds[1], hs.best_thresholds(y[rest], probabilities[rest])
        )
        (crosses,) = [line for line in display.ax_.lines if line.get_marker() == "x"]
        assert len(crosses.get_xdata()) == 3 * 4

    def test_of_a_stack(self, stack):
        display = hs.plot.ThresholdStabilityDisplay.from_stack(stack)
        expected = stack.label_table_["threshold"].to_numpy()
        np.testing.assert_array_equal(display.thresholds, expected)
        np.testing.assert_array_equal(display.interval[0], stack.label_table_["threshold_low"])

    def test_of_a_stack_without_intervals(self, stack):
        early = SimpleNamespace(label_table_=stack.label_table_.drop(columns="threshold_low"))
        with pytest.raises(InputError, match="the stack has no threshold intervals; fit it again"):
            hs.plot.ThresholdStabilityDisplay.from_stack(early)
