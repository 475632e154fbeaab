"""The figure of domains: fields in the plane of their first two components."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from hpastack.report._extra import Axes, Figure, matplotlib

# Points drawn at most: beyond, they only cover each other.
_MOST_POINTS = 6_000
# Values of a column that get a colour of their own.
_MOST_COLOURS = 20
_TRAIN, _TEST = "#0072B2", "#E69F00"


def domains_figure(
    components: pd.DataFrame,
    domains: pd.Series,
    split: pd.Series,
    known: Mapping[str, pd.Series] | None = None,
) -> Figure:
    """Show the fields by domain, by split and by what else is known of them.

    Parameters
    ----------
    components : DataFrame, shape (n, n_components)
        As `hpastack.similarity.components.field_components`; the first two are drawn.
    domains : Series of int
        Indexed as `components`.
    split : Series of {"train", "test"}
        Indexed as `components`.
    known : mapping of str to Series of str, optional
        Columns such as the cell line, by name, indexed as `components`; empty
        values are unknown.

    Returns
    -------
    Figure
        Panels beside each other: domains, split, each known column, and the
        share of each domain in train and in test with the numbers of fields.
        Up to 6,000 fields are drawn, chosen at random with a fixed seed.
    """
    known = known or {}
    n_panels = 3 + len(known)
    n_rows = -(-n_panels // 2)
    figure = Figure(figsize=(11.0, 4.4 * n_rows), layout="constrained")
    panels = iter(figure.subplots(n_rows, 2, squeeze=False).ravel())

    order = np.random.default_rng(0).permutation(len(components))[:_MOST_POINTS]
    drawn = components.iloc[order]
    columns = {"domain": domains, "split": split, **known}
    for name, values in columns.items():
        _scatter(next(panels), drawn, values.loc[drawn.index].astype(str), name)
    _shares(next(panels), domains, split)
    for empty in panels:
        empty.axis("off")
    return figure


def _scatter(axes: Axes, drawn: pd.DataFrame, values: pd.Series, title: str) -> None:
    points = drawn.iloc[:, :2].to_numpy()
    if points.shape[1] == 1:
        points = np.column_stack([points, np.zeros(len(points))])
    if title == "split":
        colours = {"train": _TRAIN, "test": _TEST}
    else:
        counts = values[values != ""].value_counts()
        names = list(counts.index[:_MOST_COLOURS])
        names.sort(key=lambda name: (len(name), name) if title == "domain" else (0, name))
        table = matplotlib.colormaps["tab10" if len(names) <= 10 else "tab20"]
        colours = {name: matplotlib.colors.to_hex(table(k)) for k, name in enumerate(names)}
    grey = "#bbbbbb"
    axes.scatter(
        points[:, 0],
        points[:, 1],
        s=7,
        c=[colours.get(value, grey) for value in values],
        alpha=0.7,
        linewidths=0,
        rasterized=True,
    )
    present = set(values)
    labels = {name: colour for name, colour in colours.items() if name in present}
    if present - set(colours):
        labels["others, unknown"] = grey
    for name, colour in labels.items():
        axes.scatter([], [], s=25, color=colour, label=name)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), handletextpad=0.1, borderaxespad=0)
    # Outliers would press all other fields into a corner.
    for limits, column in ((axes.set_xlim, points[:, 0]), (axes.set_ylim, points[:, 1])):
        low, high = np.quantile(column, [0.002, 0.998])
        margin = 0.05 * (high - low) or 1.0
        limits(low - margin, high + margin)
    axes.set(title=title.replace("_", " "), xlabel="component 1", ylabel="component 2")


def _shares(axes: Axes, domains: pd.Series, split: pd.Series) -> None:
    counts = pd.crosstab(domains, split).reindex(columns=["train", "test"], fill_value=0)
    rows = np.arange(len(counts))
    for offset, name, colour in ((-0.2, "train", _TRAIN), (0.2, "test", _TEST)):
        share = counts[name] / max(counts[name].sum(), 1)
        bars = axes.barh(rows + offset, share, height=0.38, color=colour, label=name)
        axes.bar_label(bars, [f"{count:,}" for count in counts[name]], padding=3, fontsize=8)
    axes.set_yticks(rows, counts.index)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set(title="share of the fields of each split", xlabel="share", ylabel="domain")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0)
