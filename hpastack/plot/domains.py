"""Fields in their first two components, by domain, split and known columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd

from hpastack.files import take_rows
from hpastack.pictures import OTHER_STYLE, GroupStyle, group_styles
from hpastack.pictures._matplotlib import Axes
from hpastack.pictures.figures import INK, shortened
from hpastack.plot.display import Display
from hpastack.similarity import field_components

# Maximum number of points; more would only overlap.
_MOST_POINTS = 6_000
# Maximum number of values of a column with their own colour and symbol.
_MOST_GROUPS = 20
_OTHERS = "others, unknown"


@dataclass(eq=False, repr=False)
class DomainsDisplay(Display):
    """Fields by domain, split and known columns.

    One panel each for domains, split and every known column, and one for the share
    of each domain in train and in test with the numbers of fields. Groups differ in
    colour and symbol; the number of each domain is at its median. At most 6,000
    fields are drawn, sampled with a fixed seed.

    Parameters
    ----------
    components : DataFrame, shape (n, n_components)
        Indexed by image id; the first two are drawn.
    domains : Series of int
        Indexed as `components`.
    split : Series of {"train", "test"}
        Indexed as `components`.
    known : mapping of str to Series of str, optional
        Columns such as the cell line, by name, indexed as `components`; an empty
        value means unknown.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : ndarray of matplotlib Axes

    Examples
    --------
    >>> import hpastack as hs
    >>> features = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 3)), map(str, range(20)))
    >>> domains = hs.domain_clusters(features, 2)
    >>> split = pd.Series(["train", "test"] * 10, features.index)
    >>> display = hs.plot.DomainsDisplay.from_features(features, domains, split)
    >>> [axes.get_title() for axes in display.ax_]
    ['domain', 'split', 'share of the fields of each split']
    """

    components: pd.DataFrame
    domains: pd.Series
    split: pd.Series
    known: Mapping[str, pd.Series] = field(default_factory=dict)

    @classmethod
    def from_features(
        cls,
        features: pd.DataFrame,
        domains: pd.Series,
        split: pd.Series,
        *,
        known: Mapping[str, pd.Series] | None = None,
        ax: Any = None,
    ) -> Self:
        """Compute the components of features and draw the fields.

        Parameters
        ----------
        features : DataFrame of float, shape (n, d)
            Indexed by image id.
        domains : Series of int
            From `hpastack.domain_clusters`.
        split : Series of {"train", "test"}
            Indexed by image id; may contain further fields.
        known : mapping of str to Series of str, optional
            Columns such as the cell line, by name; may contain further fields.
        ax : matplotlib Axes or sequence of Axes, optional
            As in `plot`.

        Returns
        -------
        DomainsDisplay

        Raises
        ------
        InputError
            If a value is not a finite number, or a field has no domain or split.
        """
        components = field_components(features)
        ids = components.index
        return cls(
            components,
            take_rows(domains, ids, "domains"),
            take_rows(split, ids, "split"),
            {name: take_rows(values, ids, name) for name, values in (known or {}).items()},
        ).plot(ax=ax)

    def _grid(self) -> tuple[int, int]:
        return 3 + len(self.known), 2

    def _size(self) -> tuple[float, float]:
        return 11.0, 4.4 * -(-self._grid()[0] // 2)

    def _draw(self, panels: list[Axes]) -> None:
        order = np.random.default_rng(0).permutation(len(self.components))[:_MOST_POINTS]
        drawn = self.components.iloc[order]
        columns = {"domain": self.domains, "split": self.split, **self.known}
        for axes, (name, values) in zip(panels, columns.items()):
            _scatter(axes, drawn, values.loc[drawn.index].astype(str), name)
        _shares(panels[-1], self.domains, self.split)


def _scatter(axes: Axes, drawn: pd.DataFrame, values: pd.Series, kind: str) -> None:
    points = drawn.iloc[:, :2].to_numpy()
    if points.shape[1] == 1:
        points = np.column_stack([points, np.zeros(len(points))])
    styles = _styles(values, kind)
    is_other = ~values.isin(list(styles)).to_numpy()
    if is_other.any():
        _draw_points(axes, points[is_other], OTHER_STYLE, _OTHERS)
    for name, style in styles.items():
        _draw_points(axes, points[(values == name).to_numpy()], style, shortened(name, 24))
    if kind == "domain":
        for name in styles:
            x, y = np.median(points[(values == name).to_numpy()], axis=0)
            axes.text(x, y, name, ha="center", va="center", fontsize=9, color=INK, clip_on=True,
                      bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "alpha": 0.85,
                            "edgecolor": styles[name].colour})  # fmt: skip
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), handletextpad=0.1, borderaxespad=0)
    # Axis limits exclude outliers, which would compress all other fields.
    for limits, column in ((axes.set_xlim, points[:, 0]), (axes.set_ylim, points[:, 1])):
        low, high = np.quantile(column, [0.002, 0.998])
        margin = 0.05 * (high - low) or 1.0
        limits(low - margin, high + margin)
    axes.set(title=kind.replace("_", " "), xlabel="component 1", ylabel="component 2")


def _styles(values: pd.Series, kind: str) -> dict[str, GroupStyle]:
    """Return the styles of the groups, of the commonest if there are many."""
    counts = values[values != ""].value_counts()
    names = [str(name) for name in counts.index[:_MOST_GROUPS]]
    names.sort(key=lambda name: (len(name), name) if kind == "domain" else (0, name))
    if kind == "split":
        names = [name for name in ("train", "test") if name in names]
    return group_styles(names, kind)


def _draw_points(axes: Axes, points: np.ndarray, style: GroupStyle, name: str) -> None:
    look: dict[str, Any] = {"color": style.colour, "marker": style.symbol.marker, "linewidths": 0}
    axes.scatter(points[:, 0], points[:, 1], s=15, alpha=0.75, rasterized=True, **look)
    axes.scatter([], [], s=36, label=name, **look)


def _shares(axes: Axes, domains: pd.Series, split: pd.Series) -> None:
    counts = pd.crosstab(domains, split).reindex(columns=["train", "test"], fill_value=0)
    rows = np.arange(len(counts))
    styles = group_styles(counts.columns, "split")
    for offset, name, hatch in ((-0.2, "train", ""), (0.2, "test", "////")):
        share = counts[name] / max(counts[name].sum(), 1)
        bars = axes.barh(rows + offset, share, height=0.38, color=styles[name].colour, label=name,
                         hatch=hatch, edgecolor="white", linewidth=0)  # fmt: skip
        axes.bar_label(bars, [f"{count:,}" for count in counts[name]], padding=3, fontsize=8)
    axes.set_yticks(rows, counts.index)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set(title="share of the fields of each split", xlabel="share", ylabel="domain")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0)
