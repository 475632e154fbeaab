"""The submission file of the competition: ``Id,Predicted``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from numpy.typing import ArrayLike

from hpastack.errors import InputError, counted, shorten
from hpastack.files import atomic_write, check_unique
from hpastack.labels.vocabulary import HPA_2018, Vocabulary


def write_submission(
    path: str | os.PathLike[str],
    image_ids: Sequence[str],
    labels: ArrayLike,
    vocabulary: Vocabulary = HPA_2018,
) -> Path:
    """Write predicted labels in the competition's format.

    Parameters
    ----------
    path : path-like
        Output file; an existing one is replaced in one rename.
    image_ids : sequence of str, length n
        Test fields in the order of the sample submission.
    labels : array-like of {0, 1}, shape (n, n_labels)
    vocabulary : Vocabulary, default=HPA_2018

    Returns
    -------
    Path

    Raises
    ------
    InputError
        If there are duplicate ids, or the shapes do not match.
    """
    path = Path(path)
    image_ids = [str(image_id) for image_id in image_ids]
    targets = vocabulary.targets(labels)
    if len(targets) != len(image_ids):
        raise InputError(
            f"{path}: {counted(len(targets), 'row')} of labels for {counted(len(image_ids), 'id')}"
        )
    check_unique(image_ids, path)
    table = pd.DataFrame({"Id": image_ids, "Predicted": targets})
    with atomic_write(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    return path


def replace_labels(
    labels: pd.DataFrame, targets: pd.Series, vocabulary: Vocabulary = HPA_2018
) -> pd.DataFrame:
    """Replace predicted labels by known ones.

    Parameters
    ----------
    labels : DataFrame of {0, 1}, shape (n, n_labels)
        Predicted labels, indexed by image id.
    targets : Series of str
        Known targets (``"16 0"``) of some of the fields, indexed by image id.
    vocabulary : Vocabulary, default=HPA_2018

    Returns
    -------
    DataFrame
        A copy of `labels`, with the labels of the fields in `targets` replaced.

    Raises
    ------
    InputError
        If a field of `targets` is not in `labels`, or a target is not valid.
    """
    missing = targets.index.difference(labels.index)
    if len(missing):
        raise InputError(f"fields without predicted labels to replace: {shorten(missing)}")
    replaced = labels.copy()
    known = vocabulary.indicator(targets).astype(replaced.dtypes.iloc[0])
    replaced.loc[targets.index] = known
    return replaced
