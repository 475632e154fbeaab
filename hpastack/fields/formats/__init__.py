"""Formats of image files: how each is recognised, checked and decoded.

A format is a module with what `hpastack.fields.formats.picture.Format` lists, and a
line in `FORMATS`. Files are recognised by what they begin with; endings only
say which files of a folder are images.
"""

from hpastack.fields.formats import jpeg, png, tiff
from hpastack.fields.formats.picture import Format

#: The formats that are read, by the names that messages give them.
FORMATS: dict[str, Format] = {"PNG": png, "JPEG": jpeg, "TIFF": tiff}

#: Endings of their files.
SUFFIXES = tuple(suffix for format in FORMATS.values() for suffix in format.SUFFIXES)

__all__ = ["FORMATS", "SUFFIXES", "Format"]
