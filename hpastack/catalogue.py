"""The catalogue: one table of all fields, from folders, label tables and plain tables.

`data/catalogue.csv` is described in `docs/formats.md`. Rows join by image id;
a missing, doubled or unknown id is an error that names it.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hpastack.channels import STAINS
from hpastack.errors import InputError, shorten
from hpastack.files import published
from hpastack.labels import HPA_2018, Vocabulary
from hpastack.multichannel import plane_paths

StrPath = str | os.PathLike[str]

#: Columns that every catalogue has, in their order; group columns follow.
COLUMNS = ("split", "target", "source", *STAINS, "height", "width", "content")

#: What the fields of the competition, or of any first folder, are called in `source`.
DEFAULT_SOURCE = "hpa2018"

#: Names under which a folder's own table of labels is found.
LABEL_TABLES = ("train.csv", "labels.csv")

#: Name under which a folder's own list of test fields is found.
TEST_TABLE = "sample_submission.csv"

_ID_NAMES = ("id", "image_id")
_STAIN_FILE = re.compile(
    rf"(?P<image_id>.+)_(?P<stain>{'|'.join(STAINS)})\.(png|jpe?g|tiff?)", re.IGNORECASE
)


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
        then the group columns (str, "" where the group is unknown).

    Raises
    ------
    InputError
        If a column is missing, an id is empty or doubled, a split is neither
        train nor test, or a height or width is not a positive whole number.
    OSError
        If the file cannot be read.
    """
    path = Path(path)
    frame = _indexed(_read_table(path), path)
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise InputError(
            f"{path}: no column {shorten(missing)}; make the catalogue with "
            "python -m pipelines.prepare"
        )
    wrong = frame.index[~frame["split"].isin(["train", "test"])]
    if len(wrong):
        raise InputError(
            f"{path}: field {wrong[0]} has split {frame.loc[wrong[0], 'split']!r}; "
            "it is train or test"
        )
    for name in ("height", "width"):
        # 0 where no image is at hand: a field known by its labels alone.
        known = frame[name].str.fullmatch(r"[1-9][0-9]{0,8}")
        wrong = frame.index[~(known | (frame[name].eq("0") & frame[STAINS[0]].eq("")))]
        if len(wrong):
            raise InputError(
                f"{path}: field {wrong[0]} has {name} {frame.loc[wrong[0], name]!r}; "
                "it is a number of pixels"
            )
        frame[name] = frame[name].astype("int64")
    for stain in STAINS:
        frame[stain] = _absolute(frame[stain], path.absolute().parent)
    groups = [name for name in frame.columns if name not in COLUMNS]
    return frame[[*COLUMNS, *groups]]


def write_catalogue(
    path: StrPath, catalogue: pd.DataFrame, workspace: StrPath | None = None
) -> None:
    """Write a catalogue, in one rename.

    Parameters
    ----------
    path : path-like
        ``data/catalogue.csv`` of a workspace; replaced if it exists.
    catalogue : DataFrame
        As `read_catalogue` returns it.
    workspace : path-like, optional
        Image files within this folder are written relative to the folder of
        `path`, so that the workspace can be moved; others stay absolute. Left
        out: the folder of `path`.

    Raises
    ------
    InputError
        If a column is missing or an id is empty or doubled.
    OSError
        If the file cannot be written; nothing half-written is left.
    """
    path = Path(path)
    missing = [name for name in COLUMNS if name not in catalogue.columns]
    if missing:
        raise InputError(f"the catalogue has no column {shorten(missing)}")
    _check_ids(catalogue.index, "the catalogue")
    groups = [name for name in catalogue.columns if name not in COLUMNS]
    frame = catalogue[[*COLUMNS, *groups]].rename_axis("image_id")
    folder = os.path.abspath(path.parent)
    inside = os.path.join(os.path.abspath(workspace or folder), "")
    for stain in STAINS:
        frame[stain] = [_kept_path(file, folder, inside) for file in frame[stain]]
    publish_text(path, frame.to_csv(lineterminator="\n"))


def catalogue_digest(catalogue: pd.DataFrame) -> str:
    """Return the digest of the fields of a catalogue and of their pixels.

    Parameters
    ----------
    catalogue : DataFrame
        Indexed by image id, with a column ``content``.

    Returns
    -------
    str
        SHA-256, in hexadecimal, of the lines ``image_id,content`` in the order
        of the rows. Paths, labels and groups do not enter.

    Raises
    ------
    InputError
        If there is no column ``content``.
    """
    if "content" not in catalogue.columns:
        raise InputError(
            "the catalogue has no column content; make it with python -m pipelines.prepare"
        )
    digest = hashlib.sha256()
    for image_id, content in catalogue["content"].items():
        digest.update(f"{image_id},{content}\n".encode())
    return digest.hexdigest()


class Collection(NamedTuple):
    """Fields found in one place, before their files are opened.

    `fields` is a catalogue without ``height``, ``width`` and ``content``;
    `left_out` are the ids whose files are there and that no table asks for.
    """

    fields: pd.DataFrame
    left_out: list[str]


def collect_fields(
    images: StrPath,
    labels: StrPath | None = None,
    test: StrPath | None = None,
    *,
    vocabulary: Vocabulary = HPA_2018,
    source: str = DEFAULT_SOURCE,
    training_only: bool = False,
    channels: Mapping[str, int | str] | None = None,
) -> Collection:
    """Find the fields of a folder or of a table with paths, and say which split each is in.

    Files of a folder are named ``<image_id>_<red|green|blue|yellow>`` with the
    ending of a PNG, JPEG or TIFF, and lie in it or in folders within it; or a
    TIFF ``<image_id>.tif``, ``.tiff``, ``.ome.tif`` or ``.ome.tiff`` holds all
    stains of a field as its channels (then a path is that of the file with ``#``
    and the number of the plane). Other files are passed over.

    The fields in the table of labels become training fields in its order, those
    in the table of test fields become test fields in its order. Without a table
    of test fields every other field becomes one,
    sorted by id, but for those in a folder called ``train`` when there are
    labels.

    A table with paths has an id column, the columns ``red``, ``green``,
    ``blue``, ``yellow`` (relative to the table's folder, or absolute), and
    may have ``target``, ``split`` and ``source``; other columns are groups.
    Without ``split``, the rows with a target are training fields.

    Parameters
    ----------
    images : path-like
        A folder, or a CSV file with paths.
    labels : path-like, optional
        CSV with columns ``Id,Target`` (or ``image_id,target``, in any case).
        Left out: the ``train.csv`` or ``labels.csv`` of the folder, if any.
    test : path-like, optional
        CSV with a column ``Id`` (or ``image_id``), such as a sample
        submission. Left out: the ``sample_submission.csv`` of the folder, if any.
    vocabulary : Vocabulary, default=HPA_2018
        The labels that targets are written in.
    source : str, default="hpa2018"
        What to call the place in the column ``source``.
    training_only : bool, default=False
        Take no test fields, and look for no table of them.
    channels : mapping of str to int or str, optional
        Which plane of a TIFF with several is which stain, or the name of its
        channel. Left out: by the names that the file gives them.

    Returns
    -------
    Collection
        A path that is missing from a folder stands where the file was
        expected, for `hpastack.images.check_fields` to report.

    Raises
    ------
    InputError
        If no field is found, a stain is there twice, an id is doubled, in both
        splits or unknown, a label is unknown or doubled, or a training field has none.
    """
    images = Path(images)
    if images.is_dir():
        return _collect_folder(
            Path(os.path.abspath(images)), labels, test, vocabulary, source, training_only, channels
        )
    if images.is_file():
        return _collect_table(images, labels, test, vocabulary, source, training_only)
    raise InputError(f"{images}: no such folder of images or table of paths")


def list_fields(
    labels: StrPath,
    test: StrPath | None = None,
    *,
    vocabulary: Vocabulary = HPA_2018,
    source: str = DEFAULT_SOURCE,
) -> pd.DataFrame:
    """Make the catalogue of fields whose images are not at hand, from tables alone.

    For work that starts from predictions made elsewhere: such fields can be
    clustered by known groups, stacked and submitted, but not looked at.

    Parameters
    ----------
    labels : path-like
        CSV with columns ``Id,Target``: the training fields.
    test : path-like, optional
        CSV with a column ``Id``: the test fields.
    vocabulary : Vocabulary, default=HPA_2018
    source : str, default="hpa2018"

    Returns
    -------
    DataFrame
        A catalogue with empty paths and contents, and 0 for height and width.

    Raises
    ------
    InputError
        If an id is doubled or in both tables, or a label is unknown.
    """
    targets = read_targets(labels, vocabulary)
    test_ids = [] if test is None else list(_indexed(_read_table(test), test).index)
    if test is not None:
        _refuse_both_splits(test_ids, targets.index, test)
    index = pd.Index([*targets.index, *test_ids], name="image_id")
    frame = pd.DataFrame("", index=index, columns=list(COLUMNS), dtype=object)
    frame["split"] = ["train"] * len(targets) + ["test"] * len(test_ids)
    frame["target"] = [*targets, *[""] * len(test_ids)]
    frame["source"] = source
    frame["height"] = frame["width"] = 0
    return frame


def combine_fields(*parts: pd.DataFrame) -> pd.DataFrame:
    """Put fields of several places into one table: all training fields, then all test fields.

    Parameters
    ----------
    *parts : DataFrame
        The `fields` of a `Collection` each. A group column that a part does
        not have is empty there.

    Returns
    -------
    DataFrame

    Raises
    ------
    InputError
        If two parts share an id or a file.
    """
    seen: dict[str, str] = {}
    for part in parts:
        for image_id, source in part["source"].items():
            if image_id in seen:
                raise InputError(
                    f"field {image_id} is in {seen[str(image_id)]} and in {source}; "
                    "an id names one field"
                )
            seen[str(image_id)] = source
    fields = pd.concat(parts).fillna("")
    files: dict[str, str] = {}
    for stain in STAINS:
        for image_id, file in fields[stain].items():
            if file and file in files:
                raise InputError(f"{file}: stands for {files[file]} and for {image_id} ({stain})")
            files[file] = f"{image_id} ({stain})"
    is_train = fields["split"] == "train"
    return pd.concat([fields[is_train], fields[~is_train]]).rename_axis("image_id")


def correct_targets(
    fields: pd.DataFrame, corrections: StrPath, vocabulary: Vocabulary = HPA_2018
) -> tuple[pd.DataFrame, int]:
    """Replace the labels of training fields by corrected ones.

    Parameters
    ----------
    fields : DataFrame
        A catalogue, complete or not.
    corrections : path-like
        CSV with columns ``Id,Target``.
    vocabulary : Vocabulary, default=HPA_2018

    Returns
    -------
    fields : DataFrame
        A copy.
    n_changed : int
        Fields whose set of labels is another one now.

    Raises
    ------
    InputError
        If an id is unknown, doubled or that of a test field, or a label is
        unknown or missing.
    """
    targets = read_targets(corrections, vocabulary)
    _require_known(targets.index, fields.index, corrections, "the catalogue")
    before = fields.loc[targets.index]
    if (before["split"] != "train").any():
        wrong = before.index[before["split"] != "train"]
        raise InputError(f"{corrections}: test fields have no labels: {shorten(wrong)}")
    changed = [set(a.split()) != set(b.split()) for a, b in zip(before["target"], targets)]
    fields = fields.copy()
    fields.loc[targets.index, "target"] = targets
    return fields, sum(changed)


def join_groups(fields: pd.DataFrame, groups: StrPath) -> tuple[pd.DataFrame, list[str]]:
    """Add columns that say which fields belong together (well, antibody, cell line).

    Parameters
    ----------
    fields : DataFrame
        A catalogue, complete or not.
    groups : path-like
        CSV with an id column and any others. Rows of other fields are passed
        over; a field without a row gets "", which means unknown.

    Returns
    -------
    fields : DataFrame
        A copy with the columns added.
    names : list of str
        The names of the added columns.

    Raises
    ------
    InputError
        If an id is doubled, no id is that of a field, there is no column to
        add, or a column is in the catalogue already.
    """
    table = _indexed(_read_table(groups), groups)
    names = [str(name) for name in table.columns]
    if not names:
        raise InputError(f"{groups}: no column beside the ids; a column of groups is needed")
    taken = [name for name in names if name in COLUMNS or name in fields.columns]
    if taken:
        raise InputError(
            f"{groups}: the catalogue has a column {shorten(taken)} already; rename it"
        )
    if not table.index.isin(fields.index).any():
        raise InputError(f"{groups}: none of its ids is that of a field, such as {fields.index[0]}")
    return fields.join(table).fillna(dict.fromkeys(names, "")), names


def read_targets(path: StrPath, vocabulary: Vocabulary = HPA_2018) -> pd.Series:
    """Read a table of labels.

    Parameters
    ----------
    path : path-like
        CSV with columns ``Id,Target`` or ``image_id,target``, in any case;
        other columns are passed over.
    vocabulary : Vocabulary, default=HPA_2018

    Returns
    -------
    Series of str
        Targets as written, indexed by ``image_id`` in the order of the file.

    Raises
    ------
    InputError
        If a column is missing, an id is empty or doubled, or a label is
        unknown, doubled or missing.
    """
    frame = _indexed(_read_table(path), path)
    column = _column(frame, ("target",), path)
    targets = frame[column].str.split().str.join(" ").rename("target")
    _check_targets(targets, vocabulary, path)
    return targets


def publish_text(path: StrPath, text: str) -> None:
    """Write a text file under a temporary name in its folder and rename it.

    Parameters
    ----------
    path : path-like
        Replaced if it exists; its folder is made if needed.
    text : str
        Written as UTF-8.
    """
    with published(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="")


def _collect_folder(
    folder: Path,
    labels: StrPath | None,
    test: StrPath | None,
    vocabulary: Vocabulary,
    source: str,
    training_only: bool,
    channels: Mapping[str, int | str] | None,
) -> Collection:
    files = _find_stain_files(folder, channels)
    if not files:
        raise InputError(
            f"{folder}: no field found; files are named <id>_<{'|'.join(STAINS)}> with the "
            "ending .png, .jpg or .tif, or <id>.tif with four channels"
        )
    labels = labels or _own_labels(folder)
    targets = pd.Series(dtype=str) if labels is None else read_targets(labels, vocabulary)
    if training_only and labels is None:
        raise InputError(f"{folder}: no {' or '.join(LABEL_TABLES)} with the labels of its fields")
    if test is None and not training_only and (folder / TEST_TABLE).is_file():
        test = folder / TEST_TABLE
    if training_only:
        test_ids = []
    elif test is not None:
        test_ids = list(_indexed(_read_table(test), test).index)
        _refuse_both_splits(test_ids, targets.index, test)
    else:
        kept = folder / "train" if labels is not None else None
        test_ids = sorted(
            image_id
            for image_id, stains in files.items()
            if image_id not in targets.index
            and not any(kept in path.parents for path in stains.values())
        )
    known = targets.to_dict()
    rows = {}
    for split, image_ids in (("train", targets.index), ("test", test_ids)):
        for image_id in image_ids:
            paths = _expected_files(folder, split, image_id, files.get(image_id, {}))
            rows[image_id] = (split, known.get(image_id, ""), source, *paths)
    columns = ["split", "target", "source", *STAINS]
    fields = pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=str)
    return Collection(fields.rename_axis("image_id"), sorted(files.keys() - rows.keys()))


def _own_labels(folder: Path) -> Path | None:
    tables = [folder / name for name in LABEL_TABLES if (folder / name).is_file()]
    if len(tables) > 1:
        raise InputError(f"{folder}: has {' and '.join(LABEL_TABLES)}; say which with --labels")
    return tables[0] if tables else None


def _find_stain_files(
    folder: Path, channels: Mapping[str, int | str] | None = None
) -> dict[str, dict[str, Path]]:
    """Find the stain files in a folder and the folders within it, by field."""
    files: dict[str, dict[str, Path]] = {}
    for path in _walk(folder, set()):
        match = _STAIN_FILE.fullmatch(path.name)
        if match is not None:
            found = match["image_id"], {match["stain"].lower(): path}
        else:
            found = plane_paths(path, channels) or ("", {})
        for stain, file in found[1].items():
            stains = files.setdefault(found[0], {})
            if stain in stains:
                raise InputError(
                    f"{file} and {stains[stain]} are both the {stain} stain of {found[0]}; keep one"
                )
            stains[stain] = file
    for image_id in files:
        _check_id(image_id, folder)
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


def _expected_files(folder: Path, split: str, image_id: str, stains: dict[str, Path]) -> list[str]:
    """Return the four paths of a field, a missing one where it should have been."""
    if len(stains) == len(STAINS):
        return [str(stains[stain]) for stain in STAINS]
    if stains:
        beside = next(iter(stains.values()))
        place, suffix = beside.parent, beside.suffix
    else:
        place, suffix = folder / split if (folder / split).is_dir() else folder, ".png"
    return [str(stains.get(stain, place / f"{image_id}_{stain}{suffix}")) for stain in STAINS]


def _collect_table(
    path: Path,
    labels: StrPath | None,
    test: StrPath | None,
    vocabulary: Vocabulary,
    source: str,
    training_only: bool,
) -> Collection:
    table = _indexed(_read_table(path), path)
    known = {name.lower(): name for name in table.columns if name.lower() in COLUMNS}
    table = table.rename(columns={name: lower for lower, name in known.items()})
    for stain in STAINS:
        _column(table, (stain,), path)
        table[stain] = _absolute(table[stain], path.absolute().parent)
    if labels is not None:
        if "target" in table:
            raise InputError(f"{path}: has targets already; leave out {labels}, or that column")
        targets = read_targets(labels, vocabulary)
        _require_known(targets.index, table.index, labels, path)
        table["target"] = targets.reindex(table.index, fill_value="")
    elif "target" in table:
        table["target"] = table["target"].str.split().str.join(" ")
    else:
        table["target"] = ""
    has_target = table["target"] != ""
    if "split" not in table:
        table["split"] = has_target.map({True: "train", False: "test"}).astype(str)
    for image_id, split, labelled in zip(table.index, table["split"], has_target):
        if split not in ("train", "test"):
            raise InputError(f"{path}: field {image_id} has split {split!r}; it is train or test")
        if split == "test" and labelled:
            raise InputError(
                f"{path}: test field {image_id} has a target; keep the truth of test fields "
                "in a file of its own"
            )
    is_train = table["split"] == "train"
    _check_targets(table.loc[is_train, "target"], vocabulary, path)
    if training_only and not is_train.all():
        raise InputError(f"{path}: no label for {shorten(table.index[~is_train])}")
    test_ids = list(table.index[~is_train])
    if test is not None:
        test_ids = list(_indexed(_read_table(test), test).index)
        _refuse_both_splits(test_ids, table.index[is_train], test)
        _require_known(test_ids, table.index, test, path)
    if "source" not in table:
        table["source"] = source
    groups = [name for name in table.columns if name not in COLUMNS]
    order = [*table.index[is_train], *test_ids]
    fields = table.loc[order, ["split", "target", "source", *STAINS, *groups]]
    return Collection(fields, sorted(set(table.index) - set(order)))


def _require_known(
    image_ids: Iterable[str], known: pd.Index, path: StrPath, place: StrPath
) -> None:
    unknown = [image_id for image_id in image_ids if image_id not in known]
    if unknown:
        raise InputError(f"{path}: no such field in {place}: {shorten(unknown)}")


def _refuse_both_splits(test_ids: list[str], train_ids: pd.Index, test: StrPath) -> None:
    both = [name for name in test_ids if name in train_ids]
    if both:
        raise InputError(f"{test}: also among the training fields: {shorten(both)}")


def _check_targets(targets: pd.Series, vocabulary: Vocabulary, path: StrPath) -> None:
    try:
        vocabulary.indicator(targets)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _kept_path(file: str, folder: str, inside: str) -> str:
    if not file:  # a field known by its labels alone
        return ""
    file = os.path.abspath(file)
    return Path(os.path.relpath(file, folder)).as_posix() if file.startswith(inside) else file


def _absolute(paths: pd.Series, folder: Path) -> list[str]:
    # normpath and not resolve: a link in the workspace stays what the user calls it.
    return [os.path.normpath(folder / path) if path else "" for path in paths]


def _read_table(path: StrPath) -> pd.DataFrame:
    """Read a CSV file, every cell as the text that stands there."""
    # Not with pandas: it renames doubled columns and fills rows cut short in silence.
    rows: list[list[str]] = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                if rows and row and len(row) != len(rows[0]):
                    raise InputError(
                        f"{path}: line {reader.line_num} has {len(row)} cells, "
                        f"and the first line {len(rows[0])}"
                    )
                if row:
                    rows.append(row)
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a table in CSV: {error}") from None
    if not rows:
        raise InputError(f"{path}: the table is empty")
    names = [name.strip() for name in rows[0]]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(f"{path}: column {shorten(doubled)} stands twice")
    return pd.DataFrame(rows[1:], columns=names, dtype=str)


def _column(frame: pd.DataFrame, names: tuple[str, ...], path: StrPath) -> str:
    """Return the one column that has one of the names, in any case."""
    found = [name for name in frame.columns if name.lower() in names]
    if len(found) != 1:
        raise InputError(
            f"{path}: no column {' or '.join(names)}; it has {shorten(frame.columns)}"
            if not found
            else f"{path}: columns {' and '.join(found)} mean the same; keep one"
        )
    return found[0]


def _indexed(frame: pd.DataFrame, path: StrPath) -> pd.DataFrame:
    frame = frame.set_index(_column(frame, _ID_NAMES, path)).rename_axis("image_id")
    _check_ids(frame.index, path)
    return frame


def _check_ids(image_ids: pd.Index, place: StrPath) -> None:
    for image_id in image_ids:
        _check_id(image_id, place)
    doubled = image_ids[image_ids.duplicated()].unique()
    if len(doubled):
        raise InputError(f"{place}: id stands twice: {shorten(doubled)}")


def _check_id(image_id: str, place: StrPath) -> None:
    if not image_id or image_id != image_id.strip() or not image_id.isprintable():
        raise InputError(
            f"{place}: {image_id!r} is no image id; it is printable, without blanks at its ends"
        )
