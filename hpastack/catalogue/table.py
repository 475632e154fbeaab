"""The file of the catalogue, `data/catalogue.csv`, as `docs/formats.md` describes it."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hpastack.errors import InputError, shorten
from hpastack.fields import STAINS
from hpastack.fields.levels import FULL_BITS
from hpastack.fields.paths import BITS, PIXEL_SIZE, STAINS_OF_FIELD, field_pixel_size
from hpastack.files import check_ids, publish_text, read_id_table

StrPath = str | os.PathLike[str]

#: Columns that every catalogue has, in their order; group columns follow.
COLUMNS = ("split", "target", "source", *STAINS, "height", "width", "content")

#: Optional columns, which follow them.
OPTIONAL_COLUMNS = (BITS, STAINS_OF_FIELD, PIXEL_SIZE)

_RENAME_GROUP = "if this column is a group, rename it"


def read_catalogue(path: StrPath) -> pd.DataFrame:
    """Read the catalogue of a workspace.

    Parameters
    ----------
    path : path-like
        ``data/catalogue.csv``, as `write_catalogue` writes it.

    Returns
    -------
    DataFrame
        Indexed by ``image_id`` (str), in the order of the file, with columns
        ``split`` ("train" or "test"), ``target`` (str, "" for test fields),
        ``source``, ``red``, ``green``, ``blue``, ``yellow`` (absolute paths),
        ``height``, ``width`` (int, pixels), ``content`` (digest of the files),
        ``bits`` (int, depth of the 16-bit files), ``stains`` (str, those that
        a field has) and ``pixel_size`` (float, micrometres per pixel of the
        files, NaN if unknown) if the catalogue has them, then the group
        columns (str, "" if the group is unknown).

    Raises
    ------
    InputError
        If a column is missing, an id is empty or duplicate, a split is neither
        train nor test, or a height, width, number of bits or pixel size is not
        valid.
    OSError
        If the file cannot be read.
    """
    path = Path(path)
    frame = read_id_table(path)
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise InputError(
            f"{path}: no column {shorten(missing)}; make the catalogue with hpastack prepare"
        )
    wrong = frame.index[~frame["split"].isin(["train", "test"])]
    if len(wrong):
        raise InputError(
            f"{path}: field {wrong[0]} has split {frame.loc[wrong[0], 'split']!r}, "
            "not train or test"
        )
    for name in ("height", "width"):
        # 0 for a field without images, of which only the labels are known.
        known = frame[name].str.fullmatch(r"[1-9][0-9]{0,8}")
        wrong = frame.index[~(known | (frame[name].eq("0") & frame[STAINS[0]].eq("")))]
        if len(wrong):
            raise InputError(
                f"{path}: field {wrong[0]} has {name} {frame.loc[wrong[0], name]!r}, "
                "which is not a number of pixels"
            )
        frame[name] = frame[name].astype("int64")
    if STAINS_OF_FIELD in frame:
        _check_stains(frame, path)
    if BITS in frame:
        frame[BITS] = _bits(frame[BITS], path)
    if PIXEL_SIZE in frame:
        frame[PIXEL_SIZE] = pixel_sizes(frame[PIXEL_SIZE], path)
    for stain in STAINS:
        frame[stain] = absolute_paths(frame[stain], path.absolute().parent)
    return frame[_in_order(frame)]


def training_fields(catalogue: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the training fields.

    Parameters
    ----------
    catalogue : DataFrame
        As `read_catalogue` returns it.

    Returns
    -------
    DataFrame
        The rows whose ``split`` is "train", in their order.
    """
    return catalogue[catalogue["split"] == "train"]


def test_fields(catalogue: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the test fields.

    Parameters
    ----------
    catalogue : DataFrame
        As `read_catalogue` returns it.

    Returns
    -------
    DataFrame
        The rows whose ``split`` is "test", in their order.
    """
    return catalogue[catalogue["split"] == "test"]


def part_of_stains(fields: pd.DataFrame, stains: Sequence[str]) -> pd.DataFrame:
    """Return fields with only some of the stains, in the form of the catalogue.

    Parameters
    ----------
    fields : DataFrame
        From a `hpastack.catalogue.Collection`.
    stains : sequence of str

    Returns
    -------
    DataFrame
        Without paths for the other stains, and with a column ``stains``.
    """
    others = {stain: "" for stain in STAINS if stain not in stains}
    return fields.assign(**others, **{STAINS_OF_FIELD: " ".join(stains)})


def write_catalogue(
    path: StrPath, catalogue: pd.DataFrame, workspace: StrPath | None = None
) -> None:
    """Write a catalogue in one atomic rename.

    Parameters
    ----------
    path : path-like
        ``data/catalogue.csv`` of a workspace; replaced if it exists.
    catalogue : DataFrame
        As `read_catalogue` returns it.
    workspace : path-like, optional
        Image files within this folder are written relative to the folder of
        `path`, so that the workspace can be moved; other paths stay absolute.
        Default: the folder of `path`.

    Raises
    ------
    InputError
        If a column is missing or an id is empty or duplicate.
    OSError
        If the file cannot be written; no partial file remains.
    """
    path = Path(path)
    missing = [name for name in COLUMNS if name not in catalogue.columns]
    if missing:
        raise InputError(f"the catalogue has no column {shorten(missing)}")
    check_ids(catalogue.index, "the catalogue")
    frame = catalogue[_in_order(catalogue)].rename_axis("image_id")
    folder = os.path.abspath(path.parent)
    inside = os.path.join(os.path.abspath(workspace or folder), "")
    from_folder: dict[str, str] = {}  # folders contain many files, and relpath is slow
    for stain in STAINS:
        frame[stain] = [_kept_path(file, folder, inside, from_folder) for file in frame[stain]]
    publish_text(path, frame.to_csv(lineterminator="\n"))


def catalogue_digest(catalogue: pd.DataFrame) -> str:
    """Return a digest of the fields of a catalogue and their pixels.

    Parameters
    ----------
    catalogue : DataFrame
        Indexed by image id, with a column ``content``.

    Returns
    -------
    str
        SHA-256, in hexadecimal, of the lines ``image_id,content`` in the order
        of the rows. Paths, labels and groups are not included.

    Raises
    ------
    InputError
        If there is no column ``content``.
    """
    if "content" not in catalogue.columns:
        raise InputError("the catalogue has no column content; make it with hpastack prepare")
    digest = hashlib.sha256()
    for image_id, content in catalogue["content"].items():
        digest.update(f"{image_id},{content}\n".encode())
    return digest.hexdigest()


def _in_order(frame: pd.DataFrame) -> list[str]:
    own = [*COLUMNS, *(name for name in OPTIONAL_COLUMNS if name in frame)]
    return own + [name for name in frame.columns if name not in own]


def _check_stains(frame: pd.DataFrame, path: Path) -> None:
    for image_id, text in frame[STAINS_OF_FIELD].items():
        with_files = [stain for stain in STAINS if frame.at[image_id, stain] != ""]
        if text and str(text).split() != with_files:
            raise InputError(
                f"{path}: field {image_id} has stains {text!r}, but files of "
                f"{', '.join(with_files) or 'none'}; {_RENAME_GROUP}"
            )


def _bits(texts: pd.Series, path: Path) -> pd.Series:
    bits = texts.where(texts != "", str(FULL_BITS))
    wrong = texts.index[~bits.isin([str(number) for number in range(8, FULL_BITS + 1)])]
    if len(wrong):
        raise InputError(
            f"{path}: field {wrong[0]} has bits {texts[wrong[0]]!r}, not a number from 8 to "
            f"{FULL_BITS}; {_RENAME_GROUP}"
        )
    return bits.astype("int64")


def pixel_sizes(values: pd.Series, path: StrPath) -> pd.Series:
    """Return pixel sizes in micrometres as numbers, NaN if unknown.

    Parameters
    ----------
    values : Series
        Texts or numbers, indexed by image id.
    path : path-like
        The file they were read from, for errors.

    Returns
    -------
    Series of float

    Raises
    ------
    InputError
        If a size is not a positive number below 1,000; the message names the field.
    """
    sizes = []
    for image_id, value in values.items():
        try:
            sizes.append(field_pixel_size({PIXEL_SIZE: value}))
        except InputError as error:
            raise InputError(
                f"{path}: field {image_id}: {error}; {_RENAME_GROUP}", *error.parameters
            ) from None
    return pd.Series(sizes, values.index, dtype="float64", name=PIXEL_SIZE)


def _kept_path(file: str, folder: str, inside: str, from_folder: dict[str, str]) -> str:
    if not file:  # a field without images
        return ""
    file = os.path.abspath(file)
    if not file.startswith(inside):
        return file
    place, name = os.path.split(file)
    if place not in from_folder:
        from_folder[place] = Path(os.path.relpath(place, folder)).as_posix()
    return posixpath.normpath(posixpath.join(from_folder[place], name))


def absolute_paths(paths: pd.Series, folder: Path) -> list[str]:
    """Return paths relative to a folder as absolute paths; "" remains ""."""
    # normpath rather than resolve, so that symbolic links keep the names that users know.
    # Joined as text, because half a million Path objects take seconds.
    place = os.fspath(folder)
    return [os.path.normpath(os.path.join(place, path)) if path else "" for path in paths]
