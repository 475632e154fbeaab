"""Load a saved stack."""

from __future__ import annotations

from pathlib import Path

from hpastack.stack.classifier import StackClassifier


def load_stack(path: str | Path) -> StackClassifier:
    """Load a stack that `StackClassifier.save` wrote.

    Parameters
    ----------
    path : path-like
        The folder.

    Returns
    -------
    StackClassifier
        Fitted; its predictions equal those of the saved stack.

    Raises
    ------
    InputError
        If the folder is not a stack, has a newer format, a file is missing or
        was changed, or its contents are inconsistent.
    """
    return StackClassifier.load(path)
