"""Descriptions of the columns of a stack."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hpastack.errors import InputError
from hpastack.features import describe_columns

_CONSENSUS = "consensus of "


def column_words(column: str, labels: Sequence[str], stores: Mapping[str, Any]) -> str:
    """Describe a column of a stack in words.

    Parameters
    ----------
    column : str
        Name in `hpastack.stack.column_importance`.
    labels : sequence of str
        Label names.
    stores : mapping
        Stores in the record of the stack, by name.

    Returns
    -------
    str
        The column itself if there is no description.

    Examples
    --------
    >>> column_words("resnet50__1", ["Nucleoplasm", "Nuclear membrane"], {})
    'resnet50 for Nuclear membrane'
    >>> column_words("texture_contrast_d2__green", [], {})
    'GLCM contrast of green at distance 2 px (32 grey levels)'
    """
    if column.startswith(_CONSENSUS):
        return f"consensus of the CNNs for {column.removeprefix(_CONSENSUS)}"
    try:
        return _description(column)
    except InputError:
        pass
    match = re.fullmatch(r"(.+)__(\d+)", column)
    if match and int(match[2]) < len(labels):
        return f"{match[1]} for {labels[int(match[2])]}"
    store, _, own = column.partition("__")
    if own and store in stores:
        try:
            return f"{_description(own)} ({store})"
        except InputError:
            return f"{own.replace('_', ' ')} ({store})"
    if column in stores:
        return f"all components of the embedding {column}"
    return column


def _description(column: str) -> str:
    return re.sub(r" \(NaN [^)]*\)", "", describe_columns([column])[column])
