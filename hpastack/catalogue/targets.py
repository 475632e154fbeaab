"""Labels of training fields: tables of them, and corrections."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from hpastack.catalogue.changes import DROPPED, LABELS, Change
from hpastack.catalogue.groups import group_columns
from hpastack.errors import InputError, shorten
from hpastack.files import named_column, read_id_table
from hpastack.labels import HPA_2018, Locations, UnknownName, Vocabulary

StrPath = str | os.PathLike[str]


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


def read_label_table(path: StrPath, locations: Locations) -> LabelTable:
    """Read a table of labels, given as ids or as names of places.

    Parameters
    ----------
    path : path-like
        CSV with columns ``Id,Target`` or ``image_id,target``, in any case;
        the others are groups.
    locations : Locations
        What names stand for.

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
    frame = read_id_table(path)
    texts = frame.pop(named_column(frame, ("target",), path))
    targets, changes, unmapped = map_targets(texts, locations, path)
    groups = group_columns(frame, path).loc[targets.index]
    return LabelTable(targets, groups, changes, unmapped)


def map_targets(
    texts: pd.Series, locations: Locations, path: StrPath
) -> tuple[pd.Series, list[Change], Counter[str]]:
    """Turn targets as written into label ids.

    Parameters
    ----------
    texts : Series of str
        Indexed by image id; each is to have a label.
    locations : Locations
    path : path-like
        The table they are from, for errors.

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
    for image_id, text in texts.items():
        try:
            target, lost = locations.read_target(text, f"field {image_id}")
            if not target and not lost:
                locations.vocabulary.parse(target, where=f"field {image_id}")
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
    reason = f"corrected after {os.fspath(corrections)}"
    changes = [
        Change(image_id, LABELS, reason, before=old, after=new)
        for image_id, old, new in zip(targets.index, before["target"], targets)
        if set(old.split()) != set(new.split())
    ]
    fields = fields.copy()
    fields.loc[targets.index, "target"] = targets
    return fields, changes


def require_known(image_ids: Iterable[str], known: pd.Index, path: StrPath, place: StrPath) -> None:
    """Refuse ids that are not among the known ones, by name."""
    unknown = [image_id for image_id in image_ids if image_id not in known]
    if unknown:
        raise InputError(f"{path}: no such field in {place}: {shorten(unknown)}")
