"""Folders of images: which files are the stains of which field, and which tables go with them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from hpastack.catalogue.hpa import download_stem, file_id, is_composite
from hpastack.errors import InputError
from hpastack.fields import STAINS, SUFFIXES, plane_paths
from hpastack.files import check_ids

#: Names under which the table of labels of a folder is found.
LABEL_TABLES = ("train.csv", "stage1_train.csv", "labels.csv")

#: Names under which the list of test fields of a folder is found.
TEST_TABLES = (
    "sample_submission.csv",
    "stage1_sample_submission.csv",
    "stage2_sample_submission.csv",
)

# What the archives of a competition unpack to: train, test_full_size, stage2_test, test_v2.
_SPLIT_FOLDER = {
    split: re.compile(rf"(stage_?[0-9]+_)?{split}(_\w+)?", re.IGNORECASE)
    for split in ("train", "test")
}
_STAIN_FILE = re.compile(
    rf"(?P<image_id>.+)_(?P<stain>{'|'.join(STAINS)})({'|'.join(map(re.escape, SUFFIXES))})",
    re.IGNORECASE,
)


def own_table(folders: Sequence[Path], split: str, remedy: str) -> Path | None:
    """Return the table that lies beside the images, of labels or of test fields.

    Parameters
    ----------
    folders : sequence of Path
        Absolute. A table is looked for in each. The folder that a folder like
        `train` or `test` lies in is looked through for the table of its split too.
    split : {"train", "test"}
        Which table: that of the labels, or the list of test fields.
    remedy : str
        How to say which, for the error when there are several.

    Returns
    -------
    Path or None

    Raises
    ------
    InputError
        If there are several.
    """
    names = LABEL_TABLES if split == "train" else TEST_TABLES
    found: dict[Path, None] = {}
    for folder in folders:
        tables = [folder / name for name in names if (folder / name).is_file()]
        if not tables and _SPLIT_FOLDER[split].fullmatch(folder.name):
            tables = [path for name in names if (path := folder.parent / name).is_file()]
        found.update(dict.fromkeys(tables))
    if len(found) > 1:
        first, second, *_ = found
        place = f"{first.parent}: has {first.name}"
        other = second.name if second.parent == first.parent else second
        raise InputError(f"{place} and {other}; say which with {remedy}")
    return next(iter(found), None)


def find_stain_files(
    folders: Iterable[Path],
    channels: Mapping[str, int | str] | None = None,
    stains: Sequence[str] = STAINS,
) -> dict[str, dict[str, Path]]:
    """Find the stain files in folders and in the folders within them, by field.

    Parameters
    ----------
    folders : iterable of Path
    channels : mapping of str to int or str, optional
    stains : sequence of str, default=STAINS
        As `hpastack.fields.multichannel.plane_paths`.

    Returns
    -------
    dict of str to dict of str to Path
        Image id, then stain, then file, or plane of a file. The id is the name
        of the file, and with HPA's downloads the antibody before it.

    Raises
    ------
    InputError
        If a stain of a field is there twice, or an id is none.
    """
    files: dict[str, dict[str, Path]] = {}
    seen: set[Path] = set()
    for folder in folders:
        for path in _walk(folder, seen):
            name, found = _stains_of(path, channels, stains)
            for stain, file in found.items():
                image_id = file_id(path, name)
                of_field = files.setdefault(image_id, {})
                if stain in of_field:
                    raise InputError(_twice(file, of_field[stain], stain, image_id))
                of_field[stain] = file
        check_ids(files, folder)
    return files


def all_files(folders: Iterable[Path]) -> list[Path]:
    """Return the files of folders and of the folders within them, each once, in order.

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
    """Return which field a file belongs to, and which of its stains it holds; often none."""
    match = _STAIN_FILE.fullmatch(path.name)
    if match is None:
        return plane_paths(path, channels, stains) or ("", {})
    if is_composite(match["image_id"]):
        return "", {}
    return match["image_id"], {match["stain"].lower(): path}


def _twice(path: Path, other: Path, stain: str, image_id: str) -> str:
    problem = f"{path} and {other} are both the {stain} stain of {image_id}"
    if path.parent == other.parent:
        return f"{problem}; keep one"
    # As with the small PNG and the full-size TIFF of the competition in one folder.
    return (
        f"{problem}; keep one, or name as IMAGES only the folders that are meant, "
        f"such as {other.parent}"
    )


def in_train_folder(path: Path, folders: Sequence[Path]) -> bool:
    """Return whether a file lies in a folder for training fields.

    Parameters
    ----------
    path : Path
    folders : sequence of Path
        The folders that were looked through: their own names count, and those
        of the folders right within them.
    """
    for folder in folders:
        if folder in path.parents:
            within = path.relative_to(folder).parts[:-1][:1]
            return any(_SPLIT_FOLDER["train"].fullmatch(name) for name in (folder.name, *within))
    return False


def expected_files(
    folders: Sequence[Path], split: str, image_id: str, stains: dict[str, Path]
) -> list[str]:
    """Return the four paths of a field, a missing one where it should have been."""
    if len(stains) == len(STAINS):
        return [str(stains[stain]) for stain in STAINS]
    if stains:
        stain, beside = next(iter(stains.items()))
        stem = str(beside)[: -len(f"{stain}{beside.suffix}")]
        suffix = beside.suffix
    elif found := [place for folder in folders if (place := download_stem(folder, image_id))]:
        stem, suffix = f"{found[0]}_", ".jpg"
    else:
        places = [*folders, *(folder / split for folder in folders if (folder / split).is_dir())]
        fitting = [place for place in places if _SPLIT_FOLDER[split].fullmatch(place.name)]
        stem, suffix = str((fitting or places)[0] / f"{image_id}_"), ".png"
    return [str(stains.get(stain, f"{stem}{stain}{suffix}")) for stain in STAINS]


def _walk(folder: Path, seen: set[Path]) -> Iterator[Path]:
    # Links are followed, because image folders often are one; a loop of links ends here.
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
