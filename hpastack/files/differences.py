"""Which settings of two records differ, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MISSING = object()
_MOST_CHARACTERS = 60


def differing_settings(
    values: Mapping[str, Any], others: Mapping[str, Any], where: str, elsewhere: str, limit: int = 3
) -> str:
    """Name the first settings that differ between two records, with both values.

    Parameters
    ----------
    values, others : mapping of str to object
        What JSON can hold. Dicts within are compared key by key.
    where, elsewhere : str
        What to call the two, such as "the store".
    limit : int, default=3
        How many to name.

    Returns
    -------
    str
        In the order of `values`, then of `others`; empty if they are the same.

    Examples
    --------
    >>> made = {"size": 512, "families": ["spots", "texture"], "stem": {"kind": "average"}}
    >>> recipe = {"size": 256, "families": ["texture"], "stem": {"kind": "average"}}
    >>> differing_settings(made, recipe, "the store", "the recipe")
    "size is 512 in the store and 256 in the recipe; families has 'spots' in the store only"
    """
    found = _differences(values, others, where, elsewhere)
    more = f"; and {len(found) - limit} more" if len(found) > limit else ""
    return "; ".join(found[:limit]) + more


def _differences(
    values: Mapping[str, Any],
    others: Mapping[str, Any],
    where: str,
    elsewhere: str,
    above: str = "",
) -> list[str]:
    found = []
    for key in dict.fromkeys([*values, *others]):
        name = f"{above}{key}"
        one, other = values.get(key, _MISSING), others.get(key, _MISSING)
        if one == other:
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += _differences(one, other, where, elsewhere, f"{name}.")
            continue
        parts = []
        if isinstance(one, list) and isinstance(other, list):
            for mine, theirs, place in ((one, other, where), (other, one, elsewhere)):
                own = [value for value in mine if value not in theirs]
                if own:
                    listed = ", ".join(_short(value) for value in own)
                    parts.append(f"has {_cut(listed)} in {place} only")
        if not parts:
            parts = [f"is {_short(one)} in {where} and {_short(other)} in {elsewhere}"]
        found.append(f"{name} {' and '.join(parts)}")
    return found


def _short(value: Any) -> str:
    return "not set" if value is _MISSING else _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 3]}..."
