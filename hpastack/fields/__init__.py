"""Read image files into arrays: the four stains of a field, checked and scaled.

Files have 8 or 16 bits, are grey or tinted, hold one stain or all of them, and
are in any of the `FORMATS`. A damaged or ambiguous file raises an error that
names it; nothing is guessed, stretched or filled in.
"""

from hpastack.fields.checking import BadField, check_fields, field_content
from hpastack.fields.composite import stretched, to_8_bit
from hpastack.fields.formats import FORMATS, SUFFIXES
from hpastack.fields.formats.faults import MAX_BYTES, MAX_PIXELS, FileFault
from hpastack.fields.multichannel import parse_channels, plane_paths
from hpastack.fields.packed.reading import PackedFields, find_packed
from hpastack.fields.packed.writing import pack_fields
from hpastack.fields.paths import Row, field_pixel_size, row_stains, stain_rows
from hpastack.fields.reading import field_fault, field_shape, iter_fields, read_field, read_stain
from hpastack.fields.resizing import resize_field
from hpastack.fields.stains import PROTEIN, STAIN_INDEX, STAINS
from hpastack.fields.statistics import read_stain_statistics, stain_moments, stain_statistics
from hpastack.fields.streaming import Outcome, Outcomes, stream_square_images

__all__ = [
    "BadField",
    "FORMATS",
    "FileFault",
    "MAX_BYTES",
    "MAX_PIXELS",
    "Outcome",
    "Outcomes",
    "PROTEIN",
    "PackedFields",
    "Row",
    "STAINS",
    "STAIN_INDEX",
    "SUFFIXES",
    "check_fields",
    "field_content",
    "field_fault",
    "field_pixel_size",
    "field_shape",
    "find_packed",
    "iter_fields",
    "pack_fields",
    "parse_channels",
    "plane_paths",
    "read_field",
    "read_stain",
    "read_stain_statistics",
    "resize_field",
    "row_stains",
    "stain_moments",
    "stain_rows",
    "stain_statistics",
    "stream_square_images",
    "stretched",
    "to_8_bit",
]
