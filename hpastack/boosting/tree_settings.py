"""Settings of the trees, common to all libraries."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Any

from hpastack.settings import Field, settings

#: Called with a model and the number of a stage; returns whether to stop fitting.
AtStage = Callable[[Any, int], bool]

# Settings of other models that fit trees reuse these annotations and the defaults below.
Rounds = Annotated[int, Field(ge=1, le=10_000, description="Maximum number of trees.")]
LearningRate = Annotated[float, Field(gt=0, le=10, description="Shrinkage factor of each tree.")]
Leaves = Annotated[
    int,
    Field(
        ge=2,
        le=4096,
        description="Leaves per tree. Libraries other than LightGBM use the matching depth.",
    ),
]
MinLeaf = Annotated[
    int,
    Field(ge=1, le=10**9, description="Minimum number of fields per leaf (LightGBM only)."),
]
L2 = Annotated[float, Field(ge=0, description="L2 regularisation of the leaf values.")]
ColumnShare = Annotated[
    float, Field(gt=0, le=1, description="Share of the columns sampled for each tree.")
]
Monotone = Annotated[
    bool,
    Field(description="Make the log-odds of a label non-decreasing in its own predictions."),
]
ExtraTrees = Annotated[
    bool,
    Field(description="Try one random threshold per column, not the best (LightGBM only)."),
]


@settings
class TreeSettings:
    """Settings common to all libraries; see `hpastack.stack.settings` for a stack's other keys."""

    rounds: Rounds = 60
    learning_rate: LearningRate = 0.2
    leaves: Leaves = 7
    min_leaf: MinLeaf = 20
    l2: L2 = 20.0
    column_share: ColumnShare = 0.8
    monotone: Monotone = False
    extra_trees: ExtraTrees = False
    bins: Annotated[int, Field(ge=2, le=4096)] = 63
    """Histogram bins per column."""

    def record(self) -> dict[str, Any]:
        """Return the settings as a dict."""
        return asdict(self)


def doubled_rounds(rounds: int, min_rounds: int) -> list[int]:
    """Return the numbers of trees to compare.

    Parameters
    ----------
    rounds, min_rounds : int
        Largest and smallest number of trees.

    Returns
    -------
    list of int
        Ascending, each about twice the previous one.

    Examples
    --------
    >>> doubled_rounds(320, 10)
    [10, 20, 40, 80, 160, 320]
    >>> doubled_rounds(5, 20)
    [5]
    """
    least = min(rounds, min_rounds)
    n_stages = 1 + round(math.log2(rounds / least))
    return [round(least * (rounds / least) ** (k / max(1, n_stages - 1))) for k in range(n_stages)]


def grown_enough(at_stage: AtStage | None, model: Any, size: int, stages: Sequence[int]) -> bool:
    """Return whether to stop fitting; `at_stage` is called only if `size` is one of `stages`."""
    return at_stage is not None and size in stages and at_stage(model, stages.index(size))


def monotone_constraints(n_monotone: int, n_columns: int) -> list[int]:
    """Return constraints: the first `n_monotone` columns must not lower the margin."""
    return [1] * n_monotone + [0] * (n_columns - n_monotone)
