"""Open a stack that was kept."""

from __future__ import annotations

from pathlib import Path

from hpastack.stack.classifier import StackClassifier


def load_stack(path: str | Path) -> StackClassifier:
    """Open a stack that `StackClassifier.save` kept.

    Parameters
    ----------
    path : path-like
        The folder.

    Returns
    -------
    StackClassifier
        Fitted; predicts as the one that was saved.

    Raises
    ------
    InputError
        If the folder is not a stack, is of a newer format, a file is
        missing or was changed, or what it says does not fit together.
    """
    return StackClassifier.load(path)
