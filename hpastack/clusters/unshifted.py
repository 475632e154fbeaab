"""Unshifted copies: pairs of fields with nearly the same hash in several stains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from hpastack.clusters.hamming import near_pairs
from hpastack.clusters.hashing import HASH_BYTES
from hpastack.clusters.pairs import DISTANCE_COLUMNS
from hpastack.errors import InputError
from hpastack.fields import STAINS
from hpastack.parallel import progress_bar

_N_STAINS = len(STAINS)
_BITS = 8 * HASH_BYTES


def duplicate_pairs(
    hashes: np.ndarray,
    valid: np.ndarray,
    image_ids: Iterable[str] | None = None,
    *,
    max_distance: int | Mapping[str, int] = 48,
    min_stains: int = 3,
    jobs: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Find all pairs of fields with nearly the same hash in several stains.

    The search is exact. If `min_stains` stains of a pair agree, at least one
    of any ``5 - min_stains`` stains does: only that many stains are searched,
    and the others are compared for the pairs found.

    Parameters
    ----------
    hashes : ndarray of uint8, shape (n, 4, 32)
    valid : ndarray of bool, shape (n, 4)
        As `field_hashes` returns them.
    image_ids : iterable of str, optional
        Ids of the rows. Default: row numbers.
    max_distance : int or mapping of stain to int, default=48
        Maximum number of bits, of 256, that may differ in a stain that agrees,
        at most 127; one number for all stains, or one for each.
    min_stains : int, default=3
        Number of stains that must agree, each valid in both fields.
    jobs : int, optional
        Number of threads. Default: one for each processor that this process may use.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    DataFrame
        ``image_id``, ``twin`` and ``distance_<stain>`` for the four stains
        (bits, missing where the stain is not valid in both), one row per
        pair, the earlier field first, in the order of the rows.

    Raises
    ------
    InputError
        If the shapes do not match, a parameter is out of range, or there are
        more than ten million pairs.

    Examples
    --------
    >>> hashes = np.zeros((3, 4, 32), dtype=np.uint8)
    >>> hashes[1, 0, 0] = 0b111
    >>> hashes[2] = 255
    >>> valid = np.array([[True] * 4, [True, True, True, False], [True] * 4])
    >>> duplicate_pairs(hashes, valid, ["a", "b", "c"])
      image_id twin  distance_red  distance_green  distance_blue  distance_yellow
    0        a    b             3               0              0             <NA>
    """
    hashes, valid = np.asarray(hashes), np.asarray(valid, dtype=bool)
    n = len(hashes)
    if hashes.shape != (n, _N_STAINS, HASH_BYTES) or valid.shape != (n, _N_STAINS):
        raise InputError(
            f"hashes has shape {hashes.shape} and valid has shape {valid.shape}; "
            f"they must be (n, {_N_STAINS}, {HASH_BYTES}) and (n, {_N_STAINS})"
        )
    check_min_stains(min_stains)
    most = np.array(_distances_allowed(max_distance))
    # The stains that are valid in the fewest fields take the least time.
    searched = np.argsort(valid.sum(0), kind="stable")[: _N_STAINS + 1 - min_stains]
    candidates = [np.empty((0, 2), dtype=np.int64)]
    for stain in progress_bar(searched.tolist(), what="compare hashes", show=progress):
        rows = np.flatnonzero(valid[:, stain])
        bits = hashes[rows, stain]
        candidates.append(rows[near_pairs(bits, bits, int(most[stain]), jobs=jobs)])
    pairs = np.unique(np.concatenate(candidates), axis=0)
    distances, comparable = stain_distances(hashes, valid, pairs)
    agreeing = (comparable & (distances <= most)).sum(1) >= min_stains
    return name_pairs(pairs[agreeing], hashes, valid, image_ids)


def check_min_stains(min_stains: int) -> None:
    """Check that the number of stains that must agree is between 1 and 4."""
    if not 1 <= min_stains <= _N_STAINS:
        raise InputError(f"min_stains is {min_stains}; it must be from 1 to {_N_STAINS}")


def stain_distances(
    hashes: np.ndarray, valid: np.ndarray, pairs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of bits that differ in each stain of pairs, and where it is comparable."""
    i, j = pairs.T
    distances = np.unpackbits(hashes[i] ^ hashes[j], axis=2).sum(2, dtype=np.int64)
    return distances, valid[i] & valid[j]


def name_pairs(
    pairs: np.ndarray, hashes: np.ndarray, valid: np.ndarray, image_ids: Iterable[str] | None
) -> pd.DataFrame:
    """Make a table of pairs of rows, with the distances between their hashes."""
    names = np.arange(len(hashes)) if image_ids is None else np.array(list(image_ids), dtype=object)
    table = pd.DataFrame({"image_id": names[pairs[:, 0]], "twin": names[pairs[:, 1]]})
    distances, comparable = stain_distances(hashes, valid, pairs)
    for stain, column in enumerate(DISTANCE_COLUMNS):
        table[column] = pd.arrays.IntegerArray(distances[:, stain].copy(), ~comparable[:, stain])
    return table


def _distances_allowed(max_distance: int | Mapping[str, int]) -> list[int]:
    if not isinstance(max_distance, Mapping):
        max_distance = dict.fromkeys(STAINS, max_distance)
    if set(max_distance) != set(STAINS):
        raise InputError(
            f"max_distance names {', '.join(max_distance)}; it must be one number, or one for "
            f"each of {', '.join(STAINS)}"
        )
    for stain, distance in max_distance.items():
        if not 0 <= distance < _BITS // 2:
            raise InputError(
                f"max_distance is {distance} ({stain}); it must be from 0 to {_BITS // 2 - 1} "
                f"bits, as half of the {_BITS} bits differ by chance"
            )
    return [max_distance[stain] for stain in STAINS]
