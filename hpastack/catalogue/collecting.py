"""Fields of folders and of tables, put together into one table."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hpastack.catalogue.changes import DROPPED, Change
from hpastack.catalogue.folders import (
    LABEL_TABLES,
    all_files,
    expected_files,
    find_stain_files,
    in_train_folder,
    own_table,
)
from hpastack.catalogue.groups import group_columns
from hpastack.catalogue.hpa import match_ids
from hpastack.catalogue.patterns import NamedFiles, other_files
from hpastack.catalogue.table import COLUMNS, absolute_paths
from hpastack.catalogue.targets import (
    LabelTable,
    map_targets,
    pop_targets,
    read_label_table,
    require_known,
)
from hpastack.errors import InputError, shorten
from hpastack.fields import FORMATS, STAINS
from hpastack.fields.paths import PIXEL_SIZE
from hpastack.files import named_column, read_id_table
from hpastack.labels import HPA_2018, Locations, Vocabulary

StrPath = str | os.PathLike[str]

#: What the fields of the competition, or of any first folder, are called in `source`.
DEFAULT_SOURCE = "hpa2018"

#: Why a field is left out whose files are there.
NOT_ASKED_FOR = "no table names it"


class Collection(NamedTuple):
    """Fields found in one place, before their files are opened.

    `fields` is a catalogue, from files without ``height``, ``width`` and
    ``content``; `changes` are the fields that were dropped or lost labels;
    `unmapped` counts the names of places that are no label.
    """

    fields: pd.DataFrame
    changes: list[Change]
    unmapped: Counter[str]


def collect_fields(
    images: StrPath | Sequence[StrPath],
    labels: StrPath | None = None,
    test: StrPath | Sequence[StrPath] = (),
    *,
    vocabulary: Vocabulary = HPA_2018,
    locations: Locations | None = None,
    source: str = DEFAULT_SOURCE,
    training_only: bool = False,
    channels: Mapping[str, int | str] | None = None,
    drop_unlabelled: bool = False,
    by_pattern: NamedFiles | None = None,
    stains: Sequence[str] = STAINS,
) -> Collection:
    """Find the fields of folders or of a table with paths, and say which split each is in.

    Files of a folder are named ``<image_id>_<red|green|blue|yellow>`` with an
    ending of `hpastack.fields.SUFFIXES`, and lie in it or in folders within it; or a
    TIFF ``<image_id>.tif``, ``.tiff``, ``.ome.tif`` or ``.ome.tiff`` holds all
    stains of a field as its channels (then a path is that of the file with ``#``
    and the number of the plane). Other files are passed over.

    Files that HPA names ``<plate>_<well>_<field>_<stain>`` in a folder named
    after an antibody have the antibody before their id. The fields in the table
    of labels become training fields in its order, those in the table of test
    fields become test fields in its order. Without a table
    of test fields every other field becomes one, sorted by id, but for those
    in a folder for training fields when there are labels.

    A table with paths has an id column, the columns ``red``, ``green``,
    ``blue``, ``yellow`` (relative to the table's folder, or absolute), and
    may have ``target``, ``split`` and ``source``; other columns are groups.
    Without ``split``, the rows with a target are training fields. A table of
    labels without paths stands for its folder, with these labels.

    Parameters
    ----------
    images : path-like or sequence of path-like
        A folder, several, or a CSV file.
    labels : path-like, optional
        Table with columns ``Id,Target`` (or ``image_id,target``, in any case; or ``label``, or a
        column of 0 and 1 for each label).
        Left out: the table called ``train.csv``, ``stage1_train.csv`` or
        ``labels.csv`` of the folder, if any. For a folder called like
        ``train``, ``stage1_train`` or ``train_full_size`` also the one beside it.
    test : path-like or sequence of path-like, optional
        CSV with a column ``Id`` (or ``image_id``), such as a sample
        submission; of several, an id counts once. Left out: the
        ``sample_submission.csv`` of the folder, or that of a stage; for a
        folder called like ``test`` also the one beside it.
    vocabulary : Vocabulary, default=HPA_2018
        The labels that targets are written in.
    locations : Locations, optional
        What names of places stand for. Left out: `vocabulary` and the names
        that HPA has used for its labels.
    source : str, default="hpa2018"
        What to call the place in the column ``source``.
    training_only : bool, default=False
        Take no test fields, and look for no table of them.
    channels : mapping of str to int or str, optional
        Which plane of a TIFF with several is which stain, or the name of its
        channel. Left out: by the names that the file gives them.
    drop_unlabelled : bool, default=False
        Whether to leave out fields that the table of labels names and gives no label.
    by_pattern : NamedFiles, optional
        The fields of the folders where their files are named otherwise, from
        `hpastack.catalogue.patterns.find_named_files`.
    stains : sequence of str, default=STAINS
        Those that a TIFF with several planes has, where `channels` does not say it.

    Returns
    -------
    Collection
        A path that is missing from a folder stands where the file was
        expected, for `hpastack.fields.check_fields` to report.

    Raises
    ------
    InputError
        If no field is found, a stain is there twice, an id is doubled, in both
        splits or unknown, the id of a label is unknown or doubled, or a
        training field has no label.
    """
    places = [Path(place) for place in _listed(images)]
    tests = [Path(place) for place in _listed(test)]
    locations = locations or Locations(vocabulary)
    if len(places) == 1 and places[0].is_file():
        table = read_id_table(places[0])
        if has_paths(table):
            return _collect_table(
                places[0], table, labels, tests, locations, source, training_only, drop_unlabelled
            )
        if labels is not None:
            raise InputError(f"{places[0]}: has no columns {', '.join(STAINS)} with paths")
        places, labels = [places[0].absolute().parent], places[0]
    for place in places:
        if len(places) > 1 and place.is_file():
            raise InputError(f"{place}: is a table; several IMAGES are folders, a table is alone")
        if not place.is_dir():
            raise InputError(f"{place}: no such folder of images or table of paths")
    folders = [Path(os.path.abspath(place)) for place in places]
    return _collect_folders(
        folders, labels, tests, locations, source, training_only, channels, drop_unlabelled,
        by_pattern, stains,
    )  # fmt: skip


def list_fields(
    labels: StrPath,
    test: StrPath | Sequence[StrPath] = (),
    *,
    vocabulary: Vocabulary = HPA_2018,
    locations: Locations | None = None,
    source: str = DEFAULT_SOURCE,
    drop_unlabelled: bool = False,
) -> Collection:
    """Make the catalogue of fields whose images are not at hand, from tables alone.

    For work that starts from predictions made elsewhere: such fields can be
    clustered by known groups, stacked and submitted, but not looked at.

    Parameters
    ----------
    labels : path-like
        CSV with columns ``Id,Target``: the training fields. Other columns are
        groups.
    test : path-like or sequence of path-like, optional
        CSV with a column ``Id``: the test fields.
    vocabulary : Vocabulary, default=HPA_2018
    locations : Locations, optional
        As for `collect_fields`.
    source : str, default="hpa2018"
    drop_unlabelled : bool, default=False
        As for `collect_fields`.

    Returns
    -------
    Collection
        Its fields have empty paths and contents, and 0 for height and width.

    Raises
    ------
    InputError
        If an id is doubled or in both tables, or the id of a label is unknown.
    """
    table = read_label_table(
        labels, locations or Locations(vocabulary), drop_unlabelled=drop_unlabelled
    )
    tests = _listed(test)
    test_ids = _read_test_ids(tests, _labelled_ids(table)) if tests else []
    index = pd.Index([*table.targets.index, *test_ids], name="image_id")
    fields = pd.DataFrame("", index=index, columns=list(COLUMNS), dtype=object)
    fields["split"] = ["train"] * len(table.targets) + ["test"] * len(test_ids)
    fields["target"] = [*table.targets, *[""] * len(test_ids)]
    fields["source"] = source
    fields["height"] = fields["width"] = 0
    return Collection(_with_groups(fields, table.groups), table.changes, table.unmapped)


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


def _collect_folders(
    folders: list[Path],
    labels: StrPath | None,
    tests: Sequence[StrPath],
    locations: Locations,
    source: str,
    training_only: bool,
    channels: Mapping[str, int | str] | None,
    drop_unlabelled: bool,
    by_pattern: NamedFiles | None,
    stains: Sequence[str],
) -> Collection:
    if by_pattern is None:
        files = find_stain_files(folders, channels, stains)
    else:
        files = by_pattern.files
    if not files:
        *endings, last = (image_format.SUFFIXES[0] for image_format in FORMATS.values())
        raise InputError(
            f"{_places(folders)}: no field found; files are named <id>_<{'|'.join(STAINS)}> with "
            f"the ending {', '.join(endings)} or {last}, or <id>.tif with four channels; "
            + (other_files(all_files(folders)) or "say with --pattern what other names mean")
        )
    remedy = "--extra and its name instead of the folder" if training_only else "--labels"
    labels = labels or own_table(folders, "train", remedy)
    if training_only and labels is None:
        raise InputError(
            f"{_places(folders)}: no table ({', '.join(LABEL_TABLES)}) with the labels of its "
            "fields; or name the table itself, in the folder of its images"
        )
    table = _no_labels()
    if labels is not None:
        table = read_label_table(labels, locations, drop_unlabelled=drop_unlabelled)
    labelled = _labelled_ids(table)
    if not training_only and not tests:
        own = own_table(folders, "test", "--test")
        tests = [own] if own else []
    named = [] if training_only or not tests else _read_test_ids(tests, labelled)
    files = match_ids(files, [*labelled, *named])
    if training_only or tests:
        test_ids = named
    else:
        taken = set(labelled)
        test_ids = sorted(
            image_id
            for image_id, stains in files.items()
            if image_id not in taken
            and not (
                labels is not None
                and any(in_train_folder(path, folders) for path in stains.values())
            )
        )
    rows = {}
    known = table.targets.to_dict()
    for split, image_ids in (("train", table.targets.index), ("test", test_ids)):
        for image_id in image_ids:
            paths = expected_files(folders, split, image_id, files.get(image_id, {}))
            rows[image_id] = (split, known.get(image_id, ""), source, *paths)
    columns = ["split", "target", "source", *STAINS]
    fields = pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=str)
    fields = _with_groups(fields.rename_axis("image_id"), table.groups)
    if by_pattern is not None:
        fields = _with_groups(fields, by_pattern.groups)
    changes = table.changes + _not_asked_for(files.keys() - rows.keys() - set(labelled))
    return Collection(fields, changes, table.unmapped)


def _collect_table(
    path: Path,
    table: pd.DataFrame,
    labels: StrPath | None,
    tests: Sequence[StrPath],
    locations: Locations,
    source: str,
    training_only: bool,
    drop_unlabelled: bool,
) -> Collection:
    known = {name.lower(): name for name in table.columns if name.lower() in COLUMNS}
    table = table.rename(columns={name: lower for lower, name in known.items()})
    for stain in STAINS:
        named_column(table, (stain,), path)
        table[stain] = absolute_paths(table[stain], path.absolute().parent)
    texts = pop_targets(table, locations, path)
    if labels is not None:
        if texts is not None:
            raise InputError(f"{path}: has targets already; leave out {labels}, or that column")
        given = read_label_table(labels, locations, drop_unlabelled=drop_unlabelled)
        labelled = _labelled_ids(given)
        require_known(labelled, table.index, labels, path)
    else:
        texts = pd.Series("", table.index, dtype=object) if texts is None else texts
        labelled = list(texts.index[texts.str.strip() != ""])
        given = _label_table(texts.loc[labelled], locations, path)
    has_label = table.index.isin(labelled)
    if "split" not in table:
        table["split"] = ["train" if labelled else "test" for labelled in has_label]
    for image_id, split, is_labelled in zip(table.index, table["split"], has_label):
        if split not in ("train", "test"):
            raise InputError(f"{path}: field {image_id} has split {split!r}; it is train or test")
        if split == "test" and is_labelled:
            raise InputError(
                f"{path}: test field {image_id} has a target; keep the truth of test fields "
                "in a file of its own"
            )
        if split == "train" and not is_labelled:
            raise InputError(
                f"{path}: field {image_id}: no label given; every training field needs one"
            )
    table["target"] = given.targets.reindex(table.index, fill_value="")
    is_train = table["split"] == "train"
    if training_only and not is_train.all():
        raise InputError(f"{path}: no label for {shorten(table.index[~is_train])}")
    test_ids = list(table.index[~is_train])
    if tests:
        test_ids = _read_test_ids(tests, labelled)
        require_known(test_ids, table.index, tests[0], path)
    if "source" not in table:
        table["source"] = source
    groups = group_columns(table, path)
    order = [*table.index[is_train & (table["target"] != "")], *test_ids]
    sizes = [PIXEL_SIZE] if PIXEL_SIZE in table else []
    fields = table.loc[order, ["split", "target", "source", *STAINS, *sizes]]
    fields = _with_groups(_with_groups(fields, groups), given.groups)
    changes = given.changes + _not_asked_for(set(table.index) - set(order) - set(labelled))
    return Collection(fields, changes, given.unmapped)


def _listed(places: StrPath | Sequence[StrPath]) -> list[StrPath]:
    return [places] if isinstance(places, (str, os.PathLike)) else list(places)


def has_paths(table: pd.DataFrame) -> bool:
    """Return whether a table has columns of stains, that is paths of files."""
    names = {name.lower() for name in table.columns}
    return not names.isdisjoint(STAINS)


def _places(folders: Sequence[Path]) -> str:
    return ", ".join(map(str, folders))


def _no_labels() -> LabelTable:
    nothing = pd.Index([], name="image_id", dtype=object)
    targets = pd.Series([], nothing, dtype=object)
    return LabelTable(targets, pd.DataFrame(index=nothing), [], Counter())


def _label_table(texts: pd.Series, locations: Locations, path: Path) -> LabelTable:
    targets, changes, unmapped = map_targets(texts, locations, path)
    return LabelTable(targets, pd.DataFrame(index=targets.index), changes, unmapped)


def _labelled_ids(table: LabelTable) -> list[str]:
    """Return the ids of a table of labels, those dropped for want of a label too."""
    dropped = (change.image_id for change in table.changes if change.change == DROPPED)
    return [*table.targets.index, *dropped]


def _read_test_ids(tests: Sequence[StrPath], train_ids: Iterable[str]) -> list[str]:
    train = set(train_ids)
    test_ids: dict[str, None] = {}
    for test in tests:
        ids = list(read_id_table(test).index)
        both = [image_id for image_id in ids if image_id in train]
        if both:
            raise InputError(f"{test}: also among the training fields: {shorten(both)}")
        test_ids.update(dict.fromkeys(ids))
    return list(test_ids)


def _with_groups(fields: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    fields = fields.copy()
    for name in groups.columns:
        values = groups[name].reindex(fields.index, fill_value="")
        fields[name] = fields[name].where(fields[name] != "", values) if name in fields else values
    return fields


def _not_asked_for(image_ids: Iterable[str]) -> list[Change]:
    return [Change(image_id, DROPPED, NOT_ASKED_FOR) for image_id in sorted(image_ids)]
