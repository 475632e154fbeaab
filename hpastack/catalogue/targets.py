"""Labels of training fields: tables of labels, and corrections."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from hpastack.catalogue.changes import CORRECTED, DROPPED, LABELS, Change
from hpastack.catalogue.groups import group_columns
from hpastack.catalogue.table import COLUMNS
from hpastack.errors import InputError, counted, shorten
from hpastack.files import has_column, named_column, read_id_table
from hpastack.labels import (
    HPA_2018,
    Locations,
    UnknownName,
    Vocabulary,
    label_ids,
    numbered_label,
)

StrPath = str | os.PathLike[str]

#: Names of the target column, in any case; the first group takes precedence.
TARGET_NAMES = (("target",), ("label", "labels"))
# Values in one-hot columns.
_ONE_HOT = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "": 0, "false": 0, "true": 1}
# Other binary columns have such values too, so the column name must identify a label.
_ANSWERS = _ONE_HOT | {"no": 0, "yes": 1, "n": 0, "y": 1, "f": 0, "t": 1, "x": 1}
_ONE_ROW = (
    "the table must have one row per field with all its labels; if each label has its own row, "
    "join them first, in pandas with table.groupby('Id')['Target'].agg('|'.join)"
)


class LabelTable(NamedTuple):
    """A table of labels: the targets of its fields, and the location names without a label.

    `targets` (str, label ids) and `groups` (the other columns) are indexed by
    image id in the order of the table, without the fields that have no label
    left. `changes` lists these fields and those that lost some labels;
    `unmapped` counts the location names without a label.
    """

    targets: pd.Series
    groups: pd.DataFrame
    changes: list[Change]
    unmapped: Counter[str]


def read_label_table(
    path: StrPath, locations: Locations, *, drop_unlabelled: bool = False
) -> LabelTable:
    """Read a table of labels, written as ids or as location names.

    Parameters
    ----------
    path : path-like
        Table with columns ``Id,Target`` or ``image_id,target``, in any case. Instead of
        ``target``, it may have a column ``label`` or ``labels``, or one column of 0 and 1 (or yes
        and no) per label, named after the label, its id or ``label_<id>``. Other columns are
        groups.
    locations : Locations
        Mapping of location names to labels.
    drop_unlabelled : bool, default=False
        Whether to drop fields without a label and record them as changes.

    Returns
    -------
    LabelTable

    Raises
    ------
    InputError
        If a column is missing, an id is empty or duplicate, a label is unknown
        or its id duplicate, a field has no label, or no field has a label of
        the vocabulary.
    """
    frame = read_id_table(path, one_row=_ONE_ROW)
    if frame.empty:
        raise InputError(f"{path}: the table has no rows")
    texts = pop_targets(frame, locations, path)
    if texts is None:
        raise InputError(
            f"{path}: no column target or label, and no columns of 0 and 1 named after labels; "
            f"it has {shorten(frame.columns)}"
        )
    targets, changes, unmapped = map_targets(
        texts, locations, path, drop_unlabelled=drop_unlabelled
    )
    groups = group_columns(frame, path).loc[targets.index]
    return LabelTable(targets, groups, changes, unmapped)


def pop_targets(frame: pd.DataFrame, locations: Locations, path: StrPath) -> pd.Series | None:
    """Remove the label columns from a table and return the targets.

    Parameters
    ----------
    frame : DataFrame of str
        Indexed by image id; the label columns are removed from it.
    locations : Locations
        Mapping of location names to labels.
    path : path-like
        Name of the table in errors.

    Returns
    -------
    Series of str or None
        Targets as written, or the names of the columns with value 1; None without such columns.

    Raises
    ------
    InputError
        If there are two target columns, or some columns of 0 and 1 are labels and others are not.
    """
    for names in TARGET_NAMES:
        if has_column(frame, names):
            return frame.pop(named_column(frame, names, path)).rename("target")
    values = {
        name: frame[name].str.strip().str.lower().map(_ANSWERS)
        for name in frame.columns
        if name.lower() not in COLUMNS
    }
    binary = [
        name
        for name, column in values.items()
        if name and column.notna().all() and (frame[name].str.strip() != "").any()
    ]
    labels = [name for name in binary if locations.names_label(_own_name(name))]
    if len(labels) < 2:
        return None
    others = [
        name
        for name in binary
        if name not in labels and frame[name].str.strip().str.lower().isin(list(_ONE_HOT)).all()
    ]
    if others:
        raise InputError(
            f"{path}: columns {shorten(others)} contain 0 and 1 like the label columns, but are "
            "not named after labels; map their names to labels with locations (an empty label "
            "means none)",
            "locations",
        )
    hot = pd.DataFrame({name: values[name] for name in labels}).to_numpy(dtype=bool)
    for name in labels:
        frame.pop(name)
    own_names = [_own_name(name) for name in labels]
    duplicates = sorted({name for name in own_names if own_names.count(name) > 1})
    if duplicates:
        columns = [column for column, name in zip(labels, own_names) if name in duplicates]
        raise InputError(f"{path}: columns {shorten(columns)} are the same label; keep one")
    are_ids = all(name.isascii() and name.isdigit() for name in own_names)
    mark = " " if are_ids else ";"
    texts = [mark.join(name for name, is_set in zip(own_names, row) if is_set) for row in hot]
    return pd.Series(texts, frame.index, dtype=object, name="target")


def _own_name(column: str) -> str:
    """Return the label id in a column name such as ``label_3``; otherwise the name itself."""
    number = numbered_label(column)
    return column if number is None else str(number)


def map_targets(
    texts: pd.Series, locations: Locations, path: StrPath, *, drop_unlabelled: bool = False
) -> tuple[pd.Series, list[Change], Counter[str]]:
    """Map targets as written to label ids.

    Parameters
    ----------
    texts : Series of str
        Indexed by image id; each must contain a label.
    locations : Locations
    path : path-like
        The table they were read from, for errors.
    drop_unlabelled : bool, default=False
        Whether to drop fields whose target is empty.

    Returns
    -------
    targets : Series of str
        Without the fields that have no label left.
    changes : list of Change
        Fields that lost some or all of their location names.
    unmapped : Counter of str
        The location names without a label, and the number of fields that have each.

    Raises
    ------
    InputError
        As `Locations.read_target`, with all unknown names in one message; also
        if a target is empty, or no field is left.
    """
    targets, changes, unmapped = {}, [], Counter[str]()
    unknown: dict[str, UnknownName] = {}
    unlabelled: list[str] = []
    for image_id, text in texts.items():
        try:
            target, lost = locations.read_target(text, f"field {image_id}")
            if not target and not lost:
                unlabelled.append(str(image_id))
                changes.append(Change(str(image_id), DROPPED, "no label", before=text))
        except UnknownName as error:  # collected to report all at once
            unknown.setdefault(error.name, error)
            continue
        except InputError as error:
            raise InputError(f"{path}: {error}", *error.parameters) from None
        if target:
            targets[image_id] = target
        if lost:
            unmapped.update(lost)
            reason = f"no label of the vocabulary: {'; '.join(lost)}"
            change = LABELS if target else DROPPED
            changes.append(Change(str(image_id), change, reason, before=text, after=target))
    if unknown:
        first, *others = unknown
        also = f" (also unknown: {shorten(map(repr, others))})" if others else ""
        raise InputError(f"{path}: {unknown[first]}{also}", *unknown[first].parameters)
    if unlabelled and not drop_unlabelled:
        raise InputError(
            f"{path}: field {unlabelled[0]}: no label; every training field needs one "
            f"({len(unlabelled)} of {counted(len(texts), 'field has', 'fields have')} none; "
            "drop_unlabelled=True drops them)",
            "drop_unlabelled",
        )
    if unlabelled and not targets and not unmapped:
        raise InputError(f"{path}: no field has a label")
    if unmapped and not targets:
        names = [name for name, _ in unmapped.most_common()]
        raise InputError(f"{path}: no field has a label of the vocabulary, only {shorten(names)}")
    index = pd.Index(list(targets), name="image_id", dtype=object)
    return pd.Series(list(targets.values()), index, dtype=object, name="target"), changes, unmapped


def read_targets(
    path: StrPath, vocabulary: Vocabulary = HPA_2018, locations: Locations | None = None
) -> pd.Series:
    """Read a table of labels, all of which must be in the vocabulary.

    Parameters
    ----------
    path : path-like
        CSV with columns ``Id,Target`` or ``image_id,target``, in any case;
        other columns are ignored. Labels are ids or names.
    vocabulary : Vocabulary, default=HPA_2018
    locations : Locations, optional
        Mapping of location names to labels. Default: the names in `vocabulary`
        and those that HPA has used for its labels.

    Returns
    -------
    Series of str
        Label ids, indexed by ``image_id`` in the order of the file.

    Raises
    ------
    InputError
        If a column is missing, an id is empty or duplicate, or a label is
        unknown, duplicate or missing.
    """
    table = read_label_table(path, locations or Locations(vocabulary))
    if table.changes:
        change = table.changes[0]
        raise InputError(f"{path}: field {change.image_id}: {change.reason}")
    return table.targets


def correct_targets(
    fields: pd.DataFrame,
    corrections: StrPath,
    vocabulary: Vocabulary = HPA_2018,
    locations: Locations | None = None,
) -> tuple[pd.DataFrame, list[Change]]:
    """Replace the labels of training fields by corrected ones.

    Parameters
    ----------
    fields : DataFrame
        A catalogue, complete or not.
    corrections : path-like
        CSV with columns ``Id,Target``, as read by `read_targets`.
    vocabulary : Vocabulary, default=HPA_2018
    locations : Locations, optional
        As for `read_targets`.

    Returns
    -------
    fields : DataFrame
        A copy.
    changes : list of Change
        The fields whose set of labels has changed, in the order of the
        corrections.

    Raises
    ------
    InputError
        If an id is unknown, duplicate or that of a test field, or a label is
        unknown or missing.
    """
    targets = read_targets(corrections, vocabulary, locations)
    require_known(targets.index, fields.index, corrections, "the catalogue")
    before = fields.loc[targets.index]
    if (before["split"] != "train").any():
        wrong = before.index[before["split"] != "train"]
        raise InputError(
            f"{corrections}: labels of test fields cannot be corrected: {shorten(wrong)}"
        )
    reason = f"{CORRECTED} {os.fspath(corrections)}"
    changes = [
        Change(image_id, LABELS, reason, before=old, after=new)
        for image_id, old, new in zip(targets.index, before["target"], targets)
        if set((label_ids(old) or old).split()) != set(new.split())
    ]
    fields = fields.copy()
    fields.loc[targets.index, "target"] = targets
    return fields, changes


def require_known(image_ids: Iterable[str], known: pd.Index, path: StrPath, place: StrPath) -> None:
    """Check that all ids are known; the error names those that are not."""
    unknown = [image_id for image_id in image_ids if image_id not in known]
    if unknown:
        raise InputError(f"{path}: fields missing from {place}: {shorten(unknown)}")
