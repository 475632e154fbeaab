"""Colours of stains, and colours and symbols of groups of fields.

Mixing is additive: a stain adds its colour multiplied by its intensity. Pages that mix the
stains in the browser use the same table.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from hpastack.errors import InputError
from hpastack.fields import STAIN_INDEX, STAINS, to_8_bit
from hpastack.fields.stains import STAIN_MEANINGS, with_black_stains

Colour = tuple[int, int, int]

#: Colour (RGB) of each stain at full intensity, by palette. ``hpa`` is the palette of the Human
#: Protein Atlas; its red and yellow are indistinguishable under deuteranopia. The colours of
#: ``safe`` differ in hue under deuteranopia and protanopia, so that no stain looks like a dimmer
#: version of another one.
STAIN_COLOURS: dict[str, dict[str, Colour]] = {
    "safe": {
        "red": (255, 96, 192),
        "green": (255, 220, 0),
        "blue": (0, 64, 255),
        "yellow": (128, 96, 72),
    },
    "hpa": {
        "red": (255, 0, 0),
        "green": (0, 255, 0),
        "blue": (0, 0, 255),
        "yellow": (128, 128, 0),
    },
}

#: The default palette of all images.
DEFAULT_PALETTE = "safe"

#: Names of the colours of `STAIN_COLOURS`.
COLOUR_NAMES = {
    "safe": {"red": "pink", "green": "yellow", "blue": "blue", "yellow": "brown"},
    "hpa": {"red": "red", "green": "green", "blue": "blue", "yellow": "olive"},
}


def stain_colours(palette: str = DEFAULT_PALETTE) -> dict[str, Colour]:
    """Return the colour of each stain at full intensity.

    Parameters
    ----------
    palette : {"safe", "hpa"}, default="safe"

    Returns
    -------
    dict of str to tuple of int
        RGB, from 0 to 255, in the order of the stains.

    Raises
    ------
    InputError
        If the palette is unknown.
    """
    if palette not in STAIN_COLOURS:
        raise InputError(
            f"unknown palette {palette!r}; it must be one of {', '.join(STAIN_COLOURS)}", "palette"
        )
    return STAIN_COLOURS[palette]


def stain_legend(palette: str = DEFAULT_PALETTE) -> str:
    """Return a legend in words: the colour of each stain.

    Examples
    --------
    >>> stain_legend("hpa")
    'microtubules red, protein of interest green, nucleus blue, endoplasmic reticulum olive'
    """
    stain_colours(palette)
    names = COLOUR_NAMES[palette]
    return ", ".join(f"{STAIN_MEANINGS[stain]} {names[stain]}" for stain in STAINS)


def merged(field: np.ndarray, palette: str = DEFAULT_PALETTE) -> np.ndarray:
    """Merge the four stains of a field into one RGB image.

    Parameters
    ----------
    field : ndarray of float, shape (4, H, W)
        In [0, 1]; a missing stain is 0 or NaN.
    palette : {"safe", "hpa"}, default="safe"

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        The sum of the stain colours, each multiplied by its intensity, clipped.

    Examples
    --------
    >>> field = np.zeros((4, 1, 2))
    >>> field[1, 0, 0] = 1.0  # protein
    >>> field[3, 0, 1] = 0.5  # endoplasmic reticulum
    >>> merged(field, "hpa").tolist()
    [[[0, 255, 0], [64, 64, 0]]]
    """
    colours = stain_colours(palette)
    field = with_black_stains(field)
    mixed = np.zeros((*field.shape[1:], 3), np.float32)
    for stain in STAINS:
        mixed += field[STAIN_INDEX[stain]][..., None] * np.array(colours[stain], np.float32)
    return to_8_bit(np.clip(mixed / 255, 0, 1))


class Symbol(NamedTuple):
    """A plotting symbol: its name, matplotlib marker and SVG path within -1 to 1."""

    name: str
    marker: str
    path: str


class GroupStyle(NamedTuple):
    """Plotting style of a group: a colour (``#rrggbb``) and a symbol."""

    colour: str
    symbol: Symbol


#: Symbols of similar area, in order of decreasing distinctness.
SYMBOLS = (
    Symbol("circle", "o", "M-.8 0A.8 .8 0 1 0 .8 0A.8 .8 0 1 0 -.8 0Z"),
    Symbol("triangle", "^", "M0 -.95L.95 .75H-.95Z"),
    Symbol("square", "s", "M-.7 -.7H.7V.7H-.7Z"),
    Symbol("cross", "X", "M-.85 -.45L-.45 -.85L0 -.4L.45 -.85L.85 -.45L.4 0L.85 .45L.45 .85"
           "L0 .4L-.45 .85L-.85 .45L-.4 0Z"),
    Symbol("diamond", "D", "M0 -1L1 0L0 1L-1 0Z"),
    Symbol("plus", "P", "M-.3 -.9H.3V-.3H.9V.3H.3V.9H-.3V.3H-.9V-.3H-.3Z"),
    Symbol("inverted triangle", "v", "M0 .95L.95 -.75H-.95Z"),
    Symbol("star", "*", "M0 -1L.24 -.32H.95L.38 .12L.59 .81L0 .4L-.59 .81L-.38 .12L-.95 -.32"
           "H-.24Z"),
    Symbol("left triangle", "<", "M-.95 0L.75 -.95V.95Z"),
    Symbol("hexagon", "h", "M0 -.9L.78 -.45V.45L0 .9L-.78 .45V-.45Z"),
    Symbol("right triangle", ">", "M.95 0L-.75 -.95V.95Z"),
)  # fmt: skip

# Okabe and Ito's colours, with brown instead of their black and yellow, which are invisible on a
# dark and on a white page; and Paul Tol's "muted". Ordered so that neighbouring colours, and
# colours with the same symbol, are far apart also under colour blindness.
_OKABE_ITO = ("#0072B2", "#009E73", "#E69F00", "#CC79A7", "#D55E00", "#56B4E9", "#6A3D00")
_TOL_MUTED = ("#332288", "#CC6677", "#999933", "#882255", "#88CCEE", "#117733", "#44AA99")

#: Style of unknown groups, and of groups beyond the maximum number.
OTHER_STYLE = GroupStyle(
    "#999999", Symbol("dot", ".", "M-.4 0A.4 .4 0 1 0 .4 0A.4 .4 0 1 0 -.4 0Z")
)

#: Train and test have colours that are not used for other groups.
SPLIT_STYLES = {
    "train": GroupStyle("#5F6B7A", SYMBOLS[0]),
    "test": GroupStyle("#B04A1E", SYMBOLS[4]),
}

#: Maximum number of groups with a unique style; further groups are `OTHER_STYLE`.
MOST_STYLES = 22


def group_styles(names: Iterable[str], kind: str) -> dict[str, GroupStyle]:
    """Choose a colour and a symbol for each group of a kind.

    Parameters
    ----------
    names : iterable of str
        The groups, in the order of the legend.
    kind : str
        Kind of the groups: ``split``, ``domain``, ``fold``, or any other column
        such as ``cell_line``.

    Returns
    -------
    dict of str to GroupStyle
        No two groups have the same colour and symbol; neighbours in the list
        differ in both. Domains, splits and the other kinds (folds and columns)
        use different sets of colours. All groups after the 22nd are
        `OTHER_STYLE`.

    Examples
    --------
    >>> [(style.colour, style.symbol.name) for style in group_styles("ab", "domain").values()]
    [('#0072B2', 'circle'), ('#009E73', 'triangle')]
    """
    if kind == "split":
        return {name: SPLIT_STYLES.get(name, OTHER_STYLE) for name in names}
    colours = _OKABE_ITO if kind == "domain" else _TOL_MUTED
    styles = {}
    # 7 colours and 11 symbols: 77 groups without a duplicate combination.
    for number, name in enumerate(dict.fromkeys(names)):
        own = GroupStyle(colours[number % len(colours)], SYMBOLS[number % len(SYMBOLS)])
        styles[name] = own if number < MOST_STYLES else OTHER_STYLE
    return styles
