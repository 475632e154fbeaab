"""Stability of thresholds under resampling of the fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from hpastack.calibration import ThresholdSearch, threshold_intervals
from hpastack.errors import InputError
from hpastack.pictures._matplotlib import Axes
from hpastack.pictures.figures import INK
from hpastack.plot.display import STACK, Display, from_rare_to_common, name_rows
from hpastack.plot.predictions import Annotated
from hpastack.stack import StackClassifier


@dataclass(eq=False, repr=False)
class ThresholdStabilityDisplay(Display):
    """Threshold of each label with its 95 % interval, the commonest label on top.

    A wide interval means that another sample of fields would have led to another
    threshold. Small crosses are thresholds chosen without one of the folds.

    Parameters
    ----------
    names : sequence of str
        Label names.
    positives : ndarray of int, shape (n_labels,)
    thresholds : ndarray of float, shape (n_labels,)
    interval : ndarray of float, shape (2, n_labels), or None
        Lower and upper ends.
    without_folds : ndarray of float, shape (n_folds, n_labels), or None
        Thresholds chosen on the other folds, for each fold.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib Axes

    Examples
    --------
    >>> import hpastack as hs
    >>> display = hs.plot.ThresholdStabilityDisplay.from_predictions(
    ...     [[1], [1], [0], [0]], [[0.9], [0.7], [0.4], [0.2]], policy="per-label"
    ... )
    >>> display.thresholds.tolist()
    [0.55]
    """

    names: Sequence[str]
    positives: np.ndarray
    thresholds: np.ndarray
    interval: np.ndarray | None = None
    without_folds: np.ndarray | None = None

    @classmethod
    def from_predictions(
        cls,
        y: Any,
        probabilities: Any,
        *,
        groups: Any = None,
        folds: Any = None,
        policy: str = "shrunk",
        names: Sequence[str] | None = None,
        n_draws: int = 100,
        random_state: int = 0,
        ax: Any = None,
    ) -> Self:
        """Choose thresholds, with bootstrap intervals and without each fold, and draw them.

        Parameters
        ----------
        y : DataFrame or array-like of {0, 1}, shape (n, n_labels)
            Annotated labels.
        probabilities : DataFrame or array-like of float in [0, 1], the same shape
            Joined by id where both have ids.
        groups : Series or array-like, shape (n,), optional
            Cluster of each field; default: each field is its own cluster.
        folds : Series or array-like of int, shape (n,), optional
            Fold of each field, from 0; default: no thresholds without a fold.
        policy : str, default="shrunk"
            As in `hpastack.best_thresholds`.
        names : sequence of str, optional
            Label names; if omitted, the columns of `y` or their numbers.
        n_draws : int, default=100
            Bootstrap samples for the intervals.
        random_state : int, default=0
        ax : matplotlib Axes, optional

        Returns
        -------
        ThresholdStabilityDisplay

        Raises
        ------
        InputError
            If shapes, ids or values do not match, or the policy is unknown.
        """
        annotated = Annotated.of(y, names)
        values = annotated.probabilities(probabilities)
        interval = threshold_intervals(
            annotated.y, values, annotated.groups(groups), policy=policy, n_draws=n_draws,
            seed=random_state,
        )  # fmt: skip
        search = ThresholdSearch(annotated.y, values, policy)
        without = None
        if folds is not None:
            without = search.without_folds(np.asarray(annotated.groups(folds), dtype=int))
        thresholds = search.thresholds()
        positives = annotated.y.sum(axis=0, dtype=int)
        return cls(annotated.names, positives, thresholds, np.array(interval), without).plot(ax=ax)

    @classmethod
    def from_stack(cls, stack: StackClassifier, *, ax: Any = None) -> Self:
        """Draw the thresholds of a fitted stack with their intervals.

        Parameters
        ----------
        stack : StackClassifier
        ax : matplotlib Axes, optional

        Returns
        -------
        ThresholdStabilityDisplay

        Raises
        ------
        InputError
            If the stack has an early format without intervals.
        """
        table = stack.label_table_
        if "threshold_low" not in table:
            raise InputError("the stack has no threshold intervals; fit it again")
        interval = table[["threshold_low", "threshold_high"]].to_numpy(float).T
        known = None if np.isnan(interval).all() else interval
        positives, thresholds = table["positives"].to_numpy(int), table["threshold"].to_numpy(float)
        return cls(list(table.index), positives, thresholds, known).plot(ax=ax)

    def _size(self) -> tuple[float, float]:
        return 8.5, 0.27 * len(self.names) + 1.3

    def _draw(self, panels: list[Axes]) -> None:
        (axes,) = panels
        order = from_rare_to_common(np.asarray(self.positives))
        rows = np.arange(len(order))
        if self.interval is not None:
            low, high = np.asarray(self.interval)[:, order]
            axes.hlines(rows, low, high, color=STACK, alpha=0.3, linewidth=5, label="95 % interval")
        if self.without_folds is not None:
            without = np.asarray(self.without_folds)[:, order]
            axes.plot(
                without.ravel(), np.tile(rows, len(without)), "x", color=INK, markersize=4,
                alpha=0.8, label="chosen without one fold",
            )  # fmt: skip
        axes.plot(np.asarray(self.thresholds)[order], rows, "o", color=STACK, label="threshold")
        name_rows(axes, [self.names[k] for k in order], np.asarray(self.positives)[order])
        axes.set(xlim=(-0.02, 1.02), xlabel="threshold (minimum probability for a prediction)")
        axes.set_xticks(np.linspace(0, 1, 6), [f"{tick:g}" for tick in np.linspace(0, 1, 6)])
        axes.grid(axis="x")
        if self._is_own_figure:
            axes.figure.legend(loc="outside upper right", ncols=3)
        else:
            axes.legend(loc="best")
