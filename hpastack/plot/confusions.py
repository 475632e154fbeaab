"""Confusions: labels predicted instead of a missed one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from hpastack.metrics import confusions
from hpastack.pictures._matplotlib import Axes, matplotlib
from hpastack.pictures.figures import FAINT, INK, shortened
from hpastack.plot.display import Display
from hpastack.plot.predictions import Annotated, as_labels
from hpastack.stack import StackClassifier

#: Rows with fewer missed fields are greyed: their shares are mostly sampling variation.
LEAST_MISSED = 10


@dataclass(eq=False, repr=False)
class ConfusionsDisplay(Display):
    """Labels predicted in the fields where another label is missed.

    One row per missed label and one column per label that is predicted but not
    annotated, as a share of the fields in which the row's label is missed; the last
    column is the share without any such prediction. Shares of 10 % and more are
    written. Rows of fewer than 10 missed fields are greyed.

    Parameters
    ----------
    names : sequence of str
        Label names.
    share : ndarray of float, shape (n_labels, n_labels + 1)
        From `hpastack.metrics.confusions`.
    n_missed : ndarray of int, shape (n_labels,)
        Number of fields in which each label is missed.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib Axes

    Examples
    --------
    >>> import hpastack as hs
    >>> display = hs.plot.ConfusionsDisplay.from_predictions([[1, 0], [1, 0]], [[0, 1], [0, 0]])
    >>> display.share.tolist()
    [[0.0, 0.5, 0.5], [0.0, 0.0, 0.0]]
    """

    names: Sequence[str]
    share: np.ndarray
    n_missed: np.ndarray

    @classmethod
    def from_predictions(
        cls, y: Any, labels: Any, *, names: Sequence[str] | None = None, ax: Any = None
    ) -> Self:
        """Compute the confusions of predicted labels and draw them.

        Parameters
        ----------
        y : DataFrame or array-like of {0, 1}, shape (n, n_labels)
            Annotated labels.
        labels : DataFrame or array-like of {0, 1}, the same shape
            Predicted labels; joined by id where both have ids.
        names : sequence of str, optional
            Label names; if omitted, the columns of `y` or their numbers.
        ax : matplotlib Axes, optional

        Returns
        -------
        ConfusionsDisplay

        Raises
        ------
        InputError
            If shapes, ids or values do not match.
        """
        annotated = Annotated.of(y, names)
        predicted = as_labels(annotated.matching(labels, "labels"))
        return cls(annotated.names, *confusions(annotated.y, predicted)).plot(ax=ax)

    @classmethod
    def from_stack(cls, stack: StackClassifier, y: Any, *, ax: Any = None) -> Self:
        """Draw the confusions of the out-of-fold labels of a fitted stack.

        Parameters
        ----------
        stack : StackClassifier
        y : DataFrame or array-like of {0, 1}, shape (n, n_labels)
            Annotated labels of its training fields. A DataFrame is joined by id
            and may contain further fields and labels.
        ax : matplotlib Axes, optional

        Returns
        -------
        ConfusionsDisplay

        Raises
        ------
        InputError
            As for `from_predictions`.
        """
        annotated = Annotated.of_stack(stack, y)
        predicted = stack.oof_labels_.to_numpy()
        return cls(annotated.names, *confusions(annotated.y, predicted)).plot(ax=ax)

    def _size(self) -> tuple[float, float]:
        side = min(10.0, 0.24 * len(self.names) + 3.5)
        return max(side, 6.0), max(0.9 * side, 4.4)

    def _draw(self, panels: list[Axes]) -> None:
        (axes,) = panels
        n_labels, n_missed = len(self.names), np.asarray(self.n_missed)
        is_few = n_missed < LEAST_MISSED
        percent = 100 * np.asarray(self.share)
        # Without the column "nothing", whose large shares would compress the colour scale.
        top = float(percent[~is_few, :-1].max(initial=20))
        blue = matplotlib.colormaps["Blues"].with_extremes(bad="#00000000")
        grey = matplotlib.colormaps["Greys"].with_extremes(bad="#00000000")
        # At least light grey, so that rows of few fields stand out even where they are 0.
        few = np.where((is_few & (n_missed > 0))[:, None], percent, np.nan)
        axes.imshow(few, cmap=grey, vmin=-30, vmax=500, aspect="auto")
        others = np.where(~is_few[:, None], percent, np.nan)
        image = axes.imshow(others, cmap=blue, vmin=0, vmax=top, aspect="auto")
        axes.set_facecolor("#eeeeee")
        for row, column in np.argwhere(percent >= 9.5):
            if is_few[row]:
                colour = "#555555"
            else:
                colour = "white" if percent[row, column] > 0.6 * top else INK
            axes.text(column, row, f"{percent[row, column]:.0f}", ha="center", va="center",
                      fontsize=7, color=colour)  # fmt: skip
        axes.axvline(n_labels - 0.5, color="white", linewidth=4)
        self._name_axes(axes, is_few)
        axes.figure.colorbar(image, ax=axes, shrink=0.6, extend="max",
                             label="share of those fields (%)")  # fmt: skip

    def _name_axes(self, axes: Axes, is_few: np.ndarray) -> None:
        n_labels = len(self.names)
        names = [shortened(name, 30) for name in self.names]
        axes.set_xticks(range(n_labels + 1), [*names, "nothing"], rotation=90, fontsize=8)
        rows = [f"{name} ({n:,})" for name, n in zip(names, np.asarray(self.n_missed).tolist())]
        axes.set_yticks(range(n_labels), rows, fontsize=8)
        for text, few in zip(axes.get_yticklabels(), is_few):
            if few:
                text.set_color(FAINT)
        axes.set_xticks(np.arange(n_labels + 2) - 0.5, minor=True)
        axes.set_yticks(np.arange(n_labels + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="#f2f2f2", linewidth=0.5)
        axes.tick_params(which="minor", length=0)
        axes.set_xlabel("predicted instead, but not annotated")
        few_text = f"\ngrey: fewer than {LEAST_MISSED}" if is_few.any() else ""
        axes.set_ylabel(f"missed label (number of fields){few_text}")
