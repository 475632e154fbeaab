"""Images of fields for display, with a uniform layout and colours safe for colour blindness."""

from hpastack.pictures.colours import (
    COLOUR_NAMES,
    DEFAULT_PALETTE,
    OTHER_STYLE,
    STAIN_COLOURS,
    SYMBOLS,
    GroupStyle,
    group_styles,
    merged,
    stain_colours,
    stain_legend,
)
from hpastack.pictures.compartment_figure import compartment_figure
from hpastack.pictures.contact_sheet import contact_sheet
from hpastack.pictures.encoding import data_uri, jpeg_bytes, png_bytes, write_png
from hpastack.pictures.sheets import Captioned, Section, picture_sheet
from hpastack.pictures.thumbnails import Thumbnails
from hpastack.pictures.tiles import (
    brightened,
    draw_scale_bar,
    field_tile,
    protein_in_grey,
    read_tile,
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
    "Thumbnails",
    "brightened",
    "compartment_figure",
    "contact_sheet",
    "data_uri",
    "draw_scale_bar",
    "field_tile",
    "group_styles",
    "jpeg_bytes",
    "merged",
    "picture_sheet",
    "png_bytes",
    "protein_in_grey",
    "read_tile",
    "scale_bar",
    "scale_text",
    "stain_colours",
    "stain_legend",
    "write_png",
]
