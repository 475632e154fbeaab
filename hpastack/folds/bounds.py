"""How evenly whole groups can be spread at best, label by label."""

from __future__ import annotations

import numpy as np

# Larger units are rare, and the search for the best counts grows with them.
_MAX_UNIT = 16
_MAX_FOLDS = 10


def least_deviation(held: np.ndarray, n_splits: int) -> float:
    """Bound from below how far the folds must be from an equal share of a label.

    The counts of a label in the folds are whole numbers. If all groups but
    `m` hold multiples of some `g`, at most `m` folds can hold anything but a
    multiple of `g`. One fold takes the largest group whole, and no more folds
    than groups hold the label at all. The largest of these bounds is given.

    Parameters
    ----------
    held : ndarray of int, shape (n_groups,)
        Positives of the label in each group.
    n_splits : int

    Returns
    -------
    float
        Least relative deviation, as `fold_report` measures it; NaN for a label
        without positives. Other labels are not looked at, and a label's own
        groups may not allow this much either: it is a bound, not the optimum.

    Examples
    --------
    Three wells of two fields cannot fill two folds with three each:

    >>> least_deviation(np.array([2, 2, 2]), 2)
    0.3333333333333333
    """
    held = held[held > 0]
    total = int(held.sum())
    if total == 0:
        return float("nan")
    bounds = [2 * (n_splits * int(held.max()) - total), 2 * (n_splits - len(held)) * total]
    # With many folds the search grows too large for what larger units could add.
    largest = min(int(held.max()), _MAX_UNIT) if n_splits <= _MAX_FOLDS else 1
    for unit in range(1, largest + 1):
        n_odd = int((held % unit > 0).sum())
        if unit == 1 or n_odd < n_splits:
            bounds.append(_least_in_units(total, n_splits, unit, n_odd))
    return max(bounds) / (n_splits * total)


def _least_in_units(total: int, n_splits: int, unit: int, n_odd: int) -> int:
    """Minimise the sum of ``|n_splits * count - total|`` with all but `n_odd` counts in units."""
    # Counts further off could hand a unit to each other and would be no worse for it.
    share = total // n_splits
    counts = range(max(0, share - unit), share + unit + 2)
    least = {(0, 0): 0}  # (counts that are no multiple, their sum so far): least so far
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

    # No entry: the units do not fit the total, which the data they come from rules out.
    return min(value for (_, filled), value in least.items() if filled == total)
