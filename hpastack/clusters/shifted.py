"""Shifted or mirrored copies: found by their power spectra, confirmed by registration."""

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

#: Largest shift of a copy along an axis, as a fraction of the side.
MAX_SHIFT = 0.4
#: Mirrorings of a duplicate, and the axis of a field (stain, row, column) that each reverses.
MIRRORS = {"": None, "left-right": 2, "top-bottom": 1}

# Pairs registered at once: 20 MB of transforms.
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
    """Find pairs of fields that show the same cells, shifted.

    Candidates are pairs of fields whose power spectra have the same fine
    structure in windows that a shift would superimpose. The shift of a
    candidate is estimated by phase correlation [1]_; the overlapping parts
    must then correlate.

    Parameters
    ----------
    hashes : FieldHashes or DataFrame
        A catalogue is hashed first.
    min_correlation : float, default=0.88
        Minimum correlation of the overlapping parts in a stain that agrees.
    min_stains : int, default=3
        Number of stains that must agree, each valid in both fields, at the
        same shift.
    min_similarity : float, default=0.38
        Minimum cosine of the spectra of a candidate, estimated from 512 bits.
        Lower values find copies with larger shifts, but take longer.
    mirrored : bool, default=False
        Whether to search for copies mirrored left to right or top to bottom
        too; three times the work.
    jobs : int, optional
        Number of threads. Default: one for each processor that this process may use.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    DataFrame
        ``image_id``, ``twin``, ``distance_<stain>`` as `duplicate_pairs`,
        ``correlation`` (of the `min_stains`-th best stain), ``shift_y`` and
        ``shift_x`` as fractions of the side, and ``mirror`` (empty,
        ``left-right`` or ``top-bottom``): the point ``(y, x)`` of the
        duplicate, after this mirroring, is at ``(y + shift_y, x + shift_x)``
        of the field.

    Raises
    ------
    InputError
        If a parameter is out of range, or there are more than ten million
        candidates.

    Notes
    -----
    All pairs are compared, by their codes. Not every copy is found: the
    farther its shift is from those that the windows are made for (none, or a
    fifth of the side along one or both axes), the less the spectra agree.
    docs/benchmarks.md has the fraction found at each shift. Copies shifted by
    more than 0.4 of the side, or rotated, are not searched for.

    References
    ----------
    .. [1] C. D. Kuglin and D. C. Hines, "The phase correlation image alignment
       method", Proc. IEEE Int. Conf. Cybernetics and Society, 163-165, 1975.
    """
    check_min_stains(min_stains)
    for name, value in (("min_correlation", min_correlation), ("min_similarity", min_similarity)):
        if not 0 < value <= 1:
            raise InputError(f"{name} is {value}; it must be above 0 and at most 1")
    hashes = checked_hashes(hashes)
    usable = np.flatnonzero(hashes.valid.sum(1) >= min_stains)
    most = max_code_distance(min_similarity)
    kept, measured, mirrors = [], [], []
    for mirror in MIRRORS if mirrored else [""]:
        first = second = hashes.codes[usable]
        if mirror:
            mirrored_thumbnails = _mirror(hashes.thumbnails[usable], mirror)
            second = spectral_codes(mirrored_thumbnails, hashes.valid[usable])
        near = [np.empty((0, 2), dtype=np.int64)]
        what = f"compare spectra {mirror}".strip()
        for window, facing in progress_bar(FACING, what=what, show=progress):
            near.append(near_pairs(first[:, window], second[:, facing], most, jobs=jobs))
        candidates = usable[np.unique(np.concatenate(near), axis=0)]
        batches = [candidates[k : k + _BATCH] for k in range(0, len(candidates), _BATCH)]
        for batch in progress_bar(batches, what="confirm", show=progress):
            i, j = batch.T
            both = hashes.valid[i] & hashes.valid[j]
            enough = both.sum(1) >= min_stains
            batch, i, j, both = batch[enough], i[enough], j[enough], both[enough]
            registered = overlay(
                hashes.thumbnails[i], _mirror(hashes.thumbnails[j], mirror), both, min_stains
            )
            good = registered[:, 0] >= min_correlation
            kept.append(batch[good])
            measured.append(registered[good])
            mirrors += [mirror] * int(good.sum())
    rows = np.concatenate([*kept, np.empty((0, 2), dtype=np.int64)])
    table = name_pairs(rows, hashes.hashes, hashes.valid, hashes.image_ids)
    values = np.concatenate([*measured, np.empty((0, 3))])
    table[["correlation", "shift_y", "shift_x"]] = values.round(4)
    table["mirror"] = np.array(mirrors, dtype=object)
    # A field that is its own mirror image is found in both ways: the better one is kept.
    order = np.lexsort((-values[:, 0], rows[:, 1], rows[:, 0]))
    table = table.iloc[order].drop_duplicates(["image_id", "twin"])
    return table.reset_index(drop=True)


def overlay(
    first: np.ndarray, second: np.ndarray, comparable: np.ndarray, min_stains: int
) -> np.ndarray:
    """Register pairs of thumbnails at the shift with the highest correlation.

    Parameters
    ----------
    first, second : ndarray of uint8, shape (n, 4, 48, 48)
    comparable : ndarray of bool, shape (n, 4)
        Stains to compare; at least `min_stains` per pair.
    min_stains : int

    Returns
    -------
    ndarray of float64, shape (n, 3)
        Correlation of the overlap in the `min_stains`-th best stain, and the
        shift down and to the right that superimposes `second` on `first`, as
        fractions of the side.
    """
    side = THUMBNAIL_SIDE
    padded = 2 * side  # so that shifts to the left and to the right are distinct
    # Without smoothing, noise and shifts by half a pixel would lower the correlation of copies
    # by a tenth.
    pictures = [
        ndimage.gaussian_filter(part.astype(np.float32), 1.0, axes=(2, 3), radius=2, mode="mirror")
        for part in (first, second)
    ]
    window = soft_edges(side, side)
    first_spectra, second_spectra = (
        fft.rfft2((part - part.mean((2, 3), keepdims=True)) * window, (padded, padded))
        for part in pictures
    )
    cross = first_spectra * second_spectra.conj()
    size = np.abs(cross)
    # The small term lowers the weight of frequencies without power.
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


def _correlation(first: np.ndarray, second: np.ndarray, min_stains: int) -> float:
    first = first - first.mean((1, 2), keepdims=True)
    second = second - second.mean((1, 2), keepdims=True)
    lengths = np.sqrt((first * first).sum((1, 2)) * (second * second).sum((1, 2)))
    correlations = (first * second).sum((1, 2)) / np.where(lengths > 0, lengths, 1)
    return float(np.sort(correlations)[-min_stains])


def _mirror(thumbnails: np.ndarray, mirror: str) -> np.ndarray:
    axis = MIRRORS[mirror]
    return thumbnails if axis is None else np.flip(thumbnails, axis + 1)
