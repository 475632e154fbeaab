"""Folders of images: which files are the stains of which field."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from hpastack.channels import STAINS
from hpastack.errors import InputError
from hpastack.tables import check_ids

#: Names under which a folder's own table of labels is found.
LABEL_TABLES = ("train.csv", "labels.csv")

#: Name under which a folder's own list of test fields is found.
TEST_TABLE = "sample_submission.csv"

_STAIN_FILE = re.compile(
    rf"(?P<image_id>.+)_(?P<stain>{'|'.join(STAINS)})\.(png|jpe?g|tiff?)", re.IGNORECASE
)


def own_labels(folder: Path) -> Path | None:
    """Return the one table of labels that lies in a folder, if any."""
    tables = [folder / name for name in LABEL_TABLES if (folder / name).is_file()]
    if len(tables) > 1:
        raise InputError(f"{folder}: has {' and '.join(LABEL_TABLES)}; say which with --labels")
    return tables[0] if tables else None


def find_stain_files(folder: Path) -> dict[str, dict[str, Path]]:
    """Find the stain files in a folder and the folders within it, by field."""
    files: dict[str, dict[str, Path]] = {}
    for path in _walk(folder, set()):
        match = _STAIN_FILE.fullmatch(path.name)
        if match is None:
            continue
        image_id, stain = match["image_id"], match["stain"].lower()
        stains = files.setdefault(image_id, {})
        if stain in stains:
            raise InputError(
                f"{path} and {stains[stain]} are both the {stain} stain of {image_id}; keep one"
            )
        stains[stain] = path
    check_ids(files, folder)
    return files


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


def expected_files(folder: Path, split: str, image_id: str, stains: dict[str, Path]) -> list[str]:
    """Return the four paths of a field, a missing one where it should have been."""
    if len(stains) == len(STAINS):
        return [str(stains[stain]) for stain in STAINS]
    if stains:
        beside = next(iter(stains.values()))
        place, suffix = beside.parent, beside.suffix
    else:
        place, suffix = folder / split if (folder / split).is_dir() else folder, ".png"
    return [str(stains.get(stain, place / f"{image_id}_{stain}{suffix}")) for stain in STAINS]
