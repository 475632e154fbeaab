"""Exact search for all pairs of bit strings within a Hamming distance."""

from __future__ import annotations

import numpy as np

from hpastack.errors import InputError
from hpastack.parallel import cpu_budget

# Rows of a block, which is compared with all rows that follow: its codes stay in the cache.
_BLOCK = 4096
# With more, the bit strings carry no information: 77 pairs per field for 130,000 fields.
_MOST_PAIRS = 10_000_000


def near_pairs(
    first: np.ndarray, second: np.ndarray, max_distance: int, *, jobs: int | None = None
) -> np.ndarray:
    """Find all pairs of rows (i, j), i < j, where ``first[i]`` is close to ``second[j]``.

    Parameters
    ----------
    first, second : ndarray of uint8, shape (n, n_bytes)
    max_distance : int
        Largest number of bits that may differ.
    jobs : int, optional
        Number of threads. Default: one for each processor that this process may use.

    Returns
    -------
    ndarray of int64, shape (n_pairs, 2)
        Sorted.

    Raises
    ------
    InputError
        If there are more than ten million pairs.

    Notes
    -----
    Every pair is compared, by population count in faiss' flat binary index.
    """
    first, second = np.ascontiguousarray(first), np.ascontiguousarray(second)
    # Imported here, because every command that reads recipes imports this module.
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(jobs or cpu_budget())
    blocks, n_pairs = [np.empty((0, 2), dtype=np.int64)], 0
    try:
        for start in range(0, len(first), _BLOCK):
            index = faiss.IndexBinaryFlat(8 * first.shape[1])
            index.add(first[start : start + _BLOCK])
            # Only the rows that follow: each pair is compared once. In blocks, so that the
            # error below is raised before memory runs out even if all rows are close.
            for other in range(start, len(second), _BLOCK):
                part = second[other : other + _BLOCK]
                # The radius is exclusive.
                limits, _, rows = index.range_search(part, max_distance + 1)
                limits = limits.astype(np.int64)
                columns = np.repeat(np.arange(other, other + len(part)), limits[1:] - limits[:-1])
                rows = rows.astype(np.int64) + start
                kept = rows < columns
                blocks.append(np.c_[rows[kept], columns[kept]])
                n_pairs += int(kept.sum())
                if n_pairs > _MOST_PAIRS:
                    raise InputError(
                        f"more than {_MOST_PAIRS:,} pairs of fields look the same; these are not "
                        "duplicates: lower max_distance, or raise min_similarity or min_stains"
                    )
    finally:
        faiss.omp_set_num_threads(before)
    pairs = np.concatenate(blocks)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
