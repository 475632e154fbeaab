"""The pixel size of fields, in micrometres: from the command line, a table or the files."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from hpastack.catalogue.table import pixel_sizes
from hpastack.errors import InputError
from hpastack.fields import STAINS
from hpastack.fields.paths import PIXEL_SIZE, field_pixel_size


def parse_pixel_size(text: str) -> float:
    """Understand the option ``--pixel-size``.

    Parameters
    ----------
    text : str
        Micrometres per pixel.

    Returns
    -------
    float

    Raises
    ------
    InputError
        If it is not a positive number below 1,000.

    Examples
    --------
    >>> parse_pixel_size("0.08")
    0.08
    """
    try:
        size = field_pixel_size({PIXEL_SIZE: text.strip()})
    except InputError:
        size = None
    if size is None:
        raise InputError(f"--pixel-size {text}: it is micrometres per pixel, such as 0.08")
    return size


def fill_pixel_sizes(
    catalogue: pd.DataFrame, of_files: Mapping[str, float], size: float | None = None
) -> pd.DataFrame:
    """Add what is known of the size of the pixels of each field.

    Parameters
    ----------
    catalogue : DataFrame
        Perhaps with a column ``pixel_size``, from a table.
    of_files : mapping of str to float
        Micrometres per pixel that the files say, by image id.
    size : float, optional
        That of all fields, whatever table and files say.

    Returns
    -------
    DataFrame
        A copy with a column ``pixel_size`` of numbers, where that of any field
        is known. What a table says goes before what the files say. Unknown
        ones, and those of fields without images, are NaN.

    Raises
    ------
    InputError
        If a size of the table is not a positive number below 1,000.
    """
    sizes = pd.Series({name: of_files.get(str(name)) for name in catalogue.index}, dtype="float64")
    if PIXEL_SIZE in catalogue:
        sizes = pixel_sizes(catalogue[PIXEL_SIZE], "the table of paths").fillna(sizes)
    if size is not None:
        sizes[:] = size
    sizes[(catalogue[list(STAINS)] == "").all(axis=1)] = float("nan")
    catalogue = catalogue.drop(columns=PIXEL_SIZE, errors="ignore")
    return catalogue if sizes.isna().all() else catalogue.assign(**{PIXEL_SIZE: sizes})
