"""Iterative stratification of groups, one group and one comparison at a time."""


def stratify_slowly(amounts, n_splits):
    """Deal groups to folds, rarest label first.

    `amounts` has a row a group: positives of each label, then rows. Groups
    stand in the order that settles ties.
    """
    amounts = [[int(value) for value in row] for row in amounts]
    n_labels = len(amounts[0]) - 1
    total = [sum(row[c] for row in amounts) for c in range(n_labels + 1)]
    held = [[0] * (n_labels + 1) for _ in range(n_splits)]
    fold = [None] * len(amounts)

    def lack(f, column):
        return total[column] - n_splits * held[f][column]

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
