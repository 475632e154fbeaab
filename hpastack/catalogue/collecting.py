"""Fields of folders and tables, collected into one table."""

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

#: Value of `source` for the fields of the competition, or of any first folder.
DEFAULT_SOURCE = "hpa2018"

#: Reason why a field is dropped although its files exist.
NOT_ASKED_FOR = "no table names it"


class Collection(NamedTuple):
    """Fields found in one set of folders or one table, before their files are opened.

    `fields` is a catalogue; for fields with files it lacks ``height``,
    ``width`` and ``content``. `changes` lists the fields that were dropped or
    lost labels. `unmapped` counts the location names without a label.
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
    """Find the fields in folders or in a table of paths, and assign them to train or test.

    Image files are named ``<image_id>_<red|green|blue|yellow>`` with a suffix
    from `hpastack.fields.SUFFIXES`, and are found in the folder and its
    subfolders. Alternatively, a TIFF ``<image_id>.tif``, ``.tiff``,
    ``.ome.tif`` or ``.ome.tiff`` contains all stains of a field as its
    channels; a path is then the file followed by ``#`` and the number of the
    plane. Other files are ignored.

    Files named by HPA as ``<plate>_<well>_<field>_<stain>``, in a folder named
    after an antibody, get an id that starts with the antibody. Fields in the
    table of labels become training fields and those in the table of test
    fields become test fields, each in the order of its table. Without a table
    of test fields, all other fields become test fields, sorted by id; if there
    are labels, fields in a folder for training fields are excluded.

    A table of paths has an id column and the columns ``red``, ``green``,
    ``blue`` and ``yellow`` (absolute, or relative to the table's folder). It
    may have ``target``, ``split`` and ``source``; other columns are groups.
    Without ``split``, the rows with a target are training fields. For a table
    of labels without paths, the images are taken from its folder.

    Parameters
    ----------
    images : path-like or sequence of path-like
        One or more folders, or one CSV file.
    labels : path-like, optional
        Table with columns ``Id,Target`` (or ``image_id,target``, in any case; or ``label``, or
        one column of 0 and 1 per label).
        Default: the table ``train.csv``, ``stage1_train.csv`` or
        ``labels.csv`` in the folder, if any; for a folder named like
        ``train``, ``stage1_train`` or ``train_full_size``, also next to it.
    test : path-like or sequence of path-like, optional
        CSV with a column ``Id`` (or ``image_id``), such as a sample
        submission; ids shared by several tables count once. Default: the
        ``sample_submission.csv`` in the folder, or that of a stage; for a
        folder named like ``test``, also next to it.
    vocabulary : Vocabulary, default=HPA_2018
        The labels of the targets.
    locations : Locations, optional
        Mapping of location names to labels. Default: the names in `vocabulary`
        and those that HPA has used for its labels.
    source : str, default="hpa2018"
        Value of the column ``source``.
    training_only : bool, default=False
        Whether to collect training fields only and ignore tables of test fields.
    channels : mapping of str to int or str, optional
        Plane number or channel name of each stain in a TIFF with several
        planes. Default: by the channel names in the file.
    drop_unlabelled : bool, default=False
        Whether to drop fields whose row in the table of labels has no label.
    by_pattern : NamedFiles, optional
        The fields of folders whose files follow another naming scheme, from
        `hpastack.catalogue.patterns.find_named_files`.
    stains : sequence of str, default=STAINS
        The stains in a TIFF with several planes, if `channels` is omitted.

    Returns
    -------
    Collection
        If a file is missing, its path is where the file was expected, so that
        `hpastack.fields.check_fields` can report it.

    Raises
    ------
    InputError
        If no field is found, there are two files for one stain, an id is
        duplicate, in both splits or unknown, a label is unknown or duplicate,
        or a training field has no label.
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
            raise InputError(f"{places[0]}: no columns {', '.join(STAINS)} with paths")
        places, labels = [places[0].absolute().parent], places[0]
    for place in places:
        if len(places) > 1 and place.is_file():
            raise InputError(f"{place}: is a table; images must be folders, or a single table")
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
    """Make the catalogue of fields without images, from tables alone.

    For workflows that start from predictions made elsewhere: such fields can
    be clustered by known groups, stacked and submitted, but not displayed.

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
        Its fields have empty paths and contents, and height and width 0.

    Raises
    ------
    InputError
        If an id is duplicate or in both tables, or a label is unknown.
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
    """Combine the fields of several collections: all training fields, then all test fields.

    Parameters
    ----------
    *parts : DataFrame
        The `fields` of each `Collection`. A group column missing from a part
        is empty for its fields.

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
                    "ids must be unique"
                )
            seen[str(image_id)] = source
    fields = pd.concat(parts).fillna("")
    files: dict[str, str] = {}
    for stain in STAINS:
        for image_id, file in fields[stain].items():
            if file and file in files:
                raise InputError(f"{file}: used for both {files[file]} and {image_id} ({stain})")
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
        *suffixes, last = (image_format.SUFFIXES[0] for image_format in FORMATS.values())
        hint, parameters = other_files(all_files(folders))
        raise InputError(
            f"{_places(folders)}: no fields found; expected files <id>_<{'|'.join(STAINS)}> with "
            f"the suffix {', '.join(suffixes)} or {last}, or <id>.tif with four channels; {hint}",
            *parameters,
        )
    if training_only:
        remedy, parameters = "pass that table instead of the folder", ()
    else:
        remedy, parameters = "pass it as labels", ("labels",)
    labels = labels or own_table(folders, "train", remedy, *parameters)
    if training_only and labels is None:
        raise InputError(
            f"{_places(folders)}: no table of labels ({', '.join(LABEL_TABLES)}); add one, or "
            "pass the table instead of the folder, if it is in the folder of its images"
        )
    table = _no_labels()
    if labels is not None:
        table = read_label_table(labels, locations, drop_unlabelled=drop_unlabelled)
    labelled = _labelled_ids(table)
    if not training_only and not tests:
        own = own_table(folders, "test", "pass it as test", "test")
        tests = [own] if own else []
    listed_ids = [] if training_only or not tests else _read_test_ids(tests, labelled)
    files = match_ids(files, [*labelled, *listed_ids])
    if training_only or tests:
        test_ids = listed_ids
    else:
        train_ids = set(labelled)
        test_ids = sorted(
            image_id
            for image_id, stains in files.items()
            if image_id not in train_ids
            and not (
                labels is not None
                and any(in_train_folder(path, folders) for path in stains.values())
            )
        )
    rows = {}
    target_of = table.targets.to_dict()
    for split, image_ids in (("train", table.targets.index), ("test", test_ids)):
        for image_id in image_ids:
            paths = expected_files(folders, split, image_id, files.get(image_id, {}))
            rows[image_id] = (split, target_of.get(image_id, ""), source, *paths)
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
            raise InputError(
                f"{path}: already has targets; remove that column, or do not pass labels "
                f"({labels})",
                "labels",
            )
        label_table = read_label_table(labels, locations, drop_unlabelled=drop_unlabelled)
        labelled = _labelled_ids(label_table)
        require_known(labelled, table.index, labels, path)
    else:
        texts = pd.Series("", table.index, dtype=object) if texts is None else texts
        labelled = list(texts.index[texts.str.strip() != ""])
        label_table = _label_table(texts.loc[labelled], locations, path)
    has_label = table.index.isin(labelled)
    if "split" not in table:
        table["split"] = ["train" if labelled else "test" for labelled in has_label]
    for image_id, split, is_labelled in zip(table.index, table["split"], has_label):
        if split not in ("train", "test"):
            raise InputError(f"{path}: field {image_id} has split {split!r}, not train or test")
        if split == "test" and is_labelled:
            raise InputError(
                f"{path}: test field {image_id} has a target; keep the targets of test fields "
                "in a separate file"
            )
        if split == "train" and not is_labelled:
            raise InputError(f"{path}: field {image_id}: no label; every training field needs one")
    table["target"] = label_table.targets.reindex(table.index, fill_value="")
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
    fields = _with_groups(_with_groups(fields, groups), label_table.groups)
    changes = label_table.changes + _not_asked_for(set(table.index) - set(order) - set(labelled))
    return Collection(fields, changes, label_table.unmapped)


def _listed(places: StrPath | Sequence[StrPath]) -> list[StrPath]:
    return [places] if isinstance(places, (str, os.PathLike)) else list(places)


def has_paths(table: pd.DataFrame) -> bool:
    """Return whether a table has columns named after stains, that is, paths of files."""
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
    """Return the ids of a table of labels, including those dropped because they have no label."""
    dropped = (change.image_id for change in table.changes if change.change == DROPPED)
    return [*table.targets.index, *dropped]


def _read_test_ids(tests: Sequence[StrPath], train_ids: Iterable[str]) -> list[str]:
    train = set(train_ids)
    test_ids: dict[str, None] = {}
    for test in tests:
        ids = list(read_id_table(test).index)
        both = [image_id for image_id in ids if image_id in train]
        if both:
            raise InputError(
                f"{test}: ids of training fields among the test fields: {shorten(both)}"
            )
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
