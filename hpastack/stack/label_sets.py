"""Labels as people hold them: names, sets of names, one column, a sparse matrix."""

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
    """Return labels as one column per label where their meaning is plain, else as they are.

    Parameters
    ----------
    y : object
        Of `hpastack.StackClassifier.fit`. A sparse matrix becomes an array; one number per
        field is a single label; names, or sets of names (lists, tuples, sets, or text such as
        ``"Cytosol|Nucleoli"``), become one column per name. Anything else is returned as it is.
    image_ids : Index
        Of the fields, for values without ids of their own.
    labels : list of str or None
        The labels of a fitted stack. If None, they are the names in `y`, sorted.
    has_label_columns : bool
        Whether X has columns ``<name>__<label id>``, for which labels need a given order.

    Returns
    -------
    object

    Raises
    ------
    InputError
        If it remains open which labels there are or in which order, or a label is missing
        or unknown.
    """
    if sparse.issparse(y):
        return y.toarray()
    values = _one_per_field(y)
    if values is None:
        return y
    if len(values) != len(image_ids) and not isinstance(y, (pd.Series, pd.DataFrame)):
        raise InputError(
            f"y holds the labels of {counted(len(values), 'field')}, and X has {len(image_ids)}"
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
                "y holds names, which have no order, but the columns <name>__<label id> of X go by "
                "the order of the labels; pass one column of 0 and 1 per label in that order, such "
                "as scikit-learn's MultiLabelBinarizer(classes=NAMES).fit_transform(y)"
            )
        labels = sorted(set().union(*names))
    unknown = sorted(set().union(*names).difference(labels))
    if unknown:
        raise InputError(
            f"y holds names that are no labels of the stack: {shorten(unknown)}; its labels are "
            f"{shorten(labels)}"
        )
    table = [[int(label in of_field) for label in labels] for of_field in names]
    return pd.DataFrame(table, ids, labels)


def _one_per_field(y: Any) -> pd.Series | None:
    """Return one value per field, as a series; None of a matrix."""
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
    missing = values.index[[not isinstance(v, _SETS) and bool(pd.isna(v)) for v in values]]
    blank = values.index[[isinstance(value, str) and not value.strip() for value in values]]
    for at_fault in (missing, blank):
        if len(at_fault):
            raise InputError(
                f"the labels of {counted(len(at_fault), 'field')} are missing: "
                f"{shorten(at_fault)}; name "
                "their labels (an empty list: none), or drop these fields"
            )
    names = [_names(value, image_id) for image_id, value in values.items()]
    if all(re.fullmatch(r"[\d\s,]*", name) for name in set().union(*names)):
        raise InputError(
            "y holds ids of labels, which do not tell how many labels there are; pass one column "
            "of 0 and 1 per label: hpastack.HPA_2018.indicator(y) (or that of another "
            "hpastack.Vocabulary) for text such as '16 0', scikit-learn's MultiLabelBinarizer("
            "classes=range(N_LABELS)).fit_transform(y) for lists of ids"
        )
    return names


def _names(value: Any, image_id: Any) -> set[str]:
    if isinstance(value, _SETS):
        kinds = {type(name) for name in value}
        if all(issubclass(kind, str) for kind in kinds):
            return {str(name) for name in value}
        if all(issubclass(kind, (int, np.integer)) for kind in kinds):
            return {str(label) for label in value}
    elif isinstance(value, str):
        if not re.search("[;|]", value):
            if "," in value and not re.fullmatch(r"[\d\s,]*", value):
                raise InputError(
                    f"y of field {image_id} is {value!r}: one label or several? Separate them by "
                    "| or ;, or pass a list of names for each field"
                )
            return {value.strip()}
        return {name.strip() for name in re.split("[;|]", value) if name.strip()}
    raise InputError(
        f"y of field {image_id} is {shorten([repr(value)])}; pass one column of 0 and 1 per label, "
        "or the names of the labels of each field"
    )
