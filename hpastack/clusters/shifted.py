"""Copies that were shifted or mirrored: found by their spectra, confirmed by laying them over."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import fft, ndimage

from hpastack.clusters.hamming import near_pairs
from hpastack.clusters.hashing import FieldHashes, checked_hashes
from hpastack.clusters.spectra import (
    FACING,
    THUMBNAIL_SIDE,
    max_code_distance,
    soft_edges,
    spectral_codes,
)
from hpastack.clusters.unshifted import check_min_stains, name_pairs
from hpastack.errors import InputError
from hpastack.parallel import progress_bar

#: Most that a copy may be shifted along an axis, in parts of the side.
MAX_SHIFT = 0.4
#: How a twin may be mirrored, and the axis of a field (stain, row, column) that this turns round.
MIRRORS = {"": None, "left-right": 2, "top-bottom": 1}

# Pairs laid over each other at once: 20 MB of transforms.
_BATCH = 64


def shifted_pairs(
    hashes: FieldHashes | pd.DataFrame,
    *,
    min_correlation: float = 0.88,
    min_stains: int = 3,
    min_similarity: float = 0.38,
    mirrored: bool = False,
    jobs: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Find pairs of fields that show the same cells at another place.

    Fields whose power spectra have the same fine structure, in windows that a
    shift would bring to the same place, are candidates. Phase correlation says
    by how much a candidate is shifted [1]_, and the parts that overlap then must
    correlate.

    Parameters
    ----------
    hashes : FieldHashes or DataFrame
        A catalogue is hashed first.
    min_correlation : float, default=0.88
        Least correlation of the overlapping parts in a stain that agrees.
    min_stains : int, default=3
        Stains that must agree, each valid in both fields, at one shift.
    min_similarity : float, default=0.38
        Least cosine of the spectra of a candidate, estimated from 512 bits.
    mirrored : bool, default=False
        Whether to look for copies mirrored left to right or top to bottom too;
        three times the work.
    jobs : int, optional
        Left out: as many as this process may use processors.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    DataFrame
        ``image_id``, ``twin``, ``distance_<stain>`` as `duplicate_pairs`,
        ``correlation`` (of the `min_stains`-th best stain), ``shift_y`` and
        ``shift_x`` in parts of the side, and ``mirror`` (empty,
        ``left-right`` or ``top-bottom``): what lies at ``(y, x)`` of the twin,
        mirrored so, lies at ``(y + shift_y, x + shift_x)`` of the field.

    Raises
    ------
    InputError
        If an option is out of range, or there are more than ten million
        candidates.

    Notes
    -----
    All pairs are compared, by their codes. Not every copy is found: the
    farther it is from the shifts that the windows are made for (none, or a
    fifth of the side along one or both axes), the less the spectra agree.
    docs/benchmarks.md says how many are found at which shift. Copies shifted by
    more than 0.4 of the side, or turned, are not looked for.

    References
    ----------
    .. [1] C. D. Kuglin and D. C. Hines, "The phase correlation image alignment
       method", Proc. IEEE Int. Conf. Cybernetics and Society, 163-165, 1975.
    """
    check_min_stains(min_stains)
    for name, value in (("min_correlation", min_correlation), ("min_similarity", min_similarity)):
        if not 0 < value <= 1:
            raise InputError(f"{name} is {value}; it is above 0 and at most 1")
    hashes = checked_hashes(hashes)
    usable = np.flatnonzero(hashes.valid.sum(1) >= min_stains)
    most = max_code_distance(min_similarity)
    kept, measured, mirrors = [], [], []
    for mirror in MIRRORS if mirrored else [""]:
        first = second = hashes.codes[usable]
        if mirror:
            turned = _mirror(hashes.thumbnails[usable], mirror)
            second = spectral_codes(turned, hashes.valid[usable])
        found = [np.empty((0, 2), dtype=np.int64)]
        what = f"compare spectra {mirror}".strip()
        for one, other in progress_bar(FACING, what=what, show=progress):
            found.append(near_pairs(first[:, one], second[:, other], most, jobs=jobs))
        candidates = usable[np.unique(np.concatenate(found), axis=0)]
        batches = [candidates[k : k + _BATCH] for k in range(0, len(candidates), _BATCH)]
        for batch in progress_bar(batches, what="confirm", show=progress):
            i, j = batch.T
            both = hashes.valid[i] & hashes.valid[j]
            enough = both.sum(1) >= min_stains
            batch, i, j, both = batch[enough], i[enough], j[enough], both[enough]
            laid = overlay(
                hashes.thumbnails[i], _mirror(hashes.thumbnails[j], mirror), both, min_stains
            )
            good = laid[:, 0] >= min_correlation
            kept.append(batch[good])
            measured.append(laid[good])
            mirrors += [mirror] * int(good.sum())
    rows = np.concatenate([*kept, np.empty((0, 2), dtype=np.int64)])
    table = name_pairs(rows, hashes.hashes, hashes.valid, hashes.image_ids)
    values = np.concatenate([*measured, np.empty((0, 3))])
    table[["correlation", "shift_y", "shift_x"]] = values.round(4)
    table["mirror"] = np.array(mirrors, dtype=object)
    # A picture that is its own mirror image is found both ways: the better one says how.
    order = np.lexsort((-values[:, 0], rows[:, 1], rows[:, 0]))
    table = table.iloc[order].drop_duplicates(["image_id", "twin"])
    return table.reset_index(drop=True)


def overlay(
    first: np.ndarray, second: np.ndarray, comparable: np.ndarray, min_stains: int
) -> np.ndarray:
    """Lay pairs of thumbnails over each other at their best shift.

    Parameters
    ----------
    first, second : ndarray of uint8, shape (n, 4, 48, 48)
    comparable : ndarray of bool, shape (n, 4)
        Stains that count; at least `min_stains` a pair.
    min_stains : int

    Returns
    -------
    ndarray of float64, shape (n, 3)
        Correlation of the overlap in the `min_stains`-th best stain, and how
        far `second` must be moved down and to the right to lie on `first`, in
        parts of the side.
    """
    side = THUMBNAIL_SIDE
    padded = 2 * side  # so that a shift to the left is not taken for one to the right
    # Smoothed: unsmoothed, noise and a shift by half a pixel would cost copies a tenth.
    pictures = [
        ndimage.gaussian_filter(part.astype(np.float32), 1.0, axes=(2, 3), radius=2, mode="mirror")
        for part in (first, second)
    ]
    window = soft_edges(side, side)
    one, other = (
        fft.rfft2((part - part.mean((2, 3), keepdims=True)) * window, (padded, padded))
        for part in pictures
    )
    cross = one * other.conj()
    size = np.abs(cross)
    # The small part keeps frequencies that hold nothing from counting as much as the others.
    cross /= size + 1e-3 * size.mean((2, 3), keepdims=True) + 1e-12
    rows = fft.fftfreq(padded, 1 / padded)[:, None]
    cross[:, :, np.hypot(rows, fft.rfftfreq(padded, 1 / padded)) >= 0.75 * side] = 0
    cross *= comparable[:, :, None, None]
    peaks = fft.irfft2(cross.sum(1), (padded, padded))
    shifts = fft.fftfreq(padded, 1 / padded).astype(int)
    near = np.flatnonzero(np.abs(shifts) <= MAX_SHIFT * side)
    peaks = peaks[:, near[:, None], near].reshape(len(first), -1)
    shifts = shifts[near]
    result = np.tile([-1.0, 0.0, 0.0], (len(first), 1))
    for pair, highest in enumerate(np.argsort(peaks, axis=1)[:, -3:].tolist()):
        stains = comparable[pair]
        for peak in highest:
            down, right = (int(shifts[k]) for k in divmod(peak, len(shifts)))
            score = _correlation(
                _overlap(pictures[0][pair, stains], down, right),
                _overlap(pictures[1][pair, stains], -down, -right),
                min_stains,
            )
            if score > result[pair, 0]:
                result[pair] = score, down / side, right / side
    return result


def _overlap(picture: np.ndarray, down: int, right: int) -> np.ndarray:
    height, width = (length - abs(by) for length, by in zip(picture.shape[1:], (down, right)))
    top, left = max(0, down), max(0, right)
    return picture[:, top : top + height, left : left + width]


def _correlation(one: np.ndarray, other: np.ndarray, min_stains: int) -> float:
    one = one - one.mean((1, 2), keepdims=True)
    other = other - other.mean((1, 2), keepdims=True)
    lengths = np.sqrt((one * one).sum((1, 2)) * (other * other).sum((1, 2)))
    correlations = (one * other).sum((1, 2)) / np.where(lengths > 0, lengths, 1)
    return float(np.sort(correlations)[-min_stains])


def _mirror(thumbnails: np.ndarray, mirror: str) -> np.ndarray:
    axis = MIRRORS[mirror]
    return thumbnails if axis is None else np.flip(thumbnails, axis + 1)
