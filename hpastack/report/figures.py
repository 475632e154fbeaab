"""The figure of annotated against predicted prevalence, to be drawn within `style`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from hpastack.pictures.figures import FAINT, INK, ShownFigure, new_figure
from hpastack.plot.display import STACK, START, from_rare_to_common, name_rows


def prevalence_figure(table: pd.DataFrame, n_fields: int) -> ShownFigure:
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
    order = from_rare_to_common(table["positives"].to_numpy())
    rows = np.arange(len(order))
    true = table["positives"].to_numpy()[order]
    given = table["predicted"].to_numpy()[order]
    figure = new_figure(10.0, 0.27 * len(order) + 1.3)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    share = [100 * np.maximum(count, 0.5) / n_fields for count in (true, given)]
    left.hlines(rows, *share, color=FAINT, linewidth=1)
    left.plot(
        share[0], rows, "D", markerfacecolor="white", markeredgecolor=INK, markeredgewidth=1.5,
        label="true",
    )  # fmt: skip
    left.plot(share[1], rows, "o", color=STACK, markersize=5, label="given by the stack")
    left.set(xscale="log", xlabel="share of the training fields (%, logarithmic)")
    left.xaxis.set_major_formatter("{x:g}")
    left.xaxis.set_minor_formatter("")
    left.grid(axis="x")
    occurs = true > 0
    excess = np.clip(100 * (given[occurs] - true[occurs]) / true[occurs], -100, 100)
    right.axvline(0, color=FAINT, linewidth=1)
    right.barh(rows[occurs], excess, height=0.6, color=np.where(excess < 0, START, STACK))
    right.set(xlabel="given too seldom (-) or too often (+), %")
    reach = max(20.0, 1.1 * np.abs(excess).max(initial=0))
    right.set_xlim(-reach, reach)
    right.grid(axis="x")
    name_rows(left, [table.index[k] for k in order], true)
    right.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper right", ncols=2)
    return figure
