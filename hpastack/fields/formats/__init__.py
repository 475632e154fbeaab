"""Formats of image files: how each is recognised, checked and decoded.

A format is a module that implements `hpastack.fields.formats.picture.Format`,
with an entry in `FORMATS`. Files are recognised by their first bytes; suffixes
only select the images among the files of a folder.
"""

from hpastack.fields.formats import jpeg, png, tiff
from hpastack.fields.formats.picture import Format

#: The supported formats, by the names used in messages.
FORMATS: dict[str, Format] = {"PNG": png, "JPEG": jpeg, "TIFF": tiff}

#: Suffixes of their files.
SUFFIXES = tuple(suffix for format in FORMATS.values() for suffix in format.SUFFIXES)

__all__ = ["FORMATS", "SUFFIXES", "Format"]
