"""Caveats of a stack, each stated once."""

from __future__ import annotations

from collections.abc import Collection

from hpastack.errors import listed


def merge_notes(notes: Collection[str], stores: Collection[str]) -> list[str]:
    """Merge notes that differ only in the store that they begin with.

    Parameters
    ----------
    notes : collection of str
        Notes on single stores have the form ``<store>: <text>``.
    stores : collection of str
        Names of the stores.

    Returns
    -------
    list of str
        In the order in which each text first occurs. Merged notes have the form
        ``<store>, <store> and <store>: <text>``.

    Examples
    --------
    >>> notes = ["a: label sets", "folds split clusters", "b: label sets", "a: label sets"]
    >>> merge_notes(notes, ["a", "b"])
    ['a and b: label sets', 'folds split clusters']
    """
    stores_of: dict[str, list[str]] = {}
    for note in notes:
        store, mark, text = note.partition(": ")
        is_on_store = bool(mark) and store in stores
        names = stores_of.setdefault(text if is_on_store else note, [])
        if is_on_store and store not in names:
            names.append(store)
    return [f"{listed(names)}: {text}" if names else text for text, names in stores_of.items()]
