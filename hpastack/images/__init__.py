"""Image files -> arrays: the four stains of a field, read, checked and scaled.

PNG, JPEG and TIFF, 8 and 16 bit, grey or tinted, a file for each stain or one
for all. What is damaged or ambiguous is refused with the name of its file;
nothing is guessed, stretched or filled.
"""

from hpastack.images.checking import BadField, check_fields, field_content
from hpastack.images.faults import MAX_BYTES, MAX_PIXELS, FileFault
from hpastack.images.reading import field_shape, iter_fields, read_field, read_stain
from hpastack.images.rows import Row, stain_rows
from hpastack.images.scaling import resize_field

#: Endings of the image files that can be read.
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "SUFFIXES",
    "BadField",
    "FileFault",
    "Row",
    "check_fields",
    "field_content",
    "field_shape",
    "iter_fields",
    "read_field",
    "read_stain",
    "resize_field",
    "stain_rows",
]
