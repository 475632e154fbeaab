"""The four stains of a field: their order, names and file suffixes.

The order is red, green, blue, yellow everywhere: in arrays, in column names
and in model inputs. No other module of the package repeats it.
"""

import numpy as np

from hpastack.errors import InputError

#: Stain names in the order of the first axis of a field.
STAINS = ("red", "green", "blue", "yellow")

#: What each stain shows.
STAIN_MEANINGS = {
    "red": "microtubules",
    "green": "protein of interest",
    "blue": "nucleus",
    "yellow": "endoplasmic reticulum",
}

#: The stain of the protein whose location is predicted; the other three are reference markers.
PROTEIN = "green"

#: Position of each stain on the first axis of a field.
STAIN_INDEX = {stain: position for position, stain in enumerate(STAINS)}


def parse_stains(text: str) -> tuple[str, ...]:
    """Parse a list of stains.

    Parameters
    ----------
    text : str
        Names separated by commas or spaces.

    Returns
    -------
    tuple of str
        In the order of `STAINS`.

    Raises
    ------
    InputError
        If a name is unknown or duplicate, or the protein is missing.

    Examples
    --------
    >>> parse_stains("blue,red,green")
    ('red', 'green', 'blue')
    """
    names = text.lower().replace(",", " ").split()
    if len(set(names)) < len(names) or not set(names) <= set(STAINS) or PROTEIN not in names:
        raise InputError(
            f"stains: {text!r} must contain {PROTEIN}, the protein, and any of the others of "
            f"{', '.join(STAINS)}, each once",
            "stains",
        )
    return tuple(stain for stain in STAINS if stain in names)


def measured_stains(field: np.ndarray) -> tuple[str, ...]:
    """Return the stains of a field that are not missing (not all NaN).

    Parameters
    ----------
    field : ndarray, shape (4, H, W)

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> field = np.zeros((4, 2, 2))
    >>> field[3] = np.nan
    >>> measured_stains(field)
    ('red', 'green', 'blue')
    """
    if field.dtype.kind != "f":
        return STAINS
    # The first pixel is nearly always enough.
    return tuple(
        stain
        for stain, image in zip(STAINS, field)
        if not (image.size and np.isnan(image.flat[0]) and np.isnan(image).all())
    )


def with_black_stains(field: np.ndarray) -> np.ndarray:
    """Return a field in which missing stains are replaced by 0.

    Parameters
    ----------
    field : ndarray, shape (4, H, W)

    Returns
    -------
    ndarray
        `field` itself if none is missing.
    """
    measured = measured_stains(field)
    if len(measured) == len(STAINS):
        return field
    field = field.copy()
    field[[STAIN_INDEX[stain] for stain in STAINS if stain not in measured]] = 0
    return field
