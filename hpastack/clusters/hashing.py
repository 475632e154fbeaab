"""Hashes, spectral codes and thumbnails of fields, as the searches compare them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from scipy import fft

from hpastack.clusters.spectra import CODE_BYTES, THUMBNAIL_SIDE, WINDOWS, spectral_codes
from hpastack.errors import InputError, shorten
from hpastack.fields import STAINS, iter_fields
from hpastack.fields.stains import with_black_stains
from hpastack.files import check_unique
from hpastack.parallel import progress_bar
from hpastack.store import StoreHeader, StoreWriter, open_store

#: Side of the downsampled image that hashes are computed from, in pixels.
HASH_SIDE = 64
#: Length of the hash of one stain, in bytes: 256 bits.
HASH_BYTES = 32

_N_STAINS = len(STAINS)
_LOW = 16  # 16 x 16 coefficients: 256 bits
# A stain whose standard deviation is below one grey level of an 8-bit file carries no information.
_LOWEST_VARIATION = 1 / 255
# Uneven light alone leaves 1 to 4 coefficients; stained cells, however few, more than 30.
_FEWEST_COEFFICIENTS = 8
# A multiple of both sides (three and four times): quick, and exact for area averages.
_READ_SIZE = 192
_RECORD_BYTES = _N_STAINS * (HASH_BYTES + 1 + THUMBNAIL_SIDE**2) + len(WINDOWS) * CODE_BYTES
_RECIPE = {
    "features": "field_hashes",
    "version": 2,
    "hash_side": HASH_SIDE,
    "thumbnail_side": THUMBNAIL_SIDE,
    "read_size": _READ_SIZE,
}


@dataclass(frozen=True, eq=False)
class FieldHashes:
    """Hashes, spectral codes and thumbnails of fields, for the search for near-duplicates.

    Parameters
    ----------
    image_ids : list of str, length n
        Unique.
    hashes : ndarray of uint8, shape (n, 4, 32)
        256-bit perceptual hash of each stain.
    valid : ndarray of bool, shape (n, 4)
        Whether the stain has enough structure to be compared.
    codes : ndarray of uint8, shape (n, 9, 64)
        512-bit code of the power spectrum in each of nine windows.
    thumbnails : ndarray of uint8, shape (n, 4, 48, 48)
        Each stain, scaled from its own range to 0 to 255.

    Raises
    ------
    InputError
        If there are duplicate ids.
    """

    image_ids: list[str]
    hashes: np.ndarray
    valid: np.ndarray
    codes: np.ndarray
    thumbnails: np.ndarray

    def __post_init__(self) -> None:
        image_ids = [str(image_id) for image_id in self.image_ids]
        check_unique(image_ids, "hashes of fields")
        object.__setattr__(self, "image_ids", image_ids)


def field_hashes(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute a perceptual hash of each stain of a field.

    The stain is downsampled to 64 x 64 pixels by area averaging. The 16 x 16
    coefficients of lowest frequency of its cosine transform are compared with
    their median, which gives one bit each. Copies of a field have nearly the
    same bits.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        Values in [0, 1].

    Returns
    -------
    hashes : ndarray of uint8, shape (4, 32)
        256 bits per stain, row by row of the coefficients, highest bit first.
        The first bit (mean brightness) is never set.
    valid : ndarray of bool, shape (4,)
        False for a stain without structure to compare: it is constant or
        nearly so (after averaging, its standard deviation is below 1/255), or
        contains no more than uneven illumination (the entropy of the energies
        of its coefficients is below that of 8 equal ones). Its hash is all
        zero and must not be compared.

    Raises
    ------
    InputError
        If `field` does not have four stains of at least one pixel, or has
        values far outside [0, 1] (below -0.5 or above 1.5).

    Notes
    -----
    Brightness and contrast do not change the bits; noise changes 1 or 2 % of
    them. A shift by 3 % of the side changes a quarter of them, a shift by 10 %
    half of them, as many as differ between unrelated fields.

    References
    ----------
    .. [1] C. Zauner, "Implementation and benchmarking of perceptual image hash
       functions", 2010. http://phash.org/docs/pubs/thesis_zauner.pdf
    """
    small = _averaged(field, HASH_SIDE)
    low = fft.dctn(small, axes=(1, 2), norm="ortho")[:, :_LOW, :_LOW].reshape(_N_STAINS, -1)
    energy = low[:, 1:] ** 2
    share = energy / np.maximum(energy.sum(1, keepdims=True), np.finfo(np.float32).tiny)
    entropy = -(share * np.log(np.maximum(share, np.finfo(np.float32).tiny))).sum(1)
    varied = entropy >= np.log(_FEWEST_COEFFICIENTS)
    valid = (small.std((1, 2)) >= _LOWEST_VARIATION) & varied
    bits = low > np.median(low[:, 1:], axis=1, keepdims=True)
    bits[:, 0] = False
    return np.packbits(bits & valid[:, None], axis=1), valid


def field_thumbnail(field: np.ndarray) -> np.ndarray:
    """Reduce a field to the thumbnail on which shifted copies are confirmed.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)

    Returns
    -------
    ndarray of uint8, shape (4, 48, 48)
        Area averages. Each stain is scaled so that its lowest value is 0 and
        its highest 255, so that dim stains keep their detail. A constant stain
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


def hash_fields(
    fields: Mapping[str, np.ndarray] | Iterable[tuple[str, np.ndarray]] | pd.DataFrame,
) -> FieldHashes:
    """Hash fields in memory, or the fields of a catalogue.

    Parameters
    ----------
    fields : mapping, iterable of pairs, or DataFrame
        Image ids and fields, each an ndarray of float, shape (4, H, W), values
        in [0, 1]. For a catalogue, the fields are read from its files.

    Returns
    -------
    FieldHashes

    Raises
    ------
    InputError
        As `field_hashes`; also if an image of a catalogue is missing or corrupt.

    See Also
    --------
    hash_catalogue : Stores the hashes of a workspace in a file.
    """
    image_ids: list[str] = []
    records = []
    for image_id, field in _pairs(fields):
        field = with_black_stains(np.asarray(field))
        image_ids.append(str(image_id))
        records.append((*field_hashes(field), field_thumbnail(field)))
    if not records:
        return _unpack(image_ids, [])
    hashes, valid, thumbnails = (np.stack(parts) for parts in zip(*records))
    return FieldHashes(image_ids, hashes, valid, spectral_codes(thumbnails, valid), thumbnails)


def checked_hashes(hashes: FieldHashes | pd.DataFrame) -> FieldHashes:
    """Return hashes of fields, computed first if a catalogue is passed.

    Parameters
    ----------
    hashes : FieldHashes or DataFrame

    Returns
    -------
    FieldHashes

    Raises
    ------
    InputError
        If `hashes` is neither, and as `hash_fields`.
    """
    if isinstance(hashes, FieldHashes):
        return hashes
    if isinstance(hashes, pd.DataFrame):
        return hash_fields(hashes)
    raise InputError(
        f"hashes is a {type(hashes).__name__}; pass hash_fields(fields), or the catalogue"
    )


def hash_catalogue(
    catalogue: pd.DataFrame,
    path: str | os.PathLike[str],
    made_from: str,
    *,
    jobs: int | None = None,
    progress: bool = True,
) -> FieldHashes:
    """Hash the fields of a catalogue, or read the hashes from the store of an earlier run.

    Parameters
    ----------
    catalogue : DataFrame
        Fields with images, indexed by image id.
    path : path-like
        The store, ``data/hashes.h5``: reused if it was made from the same
        catalogue by this version of the hashes, otherwise made again; an
        interrupted run is resumed.
    made_from : str
        Digest of the catalogue's ids and contents.
    jobs : int, optional
        Number of decoding threads.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    FieldHashes

    Raises
    ------
    InputError
        If an image is missing or corrupt.
    """
    path = Path(path)
    image_ids = [str(image_id) for image_id in catalogue.index]
    if path.is_file():
        with open_store(path) as store:
            made = (store.made_from, store.recipe, store.image_ids)
            if made == (made_from, _RECIPE, image_ids):
                return _unpack(image_ids, store.blocks())
    n_columns = _RECORD_BYTES // 3
    header = StoreHeader(
        kind="target_free",
        content="features",
        columns=[f"bytes_{column:04d}" for column in range(n_columns)],
        recipe=_RECIPE,
        made_from=made_from,
    )
    writer = StoreWriter(path, header, image_ids, overwrite=True)
    pending = writer.pending()
    rows = [row for block in pending for row in block]
    decoded = iter_fields(catalogue.iloc[rows], _READ_SIZE, jobs=jobs)
    fields = iter(progress_bar(decoded, total=len(rows), what="hash", show=progress))
    for block in pending:
        part = hash_fields(next(fields) for _ in block)
        writer.write(block, _pack(part))
    writer.publish()
    with open_store(path) as store:
        return _unpack(image_ids, store.blocks())


def _pairs(fields: Any) -> Iterable[tuple[str, np.ndarray]]:
    if isinstance(fields, pd.DataFrame):
        missing = [stain for stain in STAINS if stain not in fields.columns]
        if missing:
            raise InputError(
                f"the catalogue lacks the columns {shorten(missing)}; it needs a column of paths "
                "for each stain"
            )
        return iter_fields(fields, _READ_SIZE)
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    is_listed = isinstance(pairs, (list, tuple))
    if (
        not isinstance(pairs, Iterable)
        or isinstance(pairs, (str, np.ndarray))
        or (is_listed and not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs))
    ):
        raise InputError(
            f"fields is a {type(fields).__name__}; pass a dict of image id to field, pairs of "
            "both, or the catalogue"
        )
    return pairs


def _averaged(field: np.ndarray, side: int) -> np.ndarray:
    field = np.asarray(field, dtype=np.float32)
    if field.ndim != 3 or len(field) != _N_STAINS or 0 in field.shape:
        raise InputError(
            f"a field of shape {field.shape}; its shape must be ({_N_STAINS}, height, width)"
        )
    # Noise that was not clipped may go slightly beyond [0, 1]; NaN fails too.
    if not (field.min() >= -0.5 and field.max() <= 1.5):
        raise InputError(
            f"a field with values from {field.min():g} to {field.max():g}; scale them to [0, 1]"
        )
    return np.stack([cv2.resize(s, (side, side), interpolation=cv2.INTER_AREA) for s in field])


def _pack(part: FieldHashes) -> np.ndarray:
    """Pack bytes into float32, three per value: whole numbers below 2**24 are exact."""
    n = len(part.image_ids)
    pieces = (part.hashes, part.valid.astype(np.uint8), part.codes, part.thumbnails)
    records = np.concatenate([piece.reshape(n, -1) for piece in pieces], axis=1)
    low, middle, high = (records[:, byte::3].astype(np.int32) for byte in range(3))
    return (low + (middle << 8) + (high << 16)).astype(np.float32)


def _unpack(image_ids: list[str], blocks: Iterable[np.ndarray]) -> FieldHashes:
    n = len(image_ids)
    records = np.empty((n, _RECORD_BYTES), dtype=np.uint8)
    start = 0
    for block in blocks:
        whole = block.astype(np.int32)
        for byte in range(3):
            records[start : start + len(block), byte::3] = (whole >> (8 * byte)) & 255
        start += len(block)
    shapes = (
        (_N_STAINS, HASH_BYTES), (_N_STAINS,), (len(WINDOWS), CODE_BYTES),
        (_N_STAINS, THUMBNAIL_SIDE, THUMBNAIL_SIDE),
    )  # fmt: skip
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    parts = [
        part.reshape(n, *shape) for part, shape in zip(np.split(records, ends[:-1], axis=1), shapes)
    ]
    hashes, valid, codes, thumbnails = parts
    return FieldHashes(image_ids, hashes, valid.astype(bool), codes, thumbnails)
