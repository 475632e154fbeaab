"""Near-duplicate fields, and clusters of fields that must stay together.

Two searches find near-duplicates. Perceptual hashes find copies that were not
moved, however noisy or bright. Shifted copies, which no such hash survives,
are found by the fine structure of their power spectra, which moving a picture
leaves alone, and confirmed by laying one thumbnail over the other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from scipy import fft

from hpastack.channels import STAINS
from hpastack.clusters import DISTANCE_COLUMNS, clusters_from_keys
from hpastack.errors import InputError
from hpastack.images import iter_fields
from hpastack.store import StoreHeader, StoreWriter, open_store

#: Side of the picture that hashes are made from, in pixels.
HASH_SIDE = 64
#: Side of the thumbnails that shifted copies are confirmed on, in pixels.
THUMBNAIL_SIDE = 48
#: Most that a copy may be shifted along an axis, in parts of the side.
MAX_SHIFT = 0.4

_N_STAINS = len(STAINS)
_HASH_BYTES = 32
_LOW = 16  # 16 x 16 coefficients: 256 bits
# A stain that varies by less than a grey level of an 8-bit file says nothing.
_LOWEST_VARIATION = 1 / 255
# Fields are read at three or four times those sides: quick, and exact for area averages.
_READ_SIZE = 192
_RECORD_BYTES = _N_STAINS * (_HASH_BYTES + 1 + THUMBNAIL_SIDE**2)
_BLOCK = 1024
_RECIPE = {
    "features": "field_hashes",
    "version": 1,
    "hash_side": HASH_SIDE,
    "thumbnail_side": THUMBNAIL_SIDE,
    "read_size": _READ_SIZE,
}

PAIR_COLUMNS = (
    "image_id", "twin", "evidence", *DISTANCE_COLUMNS, "correlation", "shift_y", "shift_x"
)  # fmt: skip

#: Wraps an iterable of known length: ``progress(iterable, total=n)``.
Progress = Callable[..., Iterable]


def _silent(iterable: Iterable, total: int) -> Iterable:
    return iterable


@dataclass(frozen=True, eq=False)
class FieldHashes:
    """What the search for near-duplicates knows of each field.

    Parameters
    ----------
    image_ids : list of str, length n
    hashes : ndarray of uint8, shape (n, 4, 32)
        256-bit perceptual hash of each stain.
    valid : ndarray of bool, shape (n, 4)
        Whether the stain holds enough to compare.
    thumbnails : ndarray of uint8, shape (n, 4, 48, 48)
        Each stain, stretched to its own range.
    """

    image_ids: list[str]
    hashes: np.ndarray
    valid: np.ndarray
    thumbnails: np.ndarray


def field_hashes(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hash each stain of a field so that copies have nearly the same bits.

    The stain is averaged to 64 x 64 pixels. Of its cosine transform the 16 x
    16 coefficients of lowest frequency are compared with their median: a bit
    for each.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        Values in [0, 1].

    Returns
    -------
    hashes : ndarray of uint8, shape (4, 32)
        256 bits a stain, row by row of the coefficients, highest bit first.
        The first bit (mean brightness) is never set.
    valid : ndarray of bool, shape (4,)
        False for a stain that is blank or nearly so: after averaging, its
        standard deviation is below 1/255. Its hash is all zero and must not
        be compared.

    Raises
    ------
    InputError
        If `field` does not have four stains of at least a pixel.

    Notes
    -----
    Brightness and contrast leave the bits alone, noise changes 1 or 2 % of
    them. A shift by 3 % of the side changes a quarter of them, one by 10 % half:
    as many as differ between unrelated fields.

    References
    ----------
    .. [1] C. Zauner, "Implementation and benchmarking of perceptual image hash
       functions", 2010. http://phash.org/docs/pubs/thesis_zauner.pdf
    """
    small = _averaged(field, HASH_SIDE)
    valid = small.std((1, 2)) >= _LOWEST_VARIATION
    low = fft.dctn(small, axes=(1, 2), norm="ortho")[:, :_LOW, :_LOW].reshape(_N_STAINS, -1)
    bits = low > np.median(low[:, 1:], axis=1, keepdims=True)
    bits[:, 0] = False
    return np.packbits(bits & valid[:, None], axis=1), valid


def field_thumbnail(field: np.ndarray) -> np.ndarray:
    """Reduce a field to what shifted copies are confirmed on.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)

    Returns
    -------
    ndarray of uint8, shape (4, 48, 48)
        Area averages, each stain stretched from its lowest value to 0 and its
        highest to 255, so that dim stains keep their detail. A constant stain
        is 0.

    Raises
    ------
    InputError
        As `field_hashes`.
    """
    small = _averaged(field, THUMBNAIL_SIDE)
    low = small.min((1, 2), keepdims=True)
    spread = small.max((1, 2), keepdims=True) - low
    return np.rint((small - low) / np.where(spread > 0, spread, 1) * 255).astype(np.uint8)


def hash_catalogue(
    catalogue: pd.DataFrame,
    path: str | os.PathLike,
    made_from: str,
    *,
    threads: int | None = None,
    progress: Progress = _silent,
) -> FieldHashes:
    """Hash the fields of a catalogue, or take the hashes from a store of an earlier run.

    Parameters
    ----------
    catalogue : DataFrame
        Fields with images, indexed by image id.
    path : path-like
        The store, ``data/hashes.h5``: reused if it was made from the same
        catalogue, made anew otherwise, resumed after a kill.
    made_from : str
        Digest of the catalogue's ids and contents.
    threads : int, optional
        Decoding threads.
    progress : callable, optional
        Wraps the fields still to be read, ``progress(fields, total=n)``, as
        `tqdm` does.

    Returns
    -------
    FieldHashes

    Raises
    ------
    InputError
        If an image is missing or damaged.
    """
    path = Path(path)
    image_ids = [str(image_id) for image_id in catalogue.index]
    if path.is_file():
        with open_store(path) as store:
            made = (store.made_from, store.recipe, store.image_ids)
            if made == (made_from, _RECIPE, image_ids):
                return _unpack(image_ids, store.values())
    n_columns = _RECORD_BYTES // 3
    header = StoreHeader(
        kind="label_free",
        content="features",
        columns=[f"bytes_{column:04d}" for column in range(n_columns)],
        recipe=_RECIPE,
        made_from=made_from,
    )
    writer = StoreWriter(path, header, image_ids, overwrite=True)
    pending = writer.pending()
    rows = [row for block in pending for row in range(block.start, block.stop)]
    decoded = iter_fields(catalogue.iloc[rows], _READ_SIZE, threads=threads)
    fields = iter(progress(decoded, total=len(rows)))
    for block in pending:
        values = np.empty((block.stop - block.start, n_columns), dtype=np.float32)
        for row in range(len(values)):
            _, field = next(fields)
            values[row] = _pack(*field_hashes(field), field_thumbnail(field))
        writer.write(block, values)
    writer.publish()
    with open_store(path) as store:
        return _unpack(image_ids, store.values())


def duplicate_pairs(
    hashes: np.ndarray,
    valid: np.ndarray,
    image_ids: Iterable[str] | None = None,
    *,
    max_distance: int = 48,
    min_stains: int = 3,
) -> pd.DataFrame:
    """Find all pairs of fields of which several stains have nearly the same hash.

    Exact: every pair is compared, by matrix products over blocks of fields.

    Parameters
    ----------
    hashes : ndarray of uint8, shape (n, 4, 32)
    valid : ndarray of bool, shape (n, 4)
        As `field_hashes` gives them.
    image_ids : iterable of str, optional
        Names of the rows; their numbers by default.
    max_distance : int, default=48
        Most bits of 256 that may differ in a stain that agrees.
    min_stains : int, default=3
        Stains that must agree, each valid in both fields.

    Returns
    -------
    DataFrame
        ``image_id``, ``twin`` and ``distance_<stain>`` for the four stains
        (bits, missing where the stain is not valid in both), a row a pair,
        the earlier field first, in the order of the rows.

    Raises
    ------
    InputError
        If the shapes do not fit, or an option is out of range.

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
    if hashes.shape != (n, _N_STAINS, _HASH_BYTES) or valid.shape != (n, _N_STAINS):
        raise InputError(
            f"hashes of shape {hashes.shape} and valid of shape {valid.shape}; "
            f"they are (n, {_N_STAINS}, {_HASH_BYTES}) and (n, {_N_STAINS})"
        )
    _check_stains(min_stains)
    if not 0 <= max_distance < _HASH_BYTES * 4:
        raise InputError(
            f"max_distance is {max_distance}; it is 0 to {_HASH_BYTES * 4 - 1} bits of "
            f"{_HASH_BYTES * 8}, of which half differ by chance"
        )
    found = []
    # A stain that can't be compared has the product 0, which is half the bits: never near.
    lowest = _HASH_BYTES * 8 - 2 * max_distance
    for start in range(0, n, _BLOCK):
        first = _signs(hashes[start : start + _BLOCK], valid[start : start + _BLOCK])
        for other in range(start, n, _BLOCK):
            second = first if other == start else _signs(
                hashes[other : other + _BLOCK], valid[other : other + _BLOCK]
            )  # fmt: skip
            agreeing = np.zeros((len(first), len(second)), dtype=np.uint8)
            for stain in range(_N_STAINS):
                agreeing += first[:, stain] @ second[:, stain].T >= lowest
            rows = np.argwhere(agreeing >= min_stains) + (start, other)
            found.append(rows[rows[:, 0] < rows[:, 1]])
    pairs = np.concatenate(found) if found else np.empty((0, 2), dtype=np.int64)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return _named(pairs, hashes, valid, image_ids)


def shifted_pairs(
    hashes: FieldHashes,
    *,
    min_correlation: float = 0.92,
    min_stains: int = 3,
    min_similarity: float = 0.12,
    n_neighbours: int = 5,
    progress: Progress = _silent,
) -> pd.DataFrame:
    """Find pairs of fields that show the same cells at another place.

    Moving a picture leaves its power spectrum alone but for what enters and
    leaves at the edges. For each field the fields with the most similar fine
    structure of their spectra are candidates. Phase correlation says by how
    much a candidate is shifted, and the parts that overlap then must correlate.

    Parameters
    ----------
    hashes : FieldHashes
    min_correlation : float, default=0.92
        Least correlation of the overlapping parts in a stain that agrees.
    min_stains : int, default=3
        Stains that must agree, each valid in both fields, at one shift.
    min_similarity : float, default=0.12
        Least cosine of the spectra of a candidate.
    n_neighbours : int, default=5
        Most candidates a field.
    progress : callable, optional
        Wraps the candidates, ``progress(candidates, total=n)``, as `tqdm` does.

    Returns
    -------
    DataFrame
        ``image_id``, ``twin``, ``distance_<stain>`` as `duplicate_pairs`,
        ``correlation`` (of the `min_stains`-th best stain), ``shift_y`` and
        ``shift_x`` in parts of the side: what lies at ``(y, x)`` of the twin
        lies at ``(y + shift_y, x + shift_x)`` of the field.

    Raises
    ------
    InputError
        If an option is out of range.

    Notes
    -----
    Not exhaustive: the more a copy is shifted the less its spectrum
    resembles. Of copies of 390 synthetic fields, brighter and noisier, 99 %
    were found at shifts of up to a fifth of the side, 96 % at a quarter, 89 %
    at three tenths and half at 0.4; no other pair was taken for one, and
    unrelated fields of few cells correlated by up to 0.912. Copies shifted by
    more than 0.4 of the side, mirrored or turned are not looked for.

    References
    ----------
    .. [1] C. D. Kuglin and D. C. Hines, "The phase correlation image alignment
       method", Proc. IEEE Int. Conf. Cybernetics and Society, 163-165, 1975.
    """
    _check_stains(min_stains)
    if not 0 < min_correlation <= 1:
        raise InputError(f"min_correlation is {min_correlation}; it is above 0 and at most 1")
    spectra = np.concatenate(
        [
            _spectra(
                hashes.thumbnails[start : start + _BLOCK], hashes.valid[start : start + _BLOCK]
            )
            for start in range(0, len(hashes.image_ids), _BLOCK)
        ]
        or [np.empty((0, 1), dtype=np.float32)]
    )
    candidates = _neighbours(spectra, hashes.valid, min_similarity, min_stains, n_neighbours)
    kept, measured = [], []
    for i, j in progress(candidates.tolist(), total=len(candidates)):
        both = hashes.valid[i] & hashes.valid[j]
        correlation, shift_y, shift_x = _overlay(
            hashes.thumbnails[i, both], hashes.thumbnails[j, both], min_stains
        )
        if correlation >= min_correlation:
            kept.append((i, j))
            measured.append((correlation, shift_y, shift_x))
    rows = np.array(kept, dtype=np.int64).reshape(-1, 2)
    pairs = _named(rows, hashes.hashes, hashes.valid, hashes.image_ids)
    columns = ["correlation", "shift_y", "shift_x"]
    pairs[columns] = np.array(measured, dtype=np.float64).reshape(-1, 3).round(4)
    return pairs


def near_duplicates(
    hashes: FieldHashes,
    *,
    max_distance: int = 48,
    min_stains: int = 3,
    shifted: bool = True,
    min_correlation: float = 0.92,
    progress: Progress = _silent,
) -> pd.DataFrame:
    """Find near-duplicate fields, in place and shifted.

    Parameters
    ----------
    hashes : FieldHashes
    max_distance, min_stains
        As `duplicate_pairs`.
    shifted : bool, default=True
        Whether to look for shifted copies too.
    min_correlation, progress
        As `shifted_pairs`.

    Returns
    -------
    DataFrame
        A row a pair, sorted: ``image_id``, ``twin``, ``evidence`` (``hash``,
        ``shift`` or ``hash+shift``), ``distance_<stain>``, ``correlation``,
        ``shift_y``, ``shift_x`` (missing without ``shift``).

    Raises
    ------
    InputError
        As the two.
    """
    in_place = duplicate_pairs(
        hashes.hashes, hashes.valid, hashes.image_ids,
        max_distance=max_distance, min_stains=min_stains,
    )  # fmt: skip
    tables = [in_place.assign(by_hash=True)]
    if shifted:
        moved = shifted_pairs(
            hashes, min_correlation=min_correlation, min_stains=min_stains, progress=progress
        )
        tables.append(moved.assign(by_shift=True))
    pairs = tables[0]
    if shifted:
        keys = ["image_id", "twin", *DISTANCE_COLUMNS]
        pairs = pairs.merge(tables[1], how="outer", on=keys)
    for column in ("correlation", "shift_y", "shift_x"):
        if column not in pairs:
            pairs[column] = np.nan
    by_hash = pairs["by_hash"].notna()
    by_shift = pairs["by_shift"].notna() if shifted else ~by_hash
    pairs["evidence"] = np.select([by_hash & by_shift, by_hash], ["hash+shift", "hash"], "shift")
    return pairs.sort_values(["image_id", "twin"], ignore_index=True)[list(PAIR_COLUMNS)]


def duplicate_clusters(
    hashes: FieldHashes, groups: pd.DataFrame | None = None, **options: Any
) -> pd.Series:
    """Put near-duplicates, and fields of one group, into clusters.

    Parameters
    ----------
    hashes : FieldHashes
    groups : DataFrame, optional
        Group columns (well, antibody), indexed by image id.
    **options
        As `near_duplicates`.

    Returns
    -------
    Series of str
        As `clusters_from_keys`.
    """
    pairs = near_duplicates(hashes, **options)
    return clusters_from_keys(hashes.image_ids, pairs, groups)


def _check_stains(min_stains: int) -> None:
    if not 1 <= min_stains <= _N_STAINS:
        raise InputError(f"min_stains is {min_stains}; it is 1 to {_N_STAINS}")


def _averaged(field: np.ndarray, side: int) -> np.ndarray:
    field = np.asarray(field, dtype=np.float32)
    if field.ndim != 3 or len(field) != _N_STAINS or 0 in field.shape:
        raise InputError(f"a field of shape {field.shape}; it is ({_N_STAINS}, height, width)")
    return np.stack([cv2.resize(s, (side, side), interpolation=cv2.INTER_AREA) for s in field])


def _pack(hashes: np.ndarray, valid: np.ndarray, thumbnail: np.ndarray) -> np.ndarray:
    """Lay a field's bytes into float32, three a value: whole numbers below 2**24 are exact."""
    record = np.concatenate([hashes.ravel(), valid.astype(np.uint8), thumbnail.ravel()])
    low, middle, high = record.reshape(-1, 3).T.astype(np.int32)
    return (low + (middle << 8) + (high << 16)).astype(np.float32)


def _unpack(image_ids: list[str], values: np.ndarray) -> FieldHashes:
    records = np.empty((len(values), _RECORD_BYTES), dtype=np.uint8)
    for start in range(0, len(values), _BLOCK):
        whole = values[start : start + _BLOCK].astype(np.int32)
        for byte in range(3):
            records[start : start + _BLOCK, byte::3] = (whole >> (8 * byte)) & 255
    n_hash = _N_STAINS * _HASH_BYTES
    return FieldHashes(
        image_ids,
        records[:, :n_hash].reshape(-1, _N_STAINS, _HASH_BYTES),
        records[:, n_hash : n_hash + _N_STAINS].astype(bool),
        records[:, n_hash + _N_STAINS :].reshape(-1, _N_STAINS, THUMBNAIL_SIDE, THUMBNAIL_SIDE),
    )


def _signs(hashes: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return bits as +1 and -1, so that a product of two hashes is 256 - 2 * distance."""
    signs = np.unpackbits(hashes, axis=2).astype(np.float32) * 2 - 1
    return signs * valid[:, :, None]


def _named(
    pairs: np.ndarray, hashes: np.ndarray, valid: np.ndarray, image_ids: Iterable[str] | None
) -> pd.DataFrame:
    i, j = pairs.T
    names = np.arange(len(hashes)) if image_ids is None else np.array(list(image_ids), dtype=object)
    table = pd.DataFrame({"image_id": names[i], "twin": names[j]})
    distances = np.unpackbits(hashes[i] ^ hashes[j], axis=2).sum(2, dtype=np.int64)
    comparable = valid[i] & valid[j]
    for stain, column in enumerate(DISTANCE_COLUMNS):
        table[column] = pd.arrays.IntegerArray(distances[:, stain].copy(), ~comparable[:, stain])
    return table


def _window() -> np.ndarray:
    # The root of a Hann window: softens the edges, and keeps more of the rim than a whole one.
    edge = np.sin(np.pi * np.arange(1, THUMBNAIL_SIDE + 1) / (THUMBNAIL_SIDE + 1))
    return np.outer(edge, edge).astype(np.float32)


def _spectra(thumbnails: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Describe fields by the fine structure of their power spectra, one unit vector a stain.

    Within each ring of frequencies the mean of the logarithms is taken off:
    what cells of one kind have in common goes, the speckle that belongs to this
    one picture stays.
    """
    side = THUMBNAIL_SIDE
    rows = fft.fftfreq(side, 1 / side)[:, None]
    columns = fft.rfftfreq(side, 1 / side)[None]
    radius = np.hypot(rows, columns)
    # Half a plane: the other half mirrors it.
    kept = (radius >= 2) & (radius <= 18) & ((columns > 0) | (rows > 0))
    rings = np.rint(radius[kept]).astype(int)
    pictures = thumbnails.astype(np.float32)
    pictures -= pictures.mean((2, 3), keepdims=True)
    power = np.log(np.abs(fft.rfft2(pictures * _window()))[:, :, kept] + 1)
    for ring in np.unique(rings):
        inside = rings == ring
        power[:, :, inside] -= power[:, :, inside].mean(2, keepdims=True)
    length = np.linalg.norm(power, axis=2, keepdims=True)
    power *= valid[:, :, None] / np.where(length > 0, length, 1)
    return power.reshape(len(power), -1).astype(np.float32)


def _neighbours(
    spectra: np.ndarray,
    valid: np.ndarray,
    min_similarity: float,
    min_stains: int,
    n_neighbours: int,
) -> np.ndarray:
    """Return pairs (i, j), i < j, of fields with similar spectra, sorted."""
    comparable = valid.astype(np.float32)
    found = []
    for start in range(0, len(spectra), _BLOCK):
        for_row: list[list[np.ndarray]] = [[], [], []]
        for other in range(0, len(spectra), _BLOCK):
            n_common = comparable[start : start + _BLOCK] @ comparable[other : other + _BLOCK].T
            similarity = spectra[start : start + _BLOCK] @ spectra[other : other + _BLOCK].T
            similarity /= np.maximum(n_common, 1)
            rows, columns = np.nonzero((similarity >= min_similarity) & (n_common >= min_stains))
            rows, columns, scores = rows + start, columns + other, similarity[rows, columns]
            apart = rows != columns
            for kept, values in zip(for_row, (rows, columns, scores)):
                kept.append(values[apart])
        rows, columns, scores = (np.concatenate(values) for values in for_row)
        order = np.lexsort((columns, -scores, rows))
        rows, columns = rows[order], columns[order]
        place = np.arange(len(rows)) - np.searchsorted(rows, rows)
        nearest = place < n_neighbours
        found.append(np.sort(np.c_[rows[nearest], columns[nearest]], axis=1))
    if not found:
        return np.empty((0, 2), dtype=np.int64)
    return np.unique(np.concatenate(found), axis=0)


def _overlay(first: np.ndarray, second: np.ndarray, min_stains: int) -> tuple[float, float, float]:
    """Lay two thumbnails (n_stains, side, side) over each other at their best shift."""
    side = THUMBNAIL_SIDE
    padded = 2 * side  # so that a shift to the left is not taken for one to the right
    window = _window()
    # Smoothed, so that a shift by half a pixel costs little.
    first, second = (
        np.stack([cv2.GaussianBlur(stain.astype(np.float32), (3, 3), 0.7) for stain in picture])
        for picture in (first, second)
    )
    transforms = [
        fft.rfft2((picture - picture.mean((1, 2), keepdims=True)) * window, (padded, padded))
        for picture in (first, second)
    ]
    cross = transforms[0] * transforms[1].conj()
    size = np.abs(cross)
    # The small part keeps frequencies that hold nothing from counting as much as the others.
    cross /= size + 1e-3 * size.mean((1, 2), keepdims=True) + 1e-12
    rows = fft.fftfreq(padded, 1 / padded)[:, None]
    cross[:, np.hypot(rows, fft.rfftfreq(padded, 1 / padded)) >= 0.75 * side] = 0
    peaks = fft.irfft2(cross.sum(0), (padded, padded))
    shifts = fft.fftfreq(padded, 1 / padded).astype(int)
    near = np.abs(shifts) <= MAX_SHIFT * side
    peaks = peaks[np.ix_(near, near)]
    shifts = shifts[near]
    best = (-1.0, 0.0, 0.0)
    for peak in np.argsort(peaks, axis=None)[-3:].tolist():
        down, right = (int(shifts[k]) for k in divmod(peak, len(shifts)))
        height, width = side - abs(down), side - abs(right)
        top, left = max(0, down), max(0, right)
        one = first[:, top : top + height, left : left + width]
        top, left = max(0, -down), max(0, -right)
        two = second[:, top : top + height, left : left + width]
        one = one - one.mean((1, 2), keepdims=True)
        two = two - two.mean((1, 2), keepdims=True)
        lengths = np.sqrt((one * one).sum((1, 2)) * (two * two).sum((1, 2)))
        correlations = (one * two).sum((1, 2)) / np.where(lengths > 0, lengths, 1)
        score = float(np.sort(correlations)[-min_stains])
        best = max(best, (score, down / side, right / side))
    return best
