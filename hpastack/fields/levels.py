"""Intensity levels of a data set: the bit depth in use, and stains that look wrong.

Cameras with 10 or 12 bits write 16-bit files whose values must be divided by
1023 or 4095, not by 65535. One image is not enough to find the bit depth; a
data set is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from hpastack.errors import InputError, counted
from hpastack.fields.formats.decoding import MOST_CUT
from hpastack.fields.formats.faults import FileFault, StrPath

#: Full depth of a 16-bit file: its values are divided by 65535.
FULL_BITS = 16

#: Bit depths of cameras; the smallest that fits every value of a data set is used.
CAMERA_BITS = (8, 10, 12, 14, FULL_BITS)

# Fraction of the pixels of a data set that may be hot.
_STRAY = 1e-5
# The brightness of a stain is sampled in every 8th row and column.
_STEP = 8
# Factor that scales 8-bit values to 16 bits; shifted values are multiples of 16 or more.
_SPREAD = 257
_SHIFTED = 16
# A stain is nearly black if its 99.9th percentile is below this fraction of the range in every
# field, and saturated if more than this fraction of all its pixels has the maximum value.
_BLACK = 0.03
_SATURATED = 0.02
# Fraction of constant fields that needs no warning.
_FEW = 0.05


class StainLevels(NamedTuple):
    """Intensity levels of the file of one stain, as integers of the file."""

    path: StrPath
    n_bits: int  # of the file: 8 or 16
    declared: int  # bits in use according to the file; 0 if it does not say
    low: int
    high: int
    bright: int  # 99.9th percentile of a sample
    n_pixels: int
    n_highest: int  # pixels with the value `high`
    step: int  # the power of two, or 257, of which all values are multiples
    n_above: tuple[int, ...] = ()  # 16-bit files: pixels that do not fit each of `CAMERA_BITS`

    @property
    def is_constant(self) -> bool:
        """Whether all pixels have the same value."""
        return self.low == self.high


class Depth(NamedTuple):
    """Bit depth of the 16-bit files of a data set, and how it was found."""

    bits: int
    highest: int
    reason: str
    stray: str = ""  # the few pixels that alone exclude a smaller depth


def measure_levels(pixels: np.ndarray, declared: int, path: StrPath) -> StainLevels:
    """Measure the intensity levels of one stain.

    Parameters
    ----------
    pixels : ndarray of uint8 or uint16, shape (H, W) or (H, W, samples)
        As decoded. Of several samples, the maximum over the colours (without
        alpha) is used.
    declared : int
        Bits in use according to the file; 0 if it does not say.
    path : path-like

    Returns
    -------
    StainLevels
    """
    values = pixels
    if pixels.ndim == 3:
        n_colours = pixels.shape[2] - (pixels.shape[2] in (2, 4))
        values = pixels[..., 0] if n_colours == 1 else pixels[..., :n_colours].max(axis=2)
    low, high = int(values.min()), int(values.max())
    sample = values[::_STEP, ::_STEP].ravel()
    place = int(0.999 * (sample.size - 1))
    n_bits = 8 * values.dtype.itemsize
    return StainLevels(
        path, n_bits, declared, low, high, int(np.partition(sample, place)[place]), values.size,
        int(np.count_nonzero(values == high)), _step(values) if n_bits == FULL_BITS else 1,
        _n_above(values, high) if n_bits == FULL_BITS else (),
    )  # fmt: skip


def find_depth(levels: Iterable[StainLevels], bits: int | None = None) -> Depth | None:
    """Find the bit depth of the 16-bit files of a data set.

    Parameters
    ----------
    levels : iterable of StainLevels
        Of all files of the data set.
    bits : int, optional
        The bit depth. Default: the depth declared in the files if every value
        fits it, otherwise the smallest depth of a camera that fits every value.
        Values that are all multiples of 257 (8 bits scaled to 16) or of 16
        (shifted) use the whole range.

    Returns
    -------
    Depth or None
        None if there is no 16-bit file.

    Raises
    ------
    InputError
        If too many pixels of a file (more than 1 in 1,000) have a value above
        the maximum of `bits`; the file is named.

    Examples
    --------
    >>> pixels = np.array([[0, 600], [31, 1001]], np.uint16)
    >>> find_depth([measure_levels(pixels, 0, "a.tif")]).bits
    10
    """
    deep = [file for file in levels if file.n_bits == FULL_BITS]
    if not deep:
        return None
    brightest = max(deep, key=lambda file: file.high)
    highest = brightest.high
    if bits is not None:
        if brightest.high >= 1 << bits and n_cut(brightest, bits) > MOST_CUT * brightest.n_pixels:
            raise FileFault(
                brightest.path,
                f"has the value {highest}, above the maximum of {bits} bits, {(1 << bits) - 1}; "
                f"set bits to {_least(highest)} or auto",
                "bits",
            )
        return Depth(bits, highest, "as specified")
    # Writers that do not know the depth declare 16.
    declared = max((file.declared for file in deep if file.declared < FULL_BITS), default=0)
    if declared and highest < 1 << declared:
        return Depth(declared, highest, "as declared in the files")
    steps = {file.step for file in deep if file.high}
    if steps == {_SPREAD} or (steps and _all_multiples(steps, 256)):
        return Depth(FULL_BITS, highest, "8 bits scaled to the full range")
    if highest >= 1 << 12 and _all_multiples(steps, _SHIFTED):
        return Depth(FULL_BITS, highest, "shifted: multiples of 16")
    least = _least(highest) if highest else FULL_BITS
    return Depth(least, highest, "the smallest depth that fits every value", _stray(deep, least))


def level_warnings(files: Sequence[StainLevels], bits: int) -> str:
    """Describe what looks wrong with one stain of a data set.

    Parameters
    ----------
    files : sequence of StainLevels
        Levels of the stain in each field.
    bits : int
        Bit depth of the 16-bit files.

    Returns
    -------
    str
        A clause such as "is constant (0) in all 12 fields"; "" if nothing is wrong.
    """
    tops = [(1 << (bits if file.n_bits == FULL_BITS else 8)) - 1 for file in files]
    constant = [file for file in files if file.is_constant]
    if len(constant) == len(files):
        values = {file.low for file in files}
        value = f" ({values.pop()})" if len(values) == 1 else ""
        in_all = "the only field" if len(files) == 1 else f"all {len(files)} fields"
        return f"is constant{value} in {in_all}: it is missing, or the wrong image"
    if max(file.bright / top for file, top in zip(files, tops)) < _BLACK:
        brightest = max(range(len(files)), key=lambda place: files[place].high / tops[place])
        return (
            f"is nearly black in all {counted(len(files), 'field')}: the maximum value is "
            f"{files[brightest].high} of {tops[brightest]}"
        )
    n_saturated = sum(file.n_highest for file, top in zip(files, tops) if file.high == top)
    share = n_saturated / sum(file.n_pixels for file in files)
    if share > _SATURATED:
        return f"is saturated: {share:.0%} of its pixels have the maximum value"
    if len(constant) > max(1, _FEW * len(files)):
        return f"is constant in {len(constant)} of {counted(len(files), 'field')}"
    return ""


def parse_bits(text: str) -> int | None:
    """Parse a bit depth.

    Parameters
    ----------
    text : str
        "auto" or a whole number.

    Returns
    -------
    int or None
        From 8 to 16; None for "auto".

    Raises
    ------
    InputError
        If `text` is anything else.
    """
    if text == "auto":
        return None
    if not text.isdecimal() or not 8 <= int(text) <= FULL_BITS:
        raise InputError(
            f"bits: {text!r} is not auto or a whole number from 8 to {FULL_BITS}", "bits"
        )
    return int(text)


def n_cut(levels: StainLevels, bits: int) -> int:
    """Return the number of pixels of a 16-bit file above a bit depth, or an upper bound of it."""
    fitting = [n for n, camera in zip(levels.n_above, CAMERA_BITS) if camera <= bits]
    return min(fitting, default=levels.n_pixels)


def _stray(files: Sequence[StainLevels], least: int) -> str:
    """Describe the few pixels that alone exclude a smaller depth; "" if there are none."""
    n_pixels = sum(file.n_pixels for file in files)
    for place, camera in enumerate(CAMERA_BITS):
        n_above = sum(file.n_above[place] for file in files if file.n_above)
        if camera < least and 0 < n_above <= _STRAY * n_pixels:
            first = next(file for file in files if file.n_above and file.n_above[place])
            return (
                f"all but {n_above:,} of {n_pixels:,} pixels fit {camera} bits (one is in "
                f"{first.path}); if the camera has {camera} bits, set bits to {camera}, which "
                "clips those pixels"
            )
    return ""


def _n_above(values: np.ndarray, high: int) -> tuple[int, ...]:
    return tuple(
        int(np.count_nonzero(values >> bits)) if high >> bits else 0 for bits in CAMERA_BITS
    )


def _least(highest: int) -> int:
    return next(bits for bits in CAMERA_BITS if highest < 1 << bits)


def _all_multiples(steps: set[int], least: int) -> bool:
    return all(step % least == 0 for step in steps)


def _step(values: np.ndarray) -> int:
    used = int(np.bitwise_or.reduce(values, axis=None))
    sample = values[::_STEP, ::_STEP]
    if used and not (sample % _SPREAD).any() and not (values % _SPREAD).any():
        return _SPREAD
    return used & -used or 1
