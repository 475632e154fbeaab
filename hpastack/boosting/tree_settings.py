"""Settings of the trees, the same for every library."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Any

from hpastack.settings import Field, settings

#: Takes a model and the number of a stage; returns whether it is to grow no more.
AtStage = Callable[[Any, int], bool]

# Whoever fits trees takes over these annotations, and the defaults below.
Rounds = Annotated[int, Field(ge=1, le=10_000, description="Most trees.")]
LearningRate = Annotated[float, Field(gt=0, le=10, description="Share of each tree that is added.")]
Leaves = Annotated[
    int,
    Field(
        ge=2,
        le=4096,
        description="Leaves per tree. Others than LightGBM get the depth for as many.",
    ),
]
MinLeaf = Annotated[
    int,
    Field(ge=1, le=10**9, description="Fewest fields per leaf (LightGBM alone)."),
]
L2 = Annotated[float, Field(ge=0, description="L2 regularisation of the leaf values.")]
ColumnShare = Annotated[
    float, Field(gt=0, le=1, description="Share of the columns offered to each tree.")
]
Monotone = Annotated[
    bool,
    Field(description="Never lower a label for more of its own predictions."),
]
ExtraTrees = Annotated[
    bool,
    Field(description="Draw one cut of each column at random instead of the best (LightGBM)."),
]


@settings
class TreeSettings:
    """What the libraries share; see `hpastack.stack.settings` for the other keys of a stack."""

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
    """Return the numbers of trees that are compared.

    Parameters
    ----------
    rounds, min_rounds : int
        Most and least.

    Returns
    -------
    list of int
        Ascending, each about twice the one before.

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
    """Say whether a model of some size is to grow no more; `at_stage` is asked at stages only."""
    return at_stage is not None and size in stages and at_stage(model, stages.index(size))


def monotone_constraints(n_monotone: int, n_columns: int) -> list[int]:
    """Return constraints for columns of which only the first must not lower a margin."""
    return [1] * n_monotone + [0] * (n_columns - n_monotone)
