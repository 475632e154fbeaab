"""Labels of training fields: tables of them, and corrections."""

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

#: What a column of targets is called, in any case; those of the first line go before the others.
TARGET_NAMES = (("target",), ("label", "labels"))
# Cells of a column for each label.
_ONE_HOT = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "": 0, "false": 0, "true": 1}
# Also those of other columns with two answers, so that the name must say that it is a label.
_ANSWERS = _ONE_HOT | {"no": 0, "yes": 1, "n": 0, "y": 1, "f": 0, "t": 1, "x": 1}
_ONE_ROW = (
    "a row of the table is a field with all its labels: where each label has a row of its own, "
    "join them first, table.groupby('Id')['Target'].agg('|'.join) in pandas"
)


class LabelTable(NamedTuple):
    """A table of labels: what it gives each field, and what it had to leave out.

    `targets` (str, label ids) and `groups` (its other columns) are indexed by
    image id in the order of the table, without the fields that no label is
    left of; `changes` names these, and those that lost some; `unmapped` counts
    the names that are no label.
    """

    targets: pd.Series
    groups: pd.DataFrame
    changes: list[Change]
    unmapped: Counter[str]


def read_label_table(
    path: StrPath, locations: Locations, *, drop_unlabelled: bool = False
) -> LabelTable:
    """Read a table of labels, given as ids or as names of places.

    Parameters
    ----------
    path : path-like
        Table with columns ``Id,Target`` or ``image_id,target``, in any case; without a column
        ``target``, one called ``label`` or ``labels``, or a column of 0 and 1 (or yes and no) for
        each label, called as the label, its id or ``label_<id>``. The others are groups.
    locations : Locations
        What names stand for.
    drop_unlabelled : bool, default=False
        Whether to leave out fields without a label, as changes.

    Returns
    -------
    LabelTable

    Raises
    ------
    InputError
        If a column is missing, an id is empty or doubled, a label is
        unknown, its id is doubled, a field has no label, or no field has one that is
        in the vocabulary.
    """
    frame = read_id_table(path, one_row=_ONE_ROW)
    if frame.empty:
        raise InputError(f"{path}: has no rows")
    texts = pop_targets(frame, locations, path)
    if texts is None:
        raise InputError(
            f"{path}: no column target or label, and no columns of 0 and 1 that are called like "
            f"labels; it has {shorten(frame.columns)}"
        )
    targets, changes, unmapped = map_targets(
        texts, locations, path, drop_unlabelled=drop_unlabelled
    )
    groups = group_columns(frame, path).loc[targets.index]
    return LabelTable(targets, groups, changes, unmapped)


def pop_targets(frame: pd.DataFrame, locations: Locations, path: StrPath) -> pd.Series | None:
    """Take the labels out of a table.

    Parameters
    ----------
    frame : DataFrame of str
        Indexed by image id; loses the columns of labels.
    locations : Locations
        What names stand for.
    path : path-like
        What to call the table in errors.

    Returns
    -------
    Series of str or None
        Targets as written, or the names of the columns that hold 1; None if there are neither.

    Raises
    ------
    InputError
        If two columns hold targets, or some columns of 0 and 1 are labels and others are not.
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
            f"{path}: columns {shorten(others)} hold 0 and 1 as those of labels do, and are called "
            "like no label; say with --locations what they stand for (an empty label: for none)"
        )
    hot = pd.DataFrame({name: values[name] for name in labels}).to_numpy(dtype=bool)
    for name in labels:
        frame.pop(name)
    called = [_own_name(name) for name in labels]
    doubled = sorted({name for name in called if called.count(name) > 1})
    if doubled:
        columns = [column for column, name in zip(labels, called) if name in doubled]
        raise InputError(f"{path}: columns {shorten(columns)} mean one label; keep one")
    are_ids = all(name.isascii() and name.isdigit() for name in called)
    mark = " " if are_ids else ";"
    texts = [mark.join(name for name, is_set in zip(called, row) if is_set) for row in hot]
    return pd.Series(texts, frame.index, dtype=object, name="target")


def _own_name(column: str) -> str:
    """Return the id of a column such as ``label_3``; another is called as its label."""
    number = numbered_label(column)
    return column if number is None else str(number)


def map_targets(
    texts: pd.Series, locations: Locations, path: StrPath, *, drop_unlabelled: bool = False
) -> tuple[pd.Series, list[Change], Counter[str]]:
    """Turn targets as written into label ids.

    Parameters
    ----------
    texts : Series of str
        Indexed by image id; each is to have a label.
    locations : Locations
    path : path-like
        The table they are from, for errors.
    drop_unlabelled : bool, default=False
        Whether to leave out fields whose target is empty.

    Returns
    -------
    targets : Series of str
        Without the fields that no label is left of.
    changes : list of Change
        Fields that lost some or all of their names.
    unmapped : Counter of str
        The names that are no label, and how many fields have each.

    Raises
    ------
    InputError
        As `Locations.read_target`, naming all names that are not known; also if
        a target is empty, or no field is left.
    """
    targets, changes, unmapped = {}, [], Counter[str]()
    unknown: dict[str, UnknownName] = {}
    unlabelled: list[str] = []
    for image_id, text in texts.items():
        try:
            target, lost = locations.read_target(text, f"field {image_id}")
            if not target and not lost:
                unlabelled.append(str(image_id))
                changes.append(Change(str(image_id), DROPPED, "no label given", before=text))
        except UnknownName as error:  # all are named at once
            unknown.setdefault(error.name, error)
            continue
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        if target:
            targets[image_id] = target
        if lost:
            unmapped.update(lost)
            reason = f"no label of the vocabulary: {'; '.join(lost)}"
            change = LABELS if target else DROPPED
            changes.append(Change(str(image_id), change, reason, before=text, after=target))
    if unknown:
        first, *others = unknown
        besides = f" (unknown besides: {shorten(map(repr, others))})" if others else ""
        raise InputError(f"{path}: {unknown[first]}{besides}")
    if unlabelled and not drop_unlabelled:
        raise InputError(
            f"{path}: field {unlabelled[0]}: no label given; every training field needs one "
            f"({len(unlabelled)} of {counted(len(texts), 'field has', 'fields have')} none; "
            "prepare --drop-unlabelled "
            "leaves them out)"
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
    """Read a table of labels in which each is one of the vocabulary.

    Parameters
    ----------
    path : path-like
        CSV with columns ``Id,Target`` or ``image_id,target``, in any case;
        other columns are passed over. Labels are ids or names.
    vocabulary : Vocabulary, default=HPA_2018
    locations : Locations, optional
        What names stand for. Left out: `vocabulary` and the names that HPA has
        used for its labels.

    Returns
    -------
    Series of str
        Label ids, indexed by ``image_id`` in the order of the file.

    Raises
    ------
    InputError
        If a column is missing, an id is empty or doubled, or a label is
        unknown, doubled or missing.
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
        CSV with columns ``Id,Target``, as `read_targets` takes it.
    vocabulary : Vocabulary, default=HPA_2018
    locations : Locations, optional
        As for `read_targets`.

    Returns
    -------
    fields : DataFrame
        A copy.
    changes : list of Change
        The fields whose set of labels is another one now, in the order of
        the corrections.

    Raises
    ------
    InputError
        If an id is unknown, doubled or that of a test field, or a label is
        unknown or missing.
    """
    targets = read_targets(corrections, vocabulary, locations)
    require_known(targets.index, fields.index, corrections, "the catalogue")
    before = fields.loc[targets.index]
    if (before["split"] != "train").any():
        wrong = before.index[before["split"] != "train"]
        raise InputError(f"{corrections}: test fields have no labels: {shorten(wrong)}")
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
    """Refuse ids that are not among the known ones, by name."""
    unknown = [image_id for image_id in image_ids if image_id not in known]
    if unknown:
        raise InputError(f"{path}: no such field in {place}: {shorten(unknown)}")
