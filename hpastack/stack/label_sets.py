"""Labels in the forms that users have: names, sets of names, one column, a sparse matrix."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from hpastack.errors import InputError, counted, shorten

_SETS = (list, tuple, set, frozenset, np.ndarray)


def indicator_table(
    y: Any, image_ids: pd.Index, labels: list[str] | None, *, has_label_columns: bool
) -> Any:
    """Return labels with one column per label if they are in a known form, else unchanged.

    Parameters
    ----------
    y : object
        As in `hpastack.StackClassifier.fit`. A sparse matrix becomes an array; one number per
        field is a single label; names, or sets of names (lists, tuples, sets, or text such as
        ``"Cytosol|Nucleoli"``), become one column per name. Anything else is returned unchanged.
    image_ids : Index
        Ids of the fields, for values without ids of their own.
    labels : list of str or None
        The labels of a fitted stack. If None, they are the sorted names in `y`.
    has_label_columns : bool
        Whether X has columns ``<name>__<label id>``, which require a defined order of labels.

    Returns
    -------
    object

    Raises
    ------
    InputError
        If the set of labels or their order is not determined, or a label is missing or
        unknown.
    """
    if sparse.issparse(y):
        return y.toarray()
    values = _one_per_field(y)
    if values is None:
        return y
    if len(values) != len(image_ids) and not isinstance(y, (pd.Series, pd.DataFrame)):
        raise InputError(
            f"y has labels of {counted(len(values), 'field')}, but X has {len(image_ids):,}; pass "
            "one entry per field"
        )
    ids = values.index if isinstance(y, (pd.Series, pd.DataFrame)) else image_ids
    values = pd.Series(values.to_numpy(dtype=object), index=ids).infer_objects()
    if pd.api.types.is_numeric_dtype(values):
        name = labels[0] if labels is not None and len(labels) == 1 else getattr(y, "name", None)
        return values.to_frame(name="0" if name is None else name)
    names = _names_of_fields(values)
    if labels is None:
        if has_label_columns:
            raise InputError(
                "y contains names, which have no order, but the columns <name>__<label id> of X "
                "depend on the order of the labels; pass one column of 0 and 1 per label in that "
                "order, such as scikit-learn's MultiLabelBinarizer(classes=NAMES).fit_transform(y)"
            )
        labels = sorted(set().union(*names))
    unknown = sorted(set().union(*names).difference(labels))
    if unknown:
        raise InputError(
            f"y contains names that are not labels of the stack: {shorten(unknown)}; its labels "
            f"are {shorten(labels)}"
        )
    table = [[int(label in of_field) for label in labels] for of_field in names]
    return pd.DataFrame(table, ids, labels)


def _one_per_field(y: Any) -> pd.Series | None:
    """Return one value per field, as a series; None for a matrix."""
    if isinstance(y, pd.DataFrame):
        is_text = y.shape[1] == 1 and not pd.api.types.is_numeric_dtype(y.dtypes.iloc[0])
        return y.iloc[:, 0] if is_text else None
    if isinstance(y, pd.Series):
        return y
    if isinstance(y, (list, tuple)):
        rows = [value for value in y if isinstance(value, (list, tuple, np.ndarray))]
        if len(rows) == len(y) and len(set(map(len, rows))) == 1 and not _hold_text(rows):
            return None
        return pd.Series(list(y), dtype=object)
    values = np.asarray(y)
    return pd.Series(values) if values.ndim == 1 else None


def _hold_text(values: Iterable[Any]) -> bool:
    return any(
        isinstance(value, str) or (isinstance(value, _SETS) and _hold_text(value))
        for value in values
    )


def _names_of_fields(values: pd.Series) -> list[set[str]]:
    missing = values.index[
        [
            not value.strip() if isinstance(value, str) else
            not isinstance(value, _SETS) and bool(pd.isna(value))
            for value in values
        ]
    ]  # fmt: skip
    if len(missing):
        raise InputError(
            f"the labels of {counted(len(missing), 'field')} are missing: {shorten(missing)}; name "
            "their labels (an empty list: none), or drop these fields"
        )
    ambiguous = values[[_is_ambiguous(value) for value in values]]
    if len(ambiguous):
        raise InputError(
            f"y of field {ambiguous.index[0]} is {ambiguous.iloc[0]!r}"
            f"{_and_others(ambiguous)}: one label or several? Separate them by | or ;, or pass a "
            "list of names for each field"
        )
    names = [_names(value) for value in values]
    unknown = values[[of_field is None for of_field in names]]
    if len(unknown):
        raise InputError(
            f"y of field {unknown.index[0]} is {shorten([repr(unknown.iloc[0])])}"
            f"{_and_others(unknown)}; pass one column of 0 and 1 per label, or the names of the "
            "labels of each field"
        )
    sets = [of_field for of_field in names if of_field is not None]
    if all(re.fullmatch(r"[\d\s,]*", name) for name in set().union(*sets)):
        raise InputError(
            "y contains ids of labels, which do not determine the number of labels; pass one "
            "column of 0 and 1 per label: hpastack.HPA_2018.indicator(y) (or that of another "
            "hpastack.Vocabulary) for text such as '16 0', scikit-learn's MultiLabelBinarizer("
            "classes=range(N_LABELS)).fit_transform(y) for lists of ids"
        )
    return sets


def _is_ambiguous(value: Any) -> bool:
    """Return whether a text has a comma, which may separate labels or be part of a name."""
    if not isinstance(value, str) or re.search("[;|]", value):
        return False
    return "," in value and not re.fullmatch(r"[\d\s,]*", value)


def _and_others(values: pd.Series) -> str:
    n_others = len(values) - 1
    return f" (and of {counted(n_others, 'other field')} likewise)" if n_others else ""


def _names(value: Any) -> set[str] | None:
    """Return the names of the labels of one field; None if the value is not in a known form."""
    if isinstance(value, _SETS):
        types = {type(name) for name in value}
        if all(issubclass(of_name, str) for of_name in types):
            return {str(name) for name in value}
        if all(issubclass(of_name, (int, np.integer)) for of_name in types):
            return {str(label) for label in value}
    elif isinstance(value, str):
        if not re.search("[;|]", value):
            return {value.strip()}
        return {name.strip() for name in re.split("[;|]", value) if name.strip()}
    return None
