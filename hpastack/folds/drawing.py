"""Plot of the balance of folds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hpastack.pictures import group_styles
from hpastack.pictures._matplotlib import Axes
from hpastack.pictures.figures import ShownFigure, new_figure, shortened, style

_FOLD = r"^fold_\d+$"


def balance_size(labels: pd.DataFrame) -> tuple[float, float]:
    """Return the width and height of the plot of the balance of folds, in inches."""
    n_labels = int((labels["positives"] > 0).sum())
    n_folds = labels.filter(regex=_FOLD).shape[1]
    return 8.0, max(0.24, 0.07 * n_folds) * n_labels + 1.4


def balance_figure(labels: pd.DataFrame) -> ShownFigure:
    """Draw the balance of folds in a new figure; see `draw_balance`."""
    with style():
        figure = new_figure(*balance_size(labels))
        axes = figure.add_subplot()
        draw_balance(axes, labels)
        explain_symbols(axes, below=True)
    return figure


def draw_balance(axes: Axes, labels: pd.DataFrame) -> None:
    """Draw the deviation of each fold from an equal share of each label.

    Parameters
    ----------
    axes : matplotlib Axes
        One row per label, the most frequent at the top, and one symbol per
        fold. The band shows a deviation by one positive in either direction.
    labels : DataFrame
        The table ``labels`` of `hpastack.FoldReport`.
    """
    table = labels[labels["positives"] > 0]
    table = table.sort_values("positives", kind="stable")
    counts = table.filter(regex=_FOLD)
    share = table["positives"].to_numpy() / counts.shape[1]
    height = np.arange(len(table))
    one_positive = 100 / share  # in %
    axes.barh(
        height,
        2 * one_positive,
        left=-one_positive,
        height=0.7,
        color="0.9",
        label="one positive more or less",
    )
    styles = group_styles(counts.columns, "fold")
    for number, (name, look) in enumerate(styles.items()):
        # A small vertical offset, so that symbols of folds with equal counts do not overlap.
        offset = 0.66 * (number / (counts.shape[1] - 1) - 0.5)
        axes.plot(
            100 * (counts[name].to_numpy() / share - 1),
            height + offset,
            look.symbol.marker,
            markersize=4.5,
            markeredgewidth=0,
            color=look.colour,
            label=name.replace("_", " "),
        )
    axes.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    names = [f"{shortened(str(k))} ({n:,})" for k, n in zip(table.index, table["positives"])]
    axes.set_yticks(height, names)
    axes.set_ylim(-0.7, len(table) - 0.3)
    # So that a label missing from a fold (-100 %) does not compress the scale of all others.
    axes.set_xscale("symlog", linthresh=1)
    axes.margins(x=0.04)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:+g} %" if value else "0")
    axes.set_xlabel("positives in the fold, relative to an equal share")


def explain_symbols(axes: Axes, below: bool) -> None:
    """Add the legend of `draw_balance`: below the figure, or within the axes."""
    handles, names = axes.get_legend_handles_labels()
    if below:
        n_columns = min(6, len(names))
        axes.figure.legend(handles, names, loc="outside lower center", ncols=n_columns)
    else:
        axes.legend(handles, names, loc="best", fontsize=8)
