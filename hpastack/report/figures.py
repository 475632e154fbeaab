"""Figures of the report, drawn with matplotlib's object interface, never pyplot.

Draw and save within `style`: it sets what the figures share, and keeps the
user's own matplotlib settings out, so that the same numbers give the same image.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hpastack.metrics import confusions
from hpastack.report._extra import Axes, ConstrainedLayoutEngine, Figure, matplotlib

# Okabe and Ito: told apart with any colour vision. Shapes differ as well.
STACK = "#0072B2"
START = "#E69F00"
_INK, _FAINT, _GRID = "#333333", "#777777", "#e4e4e4"
_WIDTH = 10.0  # inches
_DOTS_PER_INCH = 150
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "figure.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    # A label called "a$b$c" is a name, not a formula.
    "text.parse_math": False,
}


@dataclass(frozen=True, eq=False)
class ScoredFields:
    """What the stack said of the training fields, each by models that had not seen it.

    Parameters
    ----------
    names : sequence of str
        Label names.
    y, labels : ndarray of {0, 1}, shape (n, n_labels)
        True labels, and those given.
    probabilities : ndarray of float, shape (n, n_labels)
    """

    names: Sequence[str]
    y: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


@contextmanager
def style() -> Iterator[None]:
    """Set matplotlib to its defaults and the look of the report, until the block ends."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def f1_figure(table: pd.DataFrame, start: str, interval: np.ndarray | None = None) -> Figure:
    """Show what stacking does to each label, the commonest label on top.

    Parameters
    ----------
    table : DataFrame
        `hpastack.StackClassifier.label_table_`.
    start : {"consensus", "prior"}
        What the boosters started from.
    interval : ndarray of float, shape (2, n_labels), optional
        Ends of the interval of the stack's F1.

    Returns
    -------
    Figure
    """
    order = _by_positives(table)
    rows = np.arange(len(order))
    figure = Figure(figsize=(_WIDTH, 0.27 * len(order) + 1.3), layout="constrained")
    axes = figure.add_subplot()
    if interval is not None:
        axes.hlines(
            rows, interval[0][order], interval[1][order],
            color=STACK, alpha=0.3, linewidth=5, label="95 % interval of the stack",
        )  # fmt: skip
    axes.plot(
        table[f"{start}_f1"].to_numpy()[order], rows, "D", markerfacecolor="white",
        markeredgecolor=START, markeredgewidth=1.8, markersize=6, label=start,
    )  # fmt: skip
    axes.plot(table["stack_f1"].to_numpy()[order], rows, "o", color=STACK, label="stack")
    _name_rows(axes, table, order)
    axes.set(xlim=(-0.02, 1.02), xlabel="F1, out of fold (0 to 1)")
    axes.set_xticks(np.linspace(0, 1, 11))
    axes.grid(axis="x")
    figure.legend(loc="outside upper right", ncols=3)
    return figure


def reliability_figure(found: ScoredFields, n_commonest: int = 5) -> Figure:
    """Show how often labels are there against how probable the stack called them.

    Parameters
    ----------
    found : ScoredFields
    n_commonest : int, default=5
        How many labels get a panel of their own, after that of all labels.

    Returns
    -------
    Figure
        Bins hold the same number of fields; vertical lines are Wilson's 95 %
        intervals.
    """
    positives = found.y.sum(axis=0)
    commonest = [k for k in np.argsort(-positives, kind="stable")[:n_commonest] if positives[k]]
    panels = [("all labels", found.y.ravel(), found.probabilities.ravel())]
    panels += [(_short(found.names[k]), found.y[:, k], found.probabilities[:, k])
               for k in commonest]  # fmt: skip
    n_bins = int(np.clip(len(found.y) // 400, 5, 60))
    figure, grid = _panels(len(panels), n_columns=3, height=3.5)
    for axes, (title, y, probability) in zip(grid, panels):
        said, share, low, high = reliability_bins(y, probability, n_bins)
        axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle="--")
        axes.vlines(said, low, high, color=STACK, alpha=0.35, linewidth=2)
        axes.plot(said, share, "o", color=STACK, markersize=4)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", title=title)
        axes.grid()
    figure.supxlabel("mean probability in the bin")
    figure.supylabel("share that carries the label")
    return figure


def reliability_bins(y: np.ndarray, probability: np.ndarray, n_bins: int) -> tuple[np.ndarray, ...]:
    """Cut fields into bins of equal size by probability.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n,)
    probability : ndarray of float, shape (n,)
    n_bins : int
        No more bins than fields are made.

    Returns
    -------
    said, share, low, high : ndarray of float, shape (n_bins,)
        Mean probability, share of positives, and its 95 % interval after
        Wilson (:doi:`10.1080/01621459.1927.10502953`).

    Examples
    --------
    >>> y, probability = np.array([0, 1, 0, 1]), np.array([0.1, 0.8, 0.2, 0.9])
    >>> said, share, low, high = reliability_bins(y, probability, 2)
    >>> said.round(2).tolist(), share.tolist()
    ([0.15, 0.85], [0.0, 1.0])
    """
    bins = np.array_split(np.argsort(probability, kind="stable"), min(n_bins, len(y)))
    said = np.array([probability[rows].mean() for rows in bins])
    share = np.array([y[rows].mean() for rows in bins])
    size = np.array([len(rows) for rows in bins])
    z = 1.959964  # 97.5 % point of the normal distribution
    middle = (share + z**2 / (2 * size)) / (1 + z**2 / size)
    half = z * np.sqrt(share * (1 - share) / size + (z / (2 * size)) ** 2) / (1 + z**2 / size)
    return said, share, middle - half, middle + half


def precision_recall_figure(found: ScoredFields, chosen: Sequence[int]) -> Figure:
    """Show which precision can be had at which recall, and where the thresholds stand.

    Parameters
    ----------
    found : ScoredFields
    chosen : sequence of int
        Labels to show, in this order; each has a positive.

    Returns
    -------
    Figure
    """
    figure, grid = _panels(len(chosen), n_columns=4, height=2.6)
    for axes, k in zip(grid, chosen):
        y, labels = found.y[:, k], found.labels[:, k]
        recall, precision = precision_recall(y, found.probabilities[:, k])
        axes.plot(recall, precision, color=STACK, linewidth=1.8, drawstyle="steps-pre")
        axes.axhline(y.mean(), color=_FAINT, linewidth=1, linestyle="--")
        if labels.any():
            hits = (y * labels).sum()
            axes.plot(
                hits / y.sum(), hits / labels.sum(), "D", markerfacecolor="white",
                markeredgecolor=START, markeredgewidth=2, clip_on=False, zorder=3,
            )  # fmt: skip
        axes.set(xlim=(0, 1.02), ylim=(0, 1.04))
        axes.set_title(f"{_short(found.names[k], 30)}\n{y.sum():,} positives")
        axes.set_xticks([0, 0.5, 1])
        axes.set_yticks([0, 0.5, 1])
        axes.grid()
    figure.supxlabel("recall")
    figure.supylabel("precision")
    return figure


def precision_recall(y: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the curve of precision against recall.

    Parameters
    ----------
    y : ndarray of {0, 1}, shape (n,)
        Holds a 1.
    scores : ndarray of float, shape (n,)

    Returns
    -------
    recall, precision : ndarray of float
        A point for each distinct score, the highest score first.

    Examples
    --------
    >>> recall, precision = precision_recall(np.array([1, 0, 1]), np.array([0.9, 0.5, 0.5]))
    >>> recall.tolist(), precision.round(2).tolist()
    ([0.5, 1.0], [1.0, 0.67])
    """
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hits = np.cumsum(y[order])[last_of_tie]
    return hits / hits[-1], hits / (last_of_tie + 1)


def prevalence_figure(table: pd.DataFrame, n_fields: int) -> Figure:
    """Show which labels are given too often or too seldom, the commonest label on top.

    Parameters
    ----------
    table : DataFrame
        `hpastack.StackClassifier.label_table_`.
    n_fields : int
        Number of training fields.

    Returns
    -------
    Figure
        Left the share of fields, true and given; none is drawn as half a
        field. Right the difference in per cent of the true number, cut off
        at -100 and 100.
    """
    order = _by_positives(table)
    rows = np.arange(len(order))
    true = table["positives"].to_numpy()[order]
    given = table["predicted"].to_numpy()[order]
    figure = Figure(figsize=(_WIDTH, 0.27 * len(order) + 1.3), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    share = [100 * np.maximum(count, 0.5) / n_fields for count in (true, given)]
    left.hlines(rows, *share, color=_FAINT, linewidth=1)
    left.plot(
        share[0], rows, "D", markerfacecolor="white", markeredgecolor=_INK, markeredgewidth=1.5,
        label="true",
    )  # fmt: skip
    left.plot(share[1], rows, "o", color=STACK, markersize=5, label="given by the stack")
    left.set(xscale="log", xlabel="share of the training fields (%, logarithmic)")
    left.xaxis.set_major_formatter("{x:g}")
    left.grid(axis="x")
    occurs = true > 0
    excess = np.clip(100 * (given[occurs] - true[occurs]) / true[occurs], -100, 100)
    right.axvline(0, color=_FAINT, linewidth=1)
    right.barh(rows[occurs], excess, height=0.6, color=np.where(excess < 0, START, STACK))
    right.set(xlabel="given too seldom (-) or too often (+), %")
    reach = max(20.0, 1.1 * np.abs(excess).max(initial=0))
    right.set_xlim(-reach, reach)
    right.grid(axis="x")
    _name_rows(left, table, order)
    right.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def confusion_figure(found: ScoredFields) -> Figure:
    """Show which labels are given instead of a missed one.

    Parameters
    ----------
    found : ScoredFields

    Returns
    -------
    Figure
        A row a missed label, a column a label given though not there, as a
        share of the fields in which the row's label was missed; last the
        share in which nothing was given in its place. Shares of 10 % and
        more are written out.
    """
    share, n_missed = confusions(found.y, found.labels)
    n_labels = len(n_missed)
    shown = 100 * np.where(n_missed[:, None] > 0, share, np.nan)
    # A pair of labels is seldom above half; "nothing" often is, and would pale the rest.
    top = float(np.nanmax(shown[:, :-1], initial=20))
    side = min(_WIDTH, 0.24 * n_labels + 3.5)
    figure = Figure(figsize=(max(side, 6), 0.9 * side), layout="constrained")
    axes = figure.add_subplot()
    colours = matplotlib.colormaps["Blues"].with_extremes(bad="#eeeeee")
    image = axes.imshow(shown, cmap=colours, vmin=0, vmax=top, aspect="auto")
    for row, column in np.argwhere(np.nan_to_num(shown) >= 9.5):
        value = shown[row, column]
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7,
                  color="white" if value > 0.6 * top else _INK)  # fmt: skip
    axes.axvline(n_labels - 0.5, color="white", linewidth=4)
    names = [_short(name, 30) for name in found.names]
    axes.set_xticks(range(n_labels + 1), [*names, "nothing"], rotation=90, fontsize=8)
    axes.set_yticks(
        range(n_labels), [f"{name} ({n:,})" for name, n in zip(names, n_missed)], fontsize=8
    )
    axes.set_xticks(np.arange(n_labels + 2) - 0.5, minor=True)
    axes.set_yticks(np.arange(n_labels + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#f2f2f2", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    axes.set(xlabel="given though not there", ylabel="missed (in how many fields)")
    figure.colorbar(image, ax=axes, shrink=0.6, extend="max",
                    label="share of those fields (%)")  # fmt: skip
    return figure


def _by_positives(table: pd.DataFrame) -> np.ndarray:
    # The last row is drawn on top. Labels as common as each other keep their order.
    return np.argsort(-table["positives"].to_numpy(), kind="stable")[::-1]


def _name_rows(axes: Axes, table: pd.DataFrame, order: np.ndarray) -> None:
    names = [f"{_short(table.index[k])} ({table['positives'].iloc[k]:,})" for k in order]
    axes.set_yticks(range(len(order)), names)
    axes.set_ylim(-0.7, len(order) - 0.3)
    axes.set_ylabel("label (positives)")


def _short(name: str, limit: int = 34) -> str:
    return name if len(name) <= limit else f"{name[: limit - 1]}…"


def _panels(n_panels: int, n_columns: int, height: float) -> tuple[Figure, list[Any]]:
    n_columns = min(n_columns, n_panels)
    n_rows = -(-n_panels // n_columns)
    width = _WIDTH if n_columns > 2 else 5.0
    layout = ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.06)
    figure = Figure(figsize=(width, height * n_rows + 0.4), layout=layout)
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in grid[n_panels:]:
        axes.set_visible(False)
    for axes in grid[max(0, n_panels - n_columns) : n_panels]:
        axes.tick_params(labelbottom=True)
    return figure, list(grid[:n_panels])
