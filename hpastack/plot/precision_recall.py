"""Precision-recall curves with the operating points of the thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from hpastack.errors import InputError, counted
from hpastack.metrics import average_precisions, precision_recall
from hpastack.pictures._matplotlib import Axes
from hpastack.pictures.figures import FAINT, shortened
from hpastack.plot.display import STACK, START, Display, grid_of
from hpastack.plot.predictions import Annotated, Labels, as_labels
from hpastack.stack import StackClassifier

_N_COMMONEST = 8


@dataclass(frozen=True, eq=False)
class LabelCurve:
    """The precision-recall curve of one label.

    Parameters
    ----------
    recall, precision : ndarray of float
        From `hpastack.metrics.precision_recall`.
    average_precision : float
    n_positives : int
    prevalence : float
        Precision of predicting the label for every field.
    operating_point : (float, float) or None
        Recall and precision of the predicted labels; None without predicted labels.
    threshold : float or None
        The label is predicted at or above this probability; None if unknown.
    """

    recall: np.ndarray
    precision: np.ndarray
    average_precision: float
    n_positives: int
    prevalence: float
    operating_point: tuple[float, float] | None
    threshold: float | None


@dataclass(eq=False, repr=False)
class PrecisionRecallDisplay(Display):
    """Precision against recall, with a diamond at the operating point.

    The dashed line is the precision of predicting the label for every field.

    Parameters
    ----------
    curves : mapping of str to LabelCurve
        One panel each, by label.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib Axes, or ndarray of them

    Examples
    --------
    >>> import hpastack as hs
    >>> display = hs.plot.PrecisionRecallDisplay.from_predictions(
    ...     [1, 0, 1, 0], [0.9, 0.7, 0.6, 0.1], thresholds=0.5
    ... )
    >>> display.curves["0"].operating_point
    (1.0, 0.6666666666666666)
    """

    curves: Mapping[str, LabelCurve]

    @classmethod
    def from_predictions(
        cls,
        y: Any,
        probabilities: Any,
        *,
        thresholds: ArrayLike | None = None,
        labels: Any = None,
        label: Labels = None,
        names: Sequence[str] | None = None,
        ax: Any = None,
    ) -> Self:
        """Compute the curves of predictions and draw them.

        Parameters
        ----------
        y : DataFrame or array-like of {0, 1}, shape (n, n_labels) or (n,)
            Annotated labels.
        probabilities : DataFrame or array-like of float in [0, 1], the same shape
            Joined by id where both have ids.
        thresholds : float or array-like of float, shape (n_labels,), optional
            A label is predicted at or above its threshold.
        labels : DataFrame or array-like of {0, 1}, the same shape, optional
            Predicted labels, if the thresholds differ between fields.
        label : str, int or sequence of them, optional
            Labels to show, one panel each; if omitted, the eight commonest.
        names : sequence of str, optional
            Label names; if omitted, the columns of `y` or their numbers.
        ax : matplotlib Axes or sequence of Axes, optional
            As in `plot`.

        Returns
        -------
        PrecisionRecallDisplay

        Raises
        ------
        InputError
            If shapes, ids or values do not match, a label is unknown, or it has no
            positives.
        """
        annotated = Annotated.of(y, names)
        values = annotated.probabilities(probabilities)
        own = None
        if thresholds is not None:
            own = np.broadcast_to(np.asarray(thresholds, dtype=float), (values.shape[1],))
        if labels is not None:
            labels = as_labels(annotated.matching(labels, "labels"))
        elif own is not None:
            labels = (values >= own).astype(np.int8)
        return cls._of(annotated, values, labels, own, label, ax)

    @classmethod
    def from_stack(
        cls, stack: StackClassifier, y: Any, *, label: Labels = None, ax: Any = None
    ) -> Self:
        """Draw the curves of the out-of-fold probabilities of a fitted stack.

        The diamond is the operating point of the out-of-fold labels. Each fold has
        its own thresholds, so it need not lie on the curve; the number beside it is
        the threshold for new fields.

        Parameters
        ----------
        stack : StackClassifier
        y : DataFrame or array-like of {0, 1}, shape (n, n_labels)
            Annotated labels of its training fields. A DataFrame is joined by id
            and may contain further fields and labels.
        label, ax
            As in `from_predictions`.

        Returns
        -------
        PrecisionRecallDisplay

        Raises
        ------
        InputError
            As for `from_predictions`.
        """
        annotated = Annotated.of_stack(stack, y)
        values, labels = stack.oof_probabilities_.to_numpy(float), stack.oof_labels_.to_numpy()
        return cls._of(annotated, values, labels, stack.thresholds_, label, ax)

    @classmethod
    def _of(
        cls,
        annotated: Annotated,
        probabilities: np.ndarray,
        labels: np.ndarray | None,
        thresholds: np.ndarray | None,
        label: Labels,
        ax: Any,
    ) -> Self:
        chosen = annotated.chosen(label) or annotated.commonest(_N_COMMONEST)
        empty = [annotated.names[k] for k in chosen if not annotated.y[:, k].any()]
        if empty or not chosen:
            subject = f"label {empty[0]}" if empty else "y"
            raise InputError(f"{subject} has no positives; a precision-recall curve needs one")
        curves = {}
        for k in chosen:
            predicted = None if labels is None else labels[:, k]
            threshold = None if thresholds is None else float(thresholds[k])
            y = annotated.y[:, k].astype(int)
            curves[annotated.names[k]] = _curve(y, probabilities[:, k], predicted, threshold)
        return cls(curves).plot(ax=ax)

    def _grid(self) -> tuple[int, int]:
        return grid_of(len(self.curves), 4)

    def _size(self) -> tuple[float, float]:
        n_panels, n_columns = self._grid()
        n_rows = -(-n_panels // n_columns)
        return (5.2, 4.4) if n_panels == 1 else (2.6 * n_columns + 0.4, 2.7 * n_rows + 0.4)

    def _draw(self, panels: list[Axes]) -> None:
        n_panels, n_columns = self._grid()
        for number, (axes, (name, curve)) in enumerate(zip(panels, self.curves.items())):
            axes.plot(
                np.append(0, curve.recall), np.append(curve.precision[0], curve.precision),
                color=STACK, linewidth=1.8, drawstyle="steps-pre",
            )  # fmt: skip
            axes.axhline(curve.prevalence, color=FAINT, linewidth=1, linestyle="--")
            if curve.operating_point is not None:
                axes.plot(
                    *curve.operating_point, "D", markerfacecolor="white", markeredgecolor=START,
                    markeredgewidth=2, markersize=7, clip_on=False, zorder=4,
                )  # fmt: skip
                _write_threshold(axes, curve)
            axes.set(xlim=(0, 1.02), ylim=(0, 1.04))
            axes.set_title(
                f"{shortened(name, 30)}\n{counted(curve.n_positives, 'positive')}, "
                f"AP {curve.average_precision:.2f}"
            )
            for ticks in (axes.set_xticks, axes.set_yticks):
                ticks([0, 0.5, 1], ["0", "0.5", "1"])
            axes.grid()
            if number % n_columns == 0:
                axes.set_ylabel("precision")
            if number + n_columns >= n_panels:
                axes.set_xlabel("recall")


def _write_threshold(axes: Axes, curve: LabelCurve) -> None:
    if curve.threshold is None or curve.operating_point is None:
        return
    recall, precision = curve.operating_point
    # Placed to stay within the panel: to the left of points at the right, below points at the top.
    is_high, is_right = precision > 0.85, recall > 0.6
    axes.annotate(
        f"threshold {curve.threshold:.2f}",
        (recall, precision),
        xytext=(-8 if is_right else 8, -12 if is_high or is_right else 7),
        textcoords="offset points",
        ha="right" if is_right else "left",
        va="top" if is_high or is_right else "bottom",
        fontsize=8,
        bbox={
            "boxstyle": "round,pad=0.15",
            "facecolor": "white",
            "edgecolor": "none",
            "alpha": 0.8,
        },
        zorder=5,
    )


def _curve(
    y: np.ndarray, probabilities: np.ndarray, labels: np.ndarray | None, threshold: float | None
) -> LabelCurve:
    recall, precision = precision_recall(y, probabilities)
    point = None
    if labels is not None and labels.any():
        hits = float((y * labels).sum())
        point = hits / float(y.sum()), hits / float(labels.sum())
    average = float(average_precisions(y[:, None], probabilities[:, None])[0])
    return LabelCurve(recall, precision, average, int(y.sum()), float(y.mean()), point, threshold)
