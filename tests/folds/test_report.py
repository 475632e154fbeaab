"""What is said of folds: by label, as a whole, and as a plot."""

import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from reference.fold_cases import labelled_groups

from hpastack.errors import InputError
from hpastack.folds import MultilabelStratifiedGroupKFold, fold_report, labels_missing_from_folds

pytestmark = pytest.mark.core


class TestLabels:
    def test_worked_by_hand(self):
        report = fold_report(
            [[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 1, 0]], [0, 0, 1, 1], names=list("xyz")
        ).labels
        assert report.loc["x"].tolist() == [4, 2, 2, 0, 0]
        # 3 positives: 1.5 would be fair, 1 and 2 are off by a third of that.
        assert report.loc["y"].tolist() == pytest.approx([3, 1, 2, 1 / 3, 1 / 3])
        assert report.loc["z", ["relative_deviation", "lower_bound"]].isna().all()

    def test_names_are_those_of_the_data_frame(self):
        y = pd.DataFrame({"Golgi": [1, 0], "Rods": [0, 1]})
        assert fold_report(y, [0, 1]).labels.index.tolist() == ["Golgi", "Rods"]
        assert fold_report(y, [0, 1], names=["a", "b"]).labels.index.tolist() == ["a", "b"]
        assert fold_report(["up", "down"], [0, 1]).labels.index.tolist() == ["down", "up"]

    @settings(max_examples=40, deadline=None)
    @given(labelled_groups())
    def test_no_folds_are_below_the_bound(self, case):
        y, groups, n_splits, seed = case
        fold = MultilabelStratifiedGroupKFold(n_splits, seed).fold_numbers(y, groups)
        table = fold_report(y, fold, groups=groups).labels.dropna()
        assert (table["relative_deviation"] >= table["lower_bound"] - 1e-12).all()

    def test_lengths_are_checked(self):
        with pytest.raises(InputError, match="folds has 3 values and y has 2 rows"):
            fold_report([[1], [1]], [0, 1, 1])
        with pytest.raises(InputError, match="fold 0 is empty"):
            fold_report([[1], [1]], [1, 1])
        with pytest.raises(InputError, match="groups has 1 row and y has 2"):
            fold_report([[1], [1]], [0, 1], groups=["a"])
        with pytest.raises(InputError, match="names has 1 name and y has 2 labels"):
            fold_report([[1, 0], [1, 1]], [0, 1], names=["Golgi"])

    @pytest.mark.parametrize(
        "folds, message",
        [
            ([0.0, 1.0], "folds must be whole numbers from 0, one for each row of y"),
            (["a", "b"], "folds must be whole numbers from 0, one for each row of y"),
            ([-1, 0], "the folds: fold -1 is negative; folds are numbered from 0"),
            ([0, 0], "the folds: all fields are in fold 0; at least 2 folds are needed"),
        ],
    )
    def test_fold_numbers_are_checked(self, folds, message):
        with pytest.raises(InputError, match=message):
            fold_report([[1], [1]], folds)


class TestMeasures:
    def test_worked_by_hand(self):
        # Folds of 4 and 2 rows. Positives by fold: x 2 and 1, y 1 and 1, x with y 1 and 0.
        y = [[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0]]
        report = fold_report(y, [0, 0, 0, 0, 1, 1], groups=list("aabbbc"))
        got = report.measures
        assert got["relative_deviation"] == pytest.approx((1 / 3 + 0) / 2)
        assert got["lower_bound"] == pytest.approx((1 / 3 + 0) / 2)
        # Odds of x: 2:2, 1:1, overall 3:3. Of y: 1:3, 1:1, overall 2:4.
        assert got["ld"] == pytest.approx((0 + 0 + 1 / 6 + 1 / 2) / 4)
        # Shares of x: 1/2 each. Of y: 1/4 and 1/2 against 1/3.
        assert got["rld"] == pytest.approx((0 + 0 + 1 / 4 + 1 / 2) / 4)
        # Of all x, two thirds are in fold 0; of all y, half.
        assert got["dcp"] == pytest.approx((2 / 3 - 1 / 2 + 0) / 2)
        # Odds of the pair: 1:3, 0:2, overall 1:5.
        assert got["lpd"] == pytest.approx((1 / 3 - 1 / 5 + 1 / 5) / 2)
        assert got["ed"] == 1
        assert got[["zero_folds", "zero_label_folds"]].tolist() == [0, 0]
        assert got["largest_group"] == 0.5
        assert got["split_groups"] == 1

    def test_folds_without_a_positive_are_counted(self):
        y = [[1, 1, 1], [1, 0, 0], [1, 0, 0]]
        got = fold_report(y, [0, 1, 2]).measures
        assert got["zero_folds"] == 2
        assert got["zero_label_folds"] == 4

    def test_a_label_in_every_row_and_one_in_none(self):
        got = fold_report([[1, 0]] * 4, [0, 0, 1, 1]).measures
        assert got["rld"] == got["relative_deviation"] == got["zero_folds"] == 0
        # 2 of 2 is taken as 1 of 2, and 4 of 4 as 3 of 4.
        assert got["ld"] == pytest.approx(2)
        assert np.isnan(got["lpd"])

    def test_nothing_to_average_is_nan(self):
        got = fold_report([[0], [0]], [0, 1]).measures
        assert got[["relative_deviation", "ld", "rld", "dcp", "lpd"]].isna().all()

    def test_shown_as_both_tables(self):
        report = fold_report([[1], [1]], [0, 1])
        assert "relative_deviation" in str(report) and "largest_group" in str(report)
        html = fold_report([[1], [1]], [0, 1], names=["<b>"])._repr_html_()
        assert "Balance of 2 folds" in html and "largest_group" in html
        assert "&lt;b&gt;" in html and "<b>" not in html


class TestPlot:
    def test_a_row_for_each_label_that_has_positives(self):
        pytest.importorskip("matplotlib")
        y = pd.DataFrame({"Golgi": [1, 1, 1, 1], "Rods": [1, 0, 0, 0], "none": [0, 0, 0, 0]})
        figure = fold_report(y, [0, 0, 1, 1]).plot()
        (axes,) = figure.axes
        assert [text.get_text() for text in axes.get_yticklabels()] == ["Rods (1)", "Golgi (4)"]
        folds = [line for line in axes.lines if line.get_label().startswith("fold")]
        assert np.transpose([line.get_xdata() for line in folds]).tolist() == [[100, -100], [0, 0]]
        assert len({line.get_marker() for line in folds}) == 2

    def test_a_notebook_shows_it(self):
        pytest.importorskip("matplotlib")
        assert fold_report([[1], [1]], [0, 1]).plot()._repr_png_()[:4] == b"\x89PNG"

    def test_says_what_is_missing(self, monkeypatch):
        for name in ("hpastack.folds.drawing", "hpastack.pictures.figures",
                     "hpastack.pictures._matplotlib"):  # fmt: skip
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(InputError, match=r"pip install 'hpastack\[report\]'"):
            fold_report([[1], [1]], [0, 1]).plot()


def test_names_labels_of_few_groups():
    y = np.array([[1, 1, 0, 0], [1, 1, 0, 1], [1, 0, 0, 1], [1, 0, 0, 0]])
    assert labels_missing_from_folds(y, ["a", "a", "b", "c"], 3, ["x", "y", "z", "u"]) == [
        "labels in fewer clusters than the 3 folds, missing from some folds: y (1 cluster), "
        "u (2 clusters)",
        "labels without positives, missing from all folds: z",
    ]
