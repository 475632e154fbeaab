"""Counts of each column to balance in each group, and weights of the columns."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy import sparse

#: Weight of a pair of labels relative to a label: see the measurements on the page "Method".
PAIR_WEIGHT = Fraction(1, 64)

# The most frequent pairs suffice; hundreds of labels would have tens of thousands of pairs.
_MAX_PAIRS = 1000


@dataclass(frozen=True)
class GroupCounts:
    """Counts of labels, levels and pairs of labels in each group.

    Attributes
    ----------
    kinds : csr_array of int64, shape (n_kinds, n_columns)
        Counts in a group of each kind. The columns: rows with each label, all
        rows, rows in each level to balance, rows with each pair of labels.
        Groups with the same rows are of the same kind and interchangeable.
    kind : ndarray of int64, shape (n_groups,)
        Kind of each group. Kinds are numbered in the order of the groups.
    n_labels : int
    n_first : int
        Number of columns that are not pairs; these come first.
    weights : list of Fraction, length n_columns
        Weight of the relative deviation of each column in the objective.
    """

    kinds: sparse.csr_array
    kind: np.ndarray
    n_labels: int
    n_first: int
    weights: list[Fraction]


def group_counts(
    indicator: np.ndarray,
    codes: np.ndarray,
    n_groups: int,
    levels: list[tuple[np.ndarray, float]],
    least_pair: int,
) -> GroupCounts:
    """Count rows by group; pairs of labels are counted if at least `least_pair` rows have both."""
    types, first = _row_types(indicator, levels)
    columns, weights = _type_columns(indicator, types, first, levels)
    n_first = columns.shape[1]
    pairs = _type_pairs(indicator[first], np.bincount(types), least_pair)
    columns = sparse.hstack([columns, pairs], format="csr")
    weights = weights + [PAIR_WEIGHT] * pairs.shape[1]

    order = np.lexsort((types, codes))
    types, codes = types[order], codes[order]
    starts = np.searchsorted(codes, np.arange(n_groups + 1)).tolist()
    number: dict[bytes, int] = {}
    kind = np.empty(n_groups, dtype=np.int64)
    shown_by = []  # the first group of each kind
    for group in range(n_groups):
        key = types[starts[group] : starts[group + 1]].tobytes()
        if key not in number:
            number[key] = len(number)
            shown_by.append(group)
        kind[group] = number[key]
    shown = np.isin(codes, shown_by)
    counts = sparse.csr_array(
        (np.ones(shown.sum(), dtype=np.int64), (kind[codes[shown]], types[shown])),
        shape=(len(number), columns.shape[0]),
    )
    kinds = sparse.csr_array(counts @ columns)
    kinds.sort_indices()
    return GroupCounts(kinds, kind, indicator.shape[1], n_first, weights)


def _row_types(
    indicator: np.ndarray, levels: list[tuple[np.ndarray, float]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the type of each row (equal rows have the same type) and the first row of each."""
    # With a column of ones, so that there is a byte to compare even without labels.
    packed = np.packbits(np.c_[np.ones(len(indicator), dtype=np.uint8), indicator], axis=1)
    types = np.unique(packed.view(f"V{packed.shape[1]}").ravel(), return_inverse=True)[1].ravel()
    for codes, _ in levels:
        types = np.unique(types * (codes.max() + 1) + codes, return_inverse=True)[1].ravel()
    first = np.unique(types, return_index=True)[1]
    return types.astype(np.int64), first


def _type_columns(
    indicator: np.ndarray,
    types: np.ndarray,
    first: np.ndarray,
    levels: list[tuple[np.ndarray, float]],
) -> tuple[sparse.csr_array, list[Fraction]]:
    labels = sparse.csr_array(indicator[first].astype(np.int64))
    blocks = [labels, sparse.csr_array(np.ones((len(first), 1), dtype=np.int64))]
    weights = [Fraction(1)] * (indicator.shape[1] + 1)
    for codes, weight in levels:
        n_levels = int(codes.max()) + 1
        ones = np.ones(len(first), dtype=np.int64)
        blocks.append(
            sparse.csr_array(
                (ones, (np.arange(len(first)), codes[first])), shape=(len(first), n_levels)
            )
        )
        weights += [Fraction(weight)] * n_levels
    return sparse.csr_array(sparse.hstack(blocks, format="csr")), weights


def _type_pairs(labels: np.ndarray, counts: np.ndarray, least: int) -> sparse.csr_array:
    """Return the indicator of the frequent pairs of labels in each type of row."""
    indicator = sparse.csr_array(labels.astype(np.int64))
    together = sparse.coo_array(
        sparse.triu(indicator.T @ sparse.csr_array(indicator * counts[:, None]), k=1)
    )
    often = together.data >= least
    first, second, count = together.row[often], together.col[often], together.data[often]
    kept = np.lexsort((second, first, -count))[:_MAX_PAIRS]
    by_label = sparse.csc_array(indicator)
    return sparse.csr_array(by_label[:, first[kept]].multiply(by_label[:, second[kept]]))
