"""Check that a stack was fitted on the labels of a vocabulary."""

from __future__ import annotations

import os
from collections.abc import Iterable

from hpastack.errors import InputError, shorten


def check_labels(
    labels: Iterable[str], vocabulary: Iterable[str], place: str | os.PathLike[str]
) -> None:
    """Check that the labels of a stack are those of a vocabulary, in the same order.

    Parameters
    ----------
    labels : iterable of str
        ``labels_`` of the stack.
    vocabulary : iterable of str
        Label names of the workspace.
    place : path-like
        Folder of the stack, named in the error.

    Raises
    ------
    InputError
        If they differ. The message names the labels that only one of them has.

    Examples
    --------
    >>> check_labels(["a", "b"], ["a", "b"], "models/stack")
    """
    labels, vocabulary = list(labels), list(vocabulary)
    if labels == vocabulary:
        return
    differences = [
        f"only {owner}: {shorten(names)}"
        for owner, names in (
            ("in the stack", [name for name in labels if name not in vocabulary]),
            ("in the vocabulary", [name for name in vocabulary if name not in labels]),
        )
        if names
    ]
    raise InputError(
        f"{place} has other labels than this workspace's vocabulary "
        f"({'; '.join(differences) or 'in another order'}); use the workspace that it was fitted "
        "in, or fit the stack again"
    )
