"""Labels of training fields: tables of them, and corrections."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pandas as pd

from hpastack.errors import InputError, shorten
from hpastack.labels import HPA_2018, Vocabulary
from hpastack.tables import named_column, read_id_table

StrPath = str | os.PathLike[str]


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
    frame = read_id_table(path)
    column = named_column(frame, ("target",), path)
    targets = frame[column].str.split().str.join(" ").rename("target")
    check_targets(targets, vocabulary, path)
    return targets


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
    require_known(targets.index, fields.index, corrections, "the catalogue")
    before = fields.loc[targets.index]
    if (before["split"] != "train").any():
        wrong = before.index[before["split"] != "train"]
        raise InputError(f"{corrections}: test fields have no labels: {shorten(wrong)}")
    changed = [set(a.split()) != set(b.split()) for a, b in zip(before["target"], targets)]
    fields = fields.copy()
    fields.loc[targets.index, "target"] = targets
    return fields, sum(changed)


def check_targets(targets: pd.Series, vocabulary: Vocabulary, path: StrPath) -> None:
    """Refuse targets that are no ids of the vocabulary, by field."""
    try:
        vocabulary.indicator(targets)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def require_known(image_ids: Iterable[str], known: pd.Index, path: StrPath, place: StrPath) -> None:
    """Refuse ids that are not among the known ones, by name."""
    unknown = [image_id for image_id in image_ids if image_id not in known]
    if unknown:
        raise InputError(f"{path}: no such field in {place}: {shorten(unknown)}")
