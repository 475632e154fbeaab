"""Fields of folders and of tables with paths, put together into one table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hpastack.catalogue.folders import (
    LABEL_TABLES,
    TEST_TABLE,
    expected_files,
    find_stain_files,
    own_labels,
)
from hpastack.catalogue.table import COLUMNS, absolute_paths
from hpastack.catalogue.targets import check_targets, read_targets, require_known
from hpastack.channels import STAINS
from hpastack.errors import InputError, shorten
from hpastack.labels import HPA_2018, Vocabulary
from hpastack.tables import named_column, read_id_table

StrPath = str | os.PathLike[str]

#: What the fields of the competition, or of any first folder, are called in `source`.
DEFAULT_SOURCE = "hpa2018"


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
) -> Collection:
    """Find the fields of a folder or of a table with paths, and say which split each is in.

    Files of a folder are named ``<image_id>_<red|green|blue|yellow>`` with the
    ending of a PNG, JPEG or TIFF, and lie in it or in folders within it; other
    files are passed over. The fields in the table of labels become training
    fields in its order, those in the table of test fields become test fields
    in its order. Without a table of test fields every other field becomes one,
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
            Path(os.path.abspath(images)), labels, test, vocabulary, source, training_only
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
    test_ids = [] if test is None else list(read_id_table(test).index)
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


def _collect_folder(
    folder: Path,
    labels: StrPath | None,
    test: StrPath | None,
    vocabulary: Vocabulary,
    source: str,
    training_only: bool,
) -> Collection:
    files = find_stain_files(folder)
    if not files:
        raise InputError(
            f"{folder}: no field found; files are named <id>_<{'|'.join(STAINS)}> with the "
            "ending .png, .jpg or .tif"
        )
    labels = labels or own_labels(folder)
    targets = pd.Series(dtype=str) if labels is None else read_targets(labels, vocabulary)
    if training_only and labels is None:
        raise InputError(f"{folder}: no {' or '.join(LABEL_TABLES)} with the labels of its fields")
    if test is None and not training_only and (folder / TEST_TABLE).is_file():
        test = folder / TEST_TABLE
    if training_only:
        test_ids = []
    elif test is not None:
        test_ids = list(read_id_table(test).index)
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
            paths = expected_files(folder, split, image_id, files.get(image_id, {}))
            rows[image_id] = (split, known.get(image_id, ""), source, *paths)
    columns = ["split", "target", "source", *STAINS]
    fields = pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=str)
    return Collection(fields.rename_axis("image_id"), sorted(files.keys() - rows.keys()))


def _collect_table(
    path: Path,
    labels: StrPath | None,
    test: StrPath | None,
    vocabulary: Vocabulary,
    source: str,
    training_only: bool,
) -> Collection:
    table = read_id_table(path)
    known = {name.lower(): name for name in table.columns if name.lower() in COLUMNS}
    table = table.rename(columns={name: lower for lower, name in known.items()})
    for stain in STAINS:
        named_column(table, (stain,), path)
        table[stain] = absolute_paths(table[stain], path.absolute().parent)
    if labels is not None:
        if "target" in table:
            raise InputError(f"{path}: has targets already; leave out {labels}, or that column")
        targets = read_targets(labels, vocabulary)
        require_known(targets.index, table.index, labels, path)
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
    check_targets(table.loc[is_train, "target"], vocabulary, path)
    if training_only and not is_train.all():
        raise InputError(f"{path}: no label for {shorten(table.index[~is_train])}")
    test_ids = list(table.index[~is_train])
    if test is not None:
        test_ids = list(read_id_table(test).index)
        _refuse_both_splits(test_ids, table.index[is_train], test)
        require_known(test_ids, table.index, test, path)
    if "source" not in table:
        table["source"] = source
    groups = [name for name in table.columns if name not in COLUMNS]
    order = [*table.index[is_train], *test_ids]
    fields = table.loc[order, ["split", "target", "source", *STAINS, *groups]]
    return Collection(fields, sorted(set(table.index) - set(order)))


def _refuse_both_splits(test_ids: list[str], train_ids: pd.Index, test: StrPath) -> None:
    both = [name for name in test_ids if name in train_ids]
    if both:
        raise InputError(f"{test}: also among the training fields: {shorten(both)}")
