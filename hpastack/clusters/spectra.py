"""Codes of the power spectra of thumbnails, which moving a picture leaves alone.

Moving a picture leaves its power spectrum alone but for what enters and leaves
at the edges. A copy shifted by a fifth of the side shares a window of four
fifths with its origin: the lower right one of the one is the upper left one of
the other. So spectra are taken in nine windows, and each is compared with the
one that faces it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import fft

#: Side of the thumbnails that shifted copies are found and confirmed on, in pixels.
THUMBNAIL_SIDE = 48
#: Bytes of the code of a window: 512 bits.
CODE_BYTES = 64

# Pixels of the smaller windows: exact for shifts by 10 pixels of 48, 21 % of the side.
_SHARE = 38
_START, _END, _ALL = slice(0, _SHARE), slice(THUMBNAIL_SIDE - _SHARE, None), slice(None)
#: Rows and columns of the windows.
WINDOWS = {
    "whole": (_ALL, _ALL), "top left": (_START, _START), "top right": (_START, _END),
    "bottom left": (_END, _START), "bottom right": (_END, _END), "top": (_START, _ALL),
    "bottom": (_END, _ALL), "left": (_ALL, _START), "right": (_ALL, _END),
}  # fmt: skip
_OPPOSITE = {"top": "bottom", "bottom": "top", "left": "right", "right": "left", "whole": "whole"}
#: Numbers of the windows that face each other: those of one field, and of the other.
FACING = [
    (number, list(WINDOWS).index(" ".join(_OPPOSITE[word] for word in name.split())))
    for number, name in enumerate(WINDOWS)
]
_BLOCK = 256


def spectral_codes(thumbnails: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Code the power spectra of fields so that shifted copies have nearly the same bits.

    In each window the logarithm of the power spectrum is taken, from 2 to 18
    waves a side. Within each ring of frequencies its mean is taken off: what
    cells of one kind have in common goes, the speckle that belongs to this one
    picture stays. The four stains, each brought to unit length, are projected
    on 512 random directions; a bit says on which side of zero they fall.

    Parameters
    ----------
    thumbnails : ndarray of uint8, shape (n, 4, 48, 48)
    valid : ndarray of bool, shape (n, 4)
        Stains that count.

    Returns
    -------
    ndarray of uint8, shape (n, 9, 64)
        512 bits for each of `WINDOWS`. The share of bits that differ is the angle
        between the spectra, in parts of 180 degrees, give or take 0.02.

    References
    ----------
    .. [1] M. S. Charikar, "Similarity estimation techniques from rounding
       algorithms", STOC 2002. :doi:`10.1145/509907.509965`
    """
    codes = np.empty((len(thumbnails), len(WINDOWS), CODE_BYTES), dtype=np.uint8)
    for start in range(0, len(thumbnails), _BLOCK):
        block = slice(start, start + _BLOCK)
        for number, window in enumerate(WINDOWS.values()):
            spectra = _spectra(thumbnails[block], valid[block], window)
            codes[block, number] = np.packbits(spectra @ _directions() > 0, axis=1)
    return codes


def max_code_distance(min_similarity: float) -> int:
    """Return the bits that codes of spectra with this cosine differ in, on average."""
    return int(np.arccos(min_similarity) / np.pi * CODE_BYTES * 8)


def soft_edges(height: int, width: int) -> np.ndarray:
    """Return the root of a Hann window: it keeps more of the rim than a whole one."""
    down, right = (
        np.sin(np.pi * np.arange(1, length + 1) / (length + 1)) for length in (height, width)
    )
    return np.outer(down, right).astype(np.float32)


def _spectra(thumbnails: np.ndarray, valid: np.ndarray, window: tuple[slice, slice]) -> np.ndarray:
    kept, ring_mean = _frequencies()
    pictures = thumbnails[:, :, *window].astype(np.float32)
    pictures -= pictures.mean((2, 3), keepdims=True)
    pictures *= soft_edges(*pictures.shape[2:])
    power = np.abs(fft.rfft2(pictures, (THUMBNAIL_SIDE, THUMBNAIL_SIDE))[:, :, kept])
    power = np.log(power + 1)
    power -= power @ ring_mean
    length = np.linalg.norm(power, axis=2, keepdims=True)
    power *= valid[:, :, None] / np.where(length > 0, length, 1)
    return power.reshape(len(power), -1).astype(np.float32)


@cache
def _frequencies() -> tuple[np.ndarray, np.ndarray]:
    """Return which frequencies count, and the matrix that gives each the mean of its ring."""
    rows = fft.fftfreq(THUMBNAIL_SIDE, 1 / THUMBNAIL_SIDE)[:, None]
    columns = fft.rfftfreq(THUMBNAIL_SIDE, 1 / THUMBNAIL_SIDE)[None]
    radius = np.hypot(rows, columns)
    # Half a plane: the other half mirrors it.
    kept = (radius >= 2) & (radius <= 18) & ((columns > 0) | (rows > 0))
    rings = np.rint(radius[kept]).astype(int)
    same = rings[:, None] == rings[None]
    return kept, (same / same.sum(0)).astype(np.float32)


@cache
def _directions() -> np.ndarray:
    n_values = 4 * int(_frequencies()[0].sum())
    # The legacy generator: its numbers are promised never to change.
    signs = np.random.RandomState(0).randint(2, size=(n_values, CODE_BYTES * 8))
    return (2 * signs - 1).astype(np.float32)
