"""All pairs of bit strings that differ in few bits, exactly."""

from __future__ import annotations

import numpy as np

from hpastack.errors import InputError
from hpastack.parallel import cpu_budget

# Rows compared with all that follow them at once: their codes stay in the cache.
_BLOCK = 4096
# Beyond this the strings say nothing: 77 pairs a field for 130,000 fields.
_MOST_PAIRS = 10_000_000


def near_pairs(
    first: np.ndarray, second: np.ndarray, max_distance: int, *, jobs: int | None = None
) -> np.ndarray:
    """Find all pairs of rows (i, j), i < j, of which ``first[i]`` is near ``second[j]``.

    Parameters
    ----------
    first, second : ndarray of uint8, shape (n, n_bytes)
    max_distance : int
        Most bits that may differ.
    jobs : int, optional
        Left out: as many as this process may use processors.

    Returns
    -------
    ndarray of int64, shape (n_pairs, 2)
        Sorted.

    Raises
    ------
    InputError
        If there are more than ten million.

    Notes
    -----
    Every pair is compared, by population counts in faiss' flat binary index.
    """
    first, second = np.ascontiguousarray(first), np.ascontiguousarray(second)
    # Here, because every command that reads recipes imports this module.
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(jobs or cpu_budget())
    found, n_found = [np.empty((0, 2), dtype=np.int64)], 0
    try:
        for start in range(0, len(first), _BLOCK):
            index = faiss.IndexBinaryFlat(8 * first.shape[1])
            index.add(first[start : start + _BLOCK])
            # Only what follows: each pair is compared once. In parts, so that even where
            # everything is near everything the refusal comes before the memory runs out.
            for other in range(start, len(second), _BLOCK):
                part = second[other : other + _BLOCK]
                # The radius is exclusive.
                limits, _, rows = index.range_search(part, max_distance + 1)
                limits = limits.astype(np.int64)
                twins = np.repeat(np.arange(other, other + len(part)), limits[1:] - limits[:-1])
                rows = rows.astype(np.int64) + start
                kept = rows < twins
                found.append(np.c_[rows[kept], twins[kept]])
                n_found += int(kept.sum())
                if n_found > _MOST_PAIRS:
                    raise InputError(
                        f"more than {_MOST_PAIRS:,} pairs of fields look the same; these are no "
                        "duplicates: lower max_distance, or raise min_similarity or min_stains"
                    )
    finally:
        faiss.omp_set_num_threads(before)
    pairs = np.concatenate(found)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
