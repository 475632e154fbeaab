"""Paths that refer to a plane of a TIFF."""

from __future__ import annotations

import os
import re
from typing import NoReturn

from hpastack.fields.formats.faults import FileFault, StrPath

# x.tif#2 is plane 2 of x.tif; in any other path a # has no special meaning.
_PLANE = re.compile(r"(?P<file>.*\.tiff?)#(?P<plane>0|[1-9][0-9]{0,3})", re.IGNORECASE | re.DOTALL)


def split_plane(path: StrPath) -> tuple[StrPath, int | None]:
    """Split a path with a plane, such as ``x.tif#2``, into the file and the number.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    file : path-like
        `path` itself if it names no plane.
    plane : int or None

    Examples
    --------
    >>> split_plane("field.ome.tif#2")
    ('field.ome.tif', 2)
    >>> split_plane("field#2.png")
    ('field#2.png', None)
    """
    match = _PLANE.fullmatch(os.fsdecode(path))
    return (path, None) if match is None else (match["file"], int(match["plane"]))


def reject_plane(path: StrPath) -> NoReturn:
    """Raise the error for a plane of a file whose format has no planes."""
    raise FileFault(path, "not a TIFF; only planes of a TIFF can be selected")
