"""Binary codes of the power spectra of thumbnails, which are nearly shift-invariant.

A shift changes the power spectrum of an image only by what enters and leaves
at the edges. A copy shifted by a fifth of the side shares a window of four
fifths of the side with its original: the lower right window of one field shows
what the upper left window of the other does. So spectra are computed in nine
windows, and each is compared with the opposite one.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import fft

#: Side of the thumbnails on which shifted copies are found and confirmed, in pixels.
THUMBNAIL_SIDE = 48
#: Length of the code of a window, in bytes: 512 bits.
CODE_BYTES = 64

# Side of the smaller windows, in pixels: exact for shifts by 10 pixels of 48, 21 % of the side.
_SHARE = 38
_START, _END, _ALL = slice(0, _SHARE), slice(THUMBNAIL_SIDE - _SHARE, None), slice(None)
#: Rows and columns of the windows.
WINDOWS = {
    "whole": (_ALL, _ALL), "top left": (_START, _START), "top right": (_START, _END),
    "bottom left": (_END, _START), "bottom right": (_END, _END), "top": (_START, _ALL),
    "bottom": (_END, _ALL), "left": (_ALL, _START), "right": (_ALL, _END),
}  # fmt: skip
_OPPOSITE = {"top": "bottom", "bottom": "top", "left": "right", "right": "left", "whole": "whole"}
#: Pairs of opposite windows, by number: the window of one field, and that of the other.
FACING = [
    (number, list(WINDOWS).index(" ".join(_OPPOSITE[word] for word in name.split())))
    for number, name in enumerate(WINDOWS)
]
_BLOCK = 256


def spectral_codes(thumbnails: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Compute binary codes of the power spectra of fields.

    Shifted copies have nearly the same bits. In each window the logarithm of
    the power spectrum is computed, from 2 to 18 cycles per side of the
    thumbnail. The mean of each ring of frequencies is subtracted, which removes
    what cells of the same type have in common and leaves the speckle of this
    image. The spectra of the four stains, each scaled to unit length, are
    projected on 512 random directions; the bits are the signs of the
    projections.

    Parameters
    ----------
    thumbnails : ndarray of uint8, shape (n, 4, 48, 48)
    valid : ndarray of bool, shape (n, 4)
        Stains to use.

    Returns
    -------
    ndarray of uint8, shape (n, 9, 64)
        512 bits for each of `WINDOWS`. The fraction of bits that differ estimates
        the angle between the spectra, divided by 180 degrees, with an error of
        about 0.02.

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
    """Return the mean number of bits that differ between codes of spectra with this cosine."""
    return int(np.arccos(min_similarity) / np.pi * CODE_BYTES * 8)


def soft_edges(height: int, width: int) -> np.ndarray:
    """Return the square root of a Hann window, which keeps more of the rim than a Hann window."""
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
    """Return the mask of the frequencies used, and the matrix that averages over each ring."""
    rows = fft.fftfreq(THUMBNAIL_SIDE, 1 / THUMBNAIL_SIDE)[:, None]
    columns = fft.rfftfreq(THUMBNAIL_SIDE, 1 / THUMBNAIL_SIDE)[None]
    radius = np.hypot(rows, columns)
    # Half of the plane: the spectrum of a real image is symmetric.
    kept = (radius >= 2) & (radius <= 18) & ((columns > 0) | (rows > 0))
    rings = np.rint(radius[kept]).astype(int)
    same = rings[:, None] == rings[None]
    return kept, (same / same.sum(0)).astype(np.float32)


@cache
def _directions() -> np.ndarray:
    n_values = 4 * int(_frequencies()[0].sum())
    # The legacy generator, because its stream is guaranteed never to change.
    signs = np.random.RandomState(0).randint(2, size=(n_values, CODE_BYTES * 8))
    return (2 * signs - 1).astype(np.float32)
