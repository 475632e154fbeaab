"""The pixel size of fields, in micrometres: from the user, a table or the image files."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from hpastack.catalogue.table import pixel_sizes
from hpastack.errors import InputError
from hpastack.fields import STAINS
from hpastack.fields.paths import PIXEL_SIZE, field_pixel_size


def parse_pixel_size(text: str) -> float:
    """Read a pixel size from text.

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
        raise InputError(
            f"pixel_size: {text!r} is not a number of micrometres per pixel, such as 0.08",
            "pixel_size",
        )
    return size


def fill_pixel_sizes(
    catalogue: pd.DataFrame, of_files: Mapping[str, float], size: float | None = None
) -> pd.DataFrame:
    """Add the pixel size of each field where it is known.

    Parameters
    ----------
    catalogue : DataFrame
        May have a column ``pixel_size``, from a table.
    of_files : mapping of str to float
        Micrometres per pixel recorded in the files, by image id.
    size : float, optional
        Micrometres per pixel of all fields; takes precedence over table and files.

    Returns
    -------
    DataFrame
        A copy with a numeric column ``pixel_size``, if the size of any field
        is known. Sizes in a table take precedence over those in files. Unknown
        sizes, and those of fields without images, are NaN.

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
