"""The four stains of a field: their order, names and file suffixes.

The order is red, green, blue, yellow everywhere: in arrays, in column names
and in model inputs. Nothing else in the package spells these out.
"""

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

#: The stain whose place is asked for; the other three are for reference.
PROTEIN = "green"

#: Position of each stain on the first axis of a field.
STAIN_INDEX = {stain: position for position, stain in enumerate(STAINS)}


def parse_stains(text: str) -> tuple[str, ...]:
    """Understand the option ``--stains``.

    Parameters
    ----------
    text : str
        Names separated by commas or blanks.

    Returns
    -------
    tuple of str
        In the order of `STAINS`.

    Raises
    ------
    InputError
        If a name is unknown or twice there, or the protein is not there.

    Examples
    --------
    >>> parse_stains("blue,red,green")
    ('red', 'green', 'blue')
    """
    names = text.lower().replace(",", " ").split()
    if len(set(names)) < len(names) or not set(names) <= set(STAINS) or PROTEIN not in names:
        raise InputError(
            f"--stains {text}: it is {PROTEIN}, the protein, and any others of "
            f"{', '.join(STAINS)}, each once"
        )
    return tuple(stain for stain in STAINS if stain in names)
