"""File names and ids of the Human Protein Atlas: antibody, plate, well, field.

HPA serves a field as ``<antibody>/<plate>_<well>_<field>_<stain>.jpg``; published lists
of its fields use the id ``<antibody>_<plate>_<well>_<field>``. Ids of the competition are
UUIDs, whose hyphens distinguish them from both.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import pandas as pd

from hpastack.fields import STAINS

_ANTIBODY = r"(?:HPA|CAB)?[0-9]+"
# Plates with knocked-down genes begin with "si"; some fields were imaged again:
# "11651_1732_F3_13_cr580610dc203b9".
_ID = re.compile(
    rf"(?:(?P<antibody>{_ANTIBODY})_)?"
    r"(?P<place>(?P<plate>(?:si)?[0-9]+)_(?P<row>[A-P][0-9]{1,2})_[0-9]+(?:_cr[0-9a-f]+)?)"
)
_COMPOSITE = re.compile(rf"(?P<image_id>.+?)(?:_(?:{'|'.join(STAINS)}))+", re.IGNORECASE)

_Value = TypeVar("_Value")


def file_id(path: Path, name: str) -> str:
    """Return the id of the field that a file belongs to.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        Its name without stain and suffix.

    Returns
    -------
    str
        ``<antibody>_<name>`` if the name has HPA's form without an antibody
        and the folder of the file is named after an antibody (and not after
        the plate); otherwise the name.
    """
    if "-" in name or (match := _ID.fullmatch(name)) is None or match["antibody"]:
        return name
    folder = path.parent.name
    is_antibody = folder != match["plate"] and re.fullmatch(_ANTIBODY, folder)
    return f"{folder}_{name}" if is_antibody else name


def download_stem(folder: Path, image_id: str) -> Path | None:
    """Return the path of a field's files in a download, without stain and suffix.

    Parameters
    ----------
    folder : Path
        Contains one subfolder per antibody.
    image_id : str

    Returns
    -------
    Path or None
        None if the id contains no antibody, or the antibody has no subfolder.
    """
    match = _ID.fullmatch(image_id)
    if match is None or not match["antibody"] or not (folder / match["antibody"]).is_dir():
        return None
    return folder / match["antibody"] / match["place"]


def is_composite(name: str) -> bool:
    """Return whether a file is one of HPA's colour composites of several stains.

    Parameters
    ----------
    name : str
        File name without its last stain and suffix: ``57_F11_1_blue_red``
        for ``57_F11_1_blue_red_green.jpg``.

    Returns
    -------
    bool
    """
    if name.rpartition("_")[2].lower() not in STAINS:
        return False
    match = _COMPOSITE.fullmatch(name)
    return match is not None and _ID.fullmatch(match["image_id"]) is not None


def match_ids(files: dict[str, _Value], wanted: Iterable[str]) -> dict[str, _Value]:
    """Match files to table ids if only one of the two ids contains the antibody.

    Plate, well and number identify a field of HPA, so an id with the antibody
    and one without it are the same field, unless a third id shares them.

    Parameters
    ----------
    files : dict
        Keyed by the ids derived from the file names.
    wanted : iterable of str
        Ids in the tables.

    Returns
    -------
    dict
        `files` in the same order, keyed by the ids in the tables where these differ.
    """
    wanted = set(wanted)
    unmatched = _by_place(image_id for image_id in wanted if image_id not in files)
    if not unmatched:
        return files
    files_at = _by_place(files)
    renamed = {}
    for place, ids in unmatched.items():
        candidates = [image_id for image_id in files_at.get(place, []) if image_id not in wanted]
        if len(ids) == 1 == len(candidates) and place in (ids[0], candidates[0]):
            renamed[candidates[0]] = ids[0]
    return {renamed.get(image_id, image_id): value for image_id, value in files.items()}


def fill_groups(fields: pd.DataFrame) -> pd.DataFrame:
    """Read plate, well and antibody from ids that have HPA's form.

    Parameters
    ----------
    fields : DataFrame
        A catalogue, complete or not.

    Returns
    -------
    DataFrame
        A copy with the columns ``plate``, ``well`` and ``antibody``, filled
        where they were empty. A column without any value is not added. A well
        is written with its plate (``57_F11``), because every plate has the
        same wells.

    Examples
    --------
    >>> fields = pd.DataFrame(index=["10580_1610_C1_1", "57_F11_1", "00070df0-bbc3-11e8"])
    >>> fill_groups(fields)["well"].tolist()
    ['1610_C1', '57_F11', '']
    """
    fields = fields.copy()
    matches = [_ID.fullmatch(str(image_id)) for image_id in fields.index]
    columns = {
        "plate": [match["plate"] if match else "" for match in matches],
        "well": [f"{match['plate']}_{match['row']}" if match else "" for match in matches],
        "antibody": [(match["antibody"] or "") if match else "" for match in matches],
    }
    for name, cells in columns.items():
        values = pd.Series(cells, index=fields.index, dtype=object)
        if not values.any():
            continue
        fields[name] = fields[name].where(fields[name] != "", values) if name in fields else values
    return fields


def _by_place(image_ids: Iterable[str]) -> dict[str, list[str]]:
    places = defaultdict(list)
    for image_id in image_ids:
        match = _ID.fullmatch(image_id)
        if match:
            places[match["place"]].append(image_id)
    return places
