"""Folders of images: the stain files of each field, and the tables that belong to them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from hpastack.catalogue.hpa import download_stem, file_id, is_composite
from hpastack.errors import InputError
from hpastack.fields import STAINS, SUFFIXES, plane_paths
from hpastack.files import check_ids

#: File names recognised as the table of labels of a folder.
LABEL_TABLES = ("train.csv", "stage1_train.csv", "labels.csv")

#: File names recognised as the list of test fields of a folder.
TEST_TABLES = (
    "sample_submission.csv",
    "stage1_sample_submission.csv",
    "stage2_sample_submission.csv",
)

# Folders in the archives of a competition: train, test_full_size, stage2_test, test_v2.
_SPLIT_FOLDER = {
    split: re.compile(rf"(stage_?[0-9]+_)?{split}(_\w+)?", re.IGNORECASE)
    for split in ("train", "test")
}
_STAIN_FILE = re.compile(
    rf"(?P<image_id>.+)_(?P<stain>{'|'.join(STAINS)})({'|'.join(map(re.escape, SUFFIXES))})",
    re.IGNORECASE,
)


def own_table(folders: Sequence[Path], split: str, remedy: str, *parameters: str) -> Path | None:
    """Return the table of labels or of test fields that accompanies the images.

    Parameters
    ----------
    folders : sequence of Path
        Absolute. Each is searched for a table; for a folder named like `train`
        or `test`, its parent is also searched for the table of that split.
    split : {"train", "test"}
        "train" for the table of labels, "test" for the list of test fields.
    remedy : str
        How to choose one, for the error if there are several.
    *parameters : str
        Names of the parameters in `remedy`.

    Returns
    -------
    Path or None
        None if there is no table.

    Raises
    ------
    InputError
        If there are several tables.
    """
    names = LABEL_TABLES if split == "train" else TEST_TABLES
    tables: dict[Path, None] = {}
    for folder in folders:
        in_folder = [folder / name for name in names if (folder / name).is_file()]
        if not in_folder and _SPLIT_FOLDER[split].fullmatch(folder.name):
            in_folder = [path for name in names if (path := folder.parent / name).is_file()]
        tables.update(dict.fromkeys(in_folder))
    if len(tables) > 1:
        first, second, *_ = tables
        other = second.name if second.parent == first.parent else second
        raise InputError(
            f"{first.parent}: has {first.name} and {other}; choose one and {remedy}", *parameters
        )
    return next(iter(tables), None)


def find_stain_files(
    folders: Iterable[Path],
    channels: Mapping[str, int | str] | None = None,
    stains: Sequence[str] = STAINS,
) -> dict[str, dict[str, Path]]:
    """Find the stain files of each field in folders and their subfolders.

    Parameters
    ----------
    folders : iterable of Path
    channels : mapping of str to int or str, optional
    stains : sequence of str, default=STAINS
        As for `hpastack.fields.multichannel.plane_paths`.

    Returns
    -------
    dict of str to dict of str to Path
        For each image id, the file (or plane of a file) of each stain. The id
        is the file name without stain and suffix; for HPA downloads, the
        antibody is prepended.

    Raises
    ------
    InputError
        If there are two files for one stain of a field, or an id is not valid.
    """
    files: dict[str, dict[str, Path]] = {}
    seen: set[Path] = set()
    for folder in folders:
        for path in _walk(folder, seen):
            name, stain_files = _stains_of(path, channels, stains)
            for stain, file in stain_files.items():
                image_id = file_id(path, name)
                of_field = files.setdefault(image_id, {})
                if stain in of_field:
                    raise InputError(_duplicate(file, of_field[stain], stain, image_id))
                of_field[stain] = file
        check_ids(files, folder)
    return files


def all_files(folders: Iterable[Path]) -> list[Path]:
    """Return the files in folders and their subfolders, each once, in order.

    Parameters
    ----------
    folders : iterable of Path

    Returns
    -------
    list of Path
    """
    seen: set[Path] = set()
    return [path for folder in folders for path in _walk(folder, seen)]


def _stains_of(
    path: Path, channels: Mapping[str, int | str] | None, stains: Sequence[str]
) -> tuple[str, dict[str, Path]]:
    """Return the field that a file belongs to, and the stains in it; often none."""
    match = _STAIN_FILE.fullmatch(path.name)
    if match is None:
        return plane_paths(path, channels, stains) or ("", {})
    if is_composite(match["image_id"]):
        return "", {}
    return match["image_id"], {match["stain"].lower(): path}


def _duplicate(path: Path, other: Path, stain: str, image_id: str) -> str:
    problem = f"{path} and {other} are both the {stain} stain of {image_id}"
    if path.parent == other.parent:
        return f"{problem}; keep one"
    # For example the small PNG and the full-size TIFF of the competition in one folder.
    return f"{problem}; keep one, or pass only the folder that is meant, such as {other.parent}"


def in_train_folder(path: Path, folders: Sequence[Path]) -> bool:
    """Return whether a file is in a folder for training fields.

    Parameters
    ----------
    path : Path
    folders : sequence of Path
        The folders that were searched. Their own names count, and the names
        of their immediate subfolders.

    Returns
    -------
    bool
    """
    for folder in folders:
        if folder in path.parents:
            within = path.relative_to(folder).parts[:-1][:1]
            return any(_SPLIT_FOLDER["train"].fullmatch(name) for name in (folder.name, *within))
    return False


def expected_files(
    folders: Sequence[Path], split: str, image_id: str, stains: dict[str, Path]
) -> list[str]:
    """Return the four paths of a field; for a missing file, the path where it was expected."""
    if len(stains) == len(STAINS):
        return [str(stains[stain]) for stain in STAINS]
    if stains:
        stain, present = next(iter(stains.items()))
        stem = str(present)[: -len(f"{stain}{present.suffix}")]
        suffix = present.suffix
    elif stems := [place for folder in folders if (place := download_stem(folder, image_id))]:
        stem, suffix = f"{stems[0]}_", ".jpg"
    else:
        places = [*folders, *(folder / split for folder in folders if (folder / split).is_dir())]
        fitting = [place for place in places if _SPLIT_FOLDER[split].fullmatch(place.name)]
        stem, suffix = str((fitting or places)[0] / f"{image_id}_"), ".png"
    return [str(stains.get(stain, f"{stem}{stain}{suffix}")) for stain in STAINS]


def _walk(folder: Path, seen: set[Path]) -> Iterator[Path]:
    # Symbolic links are followed, because image folders often are links; loops end here.
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(Path(entry.path), seen)
            else:
                yield Path(entry.path)
