"""Slow obvious versions for folds: dealing, the objective, and the best there can be."""

from fractions import Fraction
from itertools import combinations, product


def stratify_slowly(amounts, parts):
    """Deal groups to folds, rarest label first, one group and one comparison at a time.

    `amounts` has a row a group: positives of each label, then rows. Groups
    stand in the order that settles ties. Fold f is due parts[f] / sum(parts).
    """
    amounts = [[int(value) for value in row] for row in amounts]
    parts = [int(part) for part in parts]
    n_splits = len(parts)
    n_labels = len(amounts[0]) - 1
    total = [sum(row[c] for row in amounts) for c in range(n_labels + 1)]
    held = [[0] * (n_labels + 1) for _ in range(n_splits)]
    fold = [None] * len(amounts)

    def lack(f, column):
        return parts[f] * total[column] - sum(parts) * held[f][column]

    def place(group, column):
        chosen = max(
            range(n_splits),
            key=lambda f: (lack(f, column), lack(f, -1), (f + group) % n_splits),
        )
        fold[group] = chosen
        for c in range(n_labels + 1):
            held[chosen][c] += amounts[group][c]

    while True:
        left = {
            label: sum(row[label] for row, f in zip(amounts, fold) if f is None)
            for label in range(n_labels)
        }
        left = {label: count for label, count in left.items() if count}
        if not left:
            break
        rarest = min(left, key=lambda label: (left[label], label))
        waiting = [g for g in range(len(amounts)) if fold[g] is None and amounts[g][rarest]]
        for group in sorted(waiting, key=lambda g: (-amounts[g][rarest], -amounts[g][-1], g)):
            place(group, rarest)
    waiting = [g for g in range(len(amounts)) if fold[g] is None]
    for group in sorted(waiting, key=lambda g: (-amounts[g][-1], g)):
        place(group, -1)
    return fold


def objective_slowly(y, fold, parts, levels=(), weights=()):
    """Sum the weighted relative deviations over folds and columns, exactly.

    Columns: each label and the rows (weight 1), each level of `levels` (a
    sequence of a value a row; its weight), each pair of labels (a 64th)
    that at least len(parts) rows hold.
    """
    n_rows, n_labels = len(y), len(y[0])
    columns = [([int(row[label]) for row in y], Fraction(1)) for label in range(n_labels)]
    columns.append(([1] * n_rows, Fraction(1)))
    for values, weight in zip(levels, weights):
        for level in set(values):
            columns.append(([int(value == level) for value in values], Fraction(weight)))
    for one, other in combinations(range(n_labels), 2):
        both = [int(row[one]) * int(row[other]) for row in y]
        if sum(both) >= len(parts):
            columns.append((both, Fraction(1, 64)))
    cost = Fraction(0)
    for column, weight in columns:
        total = sum(column)
        for f, part in enumerate(parts):
            held = sum(value for value, own in zip(column, fold) if own == f)
            if total:
                cost += weight * abs(sum(parts) * held - part * total) / total
    return cost


def least_deviation_slowly(held, n_splits):
    """Try every assignment of groups to folds; give the least mean relative deviation."""
    total = sum(held)
    best = None
    for fold in product(range(n_splits), repeat=len(held)):
        counts = [sum(h for h, f in zip(held, fold) if f == number) for number in range(n_splits)]
        worst = Fraction(sum(abs(n_splits * count - total) for count in counts), n_splits * total)
        best = worst if best is None else min(best, worst)
    return best
