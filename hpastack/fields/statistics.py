"""Intensity statistics of each stain of a data set: means, standard deviations, percentiles."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpastack.errors import InputError, shorten
from hpastack.fields.paths import stains_of
from hpastack.fields.reading import iter_fields
from hpastack.fields.stains import PROTEIN, STAIN_INDEX, STAINS
from hpastack.parallel import progress_bar

#: Percentiles of the values of a stain, by the names of their columns.
PERCENTILES = {"p1": 1.0, "p5": 5.0, "p50": 50.0, "p95": 95.0, "p99": 99.0, "p99_9": 99.9}

# Values are counted on the grid of 16-bit files, which includes that of 8-bit files.
_TOP = 65535


def stain_statistics(
    catalogue: pd.DataFrame,
    size: int | None = None,
    *,
    jobs: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Measure the intensity statistics of each stain over every pixel of every field.

    Pixels are counted by their value, in whole numbers, so that the result depends neither on
    the order of the fields nor on the number of threads. Values of 8-bit and 16-bit files that
    are not resized are counted exactly; resized ones are rounded to the nearest 1/65535.

    Parameters
    ----------
    catalogue : DataFrame
        Indexed by image id, with columns ``red``, ``green``, ``blue``, ``yellow``.
    size : int, optional
        Longer side of the fields, in pixels. Default: the size of the files. Resizing averages
        noise and so reduces the standard deviation: use the input size of the network.
    jobs : int, optional
        Decoding threads. Default: the number of processors available to this process.
    progress : bool, default=True
        Whether to show a progress bar on stderr.

    Returns
    -------
    DataFrame
        Indexed by ``stain`` (the stains of the fields), for values in [0, 1]: ``mean``, ``sd``
        (of the population), the percentiles ``p1``, ``p5``, ``p50``, ``p95``, ``p99``,
        ``p99_9`` (the smallest value that is not exceeded by at least this percentage of the
        pixels), ``saturated`` (fraction of the pixels with the value 1) and ``n_fields``.

    Raises
    ------
    InputError
        If there are no fields, or one cannot be read; the field is named.
    """
    if catalogue.empty:
        raise InputError("there are no fields to measure: the catalogue is empty", "catalogue")
    counts = np.zeros((len(STAINS), _TOP + 1), dtype=np.int64)
    fields = iter_fields(catalogue, size, jobs=jobs, missing=0)
    bar = progress_bar(fields, total=len(catalogue), what="stains", unit="field", show=progress)
    for _, field in bar:
        levels = np.rint(field * np.float32(_TOP)).astype(np.int64)
        for stain, values in enumerate(levels):
            counts[stain] += np.bincount(values.ravel(), minlength=_TOP + 1)
    stains = stains_of(catalogue)
    rows = [
        {**_summary(counts[STAIN_INDEX[stain]]), "n_fields": len(catalogue)} for stain in stains
    ]
    return pd.DataFrame(rows, index=pd.Index(stains, name="stain"))


def stain_moments(
    images: Iterable[np.ndarray],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Measure the mean and standard deviation of each stain over 8-bit images.

    Parameters
    ----------
    images : iterable of ndarray of uint8, shape (n, 4, h, w)
        Batches of fields, such as the training batches of a network.

    Returns
    -------
    mean, sd : tuple of float, length 4
        Over all pixels, for values in [0, 1]. `sd` is at least 1/255, so that
        dividing by the `sd` of a constant stain is safe.

    Examples
    --------
    >>> black, white = np.zeros((1, 4, 2, 2), np.uint8), np.full((1, 4, 2, 2), 255, np.uint8)
    >>> stain_moments([black, white])
    ((0.5, 0.5, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5))
    """
    sums, squares, n_pixels = np.zeros(len(STAINS)), np.zeros(len(STAINS)), 0
    for batch in images:
        values = batch / 255.0
        sums += values.sum(axis=(0, 2, 3))
        squares += (values**2).sum(axis=(0, 2, 3))
        n_pixels += batch[:, 0].size
    mean = sums / n_pixels
    sd = np.sqrt(np.maximum(squares / n_pixels - mean**2, 0))
    return tuple(mean.tolist()), tuple(np.maximum(sd, 1 / 255).tolist())


def read_stain_statistics(path: str | Path) -> dict[str, tuple[float, float]]:
    """Read the means and standard deviations measured by `stain_statistics`.

    Parameters
    ----------
    path : path-like
        A CSV with the columns ``stain``, ``mean`` and ``sd``; others are ignored.

    Returns
    -------
    dict of str to (float, float)
        Mean and sd of each stain, for values in [0, 1].

    Raises
    ------
    InputError
        If the file is missing or is not such a table, a stain is duplicate or unknown,
        green is missing, a value is not a number, or an sd is not above 0 (a stain that is
        constant everywhere).
    """
    path = Path(path)
    remedy = "run: hpastack statistics"
    if not path.is_file():
        raise InputError(f"{path} is missing; {remedy}")
    try:
        table = pd.read_csv(path, dtype=str)  # pandas 2 reads floats to the 15th digit
        table = table.astype({"mean": float, "sd": float}).set_index("stain")[["mean", "sd"]]
    except (KeyError, ValueError):
        raise InputError(f"{path} lacks a stain, mean or sd in some row; {remedy}") from None
    is_known = table.index.is_unique and table.index.isin(STAINS).all()
    if not is_known or PROTEIN not in table.index:
        raise InputError(
            f"{path} has the stains {shorten(table.index)}; they must be {', '.join(STAINS)}, or "
            f"some of them including {PROTEIN}, each once"
        )
    wrong = [
        stain for stain, row in table.iterrows()
        if not (0 <= row["mean"] <= 1 and 0 < row["sd"] <= 1)
    ]  # fmt: skip
    if wrong:
        raise InputError(
            f"{path}: invalid mean or sd of {shorten(wrong)}; the mean must be from 0 to 1 and the "
            "sd above 0 and at most 1"
        )
    return {
        stain: (float(table["mean"][stain]), float(table["sd"][stain])) for stain in table.index
    }


def _summary(counts: np.ndarray) -> dict[str, float]:
    """Summarise counts of pixel values, with integer arithmetic as far as possible."""
    levels = np.flatnonzero(counts)
    pairs = [(int(level), int(counts[level])) for level in levels]
    n = sum(count for _, count in pairs)
    total = sum(level * count for level, count in pairs)
    squares = sum(level * level * count for level, count in pairs)
    # n * squares - total**2 is exact, so that a constant stain has an sd of exactly 0.
    sd = math.sqrt(n * squares - total**2) / (n * _TOP)
    below = np.cumsum(counts[levels])
    return {
        "mean": total / (n * _TOP),
        "sd": sd,
        **{name: _percentile(levels, below, n, q) for name, q in PERCENTILES.items()},
        "saturated": int(counts[_TOP]) / n,
    }


def _percentile(levels: Iterable[Any], below: np.ndarray, n: int, q: float) -> float:
    # q percent of n pixels, rounded up, in integers of a tenth of a percent.
    wanted = max(1, -(-round(q * 10) * n // 1000))
    return int(np.asarray(levels)[np.searchsorted(below, wanted)]) / _TOP
