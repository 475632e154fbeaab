"""Settings of the trees, the same for every library."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class TreeSettings:
    """What the two libraries share.

    Parameters
    ----------
    rounds : int
        Most trees.
    learning_rate : float
    leaves : int
        Leaves a tree; XGBoost gets the depth that holds as many.
    min_leaf : int
        Fields a leaf (LightGBM), or the least sum of Hessians (both: 1).
    l2 : float
        Pull of leaf values towards 0.
    column_share : float
        Share of the columns offered to each tree.
    monotone : bool
        Whether more of a label's own predictions may never lower its log-odds.
    bins : int
        Histogram bins a column.
    """

    rounds: int = 60
    learning_rate: float = 0.2
    leaves: int = 7
    min_leaf: int = 20
    l2: float = 20.0
    column_share: float = 0.8
    monotone: bool = False
    bins: int = 63

    def record(self) -> dict:
        """Return the settings as a dict."""
        return asdict(self)


def monotone_constraints(n_monotone: int, n_columns: int) -> list[int]:
    """Return constraints for columns of which only the first must not lower a margin."""
    return [1] * n_monotone + [0] * (n_columns - n_monotone)
