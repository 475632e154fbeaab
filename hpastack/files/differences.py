"""Differences between the settings of two records, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MISSING = object()
_MOST_CHARACTERS = 60


def differing_settings(
    values: Mapping[str, Any], others: Mapping[str, Any], where: str, elsewhere: str, limit: int = 3
) -> str:
    """Describe the first settings that differ between two records, with both values.

    Parameters
    ----------
    values, others : mapping of str to object
        JSON-serialisable. Nested dicts are compared key by key.
    where, elsewhere : str
        Names of the two records in the text, such as "the store".
    limit : int, default=3
        Number of differences to describe.

    Returns
    -------
    str
        In the order of `values`, then of `others`; empty if the records are equal.

    Examples
    --------
    >>> made = {"size": 512, "families": ["spots", "texture"], "stem": {"kind": "average"}}
    >>> recipe = {"size": 256, "families": ["texture"], "stem": {"kind": "average"}}
    >>> differing_settings(made, recipe, "the store", "the recipe")
    "size is 512 in the store and 256 in the recipe; families has 'spots' in the store only"
    """
    differences = _differences(values, others, where, elsewhere)
    more = f"; and {len(differences) - limit} more" if len(differences) > limit else ""
    return "; ".join(differences[:limit]) + more


def _differences(
    values: Mapping[str, Any],
    others: Mapping[str, Any],
    where: str,
    elsewhere: str,
    above: str = "",
) -> list[str]:
    differences = []
    for key in dict.fromkeys([*values, *others]):
        name = f"{above}{key}"
        value, other = values.get(key, _MISSING), others.get(key, _MISSING)
        if value == other:
            continue
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            differences += _differences(value, other, where, elsewhere, f"{name}.")
            continue
        parts = []
        if isinstance(value, list) and isinstance(other, list):
            for items, other_items, place in ((value, other, where), (other, value, elsewhere)):
                only_here = [item for item in items if item not in other_items]
                if only_here:
                    listed = ", ".join(_short(item) for item in only_here)
                    parts.append(f"has {_cut(listed)} in {place} only")
        if not parts:
            parts = [f"is {_short(value)} in {where} and {_short(other)} in {elsewhere}"]
        differences.append(f"{name} {' and '.join(parts)}")
    return differences


def _short(value: Any) -> str:
    return "not set" if value is _MISSING else _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."
