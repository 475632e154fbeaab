"""Lower bounds on the deviation of folds of whole groups from equal shares of a label."""

from __future__ import annotations

import numpy as np

# Larger units are rare, and the search for the best counts takes longer with them.
_MAX_UNIT = 16
_MAX_FOLDS = 10


def least_deviation(held: np.ndarray, n_splits: int) -> float:
    """Lower bound on the relative deviation of folds from an equal share of a label.

    The counts of a label in the folds are whole numbers. If the counts of all
    groups but `m` are multiples of some `g`, the counts of at most `m` folds
    are not multiples of `g`. One fold contains the whole of the largest group,
    and the label is in no more folds than groups. The largest of these bounds
    is returned.

    Parameters
    ----------
    held : ndarray of int, shape (n_groups,)
        Positives of the label in each group.
    n_splits : int

    Returns
    -------
    float
        Least relative deviation, as defined in `fold_report`; NaN for a label
        without positives. Other labels are not considered, and even for this
        label alone the bound may be out of reach: it is not the optimum.

    Examples
    --------
    Three wells of two fields each cannot be split into two folds of three fields:

    >>> least_deviation(np.array([2, 2, 2]), 2)
    0.3333333333333333
    """
    held = held[held > 0]
    total = int(held.sum())
    if total == 0:
        return float("nan")
    bounds = [2 * (n_splits * int(held.max()) - total), 2 * (n_splits - len(held)) * total]
    # With many folds the search takes too long for what larger units could add.
    largest = min(int(held.max()), _MAX_UNIT) if n_splits <= _MAX_FOLDS else 1
    for unit in range(1, largest + 1):
        n_odd = int((held % unit > 0).sum())
        if unit == 1 or n_odd < n_splits:
            bounds.append(_least_in_units(total, n_splits, unit, n_odd))
    return max(bounds) / (n_splits * total)


def _least_in_units(total: int, n_splits: int, unit: int, n_odd: int) -> int:
    """Minimise the sum of ``|n_splits * count - total|`` with all but `n_odd` counts in units."""
    # Counts farther from the share could exchange a unit without increasing the sum.
    share = total // n_splits
    counts = range(max(0, share - unit), share + unit + 2)
    least = {(0, 0): 0}  # (number of counts that are not multiples, sum of counts): least sum
    for _ in range(n_splits):
        longer: dict[tuple[int, int], int] = {}
        for (odd, filled), so_far in least.items():
            for count in counts:
                key = (odd + (count % unit > 0), filled + count)
                if key[0] > n_odd or key[1] > total:
                    continue
                value = so_far + abs(n_splits * count - total)
                if value < longer.get(key, value + 1):
                    longer[key] = value
        least = longer

    # An entry exists: the units are those of the data, so their counts can sum to the total.
    return min(value for (_, filled), value in least.items() if filled == total)
