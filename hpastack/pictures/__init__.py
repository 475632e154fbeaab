"""Pictures of fields: colours, tiles, sheets and thumbnails, laid out in one way everywhere.

Every picture that a command, a report or a page shows comes from here. Stains, and
groups of fields, can be told apart also under deuteranopia and protanopia.
"""

from hpastack.pictures.colours import (
    COLOUR_NAMES,
    DEFAULT_PALETTE,
    OTHER_STYLE,
    STAIN_COLOURS,
    SYMBOLS,
    GroupStyle,
    Symbol,
    group_styles,
    merged,
    stain_colours,
)
from hpastack.pictures.encoding import data_uri, jpeg_bytes, png_bytes, write_png
from hpastack.pictures.sheets import Captioned, Section, picture_sheet
from hpastack.pictures.thumbnails import StainImages, Thumbnails
from hpastack.pictures.tiles import (
    brightened,
    draw_scale_bar,
    field_tile,
    protein_in_grey,
    scale_bar,
    scale_text,
)

__all__ = [
    "COLOUR_NAMES",
    "Captioned",
    "DEFAULT_PALETTE",
    "GroupStyle",
    "OTHER_STYLE",
    "STAIN_COLOURS",
    "SYMBOLS",
    "Section",
    "StainImages",
    "Symbol",
    "Thumbnails",
    "brightened",
    "data_uri",
    "draw_scale_bar",
    "field_tile",
    "group_styles",
    "jpeg_bytes",
    "merged",
    "picture_sheet",
    "png_bytes",
    "protein_in_grey",
    "scale_bar",
    "scale_text",
    "stain_colours",
    "write_png",
]
