"""The address and the local file of each stain of a field."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from hpastack.errors import InputError, shorten
from hpastack.fields import STAINS
from hpastack.files import check_unique, read_id_table

#: Where the Human Protein Atlas publishes the stains of its fields.
HPA_URL = "https://images.proteinatlas.org/{antibody}/{plate}_{well}_{field}_{stain}.jpg"

# Fields of HPA v18 are named 10580_1610_C1_1, 7_si25_A3_2 (knock-down plates) or
# 11651_1732_F3_13_cr580610dc203b9. Each letter has only one case, so that no two ids share a file
# on file systems that ignore case.
_FIELD_ID = re.compile(
    r"(?P<antibody>[1-9][0-9]{0,8})_(?P<plate>(si)?[0-9]{1,9})_(?P<well>[A-P][0-9]{1,2})"
    r"_(?P<field>[0-9]{1,9}(_cr[0-9a-f]{1,32})?)",
    re.ASCII,
)
_PLACES = ("antibody", "plate", "well", "field", "stain")
_PLACE = re.compile(r"\{([^{}]*)\}")


class StainFile(NamedTuple):
    """One stain of a field, with its address and its local path."""

    image_id: str
    stain: str
    url: str
    path: Path


def read_field_ids(path: str | os.PathLike[str]) -> list[str]:
    """Read the ids of a table of fields.

    Parameters
    ----------
    path : path-like
        CSV with a column ``Id`` or ``image_id``, in any case; other columns
        are ignored.

    Returns
    -------
    list of str
        In the order of the table.

    Raises
    ------
    InputError
        If the file is not a table with such a column, or an id is duplicate
        or not an id of HPA.
    OSError
        If the file cannot be read.
    """
    image_ids = read_id_table(path).index.tolist()
    if not image_ids:
        raise InputError(f"{path}: contains no ids")
    check_field_ids(image_ids, str(path))
    return image_ids


def check_field_ids(image_ids: Iterable[str], place: str) -> None:
    """Check that ids are unique and have the form of the Human Protein Atlas.

    Parameters
    ----------
    image_ids : iterable of str
    place : str
        Source of the ids, for messages.

    Raises
    ------
    InputError
    """
    image_ids = list(image_ids)
    for image_id in image_ids:
        if not isinstance(image_id, str) or _FIELD_ID.fullmatch(image_id) is None:
            raise InputError(
                f"{place}: {image_id!r} is not an id of the Human Protein Atlas, such as "
                "10580_1610_C1_1 (<antibody>_<plate>_<well>_<field>)"
            )
    check_unique(image_ids, place)


def check_template(url: str) -> None:
    """Check that a template is a web address and gives each file a separate address.

    Parameters
    ----------
    url : str

    Raises
    ------
    InputError
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
        good = good and parts.username is None and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or not url.isascii() or not url.isprintable() or " " in url:
        raise InputError(f"url: {url!r} is not of the form http://... or https://...", "url")
    if "{" in parts.netloc:
        raise InputError(f"url: the host in {url!r} must not contain a placeholder", "url")
    places = _PLACE.findall(url)
    unknown = [f"{{{name}}}" for name in places if name not in _PLACES]
    missing = [f"{{{name}}}" for name in _PLACES if name not in places]
    if unknown or missing or re.search("[{}]", _PLACE.sub("", url)):
        problem = f"lacks {shorten(missing)}" if missing else "contains an unmatched brace"
        problem = f"contains unknown {shorten(unknown)}" if unknown else problem
        expected = ", ".join(f"{{{name}}}" for name in _PLACES)
        raise InputError(f"url: {url!r} {problem}; it needs {expected}", "url")


def stain_files(
    image_ids: Iterable[str], folder: Path, url: str, stains: Iterable[str] = STAINS
) -> Iterator[StainFile]:
    """Yield the addresses and paths of the stain files of fields.

    Parameters
    ----------
    image_ids : iterable of str
        Valid for `check_field_ids`.
    folder : Path
    url : str
        Valid for `check_template`.
    stains : iterable of str
        The stains to download.

    Yields
    ------
    StainFile
        Field by field; paths are ``<antibody>/<plate>_<well>_<field>_<stain>.jpg`` in `folder`.

    Examples
    --------
    >>> (file,) = stain_files(["57_12_F11_1"], Path("hpa"), HPA_URL, ["green"])
    >>> file.url
    'https://images.proteinatlas.org/57/12_F11_1_green.jpg'
    >>> file.path.as_posix()
    'hpa/57/12_F11_1_green.jpg'
    """
    stains = list(stains)
    for image_id in image_ids:
        match = _FIELD_ID.fullmatch(image_id)
        if match is None:
            raise InputError(f"{image_id!r} is not an id of the Human Protein Atlas")
        antibody, name = image_id.split("_", 1)
        for stain in stains:
            values = {**match.groupdict(), "stain": stain}
            # Safe because check_template ensures that braces contain only plain names.
            address = url.format_map(values)
            yield StainFile(image_id, stain, address, folder / antibody / f"{name}_{stain}.jpg")
