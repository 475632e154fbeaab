"""Balance of labels over folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from numpy.typing import ArrayLike

from hpastack.folds import FoldReport, fold_report
from hpastack.folds.drawing import balance_size, draw_balance, explain_symbols
from hpastack.pictures._matplotlib import Axes
from hpastack.plot.display import Display
from hpastack.plot.predictions import Annotated
from hpastack.stack import StackClassifier


@dataclass(eq=False, repr=False)
class FoldBalanceDisplay(Display):
    """Deviation of each fold from an equal share of each label, the commonest label on top.

    Folds differ in colour and symbol. The band shows a deviation of one positive
    field, so a label with all symbols inside it can hardly be balanced better.

    Parameters
    ----------
    report : FoldReport
        From `hpastack.fold_report`.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib Axes

    Examples
    --------
    >>> import hpastack as hs
    >>> display = hs.plot.FoldBalanceDisplay.from_folds([[1], [1], [0], [1]], [0, 0, 1, 1])
    >>> display.ax_.get_xlabel()
    'positives in the fold, relative to an equal share'
    """

    report: FoldReport

    @classmethod
    def from_folds(
        cls,
        y: Any,
        folds: ArrayLike,
        *,
        groups: Any = None,
        names: Sequence[str] | None = None,
        ax: Any = None,
    ) -> Self:
        """Compute the balance of folds and draw it.

        Parameters
        ----------
        y, folds, groups, names
            As in `hpastack.fold_report`.
        ax : matplotlib Axes, optional

        Returns
        -------
        FoldBalanceDisplay

        Raises
        ------
        InputError
            As for `hpastack.fold_report`.
        """
        return cls(fold_report(y, folds, groups=groups, names=names)).plot(ax=ax)

    @classmethod
    def from_stack(
        cls, stack: StackClassifier, y: Any, *, groups: Any = None, ax: Any = None
    ) -> Self:
        """Draw the balance of the folds of a fitted stack.

        Parameters
        ----------
        stack : StackClassifier
        y : DataFrame or array-like of {0, 1}, shape (n, n_labels)
            Annotated labels of its training fields. A DataFrame is joined by id
            and may contain further fields and labels.
        groups : Series or array-like, shape (n,), optional
            Cluster of each training field, for the band.
        ax : matplotlib Axes, optional

        Returns
        -------
        FoldBalanceDisplay

        Raises
        ------
        InputError
            If `y` or `groups` do not match.
        """
        annotated = Annotated.of_stack(stack, y)
        clusters = None if groups is None else annotated.groups(groups)
        report = fold_report(annotated.y, stack.fold_, groups=clusters, names=annotated.names)
        return cls(report).plot(ax=ax)

    def _size(self) -> tuple[float, float]:
        return balance_size(self.report.labels)

    def _draw(self, panels: list[Axes]) -> None:
        draw_balance(panels[0], self.report.labels)
        explain_symbols(panels[0], below=self._is_own_figure)
