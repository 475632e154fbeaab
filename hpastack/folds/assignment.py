"""Greedy assignment of groups to folds, improved by tabu search."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy import sparse

from hpastack.folds.group_counts import GroupCounts

# Columns that occur in few groups are balanced first: those in up to this many groups in the
# first round, in up to twice as many in each further round.
_FIRST_ROUND = 30
_ROUNDS = 6
# Largest number of moves in a round, in the last round, and without a new optimum. More moves
# improved the objective by less than 1 % on the fields of HPA v18 and of the competition.
_MOVES = 1500
_LAST_MOVES = 3000
_PATIENCE = 600
# A group that was moved is not moved again for this many moves.
_TENURE = 30
# Nonzero counts searched at a time; where there are more, the kinds of groups are searched in turn.
_WINDOW = 8000

_NEVER = np.int64(1 << 61)


def assign_rarest_first(kinds: sparse.csr_array, kind: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Assign groups to folds greedily, rarest column first; the slow version is in tests/reference.

    `kinds` (n_kinds, n_columns) is the count of each column in a group of each
    kind, the number of rows in the last column; `kind` (n_groups,) is the kind
    of each group, in the order that breaks ties. The target share of fold `f`
    is ``parts[f] / parts.sum()`` of each column.
    """
    n_folds = len(parts)
    by_column = sparse.csc_array(kinds)
    steps = kinds.data * parts.sum()
    n_open = np.bincount(kind, minlength=kinds.shape[0])  # unassigned groups of each kind
    need = parts[:, None] * (kinds.T @ n_open)  # parts.sum() times what each fold lacks
    sizes = by_column[:, [-1]].toarray().ravel()
    fold = np.full(len(kind), -1, dtype=np.int64)
    while n_open.any():
        unassigned = (kinds.T @ n_open)[:-1]
        rarest = (
            int(np.where(unassigned > 0, unassigned, np.iinfo(np.int64).max).argmin())
            if unassigned.any()
            else -1
        )
        amount = by_column[:, [rarest]].toarray().ravel()
        open_groups = np.flatnonzero((fold < 0) & (amount > 0)[kind])
        # A stable sort: tied groups stay in their seeded order.
        members = kind[open_groups]
        order = np.lexsort((-sizes[members], -amount[members]))
        for group in open_groups[order].tolist():
            lack, rows = need[:, rarest].tolist(), need[:, -1].tolist()
            chosen = max(range(n_folds), key=lambda f: (lack[f], rows[f], (f + group) % n_folds))  # noqa: B023
            part = slice(kinds.indptr[kind[group]], kinds.indptr[kind[group] + 1])
            need[chosen, kinds.indices[part]] -= steps[part]
            fold[group] = chosen
        n_open[members] = 0
    return fold


def assign(counts: GroupCounts, parts: np.ndarray) -> np.ndarray:
    """Return the fold of each group: greedy assignment, then tabu search; no fold is empty."""
    kinds, kind = counts.kinds, counts.kind
    sizes = kinds[:, [counts.n_labels]].toarray().ravel()
    fold = _fill(initial_folds(counts, parts), sizes[kind], len(parts))
    held = np.zeros((kinds.shape[0], len(parts)), dtype=np.int64)
    np.add.at(held, (kind, fold), 1)
    held = _improve(counts, held, parts)
    # Groups of a kind are interchangeable: they are assigned to folds in their seeded order.
    order = np.argsort(kind, kind="stable")
    result = np.empty_like(fold)
    result[order] = np.repeat(np.tile(np.arange(len(parts)), len(held)), held.ravel())
    return result


def initial_folds(counts: GroupCounts, parts: np.ndarray) -> np.ndarray:
    """Assign groups greedily by labels and pairs, without the levels to balance."""
    rows, n_columns = counts.n_labels, counts.kinds.shape[1]
    columns = [*range(rows), *range(counts.n_first, n_columns), rows]
    return assign_rarest_first(sparse.csr_array(counts.kinds[:, columns]), counts.kind, parts)


def _fill(fold: np.ndarray, sizes: np.ndarray, n_folds: int) -> np.ndarray:
    """Move the smallest group of the fold with most groups to each empty fold."""
    for empty in np.flatnonzero(np.bincount(fold, minlength=n_folds) == 0).tolist():
        source = int(np.bincount(fold, minlength=n_folds).argmax())
        members = np.flatnonzero(fold == source)
        fold[members[sizes[members].argmin()]] = empty
    return fold


def _improve(counts: GroupCounts, held: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Move groups between folds to lower the weighted sum of relative deviations.

    Tabu search in rounds. Moving one of the few groups with a rare label
    changes the objective by much more than a common label can gain, so the
    first rounds use only columns that occur in few groups, and each further
    round adds more columns. Pairs of labels are added in the last round.
    """
    kinds = counts.kinds
    totals = kinds.T @ held.sum(1)
    used = np.flatnonzero(totals > 0)
    weights = _integer_weights([counts.weights[c] for c in used], totals[used], parts)
    kinds = sparse.csr_array(kinds[:, used])
    n_first = int((used < counts.n_first).sum())
    n_groups_with = (kinds > 0).astype(np.int64).T @ held.sum(1)

    def cost(held: np.ndarray) -> int:
        return int((np.abs(_excess(kinds, held, parts)) @ weights).sum())

    best = held
    done = 0
    for limit in [_FIRST_ROUND << number for number in range(_ROUNDS)] + [len(counts.kind)]:
        columns = np.flatnonzero(n_groups_with[:n_first] <= limit)
        if len(columns) > done:
            done = len(columns)
            held = _round(kinds, held, parts, columns, weights, _MOVES)
    if kinds.shape[1] > n_first:
        held = _round(kinds, held, parts, np.arange(kinds.shape[1]), weights, _LAST_MOVES)
    # A round may worsen columns that it does not use: keep the start if the total is not lower.
    return held if cost(held) <= cost(best) else best


def _integer_weights(weights: list[Fraction], totals: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Return weight / total as integers, as fine as 64 bits allow for the sum over all columns."""
    # The deviations of a column sum to at most 2 * parts.sum() * total.
    most = 2 * int(parts.sum()) * sum(weights, Fraction(1))
    bits = 60 - int(most).bit_length()
    fine = [max(int(w * (1 << bits) / int(total)), 1) for w, total in zip(weights, totals)]
    return np.array(fine, dtype=np.int64)


def _excess(kinds: sparse.csr_array, held: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Return parts.sum() times the excess of each column in each fold."""
    counts = (kinds.T @ held).T
    return counts * parts.sum() - parts[:, None] * counts.sum(0)


def _least(totals: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Return the least sum of |excess| that whole rows allow, for each column."""
    whole = int(parts.sum())
    remainder = np.sort(parts[:, None] * totals % whole, axis=0)[::-1]
    rounded_up = np.arange(len(parts))[:, None] < remainder.sum(0) // whole
    return np.where(rounded_up, whole - remainder, remainder).sum(0)


def _round(
    kinds: sparse.csr_array,
    held: np.ndarray,
    parts: np.ndarray,
    columns: np.ndarray,
    weights: np.ndarray,
    n_moves: int,
) -> np.ndarray:
    """Search with some of the columns; where there are many kinds, they are searched in windows."""
    used_kinds = sparse.csr_array(kinds[:, columns])
    touched = np.flatnonzero(np.diff(used_kinds.indptr))
    ends = np.cumsum(np.diff(used_kinds.indptr)[touched])
    n_windows = -(-int(ends[-1]) // _WINDOW)
    held = held.copy()
    excess = _excess(used_kinds, held, parts)
    least = int(_least(used_kinds.T @ held.sum(1), parts) @ weights[columns])
    for number in range(n_windows):
        members = touched[(ends - 1) * n_windows // ends[-1] == number]
        if len(members):
            walk = _Walk(
                sparse.csr_array(used_kinds[members]),
                held,
                members,
                excess,
                weights[columns],
                parts,
            )
            walk.run(-(-n_moves // n_windows), least)
    return held


class _Walk:
    """Tabu search: the best move of a group each time, even uphill, except to undo a recent one.

    Changes `held` (n_kinds, n_folds) and `excess` (n_folds, n_columns) in place.
    """

    def __init__(
        self,
        kinds: sparse.csr_array,
        held: np.ndarray,
        members: np.ndarray,
        excess: np.ndarray,
        weights: np.ndarray,
        parts: np.ndarray,
    ) -> None:
        self.held, self.members, self.excess = held, members, excess
        self.columns, self.starts = kinds.indices, kinds.indptr
        self.steps = kinds.data * parts.sum()
        self.amount_weights = weights[kinds.indices]
        self.weights = weights
        self.present = held[members].T.copy()  # (n_folds, n_members)
        self.n_groups = held.sum(0)
        # Change of the cost when a group of a kind leaves or enters a fold.
        self.leave = np.empty(self.present.shape, dtype=np.int64)
        self.enter = np.empty_like(self.leave)
        for fold in range(len(parts)):
            self._price(fold)

    def _price(self, fold: int) -> None:
        excess = self.excess[fold][self.columns]
        now = np.abs(excess)
        for prices, moved in (
            (self.leave, excess - self.steps),
            (self.enter, excess + self.steps),
        ):
            change = self.amount_weights * (np.abs(moved) - now)
            prices[fold] = np.add.reduceat(change, self.starts[:-1])

    def _move(self, member: int, source: int, target: int) -> None:
        part = slice(self.starts[member], self.starts[member + 1])
        for fold, sign in ((source, -1), (target, 1)):
            self.excess[fold, self.columns[part]] += sign * self.steps[part]
            self.present[fold, member] += sign
            self.held[self.members[member], fold] += sign
            self.n_groups[fold] += sign
            self._price(fold)

    def _best_move(self, may_leave: np.ndarray) -> tuple[int, int, int, int]:
        members = np.arange(self.enter.shape[1])
        target = self.enter.argmin(0)
        others = self.enter.copy()
        others[target, members] = _NEVER
        second = others.argmin(0)
        change = self.leave + self.enter[target, members]
        change[target, members] = self.leave[target, members] + others[second, members]
        change[~may_leave] = _NEVER
        source, member = divmod(int(change.argmin()), len(members))
        to = int(second[member] if target[member] == source else target[member])
        return member, source, to, int(change[source, member])

    def run(self, n_moves: int, least: int) -> None:
        """Make up to `n_moves` moves, then return to the best state visited."""
        cost = best = int((np.abs(self.excess) @ self.weights).sum())
        moves: list[tuple[int, int, int]] = []
        n_kept = 0
        n_groups = int(self.present.sum())
        n_moves = min(n_moves, 20 * n_groups)
        tenure = min(_TENURE, int(np.count_nonzero(self.present)) // 4)
        free_at = np.zeros(self.present.shape, dtype=np.int64)
        while best > least and len(moves) < min(n_moves, n_kept + _PATIENCE):
            may_leave = (self.present > 0) & (free_at <= len(moves))
            may_leave[self.n_groups == 1] = False
            if not may_leave.any():
                break
            member, source, target, change = self._best_move(may_leave)
            self._move(member, source, target)
            cost += change
            moves.append((member, source, target))
            free_at[target, member] = len(moves) + tenure
            if cost < best:
                best, n_kept = cost, len(moves)
        for member, source, target in reversed(moves[n_kept:]):
            self._move(member, target, source)
