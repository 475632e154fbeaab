"""Scores of each label for one or more systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from hpastack.errors import InputError
from hpastack.metrics import average_precisions, cluster_bootstrap, f1_scores
from hpastack.pictures._matplotlib import Axes
from hpastack.pictures.figures import INK
from hpastack.plot.display import STACK, START, Display, from_rare_to_common, name_rows
from hpastack.plot.predictions import Annotated, as_labels
from hpastack.stack import StackClassifier

_TITLES = {"f1": "F1", "ap": "average precision"}
# The last system is emphasised. Systems differ in shape as well as in colour.
_LAST = (STACK, "o")
_OTHERS = ((START, "D"), ("#009E73", "^"), ("#CC79A7", "s"), (INK, "X"), ("#56B4E9", "v"))


@dataclass(eq=False, repr=False)
class LabelScoresDisplay(Display):
    """Scores of each label for several systems, the commonest label on top.

    The bar is the 95 % interval of the last system, from a bootstrap over groups.

    Parameters
    ----------
    names : sequence of str
        Label names.
    positives : ndarray of int, shape (n_labels,)
    scores : mapping of str to ndarray of float, shape (n_labels,)
        Scores by system; NaN where the score is undefined.
    interval : ndarray of float, shape (2, n_labels), or None
        Lower and upper ends of the interval of the last system.
    score : {"f1", "ap"}, default="f1"
        The score: F1 or average precision.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib Axes

    Examples
    --------
    >>> import hpastack as hs
    >>> y = [[1, 0], [0, 1], [1, 1]]
    >>> systems = {"first": [[1, 0], [0, 0], [0, 1]], "second": y}
    >>> display = hs.plot.LabelScoresDisplay.from_predictions(y, systems, n_draws=5)
    >>> display.scores["second"].tolist()
    [1.0, 1.0]
    """

    names: Sequence[str]
    positives: np.ndarray
    scores: Mapping[str, np.ndarray]
    interval: np.ndarray | None = None
    score: str = "f1"

    @classmethod
    def from_predictions(
        cls,
        y: Any,
        systems: Mapping[str, Any],
        *,
        score: str = "f1",
        groups: Any = None,
        names: Sequence[str] | None = None,
        n_draws: int = 200,
        random_state: int = 0,
        ax: Any = None,
    ) -> Self:
        """Compute the scores of one or more systems and draw them.

        Parameters
        ----------
        y : DataFrame or array-like of {0, 1}, shape (n, n_labels)
            Annotated labels.
        systems : mapping of str to DataFrame or array-like, the same shape
            Predicted labels (0 or 1) for ``score="f1"``, probabilities for
            ``score="ap"``. Intervals are computed for the last system.
        score : {"f1", "ap"}, default="f1"
            F1 or average precision.
        groups : Series or array-like, shape (n,), optional
            Cluster of each field; default: each field is its own cluster.
        names : sequence of str, optional
            Label names; if omitted, the columns of `y` or their numbers.
        n_draws : int, default=200
            Bootstrap samples for the intervals; 0 for no intervals.
        random_state : int, default=0
        ax : matplotlib Axes, optional

        Returns
        -------
        LabelScoresDisplay

        Raises
        ------
        InputError
            If there is no system or more than six, the score is unknown, or shapes,
            ids or values do not match.
        """
        _check_score(score)
        if not 1 <= len(systems) <= 1 + len(_OTHERS):
            raise InputError(f"systems has length {len(systems)}; pass 1 to {1 + len(_OTHERS)}")
        annotated = Annotated.of(y, names)
        predicted = {name: _checked(annotated, values, score) for name, values in systems.items()}
        scores = {name: _scores(annotated.y, values, score) for name, values in predicted.items()}
        interval = None
        if n_draws:
            last = list(predicted.values())[-1]
            interval = _interval(
                annotated.y, last, score, annotated.groups(groups), n_draws, random_state
            )
        positives = annotated.y.sum(axis=0, dtype=int)
        return cls(annotated.names, positives, scores, interval, score).plot(ax=ax)

    @classmethod
    def from_stack(
        cls,
        stack: StackClassifier,
        y: Any = None,
        *,
        score: str = "f1",
        groups: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw the out-of-fold scores of a fitted stack and of the consensus or prior.

        Parameters
        ----------
        stack : StackClassifier
        y : DataFrame or array-like of {0, 1}, shape (n, n_labels), optional
            Annotated labels of its training fields, for intervals; default: no
            intervals.
        score : {"f1", "ap"}, default="f1"
            F1 or average precision.
        groups : Series or array-like, shape (n,), optional
            Cluster of each training field; default: each field is its own cluster.
        ax : matplotlib Axes, optional

        Returns
        -------
        LabelScoresDisplay

        Raises
        ------
        InputError
            If the score is unknown, or `y` or `groups` do not match.
        """
        _check_score(score)
        table, interval = stack.label_table_, None
        start = "consensus" if f"consensus_{score}" in table else "prior"
        scores = {name: table[f"{name}_{score}"].to_numpy(float) for name in (start, "stack")}
        if y is not None:
            annotated = Annotated.of_stack(stack, y)
            predicted = stack.oof_labels_ if score == "f1" else stack.oof_probabilities_
            interval = _interval(
                annotated.y, predicted.to_numpy(), score, annotated.groups(groups),
                stack.n_bootstrap or 200, stack.seed_,
            )  # fmt: skip
        positives = table["positives"].to_numpy(int)
        return cls(list(table.index), positives, scores, interval, score).plot(ax=ax)

    def _size(self) -> tuple[float, float]:
        return 8.5, 0.27 * len(self.names) + 1.3

    def _draw(self, panels: list[Axes]) -> None:
        (axes,) = panels
        order = from_rare_to_common(np.asarray(self.positives))
        rows = np.arange(len(order))
        *others, last = self.scores
        if self.interval is not None:
            low, high = np.asarray(self.interval)[:, order]
            axes.hlines(rows, low, high, color=STACK, alpha=0.3, linewidth=5,
                        label=f"95 % interval of {last}")  # fmt: skip
        for name, (colour, marker) in zip(others, _OTHERS):
            axes.plot(
                np.asarray(self.scores[name])[order], rows, marker, markerfacecolor="white",
                markeredgecolor=colour, markeredgewidth=1.8, markersize=6, label=name,
            )  # fmt: skip
        colour, marker = _LAST
        axes.plot(np.asarray(self.scores[last])[order], rows, marker, color=colour, label=last)
        name_rows(axes, [self.names[k] for k in order], np.asarray(self.positives)[order])
        axes.set(xlim=(-0.02, 1.02), xlabel=_TITLES[self.score])
        axes.set_xticks(np.linspace(0, 1, 6), [f"{tick:g}" for tick in np.linspace(0, 1, 6)])
        axes.grid(axis="x")
        if self._is_own_figure:
            axes.figure.legend(loc="outside upper right", ncols=3)
        else:
            axes.legend(loc="best")


def _check_score(score: str) -> None:
    if score not in _TITLES:
        raise InputError(f"unknown score {score!r}; choose from {', '.join(_TITLES)}")


def _checked(annotated: Annotated, values: Any, score: str) -> np.ndarray:
    if score == "f1":
        return as_labels(annotated.matching(values, "labels"))
    return annotated.probabilities(values)


def _scores(
    y: np.ndarray, predicted: np.ndarray, score: str, weights: np.ndarray | None = None
) -> np.ndarray:
    function = f1_scores if score == "f1" else average_precisions
    return function(y, predicted, weights)


def _interval(
    y: np.ndarray, predicted: np.ndarray, score: str, groups: np.ndarray, n_draws: int, seed: int
) -> np.ndarray:
    low_and_high = cluster_bootstrap(
        lambda weights: _scores(y, predicted, score, weights),
        groups,
        n_draws=n_draws,
        seed=seed,
        all_at_once=True,
    )
    return np.clip(np.asarray(low_and_high), 0, 1)
