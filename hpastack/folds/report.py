"""Balance of labels over folds, as tables and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from hpastack.errors import InputError, counted, shorten
from hpastack.files.notebook_html import html_details, html_facts, html_table
from hpastack.folds.bounds import least_deviation
from hpastack.folds.inputs import group_codes, indicator_of, label_names

if TYPE_CHECKING:
    from hpastack.pictures.figures import ShownFigure


@dataclass(frozen=True, eq=False)
class FoldReport:
    """Balance of a set of folds, by label and overall.

    Parameters
    ----------
    labels : DataFrame
        One row per label: ``positives``, ``fold_0`` to ``fold_<k-1>``
        (positives in each fold), ``relative_deviation`` (mean deviation of the
        folds from an equal share, as a fraction of that share) and
        ``lower_bound`` (the least deviation that folds of these groups can
        have).
    measures : Series of float
        Overall measures of `fold_report`, by name.
    """

    labels: pd.DataFrame
    measures: pd.Series

    def __str__(self) -> str:
        return f"{self.labels}\n\n{self.measures}"

    def _repr_html_(self) -> str:
        n_folds = self.labels.filter(regex=r"^fold_\d+$").shape[1]
        measures = self.measures
        facts = {
            "labels": f"{len(self.labels):,}, {int((self.labels['positives'] > 0).sum()):,} occur",
            "relative deviation": f"{measures['relative_deviation']:.2%} "
            f"(lower bound for these groups: {measures['lower_bound']:.2%})",
            "label-fold pairs without a positive": f"{int(measures['zero_label_folds']):,}",
            "split groups": f"{int(measures['split_groups']):,}",
        }
        rows = [[str(name), *values] for name, *values in self.labels.itertuples()]
        labels = html_table(["label", *self.labels.columns], rows)
        others = html_table(["measure", "value"], list(measures.items()))
        return (
            html_facts(f"Balance of {n_folds} folds", facts, note="plot() draws the balance")
            + html_details("by label", labels)
            + html_details("all measures", others)
        )

    def plot(self) -> ShownFigure:
        """Draw the deviation of each fold from an equal share of each label.

        One row per label, the most frequent at the top, and one symbol per
        fold. The band shows a deviation by one positive in either direction: a
        label whose symbols are within the band cannot be balanced much better.

        Returns
        -------
        matplotlib.figure.Figure
            Displayed in a notebook if it is the last expression of a cell;
            ``savefig`` writes it. `hpastack.plot.FoldBalanceDisplay` draws the
            same plot into existing Axes.

        Raises
        ------
        InputError
            If matplotlib is not installed.
        """
        from hpastack.folds.drawing import balance_figure

        return balance_figure(self.labels)


def fold_report(
    y: Any,
    folds: ArrayLike,
    *,
    groups: Any = None,
    names: Sequence[str] | None = None,
) -> FoldReport:
    """Measure the balance of labels over folds.

    Parameters
    ----------
    y : array-like of {0, 1}, shape (n, n_labels), or array-like, shape (n,)
    folds : array-like of int, shape (n,)
        Fold of each row, 0 to k - 1.
    groups : array-like of hashable, shape (n,), optional
        Rows of the same group should be in the same fold. If omitted, every
        row is its own group.
    names : sequence of str, optional
        Label names. Default: the columns of `y` if it is a data frame, else
        the column numbers.

    Returns
    -------
    FoldReport
        ``labels`` has one row per label. ``measures`` are, averaged over
        labels and folds unless stated otherwise:

        - ``relative_deviation``: ``|c - p / k| / (p / k)`` for a label with
          `p` positives, `c` of them in the fold, and `k` folds. The main
          measure of the quality of folds;
        - ``lower_bound``: no folds of these groups can have a lower
          ``relative_deviation``; see Notes;
        - ``ld``: label distribution [1]_, the difference of the odds
          ``c / (s - c)`` in a fold of `s` rows and ``p / (n - p)`` overall;
        - ``rld``: relative label distribution [2]_, ``|c / s - p / n| / (p / n)``;
        - ``dcp``: delta class proportion [2]_, the largest ``c / p`` of any
          fold minus ``1 / k``, averaged over labels;
        - ``lpd``: label pair distribution [3]_, as ``ld`` for each pair of
          labels that occurs in at least one row;
        - ``ed``: examples distribution [1]_, the mean of ``|s - n / k|``;
        - ``zero_folds``: number of folds without positives of at least one
          label (FZ of [1]_);
        - ``zero_label_folds``: number of pairs of a label and a fold without
          positives of that label (FLZ of [1]_);
        - ``largest_group``: fraction of the rows in the largest group;
        - ``split_groups``: number of groups in two or more folds.

    Raises
    ------
    InputError
        If the lengths differ, or a fold is empty.

    Notes
    -----
    A label without positives has a relative deviation of NaN, which is
    excluded from the means, and does not enter the other measures. In ``ld``
    and ``lpd`` a count of `s` is replaced by ``s - 1``, as the odds would be
    infinite.

    The bound of a label follows from whole counts, the largest group, the
    number of groups, and units of which nearly all groups have multiples
    (wells of two fields each). The mean bound treats each label separately, so
    it may be out of reach.

    References
    ----------
    .. [1] K. Sechidis, G. Tsoumakas and I. Vlahavas, "On the stratification of
       multi-label data", ECML PKDD 2011. :doi:`10.1007/978-3-642-23808-6_10`
    .. [2] H. Tiittanen, L. Holm and P. Törönen, "Novel split quality measures
       for stratified multilabel cross validation with application to large and
       sparse gene ontology datasets", Applied Computing and Intelligence 2(1),
       49-62, 2022. :doi:`10.3934/aci.2022003`
    .. [3] P. Szymański and T. Kajdanowicz, "A network perspective on
       stratification of multi-label data", Proc. Machine Learning Research
       74, 22-35, 2017.

    Examples
    --------
    >>> report = fold_report([[1, 1], [1, 0], [1, 1], [1, 1]], [0, 0, 1, 1])
    >>> report.labels
           positives  fold_0  fold_1  relative_deviation  lower_bound
    label
    0              4       2       2            0.000000     0.000000
    1              3       1       2            0.333333     0.333333
    >>> float(report.measures["relative_deviation"].round(4))
    0.1667
    """
    indicator = indicator_of(y)
    names = label_names(y, indicator.shape[1]) if names is None else list(names)
    if len(names) != indicator.shape[1]:
        raise InputError(
            f"names has {counted(len(names), 'name')} and y has "
            f"{counted(indicator.shape[1], 'label')}; the numbers must be equal"
        )
    folds = np.asarray(folds)
    if folds.dtype.kind not in "iu" or folds.size == 0:
        raise InputError("folds must be whole numbers from 0, one for each row of y")
    if folds.shape != (len(indicator),):
        raise InputError(
            f"folds has {counted(folds.size, 'value')} and y has "
            f"{counted(len(indicator), 'row')}; the numbers must be equal"
        )
    check_fold_numbers(folds, "the folds")
    codes, n_groups = group_codes(groups, len(indicator), 0)
    sizes = np.bincount(folds)
    counts = _counts(indicator, folds, len(sizes))
    positives = counts.sum(0)
    share = positives / len(sizes)
    deviation = np.full(len(share), np.nan)
    np.divide(np.abs(counts - share).mean(0), share, out=deviation, where=share > 0)
    labels = pd.DataFrame({"positives": positives}, index=pd.Index(names, name="label"))
    for number, row in enumerate(counts):
        labels[f"fold_{number}"] = row
    labels["relative_deviation"] = deviation
    labels["lower_bound"] = [
        least_deviation(np.bincount(codes[column == 1], minlength=n_groups), len(sizes))
        for column in indicator.T
    ]
    used = counts[:, positives > 0]
    pairs = _pair_counts(indicator, folds, len(sizes))
    folds_of_group = pd.Series(folds).groupby(codes).nunique()
    measures = {
        "relative_deviation": labels["relative_deviation"].mean(),
        "lower_bound": labels["lower_bound"].mean(),
        "ld": _odds_difference(used, sizes),
        "rld": _mean(np.abs(used / sizes[:, None] / _overall(used, sizes) - 1)),
        "dcp": _mean((used / used.sum(0)).max(0) - 1 / len(sizes)) if used.size else np.nan,
        "lpd": _odds_difference(pairs, sizes),
        "ed": np.abs(sizes - len(folds) / len(sizes)).mean(),
        "zero_folds": (used == 0).any(1).sum(),
        "zero_label_folds": (used == 0).sum(),
        "largest_group": np.bincount(codes).max() / len(codes),
        "split_groups": (folds_of_group > 1).sum(),
    }
    return FoldReport(labels, pd.Series(measures, dtype=float, name="value"))


def labels_missing_from_folds(
    indicator: ArrayLike, clusters: Any, n_splits: int, names: Sequence[str] | None = None
) -> list[str]:
    """List warnings for the labels that cannot be in every fold.

    Parameters
    ----------
    indicator : array-like of {0, 1}, shape (n, n_labels)
    clusters : array-like of hashable, shape (n,), or None
        With None, every row is its own cluster.
    n_splits : int
        Number of folds.
    names : sequence of str, optional
        Label names. Default: the column numbers.

    Returns
    -------
    list of str
        At most two: one for all labels that occur in fewer clusters than folds,
        in the order of the columns, and one for all labels without positives.

    Examples
    --------
    >>> labels_missing_from_folds([[1, 1], [1, 0], [1, 0]], ["a", "b", "c"], 2, ["x", "y"])
    ['labels in fewer clusters than the 2 folds, missing from some folds: y (1 cluster)']
    """
    indicator = indicator_of(indicator)
    codes, _ = group_codes(clusters, len(indicator), 0)
    warnings, rare = [], []
    absent = [
        str(label if names is None else names[label])
        for label in np.flatnonzero(indicator.sum(0) == 0).tolist()
    ]
    for label in np.flatnonzero(indicator.sum(0) > 0).tolist():
        n_clusters = len(np.unique(codes[indicator[:, label] == 1]))
        if n_clusters < n_splits:
            name = label if names is None else names[label]
            rare.append(f"{name} ({counted(n_clusters, 'cluster')})")
    if rare:
        warnings.append(
            f"labels in fewer clusters than the {counted(n_splits, 'fold')}, missing from some "
            f"folds: {shorten(rare, 40)}"
        )
    if absent:
        warnings.append(f"labels without positives, missing from all folds: {shorten(absent, 40)}")
    return warnings


def check_fold_numbers(fold: np.ndarray, where: object) -> None:
    """Check that fold numbers are 0 to k - 1 without gaps, with k at least 2."""
    if fold.min() < 0:
        raise InputError(f"{where}: fold {fold.min()} is negative; folds are numbered from 0")
    if fold.max() == 0:
        raise InputError(f"{where}: all fields are in fold 0; at least 2 folds are needed")
    present = np.unique(fold)
    if len(present) != fold.max() + 1:
        empty = next(number for number in range(int(fold.max())) if number not in present)
        raise InputError(
            f"{where}: fold {empty} is empty; folds are numbered 0 to k - 1 without gaps"
        )


def _counts(indicator: np.ndarray, folds: np.ndarray, n_folds: int) -> np.ndarray:
    """Count the positives of each column in each fold, shape (n_folds, n_columns)."""
    return np.stack([indicator[folds == f].sum(0, dtype=np.int64) for f in range(n_folds)])


def _pair_counts(indicator: np.ndarray, folds: np.ndarray, n_folds: int) -> np.ndarray:
    """Count the rows with both labels of each pair in each fold, for pairs that occur."""
    upper = np.triu_indices(indicator.shape[1], k=1)
    # In float64: exact, and much faster than with integers.
    rows = indicator.astype(np.float64)
    counts = np.stack([(rows[folds == f].T @ rows[folds == f])[upper] for f in range(n_folds)])
    return counts[:, counts.sum(0) > 0]


def _overall(counts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    return counts.sum(0) / sizes.sum()


def _odds_difference(counts: np.ndarray, sizes: np.ndarray) -> float:
    def odds(count: np.ndarray, size: np.ndarray) -> np.ndarray:
        count = np.where(count == size, size - 1, count)
        return count / (size - count)

    overall = odds(counts.sum(0), sizes.sum())
    return _mean(np.abs(odds(counts, sizes[:, None]) - overall))


def _mean(values: np.ndarray) -> float:
    """Return the mean; NaN if there are no values, without a warning."""
    return float(values.mean()) if values.size else float("nan")
