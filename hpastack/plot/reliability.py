"""Reliability diagrams: observed frequency against predicted probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from hpastack.metrics import ReliabilityBins, reliability_bins
from hpastack.pictures._matplotlib import Axes
from hpastack.pictures.figures import FAINT, shortened
from hpastack.plot.display import STACK, Display, grid_of
from hpastack.plot.predictions import Annotated, Labels
from hpastack.stack import StackClassifier

_N_COMMONEST = 5
_COUNTS = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)


@dataclass(eq=False, repr=False)
class ReliabilityDisplay(Display):
    """Reliability of probabilities: observed share against predicted probability.

    Bins have equal width, so that errors at high probabilities are visible even for
    rare labels. The area of a marker grows with the logarithm of the number of
    fields in its bin; lines are 95 % Wilson intervals. Below the diagonal the
    predicted probability is too high.

    Parameters
    ----------
    bins : mapping of str to ReliabilityBins
        One panel each, by title.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib Axes, or ndarray of them

    Examples
    --------
    >>> import hpastack as hs
    >>> y, probabilities = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.8, 0.9]
    >>> display = hs.plot.ReliabilityDisplay.from_predictions(y, probabilities, n_bins=2)
    >>> display.ax_.get_xlabel()
    'predicted probability'
    """

    bins: Mapping[str, ReliabilityBins]

    @classmethod
    def from_predictions(
        cls,
        y: Any,
        probabilities: Any,
        *,
        label: Labels = None,
        names: Sequence[str] | None = None,
        n_bins: int = 10,
        ax: Any = None,
    ) -> Self:
        """Compute reliability bins of predictions and draw them.

        Parameters
        ----------
        y : DataFrame or array-like of {0, 1}, shape (n, n_labels) or (n,)
            Annotated labels.
        probabilities : DataFrame or array-like of float in [0, 1], the same shape
            Joined by id where both have ids.
        label : str, int or sequence of them, optional
            Labels to show, one panel each. If omitted, all labels pooled and the
            five commonest.
        names : sequence of str, optional
            Label names; if omitted, the columns of `y` or their numbers.
        n_bins : int, default=10
        ax : matplotlib Axes or sequence of Axes, optional
            As in `plot`.

        Returns
        -------
        ReliabilityDisplay

        Raises
        ------
        InputError
            If shapes, ids or values do not match, or a label is unknown.
        """
        annotated = Annotated.of(y, names)
        return cls._of(annotated, annotated.probabilities(probabilities), label, n_bins, ax)

    @classmethod
    def from_stack(
        cls,
        stack: StackClassifier,
        y: Any,
        *,
        label: Labels = None,
        n_bins: int = 10,
        ax: Any = None,
    ) -> Self:
        """Draw the out-of-fold probabilities of a fitted stack.

        Parameters
        ----------
        stack : StackClassifier
        y : DataFrame or array-like of {0, 1}, shape (n, n_labels)
            Annotated labels of its training fields. A DataFrame is joined by id
            and may contain further fields and labels.
        label, n_bins, ax
            As in `from_predictions`.

        Returns
        -------
        ReliabilityDisplay

        Raises
        ------
        InputError
            As for `from_predictions`.
        """
        annotated = Annotated.of_stack(stack, y)
        return cls._of(annotated, stack.oof_probabilities_.to_numpy(float), label, n_bins, ax)

    @classmethod
    def _of(
        cls, annotated: Annotated, probabilities: np.ndarray, label: Labels, n_bins: int, ax: Any
    ) -> Self:
        n_labels = len(annotated.names)
        chosen = annotated.chosen(label)
        if not chosen and n_labels == 1:
            chosen = [0]
        bins = {}
        if not chosen:
            bins["all labels"] = _bins(annotated.y.ravel(), probabilities.ravel(), n_bins)
            chosen = annotated.commonest(_N_COMMONEST)
        for k in chosen:
            bins[annotated.names[k]] = _bins(annotated.y[:, k], probabilities[:, k], n_bins)
        return cls(bins).plot(ax=ax)

    def _grid(self) -> tuple[int, int]:
        return grid_of(len(self.bins), 3)

    def _size(self) -> tuple[float, float]:
        n_panels, n_columns = self._grid()
        n_rows = -(-n_panels // n_columns)
        return (4.6, 5.0) if n_panels == 1 else (3.2 * n_columns + 0.4, 3.3 * n_rows + 0.7)

    def _draw(self, panels: list[Axes]) -> None:
        most = max(int(bins.count.max()) for bins in self.bins.values())
        sizes = [count for count in _COUNTS if count <= most]
        for axes, (title, bins) in zip(panels, self.bins.items()):
            axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
            axes.vlines(bins.predicted, bins.low, bins.high, color=STACK, alpha=0.45, linewidth=2)
            axes.scatter(
                bins.predicted, bins.observed, s=_areas(bins.count), color=STACK,
                edgecolor="white", linewidth=0.6, zorder=3, clip_on=False,
            )  # fmt: skip
            axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
            axes.set_title(shortened(title))
            axes.set_xticks(np.linspace(0, 1, 5), ["0", "0.25", "0.5", "0.75", "1"])
            axes.set_yticks(np.linspace(0, 1, 5), ["0", "0.25", "0.5", "0.75", "1"])
            axes.grid()
        n_panels, n_columns = self._grid()
        for number, axes in enumerate(panels):
            if number % n_columns == 0:
                axes.set_ylabel("observed share")
            if number + n_columns >= n_panels:
                axes.set_xlabel("predicted probability")
        self._explain_areas(panels, sizes[-4:])

    def _explain_areas(self, panels: list[Axes], counts: list[int]) -> None:
        for count in counts:
            panels[0].scatter([], [], s=_areas(count), color=STACK, label=f"{count:,}")
        if self._is_own_figure:
            figure: Any = panels[0].figure
            figure.legend(
                title="fields in the bin", loc="outside lower center", ncols=len(counts)
            )  # fmt: skip
        else:
            panels[0].legend(title="fields in the bin", loc="best")


def _bins(y: ArrayLike, probabilities: ArrayLike, n_bins: int) -> ReliabilityBins:
    return reliability_bins(y, probabilities, n_bins=n_bins)


def _areas(count: Any) -> Any:
    """Return the areas of markers, in square points."""
    return 14 + 26 * np.log10(count)
